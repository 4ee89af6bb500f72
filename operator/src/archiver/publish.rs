//! What an Archiver's status says.

use imarchive_crds::{ArchiverStatus, ConditionType, UserCounts};
use jiff::Timestamp;

use super::{
    health::{Health, Needs},
    observe::Observed,
    rollout::{self, Turn},
};
use crate::status::{ConditionReason, Conditions, Progress, quoted};

/// What became of applying what the Archiver owns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// What was refused, in the API server's words.
    pub refused: Vec<String>,
    /// Whether the StatefulSet waits for its turn.
    pub turn: Turn,
}

/// The status. What the archiver's pod writes is carried along untouched.
pub fn status(
    observed: &Observed,
    default: Option<String>,
    health: &Health,
    applied: &Applied,
    now: Timestamp,
) -> ArchiverStatus {
    let stored = observed.archiver.status.clone().unwrap_or_default();
    let generation = observed.archiver.metadata.generation;
    let mut conditions = Conditions::over(&stored.conditions, generation, now);
    conditions.set(ConditionType::Ready, health.ready, health.reason.clone(), health.message.clone());
    conditions.progress(progress(health, applied));
    ArchiverStatus {
        observed_generation: generation,
        conditions: conditions.into_list(),
        default_endpoint: default,
        users: Some(UserCounts {
            assigned: i64::try_from(observed.assigned).unwrap_or(i64::MAX),
            ..stored.users.unwrap_or_default()
        }),
        messages: stored.messages,
        not_durable_since: stored.not_durable_since,
    }
}

fn progress(health: &Health, applied: &Applied) -> Progress {
    if !applied.refused.is_empty() {
        let reason = ConditionReason::ApplyRefused;
        let words: Vec<String> = applied.refused.iter().map(|words| quoted(words)).collect();
        return Progress::Stalled { message: reason.with(format!("Refused: {}.", words.join("; "))), reason };
    }
    if applied.turn == Turn::Waits {
        return Progress::Reconciling { reason: ConditionReason::UpgradePending, message: rollout::waits() };
    }
    let message = health.message.clone();
    match health.needs {
        Needs::Nothing => Progress::Settled,
        Needs::Time => Progress::Reconciling { reason: ConditionReason::Progressing, message },
        Needs::Retries => Progress::Reconciling { reason: ConditionReason::ProgressingWithRetry, message },
        Needs::Person => Progress::Stalled { reason: health.reason.clone(), message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imarchive_crds::Archiver;
    use serde_json::json;

    /// The status of an Archiver whose pod is ready: status and reason of each condition.
    fn conditions(applied: &Applied) -> Vec<(String, String, String)> {
        let archiver: Archiver = serde_json::from_value(json!({
            "apiVersion": "imarchive.dev/v1alpha1", "kind": "Archiver",
            "metadata": {"name": "archiver", "namespace": "acme", "generation": 2},
            "spec": {"organization": {"name": "Acme", "domains": ["acme.example"]}}
        }))
        .expect("an Archiver");
        let reason = ConditionReason::PodReady;
        let health = Health { ready: true, needs: Needs::Nothing, message: reason.sentence(), reason };
        let observed = Observed {
            archiver,
            endpoints: vec![],
            assigned: 0,
            account: None,
            claim: None,
            stateful_set: None,
            pod: None,
        };
        let status = status(&observed, None, &health, applied, Timestamp::UNIX_EPOCH);
        status.conditions.into_iter().map(|c| (c.type_, c.reason, c.message)).collect()
    }

    #[test]
    fn a_part_that_is_refused_is_stalled_and_leaves_ready_to_the_pod() {
        let applied = Applied { refused: vec!["apply Service acme/archiver: no.".to_owned()], turn: Turn::Free };
        let conditions = conditions(&applied);
        assert_eq!((conditions[0].0.as_str(), conditions[0].1.as_str()), ("Ready", "PodReady"));
        assert_eq!((conditions[1].0.as_str(), conditions[1].1.as_str()), ("Stalled", "ApplyRefused"));
        assert!(conditions[1].2.starts_with("Refused: apply Service acme/archiver: no. Mend"), "{}", conditions[1].2);
    }

    #[test]
    fn who_waits_to_be_replaced_says_for_what_and_leaves_ready_to_the_pod() {
        let conditions = conditions(&Applied { refused: vec![], turn: Turn::Waits });
        assert_eq!((conditions[0].0.as_str(), conditions[0].1.as_str()), ("Ready", "PodReady"));
        assert_eq!((conditions[1].0.as_str(), conditions[1].1.as_str()), ("Reconciling", "UpgradePending"));
        assert!(conditions[1].2.contains("fewer than 5 archivers"), "{}", conditions[1].2);
    }
}
