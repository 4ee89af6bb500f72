//! The Archiver: its workload, the election of the default, its status.
//!
//! The workload is applied as a whole and only what differs costs a call. A part that the API server refuses does not
//! stop the others: it is named in the status, and tried again.

pub mod election;
pub mod health;
pub mod names;
pub mod observe;
pub mod publish;
pub mod rollout;
pub mod stateful_set;
pub mod workload;

use std::{sync::Arc, time::Duration};

use imarchive_crds::Archiver;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::runtime::controller::Action;

use crate::{
    context::Context,
    error::Error,
    status::{self, Foreign},
    stores::Guarded,
    undecodable,
};
use observe::Observed;
use publish::Applied;
use rollout::Turn;
use workload::Owned;

/// What the archiver's pod writes into the status.
const FOREIGN: Foreign = &[&["messages"], &["notDurableSince"], &["users", "active72h"]];
/// Changes are told by watches; this is for one that was missed.
const AGAIN: Duration = Duration::from_secs(600);
/// How long a refused part is left alone.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);
/// How long an archiver that waits for its turn to be replaced does not look.
const WHILE_OTHERS: Duration = Duration::from_secs(5);

/// Brings what belongs to an Archiver, and its status, to what its spec says.
pub async fn reconcile(object: Arc<Guarded<Archiver>>, context: Arc<Context>) -> Result<Action, Error> {
    let archiver = match &object.0 {
        Ok(archiver) if archiver.metadata.deletion_timestamp.is_some() => return Ok(Action::await_change()),
        Ok(archiver) => archiver,
        Err(invalid) => return undecodable::publish::<Archiver>(&context, invalid, FOREIGN).await,
    };
    let observed = observe::observe(archiver, &context);
    let owned = workload::build(&observed, &context.shared.workload);
    let applied = apply(&context, &observed, owned).await?;
    let default = election::elect(&observed);
    let health = health::health(&observed);
    let status = publish::status(&observed, default, &health, &applied, context.now());
    let stored = archiver.status.as_ref();
    let news = status::write(&context, archiver, stored, &status, |status| &status.conditions, FOREIGN).await?;
    if news && applied.turn == Turn::Waits {
        // The status is for the organization, which the names of the others are no business of.
        let seen = rollout::seen(&context.shared.scopes(), &context.shared.workload);
        let replaced = context.shared.rollouts.held(&seen);
        tracing::info!(namespace = observed.namespace(), ?replaced, "an archiver waits for those to be replaced");
    }
    Ok(Action::requeue(match applied {
        Applied { turn: Turn::Waits, .. } => WHILE_OTHERS,
        Applied { refused, .. } if !refused.is_empty() => AFTER_REFUSAL,
        _ => AGAIN,
    }))
}

/// Applies each part; what was refused, in the API server's words.
async fn apply(context: &Context, observed: &Observed, owned: Owned) -> Result<Applied, Error> {
    let (kube, stores) = (&context.shared.kube, &context.stores);
    let turn = turn(context, observed);
    let outcomes = [
        kube.ensure(&owned.account, &stores.archiver_accounts).await,
        kube.ensure(&owned.probe_account, &stores.probe_accounts).await,
        kube.ensure(&owned.role_binding, &stores.role_bindings).await,
        kube.ensure(&owned.config_map, &stores.config_maps).await,
        kube.ensure(&owned.service, &stores.services).await,
        kube.ensure(&owned.network_policy, &stores.network_policies).await,
        kube.ensure(&owned.claim, &stores.claims).await,
        match turn {
            // Not even in part: its arguments belong to the image.
            Turn::Waits => Ok(()),
            // The account was made just now, and its watch asks again: the pod's token is to be this account's.
            _ if observed.account.is_none() => Ok(()),
            Turn::Free => kube.ensure(&owned.stateful_set, &stores.stateful_sets).await,
            Turn::AtOnce | Turn::WithASlot => replace(context, observed, &owned.stateful_set).await,
        },
    ];
    let mut refused = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(()) => {}
            Err(error) if error.is_refusal() => refused.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(Applied { refused, turn })
}

fn turn(context: &Context, observed: &Observed) -> Turn {
    let shared = &context.shared;
    rollout::turn(observed, &shared.workload, || {
        let seen = rollout::seen(&shared.scopes(), &shared.workload);
        shared.rollouts.claim(&seen, observed.namespace(), context.now())
    })
}

async fn replace(context: &Context, observed: &Observed, set: &StatefulSet) -> Result<(), Error> {
    let (shared, namespace) = (&context.shared, observed.namespace());
    shared.rollouts.take(namespace, context.now());
    let outcome = shared.kube.ensure(set, &context.stores.stateful_sets).await;
    match &outcome {
        Ok(()) => tracing::info!(namespace, image = shared.workload.image, "an archiver is replaced"),
        Err(error) if error.is_refusal() => shared.rollouts.release(namespace),
        Err(_) => {}
    }
    outcome
}

impl Observed {
    /// The namespace of the Archiver.
    pub fn namespace(&self) -> &str {
        self.archiver.metadata.namespace.as_deref().unwrap_or_default()
    }
}
