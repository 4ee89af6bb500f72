//! What an endpoint's status says.

use imarchive_crds::{
    Archiver, ArchivingEndpointStatus, ConditionType, Reason, RetryStatus, Stage, StageReport, TestResult, is_true,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::endpoint::test::{
    Ended,
    tests::{at, observed, report},
};

fn ended(observed: &Observed, reason: Option<Reason>) -> Testing {
    Testing::Ended(Box::new(Ended { report: report(observed, 100, reason), detail: None, answers: None }))
}

/// The status after its first test, with the endpoint as it is then.
fn after_test(reason: Option<Reason>) -> Observed {
    let mut observed = observed();
    observed.status = status(&observed, &ended(&observed, reason), at(100));
    observed
}

fn reason(status: &ArchivingEndpointStatus, type_: ConditionType) -> (String, String) {
    let found = status.conditions.iter().find(|condition| condition.type_ == type_.name());
    found.map(|condition| (condition.status.clone(), condition.reason.clone())).unwrap_or_default()
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

fn with_archiver(mut observed: Observed, default: Option<&str>) -> Observed {
    let archiver: Archiver = serde_json::from_value(json!({
        "apiVersion": "imarchive.dev/v1alpha1", "kind": "Archiver",
        "metadata": {"name": "archiver", "namespace": "acme"},
        "spec": {"organization": {"name": "Acme", "domains": ["acme.example"]}},
        "status": {"defaultEndpoint": default}
    }))
    .expect("an Archiver");
    observed.archiver = Some(archiver);
    observed.has_archiver = true;
    observed
}

#[test]
fn before_its_first_test_an_endpoint_is_on_its_way() {
    let observed = observed();
    let status = status(&observed, &Testing::Underway("The probe runs.".to_owned()), at(1));
    assert_eq!(reason(&status, ConditionType::Tested), pair("Unknown", "NotTested"));
    assert_eq!(reason(&status, ConditionType::Ready), pair("False", "NotTested"));
    assert_eq!(reason(&status, ConditionType::Reconciling), pair("True", "Progressing"));
    assert_eq!(status.accepted, None);
    assert_eq!(status.host.as_deref(), Some("a.example:25"));
}

#[test]
fn a_passed_test_makes_the_connection_accepted() {
    let status = after_test(None).status;
    assert!(is_true(&status.conditions, ConditionType::Ready));
    assert!(is_true(&status.conditions, ConditionType::Accepted));
    assert_eq!(status.accepted.map(|accepted| accepted.generation), Some(3));
    assert_eq!(status.conditions.len(), 5, "neither Reconciling nor Stalled");
}

#[test]
fn a_changed_connection_leaves_the_accepted_one_until_it_passes() {
    let mut changed = after_test(None);
    let mut smtp = changed.connection.smtp.clone().expect("a block");
    smtp.port = Some(587);
    changed.connection.smtp = Some(smtp.clone());
    changed.endpoint.spec.smtp = Some(smtp);
    changed.fingerprint = changed.connection.fingerprint();
    changed.endpoint.metadata.generation = Some(4);
    let before = status(&changed, &Testing::Idle, at(200));
    assert_eq!(reason(&before, ConditionType::Accepted), pair("False", "PreviousConnectionInUse"));
    assert_eq!(before.accepted, changed.status.accepted);
    let failed = status(&changed, &ended(&changed, Some(Reason::ConnectRefused)), at(200));
    assert_eq!(failed.accepted, changed.status.accepted);
    let passed = status(&changed, &ended(&changed, None), at(200));
    assert_eq!(passed.accepted.as_ref().map(|accepted| accepted.generation), Some(4));
}

#[test]
fn a_spec_change_outside_the_block_leaves_the_accepted_generation() {
    let mut observed = after_test(None);
    observed.endpoint.metadata.generation = Some(9);
    let again = status(&observed, &ended(&observed, None), at(200));
    assert_eq!(again.accepted.map(|accepted| accepted.generation), Some(3));
}

#[test]
fn a_running_retest_changes_nothing() {
    for reason in [None, Some(Reason::DnsFailed), Some(Reason::AuthRejected)] {
        let observed = after_test(reason);
        let during = status(&observed, &Testing::Underway("The probe runs.".to_owned()), at(500));
        assert_eq!(json!(during), json!(observed.status));
    }
}

#[test]
fn what_heals_by_itself_is_reconciling_and_what_needs_a_person_is_stalled() {
    let healing = after_test(Some(Reason::DnsFailed)).status;
    assert_eq!(reason(&healing, ConditionType::Reconciling), pair("True", "ProgressingWithRetry"));
    let stuck = after_test(Some(Reason::AuthRejected)).status;
    assert_eq!(reason(&stuck, ConditionType::Stalled), pair("True", "AuthRejected"));
}

#[test]
fn a_4xx_heals_whatever_refused_it() {
    let observed = observed();
    let mut report = report(&observed, 100, Some(Reason::RecipientRejected));
    report.stages = vec![StageReport {
        name: Stage::Recipient,
        result: TestResult::Failed,
        code: Some(450),
        message: "450 4.2.1 later".to_owned(),
        millis: 1,
    }];
    let status = status(&observed, &Testing::Ended(Box::new(Ended { report, detail: None, answers: None })), at(100));
    assert_eq!(reason(&status, ConditionType::Reconciling), pair("True", "ProgressingWithRetry"));
    let tested = status.conditions.iter().find(|condition| condition.type_ == "Tested").expect("it is there");
    assert_eq!(tested.message, format!("Recipient: 450 4.2.1 later. {}", crate::endpoint::failure::FOR_NOW));
}

#[test]
fn what_is_known_of_a_probe_that_did_not_run_is_kept() {
    let mut observed = observed();
    let detail = Some("no such image".to_owned());
    let report = report(&observed, 100, Some(Reason::ProbeNotRun));
    observed.status = status(&observed, &Testing::Ended(Box::new(Ended { report, detail, answers: None })), at(100));
    let later = status(&observed, &Testing::Idle, at(200));
    assert_eq!(json!(later), json!(observed.status));
    assert!(later.conditions[1].message.starts_with("no such image"), "{:?}", later.conditions[1]);
}

#[test]
fn an_invalid_block_answers_the_request_and_is_stalled() {
    let mut observed = observed();
    observed.requested = Some("now".to_owned());
    observed.server = Err("recipients is empty".to_owned());
    let status = status(&observed, &Testing::Invalid("recipients is empty".to_owned()), at(1));
    assert_eq!(status.last_handled_test_at.as_deref(), Some("now"));
    assert_eq!(reason(&status, ConditionType::Stalled), pair("True", "InvalidConnection"));
}

#[test]
fn the_wish_to_be_the_default_is_stamped_once_and_cleared() {
    let mut observed = observed();
    observed.endpoint.spec.default = Some(true);
    observed.status = status(&observed, &Testing::Idle, at(5));
    let later = status(&observed, &Testing::Idle, at(50));
    assert_eq!(later.default_requested_at, Some(at(5).into()));
    observed.endpoint.spec.default = None;
    assert_eq!(status(&observed, &Testing::Idle, at(60)).default_requested_at, None);
}

#[test]
fn default_says_why_not() {
    let reason_of = |wants: Option<bool>, tested: bool, elected: Option<&str>| {
        let mut observed = with_archiver(if tested { after_test(None) } else { observed() }, elected);
        observed.endpoint.spec.default = wants;
        reason(&status(&observed, &Testing::Idle, at(200)), ConditionType::Default)
    };
    assert_eq!(reason_of(Some(true), true, Some("journal")), pair("True", "Requested"));
    assert_eq!(reason_of(None, true, Some("journal")), pair("True", "Elected"));
    assert_eq!(reason_of(Some(true), true, Some("other")), pair("False", "Superseded"));
    assert_eq!(reason_of(Some(true), false, Some("other")), pair("False", "NotEligible"));
    assert_eq!(reason_of(Some(false), true, Some("other")), pair("False", "NotRequested"));
    assert_eq!(reason_of(None, true, Some("other")), pair("False", "NotRequested"));
}

#[test]
fn an_outage_is_not_delivering_and_leaves_ready() {
    let mut observed = after_test(None);
    let row = json!({"name": "archiver-0", "pendingMessages": 7, "attempts": {"attempt": 2, "outage": 1, "log": [
        {"attempt": 2, "at": "1970-01-01T00:00:00Z", "stage": "Connect", "reason": "ConnectRefused"}]}});
    observed.status.archivers = vec![serde_json::from_value(row).expect("a row")];
    let outage = status(&observed, &Testing::Idle, at(200));
    assert_eq!(reason(&outage, ConditionType::Delivering), pair("False", "ConnectRefused"));
    assert_eq!(reason(&outage, ConditionType::Reconciling), pair("True", "ProgressingWithRetry"));
    assert!(is_true(&outage.conditions, ConditionType::Ready));
    assert_eq!((outage.pending_messages, outage.retry.map(|retry| retry.attempt)), (Some(7), Some(2)));
}

/// An endpoint whose archiver is at this attempt of its second outage, with so many batches held and expired.
fn in_outage(attempt: i64, held: i64, expired: i64) -> Observed {
    let mut observed = with_archiver(after_test(None), None);
    let log = json!([{"attempt": attempt, "at": "1970-01-01T00:03:00Z", "stage": "Connect", "reason": "ConnectRefused",
        "message": "198.18.0.1:587: Connection refused"}]);
    let row = json!({"name": "archiver-0", "heldBatches": held, "expiredBatches": expired, "attempts": {
        "attempt": attempt, "outage": 2, "log": if attempt > 0 { log } else { json!([]) },
        "firstFailureAt": "1970-01-01T00:01:00Z", "nextAttemptAt": "1970-01-01T01:00:00Z"}});
    observed.status.archivers = vec![serde_json::from_value(row).expect("a row")];
    observed
}

fn message(status: &ArchivingEndpointStatus, type_: ConditionType) -> String {
    let found = status.conditions.iter().find(|condition| condition.type_ == type_.name());
    found.map(|condition| condition.message.clone()).unwrap_or_default()
}

#[test]
fn delivering_says_since_when_how_often_and_when_next() {
    let outage = status(&in_outage(3, 0, 0), &Testing::Idle, at(200));
    let said = message(&outage, ConditionType::Delivering);
    assert!(
        said.starts_with(
            "Nothing could be delivered since 1970-01-01T00:01:00Z: 3 attempts failed. Connect: 198.18.0.1:587: \
             Connection refused. "
        ),
        "{said}"
    );
    assert!(said.ends_with(" The next attempt is at 1970-01-01T01:00:00Z."), "{said}");
}

#[test]
fn from_the_first_batch_that_waited_for_too_long_a_person_is_needed() {
    let outage = status(&in_outage(90, 3, 1), &Testing::Idle, at(200));
    assert_eq!(reason(&outage, ConditionType::Stalled), pair("True", "GaveUp"));
    assert!(message(&outage, ConditionType::Stalled).contains("held release --reason Expired"));
    assert_eq!(reason(&outage, ConditionType::Delivering), pair("False", "ConnectRefused"));
    let said = message(&outage, ConditionType::Delivering);
    assert!(said.contains("giveUpAfter: 1 batch;") && said.contains("Held for other reasons: 2 batches;"), "{said}");
}

#[test]
fn what_is_held_is_told_of_after_the_outage_too_and_leaves_the_endpoint_at_rest() {
    let after = status(&in_outage(0, 2, 2), &Testing::Idle, at(200));
    assert_eq!(reason(&after, ConditionType::Delivering), pair("True", "NoOutage"));
    let said = message(&after, ConditionType::Delivering);
    assert!(
        said.ends_with(
            "2 batches; to have them delivered: kubectl exec archiver-0 -- /archiver held release \
        --reason Expired."
        ),
        "{said}"
    );
    assert_eq!(reason(&after, ConditionType::Stalled), pair("", ""));
}

#[test]
fn notified_says_whether_the_administrators_were_told_and_why_not() {
    let administered = |relay: bool, trouble: Option<&str>| {
        let mut observed = in_outage(1, 0, 0);
        let somebody = imarchive_crds::Address::parse("compliance@acme.example").expect("an address");
        let archiver = observed.archiver.as_mut().expect("an Archiver");
        archiver.spec.organization.administrators = vec![somebody];
        observed.notices.relay = relay;
        observed.notices.trouble = trouble.map(str::to_owned);
        observed
    };
    let notified = |observed: &Observed| status(observed, &Testing::Idle, at(200));
    let said = |observed: &Observed| reason(&notified(observed), ConditionType::Notified);
    assert_eq!(said(&in_outage(0, 0, 0)), pair("", ""), "there is nothing to tell");
    assert_eq!(said(&in_outage(1, 0, 0)), pair("False", "NoAdministrators"));
    assert_eq!(said(&administered(false, None)), pair("False", "NoRelay"));
    assert_eq!(said(&administered(true, Some("Connect: refused."))), pair("False", "RelayFailed"));
    assert_eq!(said(&administered(true, None)), pair("", ""), "it is being sent");

    let mut told = administered(true, None);
    told.notices.told = [(crate::notify::News::Attempt { outage: 2, attempt: 1 }, at(150))].into();
    assert_eq!(said(&told), pair("True", "Told"));
    let ready = notified(&administered(false, None));
    assert!(is_true(&ready.conditions, ConditionType::Ready), "deliveries do not depend on it");
}

#[test]
fn while_news_is_being_sent_the_condition_stays_as_it_was() {
    let mut observed = in_outage(1, 0, 0);
    let somebody = imarchive_crds::Address::parse("compliance@acme.example").expect("an address");
    observed.archiver.as_mut().expect("an Archiver").spec.organization.administrators = vec![somebody];
    observed.notices.relay = true;
    observed.notices.told = [(crate::notify::News::Attempt { outage: 2, attempt: 1 }, at(150))].into();
    observed.status = status(&observed, &Testing::Idle, at(200));
    let next = in_outage(2, 0, 0).status.archivers;
    observed.status.archivers = next;
    let again = status(&observed, &Testing::Idle, at(300));
    assert_eq!(reason(&again, ConditionType::Notified), pair("True", "Told"));
    let notified = again.conditions.iter().find(|condition| condition.type_ == "Notified").expect("it is there");
    assert_eq!(notified.last_transition_time.0, at(200));
}

#[test]
fn a_suspended_endpoint_is_not_failing() {
    let mut observed = after_test(None);
    observed.endpoint.spec.suspend = true;
    let suspended = status(&observed, &Testing::Idle, at(200));
    assert_eq!(reason(&suspended, ConditionType::Delivering), pair("False", "Suspended"));
    assert_eq!(suspended.conditions.len(), 5, "neither Reconciling nor Stalled");
}

proptest! {
    #[test]
    fn the_rules_of_kstatus_hold(
        failed in prop::option::of(prop::sample::select(vec![
            Reason::DnsFailed, Reason::AuthRejected, Reason::CertificateExpired, Reason::ProbeNotRun])),
        tested in any::<bool>(),
        suspend in any::<bool>(),
        attempt in 0i64..3,
        generation in 1i64..9,
    ) {
        let mut observed = if tested { after_test(failed) } else { observed() };
        observed.endpoint.spec.suspend = suspend;
        observed.endpoint.metadata.generation = Some(generation);
        let mut row = serde_json::from_value::<imarchive_crds::ArchiverRow>(json!({"name": "a"})).expect("a row");
        row.attempts = Some(RetryStatus { attempt, ..RetryStatus::default() });
        observed.status.archivers = vec![row];
        let status = status(&observed, &Testing::Idle, at(200));
        let has = |type_: ConditionType| status.conditions.iter().any(|condition| condition.type_ == type_.name());
        prop_assert!(has(ConditionType::Ready));
        prop_assert!(!(has(ConditionType::Reconciling) && has(ConditionType::Stalled)));
        for type_ in [ConditionType::Reconciling, ConditionType::Stalled] {
            prop_assert!(!has(type_) || is_true(&status.conditions, type_));
        }
        prop_assert_eq!(status.observed_generation, Some(generation));
        prop_assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(generation)));
        observed.status = status.clone();
        prop_assert_eq!(json!(super::status(&observed, &Testing::Idle, at(900))), json!(status));
    }
}
