use imarchive_crds::{Retry, ladder::Moment};

use super::*;
use crate::spool::{
    append::append,
    backlog::backlog,
    books::{Books, recount},
    outage,
    samples::{self, entry, failure, spool, to},
    tries,
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn hour(hour: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + hour * 3600).expect("in range")
}

/// A batch of one message for `endpoint`, sealed at `now`.
fn seal(connection: &Connection, endpoint: &str, now: Timestamp) -> i64 {
    let id = connection.query_row("SELECT count(*) FROM ledger", [], |row| row.get::<_, i64>(0)).expect("readable");
    let seq = append(connection, &[entry(id, to(&[endpoint]))], now).expect("stored").copies[0].seq;
    samples::seal(connection, endpoint, vec![seq], now).expect("a batch")
}

/// An attempt failed at `now`.
fn fail(connection: &Connection, now: Timestamp) {
    let moment = Moment { now, elapsed: None };
    outage::failed(connection, "journal", "uid", &Retry::default(), failure(now), moment).expect("written");
}

/// An outage for `days` days, tried once a day. The rungs of the first day are 1, 2, 4 and 8 h, and then a day each.
fn fail_daily(connection: &Connection, days: std::ops::Range<i64>) {
    days.for_each(|day| fail(connection, hour(24 * day)));
}

fn expire_all(connection: &Connection, give_up_after: Duration, now: Timestamp) -> usize {
    let mut batches = 0;
    loop {
        let step = expire(connection, "journal", give_up_after, now).expect("written");
        let books = Books::read(connection).expect("readable");
        assert_eq!(books, recount(connection).expect("readable"), "the totals are those of the rows");
        batches += step.batches;
        if !step.more {
            return batches;
        }
    }
}

fn state(connection: &Connection, batch: i64) -> (String, Option<String>) {
    let sql = "SELECT state, reason FROM batch WHERE id = ?1";
    connection.query_row(sql, [batch], |row| Ok((row.get(0)?, row.get(1)?))).expect("there")
}

fn held() -> (String, Option<String>) {
    ("held".into(), Some(EXPIRED.into()))
}

fn waiting() -> (String, Option<String>) {
    ("waiting".into(), None)
}

#[test]
fn the_old_expire_while_the_newer_wait() {
    let connection = spool();
    let old = seal(&connection, "journal", hour(-5));
    fail_daily(&connection, 0..10);
    let newer = seal(&connection, "journal", hour(9 * 24 + 1));
    let other = seal(&connection, "vault", hour(0));
    // 1, 2, 4 and 8 h, five days.
    let give_up_after = 135 * HOUR;
    assert_eq!(expire_all(&connection, give_up_after + HOUR * 10, hour(216)), 0);
    assert_eq!(expire_all(&connection, give_up_after, hour(216)), 1);
    assert_eq!([old, newer, other].map(|batch| state(&connection, batch)), [held(), waiting(), waiting()]);
    let backlog = backlog(&connection, "journal").expect("readable");
    assert_eq!((backlog.batches, backlog.held, backlog.expired), (1, 1, 1));
    // The newer one was sealed an hour after the last attempt: of the five days since, that hour is not its.
    fail_daily(&connection, 10..15);
    assert_eq!(expire_all(&connection, 5 * DAY, hour(336)), 0);
    assert_eq!(expire_all(&connection, 5 * DAY - HOUR, hour(336)), 1);
}

#[test]
fn what_waited_before_the_outage_counts_from_its_beginning() {
    let connection = spool();
    fail_daily(&connection, 0..3);
    outage::recovered(&connection, "journal", "uid", Moment { now: hour(60), elapsed: None }).expect("written");
    let batch = seal(&connection, "journal", hour(1000));
    fail(&connection, hour(2000));
    assert_eq!(expire_all(&connection, HOUR, hour(2000)), 0);
    fail(&connection, hour(2001));
    assert_eq!(expire_all(&connection, HOUR, hour(2001)), 1);
    assert_eq!(state(&connection, batch), held());
}

#[test]
fn a_batch_that_outlived_an_outage_goes_on_counting_in_the_next() {
    let connection = spool();
    seal(&connection, "journal", hour(0));
    fail_daily(&connection, 0..2);
    outage::recovered(&connection, "journal", "uid", Moment { now: hour(26), elapsed: None }).expect("written");
    fail(&connection, hour(2000));
    assert_eq!(expire_all(&connection, 3 * HOUR, hour(2000)), 1, "1 h, and 2 h until the delivery");
}

#[test]
fn a_batch_that_a_person_released_counts_from_then_on() {
    let connection = spool();
    let batch = seal(&connection, "journal", hour(0));
    fail_daily(&connection, 0..10);
    assert_eq!(expire_all(&connection, DAY, hour(216)), 1);
    connection.execute("UPDATE batch SET state = 'waiting', reason = NULL", []).expect("released");
    tries::anew(&connection, batch).expect("written");
    connection.execute("UPDATE books SET waiting = 1, held = 0", []).expect("released");
    fail(&connection, hour(240));
    assert_eq!(expire_all(&connection, DAY, hour(240)), 0);
    fail(&connection, hour(264));
    assert_eq!(expire_all(&connection, DAY, hour(264)), 1);
}

#[test]
fn a_crash_between_any_two_steps_costs_nothing() {
    for crash in 0..4 {
        let connection = spool();
        // Sealed by an earlier program, so that they have to be stamped first.
        let batches: Vec<i64> = (0..250).map(|_| seal(&connection, "journal", hour(0))).collect();
        connection.execute("UPDATE batch SET stamp = NULL", []).expect("written");
        fail(&connection, hour(0));
        assert_eq!(expire_all(&connection, DAY, hour(0)), 0);
        fail_daily(&connection, 1..9);
        let mut done = 0;
        for _ in 0..crash {
            done += expire(&connection, "journal", DAY, hour(192)).expect("written").batches;
        }
        assert_eq!(done, (100 * crash).min(250));
        // The next process, or the next attempt.
        assert_eq!(done + expire_all(&connection, DAY, hour(193)), 250);
        assert!(batches.iter().all(|batch| state(&connection, *batch) == held()));
        assert_eq!(Books::read(&connection).expect("readable").held, 250);
        assert_eq!(expire_all(&connection, DAY, hour(194)), 0);
    }
}

#[test]
fn what_a_program_of_the_fifth_format_writes_leaves_the_clock_as_it_is() {
    let connection = spool();
    fail_daily(&connection, 0..3);
    let before = read(&connection, "journal").expect("readable");
    assert!(before.reading >= 3 * HOUR && before.runs_since == Some(hour(48)), "{before:?}");
    let sql = "INSERT OR REPLACE INTO outage (endpoint, number, attempts, first_failure_at, last_attempt_at, log, endpoint_uid)
               VALUES ('journal', 1, 4, 0, 1, '[]', 'uid')";
    connection.execute(sql, []).expect("written");
    assert_eq!(read(&connection, "journal").expect("readable"), before);
    assert_eq!(outage::read(&connection, "journal", "uid").expect("readable").clock, before);
}
