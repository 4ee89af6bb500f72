//! What an endpoint's status says.

use imarchive_crds::{Accepted, ArchivingEndpointStatus, TestReport};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Testing, conditions, observe::Observed, retry};

/// The status. The archivers' rows are carried along untouched.
pub fn status(observed: &Observed, testing: &Testing, now: Timestamp) -> ArchivingEndpointStatus {
    let stored = &observed.status;
    let spec = &observed.endpoint.spec;
    let test = match testing {
        Testing::Ended(ended) => Some(ended.report.clone()),
        _ => stored.test.clone(),
    };
    let handled = match testing {
        Testing::Ended(ended) => ended.answers.clone(),
        // No test can answer it, and who asked must not wait for ever.
        Testing::Invalid(_) => observed.requested.clone(),
        _ => None,
    };
    let mut retry = retry::fold(&stored.archivers, stored.retry.as_ref());
    if let Some(retry) = &mut retry {
        retry::note(retry, &observed.notices.told);
    }
    let mut status = ArchivingEndpointStatus {
        observed_generation: observed.endpoint.metadata.generation,
        conditions: Vec::new(),
        host: observed.server.as_ref().ok().map(|server| format!("{}:{}", server.host, server.port)),
        default: Some(is_default(observed)),
        default_requested_at: match spec.default {
            Some(true) => Some(stored.default_requested_at.clone().unwrap_or(Time(now))),
            _ => None,
        },
        users: i64::try_from(observed.users).ok(),
        pending_messages: Some(stored.archivers.iter().map(|row| row.pending_messages).sum())
            .filter(|_| !stored.archivers.is_empty()),
        accepted: accepted(observed, test.as_ref()),
        test,
        retry,
        archivers: stored.archivers.clone(),
        last_handled_test_at: handled.or_else(|| stored.last_handled_test_at.clone()),
    };
    status.conditions = conditions::conditions(observed, &status, testing, now);
    status
}

/// Whether the Archiver names this endpoint as the default. One that cannot be read named it or not before.
pub fn is_default(observed: &Observed) -> bool {
    match &observed.archiver {
        None => observed.has_archiver && observed.status.default == Some(true),
        Some(archiver) => {
            let named = archiver.status.as_ref().and_then(|status| status.default_endpoint.as_deref());
            named == Some(observed.name.as_str())
        }
    }
}

/// What is delivered by: this connection once a test of just this one passed, else what was so far.
fn accepted(observed: &Observed, test: Option<&TestReport>) -> Option<Accepted> {
    let so_far = observed.status.accepted.clone();
    let passed = test.is_some_and(|test| test.passed() && test.connection == observed.fingerprint);
    let same = so_far.as_ref().is_some_and(|accepted| accepted.connection == observed.connection);
    if passed && !same && observed.server.is_ok() {
        let generation = observed.endpoint.metadata.generation.unwrap_or_default();
        return Some(Accepted { generation, connection: observed.connection.clone() });
    }
    so_far
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
