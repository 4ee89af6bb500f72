use std::time::Duration;

use super::*;
use crate::spool::{
    deleted,
    samples::{at, failure, spool},
};

fn fail(connection: &Connection, uid: &str) -> (i64, Option<u32>) {
    let moment = Moment { now: at(1000), elapsed: None };
    told(failed(connection, "journal", uid, &Retry::default(), failure(at(1000)), moment).expect("written"))
}

fn look(connection: &Connection, uid: &str) -> (i64, Option<u32>) {
    told(read(connection, "journal", uid).expect("readable"))
}

/// The outage's number, and its attempts while it runs.
fn told(record: Record) -> (i64, Option<u32>) {
    (record.number, record.outage.map(|outage| outage.attempts))
}

#[test]
fn an_outage_goes_on_for_the_endpoint_that_it_began_with() {
    let connection = spool();
    fail(&connection, "first");
    assert_eq!(fail(&connection, "first"), (1, Some(2)));
    end(&connection, "journal").expect("written");
    assert_eq!(look(&connection, "first"), (2, None));
}

#[test]
fn another_endpoint_of_the_name_begins_an_outage_of_its_own_with_a_higher_number() {
    let connection = spool();
    fail(&connection, "first");
    assert_eq!(look(&connection, "second"), (2, None));
    assert_eq!(fail(&connection, "second"), (2, Some(1)));
    end(&connection, "journal").expect("written");
    assert_eq!(look(&connection, "second"), (3, None));
}

fn known(published: Option<RetryStatus>, suspended: bool) -> Known {
    Known { published: published.map(Arc::new), suspended, retry: Retry::default() }
}

fn published(outage: i64, attempt: i64) -> RetryStatus {
    let time = (attempt > 0).then(|| Time(at(500)));
    RetryStatus { attempt, outage, first_failure_at: time.clone(), last_attempt_at: time, ..RetryStatus::default() }
}

fn take_up(connection: &Connection, known: &Known) -> (i64, Option<u32>) {
    let moment = Moment { now: at(2000), elapsed: None };
    told(catch_up(connection, "journal", "first", known, moment).expect("written"))
}

#[test]
fn a_spool_that_is_behind_what_was_published_takes_it_up_and_one_that_is_ahead_does_not() {
    // What the spool has, what was published, and what comes of it.
    let none = None;
    for (ours, theirs, after) in [
        ((1, none), (1, 0), (1, none)),
        ((1, none), (1, 3), (1, Some(3))),
        ((1, none), (4, 0), (4, none)),
        ((1, Some(2)), (1, 1), (1, Some(2))),
        ((1, Some(2)), (1, 2), (1, Some(2))),
        ((1, Some(2)), (1, 7), (1, Some(7))),
        ((1, Some(2)), (2, 0), (2, none)),
        ((1, Some(2)), (0, 9), (1, Some(2))),
        ((1, none), (1, i64::MAX), (1, none)),
    ] {
        let connection = spool();
        for _ in 0..ours.1.unwrap_or(0) {
            fail(&connection, "first");
        }
        let known = known(Some(published(theirs.0, theirs.1)), false);
        assert_eq!(take_up(&connection, &known), after, "{ours:?} {theirs:?}");
        assert_eq!(look(&connection, "first"), after, "it is written down");
        assert_eq!(take_up(&connection, &known), after, "once");
    }
}

#[test]
fn what_is_taken_up_goes_on_with_its_rung_log_and_past() {
    let connection = spool();
    let last = PastOutage {
        outage: 2,
        attempts: 3,
        first_failure_at: Time(at(1)),
        ended_at: Time(at(2)),
        messages: 7,
        notified_at: None,
    };
    let published = RetryStatus { last: Some(last.clone()), ..published(3, 2) };
    take_up(&connection, &known(Some(published), false));
    let record = read(&connection, "journal", "first").expect("readable");
    assert_eq!(record.last, Some(last));
    assert_eq!(record.outage, Some(Outage { attempts: 2, first_failure_at: at(500), last_attempt_at: at(500) }));
    assert_eq!(record.clock.runs_since, Some(at(500)));
    assert!(record.clock.most >= Duration::from_secs(7200), "the rung that runs counts");
    assert_eq!(fail(&connection, "first"), (3, Some(3)));
}

#[test]
fn an_attempt_of_the_future_was_made_now_once_and_for_all() {
    let connection = spool();
    fail(&connection, "first");
    let by = |second| {
        let moment = Moment { now: at(second), elapsed: None };
        let record = catch_up(&connection, "journal", "first", &known(None, false), moment).expect("written");
        record.outage.expect("an outage").last_attempt_at
    };
    assert_eq!([2000, 300, 400].map(by), [1000, 300, 300].map(at));
}

#[test]
fn the_clock_stands_still_while_an_endpoint_is_suspended() {
    let connection = spool();
    fail(&connection, "first");
    let runs = |suspended| {
        take_up(&connection, &known(None, suspended));
        read(&connection, "journal", "first").expect("readable").clock
    };
    assert_eq!(runs(false).runs_since, Some(at(1000)));
    let stopped = runs(true);
    assert_eq!((stopped.reading, stopped.runs_since), (Duration::from_secs(1000), None));
    assert_eq!(runs(true), stopped);
    assert_eq!(runs(false), Clock { runs_since: Some(at(2000)), ..stopped });
}

#[test]
fn a_delivery_ends_an_outage_and_tells_how_much_waited() {
    let connection = spool();
    fail(&connection, "first");
    fail(&connection, "first");
    connection.execute("INSERT INTO tally (endpoint, batches, messages) VALUES ('journal', 3, 40)", []).expect("ok");
    let moment = Moment { now: at(5000), elapsed: None };
    let past = recovered(&connection, "journal", "first", moment).expect("written").expect("an outage");
    assert_eq!((past.outage, past.attempts, past.messages), (1, 2, 40));
    assert_eq!((past.first_failure_at.0, past.ended_at.0), (at(1000), at(5000)));
    let record = read(&connection, "journal", "first").expect("readable");
    assert_eq!((record.number, record.last, record.clock.runs_since), (2, Some(past), None));
    assert_eq!(recovered(&connection, "journal", "first", moment).expect("written"), None, "once");
    fail(&connection, "first");
    assert!(read(&connection, "journal", "first").expect("readable").last.is_some(), "until the next one is over");
    assert_eq!(read(&connection, "journal", "second").expect("readable").last, None, "it is not another endpoint's");
}

#[test]
fn the_end_of_an_endpoint_ends_its_outage_without_a_word() {
    let connection = spool();
    fail(&connection, "first");
    deleted::step(&connection, "journal", deleted::Turn::Hold, 0).expect("written");
    let record = read(&connection, "journal", "first").expect("readable");
    assert_eq!((record.number, record.outage, record.last, record.clock.runs_since), (2, None, None, None));
}

#[test]
fn a_delivery_of_another_endpoint_ends_the_outage_without_a_word() {
    let connection = spool();
    fail(&connection, "first");
    let moment = Moment { now: at(5000), elapsed: None };
    assert_eq!(recovered(&connection, "journal", "second", moment).expect("written"), None);
    assert_eq!((look(&connection, "first"), look(&connection, "second")), ((2, None), (2, None)));
}
