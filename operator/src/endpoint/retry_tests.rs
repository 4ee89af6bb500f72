//! The fold of what archivers say of an outage.

use imarchive_crds::Stage;
use jiff::Timestamp;
use proptest::{prelude::*, sample::Index};
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn retry(outage: i64, attempt: i64) -> RetryStatus {
    RetryStatus { outage, attempt, ..RetryStatus::default() }
}

fn row(attempts: Option<RetryStatus>) -> ArchiverRow {
    let row = serde_json::from_value(json!({"name": "archiver-0"})).expect("a row");
    ArchiverRow { attempts, ..row }
}

fn past(outage: i64, attempts: i64) -> PastOutage {
    let (first_failure_at, ended_at) = (Time(at(outage * 1000)), Time(at(outage * 1000 + 999)));
    PastOutage { outage, attempts, first_failure_at, ended_at, messages: outage, notified_at: None }
}

fn log_row(outage: i64, attempt: i64) -> RetryLogRow {
    RetryLogRow {
        attempt,
        at: Time(at(outage * 1000 + attempt)),
        stage: Stage::Connect,
        reason: None,
        code: None,
        message: format!("{outage}/{attempt}"),
        notified_at: None,
    }
}

/// What an archiver says that made `attempt` attempts of an outage, after one with `before` attempts.
fn snapshot(outage: i64, attempt: i64, before: i64) -> RetryStatus {
    let kept = |number: &i64| *number <= 20 || *number > attempt - 80;
    let log = (1..=attempt).filter(kept).map(|number| log_row(outage, number)).collect();
    let last = (outage > 1).then(|| past(outage - 1, before));
    RetryStatus { log, last, ..retry(outage, attempt) }
}

/// Everything that an archiver says over its outages, each with so many attempts.
fn history(outages: &[i64]) -> Vec<RetryStatus> {
    let before = |index: usize| index.checked_sub(1).map_or(0, |index| outages[index]);
    let outage = |(index, attempts): (usize, &i64)| {
        let number = i64::try_from(index).expect("few") + 1;
        (0..=*attempts).map(move |attempt| snapshot(number, attempt, before(index))).collect::<Vec<_>>()
    };
    outages.iter().enumerate().flat_map(outage).collect()
}

fn folded(stored: Option<RetryStatus>, said: &RetryStatus) -> Option<RetryStatus> {
    fold(&[row(Some(said.clone()))], stored.as_ref())
}

#[test]
fn the_row_that_is_ahead_is_published() {
    assert_eq!(fold(&[row(Some(retry(2, 1)))], Some(&retry(1, 9))), Some(retry(2, 1)));
}

#[test]
fn an_archiver_with_an_empty_volume_takes_nothing_back() {
    let stored = snapshot(1, 5, 0);
    assert_eq!(folded(Some(stored.clone()), &snapshot(1, 0, 0)), Some(stored));
}

#[test]
fn an_archiver_that_says_nothing_and_one_that_is_gone_leave_what_was_published() {
    let stored = snapshot(2, 9, 3);
    assert_eq!(fold(&[row(None)], Some(&stored)), Some(stored.clone()));
    assert_eq!(fold(&[], Some(&stored)), Some(stored));
    assert_eq!(fold(&[row(None)], None), None);
}

#[test]
fn the_next_outage_ends_the_one_before_and_its_log() {
    let stored = snapshot(1, 3, 0);
    let after = folded(Some(stored), &snapshot(2, 0, 3)).expect("it is published");
    assert!(!is_outage(Some(&after)));
    assert_eq!((after.log.len(), after.last), (0, Some(past(1, 3))));
}

#[test]
fn of_the_same_attempt_the_row_counts_since_the_ladder_may_have_changed() {
    let next = |second| RetryStatus { next_attempt_at: Some(Time(at(second))), ..retry(1, 1) };
    assert_eq!(folded(Some(next(10)), &next(20)), Some(next(20)));
}

#[test]
fn attempts_that_the_archiver_forgot_are_kept_up_to_a_hundred() {
    let short = RetryStatus { log: vec![log_row(1, 150)], ..retry(1, 150) };
    let kept = folded(Some(snapshot(1, 149, 0)), &short).expect("it is published").log;
    let numbers: Vec<i64> = kept.iter().map(|row| row.attempt).collect();
    assert_eq!(numbers, (1..=20).chain(71..=150).collect::<Vec<_>>());
}

#[test]
fn a_mail_of_the_outage_before_is_not_one_of_this() {
    let told = Told::from([(News::Attempt { outage: 1, attempt: 1 }, at(7)), (News::End { outage: 2 }, at(8))]);
    let mut second = snapshot(2, 1, 1);
    note(&mut second, &told);
    assert!(second.log[0].notified_at.is_none() && second.last.expect("one before").notified_at.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_read_again_and_in_whatever_order_the_end_is_the_same(
        outages in prop::collection::vec(1i64..130, 1..4),
        order in prop::collection::vec(any::<Index>(), 0..300),
    ) {
        let history = history(&outages);
        let in_order = history.iter().fold(None, folded);
        let stale = order.iter().map(|index| index.get(&history));
        let stale_first = stale.clone().chain(&history).fold(None, folded);
        let stale_last = history.iter().chain(stale).fold(None, folded);
        prop_assert_eq!(&stale_first, &in_order);
        prop_assert_eq!(&stale_last, &in_order);
        prop_assert!(in_order.is_some_and(|end| end.log.len() <= 100));
    }

    #[test]
    fn what_was_mailed_is_noted_for_good_and_nothing_else_is(
        outages in prop::collection::vec(1i64..12, 1..4),
        steps in prop::collection::vec((any::<Index>(), any::<bool>()), 1..80),
    ) {
        let history = history(&outages);
        let (mut stored, mut told) = (None, Told::new());
        for (number, (index, mailed)) in steps.iter().enumerate() {
            let mut now = folded(stored, index.get(&history)).expect("it is published");
            if *mailed {
                // All that is not told yet, as one mail has it.
                let time = at(i64::try_from(number).expect("few"));
                let rows = now.log.iter().filter(|row| row.notified_at.is_none());
                told.extend(rows.map(|row| (News::Attempt { outage: now.outage, attempt: row.attempt }, time)));
                let last = now.last.iter().filter(|last| last.notified_at.is_none());
                told.extend(last.map(|last| (News::End { outage: last.outage }, time)));
            }
            note(&mut now, &told);
            for row in &now.log {
                let mailed_at = told.get(&News::Attempt { outage: now.outage, attempt: row.attempt });
                prop_assert_eq!(row.notified_at.as_ref().map(|time| time.0), mailed_at.copied());
            }
            if let Some(last) = &now.last {
                let mailed_at = told.get(&News::End { outage: last.outage });
                prop_assert_eq!(last.notified_at.as_ref().map(|time| time.0), mailed_at.copied());
            }
            // Whether the notifier forgets, or another operator leads, does not matter once it is written.
            told.retain(|_, _| false);
            told.extend(noted(&now));
            stored = Some(now);
        }
    }
}

/// What a status says that the administrators were mailed of.
fn noted(retry: &RetryStatus) -> Told {
    let rows = retry.log.iter().filter_map(|row| {
        Some((News::Attempt { outage: retry.outage, attempt: row.attempt }, row.notified_at.as_ref()?.0))
    });
    let last =
        retry.last.iter().filter_map(|last| Some((News::End { outage: last.outage }, last.notified_at.as_ref()?.0)));
    rows.chain(last).collect()
}
