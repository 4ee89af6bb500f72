//! What is news, and what a letter about it is told from others by.

use imarchive_crds::Archiver;
use serde_json::{Value, json};

use super::*;
use crate::endpoint::test::tests::observed;

/// The letter that is due when the endpoint's status has this `retry`.
pub fn letter_of(retry: Value) -> Option<Letter> {
    due_of(&["compliance@acme.example"], retry)
}

fn due_of(administrators: &[&str], retry: Value) -> Option<Letter> {
    let archiver: Archiver = serde_json::from_value(json!({
        "apiVersion": "imarchive.dev/v1alpha1", "kind": "Archiver",
        "metadata": {"name": "archiver", "namespace": "acme"},
        "spec": {"organization": {"name": "Acme & Söhne", "domains": ["acme.example"], "administrators": administrators}}
    }))
    .expect("an Archiver");
    let observed = Observed { archiver: Some(archiver), has_archiver: true, ..observed() };
    let status = json!({
        "host": "journal.archive.example:587",
        "retry": retry,
        "archivers": [{"name": "archiver-0", "pendingMessages": 1234, "oldestPendingAt": "2026-11-23T09:00:00Z",
            "heldBatches": 3, "expiredBatches": 2}],
    });
    due(&observed, &serde_json::from_value(status).expect("a status"))
}

/// An outage with its third attempt; the first two are told of, unless `all` is news.
pub fn outage(all: bool) -> Value {
    let row = |attempt: i64, told: bool| {
        let mut row = json!({"attempt": attempt, "at": format!("2026-11-23T1{attempt}:00:00Z"), "stage": "Connect",
            "reason": "ConnectRefused", "message": "198.18.0.1:587: Connection refused"});
        if told {
            row["notifiedAt"] = json!("2026-11-23T19:00:00Z");
        }
        row
    };
    json!({"outage": 4, "attempt": 3, "firstFailureAt": "2026-11-23T11:00:00Z", "lastAttemptAt": "2026-11-23T13:00:00Z",
        "nextAttemptAt": "2026-11-23T17:00:00Z", "giveUpAt": "2027-02-21T11:00:00Z",
        "log": [row(1, !all), row(2, !all), row(3, false)]})
}

/// The end of that outage, which lasted for three hours.
pub fn end() -> Value {
    json!({"outage": 5, "attempt": 0, "last": {"outage": 4, "attempts": 3, "firstFailureAt": "2026-11-23T11:00:00Z",
        "endedAt": "2026-11-23T14:00:00Z", "messages": 1200}})
}

fn attempts(letter: &Letter) -> Vec<i64> {
    let attempt = |news: News| match news {
        News::Attempt { attempt, .. } => attempt,
        News::End { .. } => 0,
    };
    letter.news().into_iter().map(attempt).collect()
}

#[test]
fn an_attempt_is_news_until_it_is_told() {
    assert_eq!(attempts(&letter_of(outage(false)).expect("a letter")), [3]);
    let mut told = outage(false);
    told["log"][2]["notifiedAt"] = json!("2026-11-23T19:00:00Z");
    assert_eq!(letter_of(told), None);
}

#[test]
fn one_letter_tells_of_all_that_nobody_was_told_of() {
    assert_eq!(attempts(&letter_of(outage(true)).expect("a letter")), [1, 2, 3]);
}

#[test]
fn the_end_of_the_outage_before_is_told_first() {
    let mut both = outage(true);
    both["outage"] = json!(5);
    both["last"] = end()["last"].clone();
    assert_eq!(letter_of(both.clone()).expect("a letter").news(), [News::End { outage: 4 }]);
    both["last"]["notifiedAt"] = json!("2026-11-23T19:00:00Z");
    assert_eq!(attempts(&letter_of(both).expect("a letter")), [1, 2, 3]);
}

#[test]
fn without_an_outage_or_without_administrators_nothing_is_due() {
    assert_eq!(letter_of(json!({"outage": 1, "attempt": 0})), None);
    assert_eq!(due_of(&[], outage(true)), None);
}

#[test]
fn the_same_news_has_the_same_id_whatever_waits_meanwhile() {
    let letter = letter_of(outage(true)).expect("a letter");
    let later = Letter { waiting: 99, oldest_at: None, ..letter.clone() };
    assert_eq!(letter.id(), later.id());
    let others = [outage(false), end()].map(|retry| letter_of(retry).expect("a letter"));
    assert!(others.iter().all(|other| other.id() != letter.id()));
    assert!(others.iter().all(|other| other.thread() == letter.thread()), "all are of one outage");
}
