//! The tries of a batch: which is next, what came of each, and whether the archive may have the mail.
//!
//! `maybe` is 1 from before a try until its result is written, so that a crash in between is known as one after which the
//! archive may have the mail. A mail that it certainly has not may be rendered anew when the connection changed.

use imarchive_crds::{Retry, ladder};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::{
    batch::{self, message_id},
    columns::time_if_any,
    expire::EXPIRED,
    mail,
};

/// At most `limit` batches that `endpoint` can be tried with: those least often tried, then the oldest.
pub fn due(connection: &Connection, endpoint: &str, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<i64>> {
    // That it is not delivered is said for the index of those.
    let sql = "SELECT id FROM batch WHERE endpoint = ?1 AND state = 'waiting' AND state <> 'delivered'
               AND (next_at IS NULL OR next_at <= ?2) ORDER BY attempts, sequence LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map((endpoint, now.as_millisecond(), limit as i64), |row| row.get(0))?.collect()
}

/// When the first of the batches that wait by a ladder of their own can be tried.
pub fn next_at(connection: &Connection, endpoint: &str) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT min(next_at) FROM batch WHERE endpoint = ?1 AND state = 'waiting' AND state <> 'delivered'";
    connection.prepare_cached(sql)?.query_row([endpoint], |row| time_if_any(row, 0))
}

/// The clock was set back: what waits by a ladder of its own until after `horizon`, which no rung reaches, waits no more.
pub fn set_back(connection: &Connection, endpoint: &str, now: Timestamp, horizon: Timestamp) -> rusqlite::Result<()> {
    let sql = "UPDATE batch SET next_at = ?2 WHERE endpoint = ?1 AND state = 'waiting' AND state <> 'delivered'
               AND next_at > ?3";
    connection.prepare_cached(sql)?.execute((endpoint, now.as_millisecond(), horizon.as_millisecond())).map(drop)
}

/// Before a try: from now on the archive may have the mail.
pub fn begun(connection: &Connection, batch: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE batch SET maybe = min(maybe + 1, 2) WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([batch]).map(drop)
}

/// What was [begun] and not tried: the archive does not have it by that.
pub fn not_tried(connection: &Connection, batch: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE batch SET maybe = 0 WHERE id = ?1 AND maybe = 1")?.execute([batch]).map(drop)
}

/// Notes a failed try, and why. `maybe`: the archive may have the mail all the same. What was set aside meanwhile keeps the
/// reason for that.
pub fn failed(connection: &Connection, batch: i64, reason: &str, maybe: bool) -> rusqlite::Result<()> {
    let sql = "UPDATE batch SET attempts = attempts + 1,
                      maybe = CASE WHEN ?3 THEN 2 WHEN maybe = 1 THEN 0 ELSE maybe END,
                      reason = CASE state WHEN 'waiting' THEN ?2 ELSE reason END WHERE id = ?1";
    connection.prepare_cached(sql)?.execute((batch, reason, maybe)).map(drop)
}

/// Puts a batch on a ladder of its own: it was refused while another one was taken. One that has climbed it for as long as
/// a batch may fail is held.
pub fn put_off(
    connection: &Connection,
    batch: i64,
    retry: &Retry,
    endpoint_uid: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "UPDATE batch SET refusals = refusals + 1 WHERE id = ?1 RETURNING refusals";
    let refusals: u32 = connection.prepare_cached(sql)?.query_row([batch], |row| row.get(0))?;
    if ladder::climbed(retry, refusals, endpoint_uid) >= retry.give_up_after.duration() {
        return batch::hold(connection, batch, EXPIRED);
    }
    let next = now + ladder::delay(retry, refusals, endpoint_uid);
    let sql = "UPDATE batch SET next_at = ?2 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute((batch, next.as_millisecond())).map(drop)
}

/// Forgets how often and for how long `batch` was tried: a person lets it wait anew. It keeps its bytes, and what is known
/// of whether the archive has them.
pub fn anew(connection: &Connection, batch: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE batch SET attempts = 0, refusals = 0, next_at = NULL, stamp = NULL WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([batch]).map(drop)
}

/// The mail of `batch` is about to be stored, rendered by the connection `form`.
pub fn formed(connection: &Connection, batch: i64, form: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE batch SET form = ?2 WHERE id = ?1")?.execute((batch, form)).map(drop)
}

/// Forgets the mail of `batch` when the archive certainly does not have it, and it was rendered by another connection than
/// `form`: the next one has another Message-ID, since a receiver may drop a repeated one unread.
pub fn reform(
    connection: &Connection,
    spool: Uuid,
    batch: i64,
    form: &str,
    from_domain: &str,
) -> rusqlite::Result<bool> {
    let sql = "SELECT endpoint_uid, sequence, digest, revision FROM batch WHERE id = ?1 AND maybe = 0 AND form <> ?2";
    let row = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, row.get::<_, i64>(3)?))
    };
    let found = connection.prepare_cached(sql)?.query_row((batch, form), row).optional()?;
    let Some((uid, sequence, digest, revision)) = found else { return Ok(false) };
    let id = message_id(spool, &uid, sequence, &digest, revision + 1, from_domain);
    let sql = "UPDATE batch SET revision = ?2, message_id = ?3, form = NULL WHERE id = ?1";
    connection.prepare_cached(sql)?.execute((batch, revision + 1, id))?;
    mail::forget(connection, batch)?;
    Ok(true)
}

