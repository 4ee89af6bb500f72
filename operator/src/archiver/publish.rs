//! What an Archiver's status says.

use imarchive_crds::{ArchiverStatus, ConditionType, UserCounts};
use jiff::Timestamp;

use super::{
    health::{Health, Needs},
    observe::Observed,
};
use crate::status::{Conditions, PROGRESSING, Progress, RETRYING};

/// The status. What the archiver's pod writes is carried along untouched.
pub fn status(
    observed: &Observed,
    default: Option<String>,
    health: &Health,
    refused: &[String],
    now: Timestamp,
) -> ArchiverStatus {
    let stored = observed.archiver.status.clone().unwrap_or_default();
    let generation = observed.archiver.metadata.generation;
    let mut conditions = Conditions::over(&stored.conditions, generation, now);
    conditions.set(ConditionType::Ready, health.ready, &health.reason, health.message.clone());
    conditions.progress(progress(health, refused));
    ArchiverStatus {
        observed_generation: generation,
        conditions: conditions.into_list(),
        default_endpoint: default,
        users: Some(UserCounts {
            assigned: i64::try_from(observed.assigned).unwrap_or(i64::MAX),
            ..stored.users.unwrap_or_default()
        }),
        messages: stored.messages,
    }
}

fn progress(health: &Health, refused: &[String]) -> Progress {
    if !refused.is_empty() {
        return Progress::Stalled { reason: "ApplyRefused".to_owned(), message: refused.join("; ") };
    }
    let message = health.message.clone();
    match health.needs {
        Needs::Nothing => Progress::Settled,
        Needs::Time => Progress::Reconciling { reason: PROGRESSING.to_owned(), message },
        Needs::Retries => Progress::Reconciling { reason: RETRYING.to_owned(), message },
        Needs::Person => Progress::Stalled { reason: health.reason.clone(), message },
    }
}
