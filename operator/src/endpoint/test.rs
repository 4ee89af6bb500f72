//! When an endpoint is tested: a pure function of what was observed and of `now`.

use std::time::Duration;

use imarchive_crds::{ConditionType, Reason, TestReport, hex};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{facts::marker, observe::Observed, verdict::Outcome};
use crate::status::{ConditionReason, quoted};

/// The delay after the first failure.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// The least between two tests for new credentials: the clocks of two nodes may differ.
const SETTLING: Duration = Duration::from_secs(10);

/// What is to be done about the test.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing, until then.
    Idle {
        /// When the next test is due.
        next: Timestamp,
    },
    /// There is nothing to connect to.
    Invalid(String),
    /// A test is to be started.
    Start(Plan),
    /// A test runs.
    Underway {
        /// What it waits for.
        note: String,
        /// When to look again.
        until: Timestamp,
    },
    /// A test ended, and its report is to be published.
    Ended(Box<Ended>),
}

/// A test that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its report.
    pub report: TestReport,
    /// What the report cannot say: what happened, and what to do.
    pub detail: Option<String>,
    /// The request that it answers.
    pub answers: Option<String>,
}

/// A test to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The Job's name.
    pub name: String,
    /// Why.
    pub trigger: Trigger,
    /// The test that it succeeds.
    pub previous: String,
    /// The request that it answers.
    pub answers: Option<String>,
}

/// Why a test is due; the first in this order names the Job when several are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The connection is new.
    Connection,
    /// The annotation asks.
    Requested(String),
    /// The mounted credentials changed.
    Credentials(Timestamp),
    /// The last test failed.
    Retry,
    /// The last test passed long ago.
    Interval,
}

impl Trigger {
    /// For logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connection => "Connection",
            Self::Requested(_) => "Requested",
            Self::Credentials(_) => "Credentials",
            Self::Retry => "Retry",
            Self::Interval => "Interval",
        }
    }
}

/// What is to be done now.
pub fn decide(observed: &Observed, now: Timestamp) -> Decision {
    if let Err(why) = &observed.server {
        return Decision::Invalid(why.clone());
    }
    // What ended counts before what runs: the status then moves on, and the other is obsolete.
    let ended = observed.runs.iter().rev().find_map(|run| match &run.outcome {
        Outcome::Reported(report) => Some((report.clone(), None, run)),
        Outcome::Unreported(why) => {
            let detail = ConditionReason::from(Reason::ProbeNotRun).with(format!("{}.", quoted(why)));
            Some((not_run(observed, run.created_at, now), Some(detail), run))
        }
        Outcome::Underway { .. } => None,
    });
    if let Some((report, detail, run)) = ended {
        return Decision::Ended(Box::new(Ended { report, detail, answers: run.facts.answers.clone() }));
    }
    let underway = observed.runs.iter().rev().find_map(|run| match &run.outcome {
        Outcome::Underway { note, until } => Some((note.clone(), *until)),
        _ => None,
    });
    if let Some((note, until)) = underway {
        return Decision::Underway { note, until };
    }
    let (at, trigger) = due(observed, now);
    if at > now { Decision::Idle { next: at } } else { Decision::Start(plan(observed, trigger)) }
}

/// The end of a test that the API server did not let begin, in its words.
pub fn refused(observed: &Observed, plan: &Plan, words: &str, now: Timestamp) -> Ended {
    Ended {
        report: not_run(observed, now, now),
        detail: Some(format!(
            "The probe was refused: {}. Mend the quota, the admission policy or the right that refused it.",
            quoted(words)
        )),
        answers: plan.answers.clone(),
    }
}

fn not_run(observed: &Observed, started_at: Timestamp, now: Timestamp) -> TestReport {
    let report = TestReport::not_run(observed.fingerprint.clone(), Reason::ProbeNotRun, now);
    TestReport { started_at: started_at.min(now).into(), ..report }
}

/// When the next test is due, and why.
fn due(observed: &Observed, now: Timestamp) -> (Timestamp, Trigger) {
    let Some(last) = observed.status.test.as_ref().filter(|test| test.connection == observed.fingerprint) else {
        return (Timestamp::MIN, Trigger::Connection);
    };
    if let Some(requested) =
        observed.requested.as_ref().filter(|_| observed.requested != observed.status.last_handled_test_at)
    {
        return (Timestamp::MIN, Trigger::Requested(requested.clone()));
    }
    let interval = observed.endpoint.spec.test.interval.duration();
    let (delay, trigger) = match last.passed() {
        true => (interval, Trigger::Interval),
        false => (retry_delay(observed, last).min(interval), Trigger::Retry),
    };
    // A clock that went back never makes the wait longer than the delay.
    let regular = after(last.finished_at.0, delay).min(after(now, delay));
    let uses_credentials = observed.server.as_ref().is_ok_and(|server| server.credentials.is_some());
    let changed = observed.status.archivers.iter().filter_map(|row| row.credentials_changed_at.as_ref()).max();
    match changed.filter(|changed| uses_credentials && **changed >= last.started_at) {
        Some(changed) if changed.0.max(after(last.finished_at.0, SETTLING)) <= regular => {
            (changed.0.max(after(last.finished_at.0, SETTLING)), Trigger::Credentials(changed.0))
        }
        _ => (regular, trigger),
    }
}

/// 1 min, 2 min, 4 min, ...: as long as it fails already, and one more minute. Since when it fails, the condition Tested
/// knows; so nothing is counted, and nothing forgotten by a restart.
fn retry_delay(observed: &Observed, last: &TestReport) -> Duration {
    if last.reason == Some(Reason::AuthRejected) {
        // Accounts are locked after a few wrong passwords.
        return Duration::MAX;
    }
    let tested = ConditionType::Tested.name();
    let since = observed
        .status
        .conditions
        .iter()
        .find(|condition| condition.type_ == tested && condition.status == "False")
        .map_or(last.finished_at.0, |condition| condition.last_transition_time.0);
    FIRST_RETRY + Duration::try_from(last.finished_at.0.duration_since(since)).unwrap_or_default()
}

fn plan(observed: &Observed, trigger: Trigger) -> Plan {
    let previous = marker(observed.status.test.as_ref());
    let cause = match &trigger {
        Trigger::Requested(value) => value.clone(),
        Trigger::Credentials(at) => at.to_string(),
        Trigger::Connection | Trigger::Retry | Trigger::Interval => String::new(),
    };
    let parts = [&observed.uid, &observed.fingerprint, trigger.name(), &cause, &previous];
    let hash = Sha256::digest(parts.join("\n"));
    let hash = hex(&hash[..5]);
    Plan { name: format!("{}-{hash}", observed.name), trigger, previous, answers: observed.requested.clone() }
}

fn after(time: Timestamp, delay: Duration) -> Timestamp {
    time.checked_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "test_tests.rs"]
pub mod tests;
