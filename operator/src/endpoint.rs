//! The ArchivingEndpoint: its test, what is accepted by it, and what its status says.
//!
//! A test is a Job, and the chain of tests needs no memory but the status: each Job says which test it succeeds, and only
//! a successor of the test in the status is looked at. Publishing its report makes every other Job of before obsolete.

pub mod conditions;
pub mod facts;
pub mod failure;
mod finding;
pub mod job;
mod notified;
pub mod observe;
pub mod publish;
pub mod retry;
pub mod test;
pub mod verdict;

use std::{sync::Arc, time::Duration};

use imarchive_crds::{ArchivingEndpoint, ArchivingEndpointStatus};
use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use serde_json::json;

use crate::{
    archiver::workload::probe_account,
    context::Context,
    controller,
    error::Error,
    notify, pods,
    slots::PROBES,
    status::{self, Foreign},
    stores::{Guarded, readable},
    undecodable,
};
use observe::Observed;
use test::{Decision, Ended, Plan};

/// Rows belong to the archivers' pods.
const FOREIGN: Foreign = &[&["archivers"]];
/// Changes are told by watches; this is for one that was missed.
const LONGEST: Duration = Duration::from_secs(3600);
/// Watches tell of a probe's progress; this is for one that was missed.
const WHILE_TESTING: Duration = Duration::from_secs(30);
/// How long an endpoint waits for a slot.
const WHILE_FULL: Duration = Duration::from_secs(5);

/// How the endpoint's test is, after this reconcile did its part.
#[derive(Clone, Debug, PartialEq)]
pub enum Testing {
    /// There is nothing new.
    Idle,
    /// There is nothing to connect to.
    Invalid(String),
    /// It waits or runs; what it waits for.
    Underway(String),
    /// It ended.
    Ended(Box<Ended>),
}

/// Brings the test and the status of an endpoint to what its spec, its test and its archiver's row say.
pub async fn reconcile(object: Arc<Guarded<ArchivingEndpoint>>, context: Arc<Context>) -> Result<Action, Error> {
    let endpoint = match &object.0 {
        Ok(endpoint) if endpoint.metadata.deletion_timestamp.is_some() => return Ok(Action::await_change()),
        Ok(endpoint) => endpoint,
        Err(invalid) => return undecodable::publish::<ArchivingEndpoint>(&context, invalid, FOREIGN).await,
    };
    let now = context.now();
    let observed = observe::observe(endpoint, &context, now);
    if forget_rows(&context, &observed).await? {
        return Ok(Action::requeue(WHILE_FULL));
    }
    let decision = test::decide(&observed, now);
    let (testing, again) = carry_out(&context, &observed, decision, now).await?;
    let status = publish::status(&observed, &testing, now);
    let stored = Some(&observed.status);
    if status::write(&context, endpoint, stored, &status, |status| &status.conditions, FOREIGN).await? {
        count(&context, &testing);
    }
    tell(&context, &observed, &status);
    Ok(Action::requeue(again.min(LONGEST)))
}

/// The rows go with the Archiver, whose pods nobody else speaks for.
async fn forget_rows(context: &Context, observed: &Observed) -> Result<bool, Error> {
    let orphaned = !observed.has_archiver && !observed.status.archivers.is_empty();
    if orphaned {
        context.shared.kube.merge_status(&observed.endpoint, &json!({"archivers": null})).await?;
    }
    Ok(orphaned)
}

/// Does what was decided; how the test is then, and when to look again.
async fn carry_out(
    context: &Context,
    observed: &Observed,
    decision: Decision,
    now: Timestamp,
) -> Result<(Testing, Duration), Error> {
    let until = |time: Timestamp| Duration::try_from(time.duration_since(now)).unwrap_or_default();
    Ok(match decision {
        Decision::Idle { next } => (Testing::Idle, until(next)),
        Decision::Invalid(why) => (Testing::Invalid(why), LONGEST),
        Decision::Underway { note, until: time } => (Testing::Underway(note), until(time).min(WHILE_TESTING)),
        Decision::Ended(ended) => (Testing::Ended(ended), WHILE_TESTING),
        Decision::Start(plan) if !claim_slot(context, observed, &plan, now) => {
            let note = format!("Waits for one of the {PROBES} tests that may run at once.");
            (Testing::Underway(note), WHILE_FULL)
        }
        Decision::Start(plan) => match start(context, observed, &plan).await {
            Ok(()) => (Testing::Underway("The test was started.".to_owned()), WHILE_TESTING),
            Err(error) if error.is_refusal() => {
                context.shared.probes.release(&key(observed, &plan));
                let ended = test::refused(observed, &plan, &error.to_string(), now);
                (Testing::Ended(Box::new(ended)), WHILE_TESTING)
            }
            Err(error) => return Err(error),
        },
    })
}

fn claim_slot(context: &Context, observed: &Observed, plan: &Plan, now: Timestamp) -> bool {
    let shared = &context.shared;
    let jobs = shared.scopes().into_iter().flat_map(|scope| scope.jobs.state());
    let seen = jobs.map(|job| {
        (format!("{}/{}", job.namespace().unwrap_or_default(), job.name_any()), pods::finished(&job).is_none())
    });
    shared.probes.claim(&seen.collect(), &key(observed, plan), now)
}

fn key(observed: &Observed, plan: &Plan) -> String {
    format!("{}/{}", observed.namespace, plan.name)
}

/// Starts the probe: its ServiceAccount first, which a namespace without an Archiver does not have yet.
async fn start(context: &Context, observed: &Observed, plan: &Plan) -> Result<(), Error> {
    let (kube, stores) = (&context.shared.kube, &context.stores);
    let endpoints = stores.endpoints(&observed.namespace);
    let endpoints: Vec<_> = readable(&endpoints).collect();
    let account = probe_account(&observed.namespace, observed.archiver.as_ref(), &endpoints);
    kube.ensure(&account, &stores.probe_accounts).await?;
    let job = job::build(observed, plan, &context.shared.workload)?;
    if kube.create(&job).await? {
        tracing::info!(
            endpoint = format!("{}/{}", observed.namespace, observed.name),
            job = plan.name,
            trigger = plan.trigger.name(),
            "a test was started"
        );
    }
    Ok(())
}

/// Hands on what the administrators are to be told: when it is on the record, so that nothing is told of a status that was
/// decided on an old version.
fn tell(context: &Context, observed: &Observed, status: &ArchivingEndpointStatus) {
    let (queues, namespace, name) = (context.queues.clone(), observed.namespace.clone(), observed.name.clone());
    let ask = move || queues.ask_endpoint(&namespace, &name);
    let key = controller::key_of(&observed.endpoint);
    context.shared.notifier.due(&key, &observed.uid, notify::due(observed, status), ask);
}

fn count(context: &Context, testing: &Testing) {
    if let Testing::Ended(ended) = testing {
        let reason = ended.report.reason.map(|reason| reason.to_string()).unwrap_or_default();
        context.shared.metrics.tests.with_label_values(&[&ended.report.result.to_string(), &reason]).inc();
    }
}
