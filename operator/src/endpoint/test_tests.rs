//! When an endpoint is tested.

use std::time::Duration;

use imarchive_crds::{ArchivingEndpoint, Reason, TestReport, TestResult, condition};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::endpoint::{facts::Facts, verdict::Run};

/// A time.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

/// An endpoint of generation 3 that was never tested.
pub fn observed() -> Observed {
    let endpoint: ArchivingEndpoint = serde_json::from_value(json!({
        "apiVersion": "imarchive.dev/v1alpha1", "kind": "ArchivingEndpoint",
        "metadata": {"name": "journal", "namespace": "acme", "uid": "u-1", "generation": 3},
        "spec": {"type": "SecureSMTP", "test": {"interval": "1h"}, "smtp": {"host": "a.example", "from": "a@b.example",
            "recipients": ["c@d.example"], "credentialsSecretRef": {"name": "journal"}}}
    }))
    .expect("an endpoint");
    Observed::alone(&endpoint)
}

/// A report of a test of the endpoint's connection that ended at `second`.
pub fn report(observed: &Observed, second: i64, reason: Option<Reason>) -> TestReport {
    TestReport {
        connection: observed.fingerprint.clone(),
        started_at: at(second - 1).into(),
        finished_at: at(second).into(),
        result: if reason.is_some() { TestResult::Failed } else { TestResult::Passed },
        reason,
        stages: vec![],
        tls: None,
    }
}

fn tested(second: i64, reason: Option<Reason>) -> Observed {
    let mut observed = observed();
    observed.status.test = Some(report(&observed, second, reason));
    observed
}

fn failing_since(mut observed: Observed, second: i64) -> Observed {
    let failed = condition(ConditionType::Tested, false, "DnsFailed", "", Some(3), at(second));
    observed.status.conditions = vec![failed];
    observed
}

fn run(observed: &Observed, outcome: Outcome) -> Run {
    let facts = Facts {
        connection: observed.fingerprint.clone(),
        previous: marker(observed.status.test.as_ref()),
        answers: Some("please".to_owned()),
        shown: [].into(),
    };
    Run { facts, created_at: at(1), outcome }
}

fn trigger(decision: Decision) -> Trigger {
    match decision {
        Decision::Start(plan) => plan.trigger,
        other => panic!("{other:?}"),
    }
}

fn next(decision: Decision) -> i64 {
    match decision {
        Decision::Idle { next } => next.as_second(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_without_a_test_is_tested_at_once() {
    assert_eq!(trigger(decide(&observed(), at(0))), Trigger::Connection);
    let mut changed = tested(100, None);
    changed.fingerprint = "another".to_owned();
    assert_eq!(trigger(decide(&changed, at(101))), Trigger::Connection);
}

#[test]
fn a_passed_test_is_repeated_after_the_interval() {
    let observed = tested(100, None);
    assert_eq!(next(decide(&observed, at(200))), 3700);
    assert_eq!(trigger(decide(&observed, at(3700))), Trigger::Interval);
}

#[test]
fn a_failed_test_is_repeated_after_1_2_4_minutes_and_never_later_than_the_interval() {
    let mut now = 1000;
    let mut delays = Vec::new();
    for _ in 0..8 {
        let observed = failing_since(tested(now, Some(Reason::DnsFailed)), 1000);
        let next = next(decide(&observed, at(now)));
        delays.push((next - now) / 60);
        now = next;
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn a_refused_password_is_shown_again_only_at_the_interval() {
    let observed = failing_since(tested(1000, Some(Reason::AuthRejected)), 1000);
    assert_eq!(next(decide(&observed, at(1000))), 4600);
}

#[test]
fn a_new_annotation_asks_once() {
    let mut observed = tested(100, None);
    observed.requested = Some("now".to_owned());
    assert_eq!(trigger(decide(&observed, at(101))), Trigger::Requested("now".to_owned()));
    observed.status.last_handled_test_at = observed.requested.clone();
    assert_eq!(next(decide(&observed, at(101))), 3700);
}

#[test]
fn credentials_that_changed_after_the_test_began_ask_for_another() {
    let mut observed = tested(100, Some(Reason::AuthRejected));
    let row = json!({"name": "archiver-0", "credentialsChangedAt": "1970-01-01T00:01:50Z"});
    observed.status.archivers = vec![serde_json::from_value(row).expect("a row")];
    assert_eq!(trigger(decide(&observed, at(110))), Trigger::Credentials(at(110)));
    observed.status.test = Some(report(&observed, 120, None));
    assert_eq!(next(decide(&observed, at(120))), 3720);
}

#[test]
fn while_a_test_runs_no_other_starts() {
    let mut observed = observed();
    let underway = Outcome::Underway { note: "x".to_owned(), until: at(9) };
    observed.runs = vec![run(&observed, underway)];
    assert!(matches!(decide(&observed, at(5)), Decision::Underway { .. }));
}

#[test]
fn what_ended_is_published_with_the_request_that_it_answers() {
    let mut observed = observed();
    let passed = report(&observed, 5, None);
    observed.runs = vec![run(&observed, Outcome::Reported(passed.clone()))];
    let answers = Some("please".to_owned());
    assert_eq!(decide(&observed, at(5)), Decision::Ended(Box::new(Ended { report: passed, detail: None, answers })));
}

#[test]
fn a_probe_without_a_report_is_probe_not_run() {
    let mut observed = observed();
    observed.runs = vec![run(&observed, Outcome::Unreported("no image".to_owned()))];
    let Decision::Ended(ended) = decide(&observed, at(5)) else { panic!("it ended") };
    assert_eq!(ended.report.reason, Some(Reason::ProbeNotRun));
    assert_eq!(ended.detail, Some(format!("no image. {}", Reason::ProbeNotRun.remedy())));
}

#[test]
fn a_probe_that_is_refused_is_a_failed_test_that_is_repeated_as_any_other() {
    let mut observed = observed();
    observed.requested = Some("please".to_owned());
    let plan = plan(&observed, Trigger::Connection);
    let Ended { report, detail, answers } = refused(&observed, &plan, "exceeded quota: jobs.", at(100));
    assert_eq!((report.reason, answers.as_deref()), (Some(Reason::ProbeNotRun), Some("please")));
    assert!(detail.is_some_and(|detail| detail.starts_with("The probe was refused: exceeded quota: jobs. Mend")));
    observed.status.test = Some(report);
    observed.status.last_handled_test_at = answers;
    assert_eq!(next(decide(&failing_since(observed, 100), at(100))), 160);
}

#[test]
fn a_block_that_is_no_archive_is_not_probed() {
    let mut observed = observed();
    observed.server = Err("recipients is empty".to_owned());
    assert!(matches!(decide(&observed, at(5)), Decision::Invalid(_)));
}

#[test]
fn the_same_decision_has_the_same_name_and_another_another() {
    let name = |observed: &Observed| plan(observed, Trigger::Connection).name;
    let first = observed();
    assert_eq!(name(&first), name(&first));
    let second = tested(100, None);
    assert_ne!(name(&first), name(&second));
    assert!(name(&first).len() <= 51, "a pod's name needs room after it");
}

proptest! {
    #[test]
    fn a_clock_that_jumps_never_delays_a_test_by_more_than_the_interval(
        finished in -4_000_000_000i64..4_000_000_000,
        now in 0i64..4_000_000_000,
        failed in any::<bool>(),
    ) {
        let observed = tested(finished, failed.then_some(Reason::DnsFailed));
        if let Decision::Idle { next } = decide(&observed, at(now)) {
            prop_assert!(next <= at(now) + Duration::from_secs(3600));
        }
    }
}