/// Whether [`reform`] may have something to do.
pub fn is_stale_form(connection: &Connection, batch: i64, form: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM batch WHERE id = ?1 AND maybe = 0 AND form <> ?2";
    Ok(connection.prepare_cached(sql)?.query_row((batch, form), |_| Ok(())).optional()?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::samples::{self, at};

    fn spool() -> Connection {
        let connection = samples::spool();
        for sequence in 1..=3 {
            let sql = "INSERT INTO batch (endpoint, endpoint_uid, sequence, digest, message_id, source, conversation,
                                          members, messages, oldest_at, sealed_at)
                       VALUES ('journal', 'u', ?1, 'd', 'first@x', 's', '{}', '[]', 0, 0, 0)";
            connection.execute(sql, [sequence]).expect("written");
        }
        connection
    }

    fn maybe(connection: &Connection) -> i64 {
        connection.query_row("SELECT maybe FROM batch WHERE id = 1", [], |row| row.get(0)).expect("there")
    }

    #[test]
    fn the_least_often_tried_is_next_and_then_the_oldest() {
        let connection = spool();
        failed(&connection, 1, "no", false).expect("written");
        assert_eq!(due(&connection, "journal", at(0), 9).expect("readable"), [2, 3, 1]);
        assert_eq!(due(&connection, "journal", at(0), 1).expect("readable"), [2]);
    }

    #[test]
    fn a_batch_that_was_put_off_waits_by_a_ladder_of_its_own() {
        let connection = spool();
        let retry = Retry::default();
        for hours in [1, 2, 4, 8, 24, 24] {
            put_off(&connection, 2, &retry, "u", at(0)).expect("written");
            let next = next_at(&connection, "journal").expect("readable").expect("one waits");
            let rung = 3600 * hours;
            assert!((rung..=rung + rung / 20).contains(&next.as_second()), "{next}");
            assert_eq!(due(&connection, "journal", at(rung - 1), 9).expect("readable"), [1, 3]);
            assert_eq!(due(&connection, "journal", next, 9).expect("readable"), [1, 2, 3]);
        }
    }

    #[test]
    fn a_batch_that_was_put_off_into_a_future_that_is_far_waits_no_more() {
        let connection = spool();
        put_off(&connection, 1, &Retry::default(), "u", at(365 * 24 * 3600)).expect("written");
        put_off(&connection, 2, &Retry::default(), "u", at(0)).expect("written");
        set_back(&connection, "journal", at(0), at(7200)).expect("written");
        assert_eq!(due(&connection, "journal", at(0), 9).expect("readable"), [1, 3]);
    }

    #[test]
    fn a_batch_that_was_put_off_for_as_long_as_it_may_fail_is_held() {
        let connection = spool();
        let retry = Retry { give_up_after: imarchive_crds::Span::hours(3), ..Retry::default() };
        for state in ["waiting", "waiting", "held"] {
            put_off(&connection, 2, &retry, "u", at(0)).expect("written");
            let sql = "SELECT state FROM batch WHERE id = 2";
            assert_eq!(connection.query_row(sql, [], |row| row.get::<_, String>(0)).expect("there"), state);
        }
    }

    #[test]
    fn a_batch_that_waits_anew_is_next() {
        let connection = spool();
        failed(&connection, 1, "no", false).expect("written");
        put_off(&connection, 1, &Retry::default(), "u", at(0)).expect("written");
        anew(&connection, 1).expect("written");
        assert_eq!(due(&connection, "journal", at(0), 9).expect("readable"), [1, 2, 3]);
    }

    #[test]
    fn only_what_was_always_refused_is_certainly_not_with_the_archive() {
        let connection = spool();
        begun(&connection, 1).expect("written");
        assert_eq!(maybe(&connection), 1, "a crash now is one after which it may be there");
        failed(&connection, 1, "no", false).expect("written");
        assert_eq!(maybe(&connection), 0);
        begun(&connection, 1).expect("written");
        begun(&connection, 1).expect("written");
        failed(&connection, 1, "no", false).expect("written");
        assert_eq!(maybe(&connection), 2, "nobody knows how the try before ended");
    }

    #[test]
    fn a_mail_is_rendered_anew_for_another_connection_only_when_the_archive_does_not_have_it() {
        let connection = spool();
        formed(&connection, 1, "old").expect("written");
        assert!(!reform(&connection, Uuid::nil(), 1, "old", "acme.example").expect("written"));
        assert!(reform(&connection, Uuid::nil(), 1, "new", "acme.example").expect("written"));
        let id = "SELECT message_id FROM batch WHERE id = 1";
        assert_ne!(connection.query_row(id, [], |row| row.get::<_, String>(0)).expect("there"), "first@x");
        formed(&connection, 1, "new").expect("written");
        begun(&connection, 1).expect("written");
        failed(&connection, 1, "lost", true).expect("written");
        assert!(!reform(&connection, Uuid::nil(), 1, "newer", "acme.example").expect("written"));
    }
}
