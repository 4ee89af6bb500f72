//! The Archiver: its workload, the election of the default, its status.
//!
//! The workload is applied as a whole and only what differs costs a call. A part that the API server refuses does not
//! stop the others: it is named in the status, and tried again.

pub mod election;
pub mod health;
pub mod names;
pub mod observe;
pub mod publish;
pub mod stateful_set;
pub mod workload;

use std::{sync::Arc, time::Duration};

use imarchive_crds::Archiver;
use kube::runtime::controller::Action;

use crate::{
    context::Context,
    error::Error,
    status::{self, Foreign},
    stores::Guarded,
    undecodable,
};
use observe::Observed;
use workload::Owned;

/// What the archiver's pod writes into the status.
const FOREIGN: Foreign = &[&["messages"], &["users", "active72h"]];
/// Changes are told by watches; this is for one that was missed.
const AGAIN: Duration = Duration::from_secs(600);
/// How long a refused part is left alone.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// Brings what belongs to an Archiver, and its status, to what its spec says.
pub async fn reconcile(object: Arc<Guarded<Archiver>>, context: Arc<Context>) -> Result<Action, Error> {
    let archiver = match &object.0 {
        Ok(archiver) if archiver.metadata.deletion_timestamp.is_some() => return Ok(Action::await_change()),
        Ok(archiver) => archiver,
        Err(invalid) => return undecodable::publish::<Archiver>(&context, invalid, FOREIGN).await,
    };
    let observed = observe::observe(archiver, &context);
    let owned = workload::build(&observed, &context.shared.workload);
    let refused = apply(&context, owned).await?;
    let default = election::elect(&observed);
    let health = health::health(&observed);
    let status = publish::status(&observed, default, &health, &refused, context.now());
    status::write(&context, archiver, archiver.status.as_ref(), &status, |status| &status.conditions, FOREIGN).await?;
    Ok(Action::requeue(if refused.is_empty() { AGAIN } else { AFTER_REFUSAL }))
}

/// Applies each part; what was refused, in the API server's words.
async fn apply(context: &Context, owned: Owned) -> Result<Vec<String>, Error> {
    let (kube, stores) = (&context.shared.kube, &context.stores);
    let outcomes = [
        kube.ensure(&owned.account, &stores.archiver_accounts).await,
        kube.ensure(&owned.probe_account, &stores.probe_accounts).await,
        kube.ensure(&owned.role_binding, &stores.role_bindings).await,
        kube.ensure(&owned.config_map, &stores.config_maps).await,
        kube.ensure(&owned.service, &stores.services).await,
        kube.ensure(&owned.network_policy, &stores.network_policies).await,
        kube.ensure(&owned.claim, &stores.claims).await,
        kube.ensure(&owned.stateful_set, &stores.stateful_sets).await,
    ];
    let mut refused = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(()) => {}
            Err(error) if error.is_refusal() => refused.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

impl Observed {
    /// The namespace of the Archiver.
    pub fn namespace(&self) -> &str {
        self.archiver.metadata.namespace.as_deref().unwrap_or_default()
    }
}
