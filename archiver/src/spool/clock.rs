//! The outage clock of each endpoint, and what it does to batches: each is stamped with its reading when it is due, and
//! expires when the clock has gone on by as much as the endpoint gives up after.
//!
//! An expired batch is held, for a person; nothing is deleted. A step holds some batches and moves the books in one
//! transaction, and each may be the last that a process makes: whoever comes next finds from the rows what is left.

use std::time::Duration;

use imarchive_crds::ladder::Clock;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::{
    batch::{members, time},
    books::settle,
};

/// The reason why they are held.
pub const EXPIRED: &str = "Expired";

/// Batches that are held in one step, of at most some 5,000 messages: other jobs wait for a commit that long.
const BATCHES: usize = 100;
/// Batches that are stamped in one step.
const STAMPS: usize = 1_000;

/// The clock of `endpoint`.
pub fn read(connection: &Connection, endpoint: &str) -> rusqlite::Result<Clock> {
    let sql = "SELECT reading, most, runs_since FROM clock WHERE endpoint = ?1";
    let clock = connection.prepare_cached(sql)?.query_row([endpoint], |row| {
        let runs_since = row.get::<_, Option<i64>>(2)?.map(|at| time(2, at)).transpose()?;
        Ok(Clock { reading: duration(row.get(0)?), most: duration(row.get(1)?), runs_since })
    });
    Ok(clock.optional()?.unwrap_or_default())
}

/// Sets the clock of `endpoint`.
pub(super) fn set(connection: &Connection, endpoint: &str, clock: &Clock) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO clock (endpoint, reading, most, runs_since) VALUES (?1, ?2, ?3, ?4)";
    let runs_since = clock.runs_since.map(Timestamp::as_millisecond);
    connection.prepare_cached(sql)?.execute((endpoint, millis(clock.reading), millis(clock.most), runs_since)).map(drop)
}

/// The stamp of a batch of `endpoint` that is due at `now`.
pub(super) fn stamp(connection: &Connection, endpoint: &str, now: Timestamp) -> rusqlite::Result<i64> {
    Ok(millis(read(connection, endpoint)?.due(now)))
}

/// The earliest stamp of a batch that waits for `endpoint`.
pub fn first_due(connection: &Connection, endpoint: &str) -> rusqlite::Result<Option<Duration>> {
    let sql = "SELECT min(stamp) FROM batch WHERE endpoint = ?1 AND state = 'waiting'";
    let stamp: Option<i64> = connection.prepare_cached(sql)?.query_row([endpoint], |row| row.get(0))?;
    Ok(stamp.map(duration))
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Batches that it held.
    pub batches: usize,
    /// Their messages.
    pub messages: usize,
    /// Whether there may be more to do.
    pub more: bool,
}

/// Holds some of those batches that waited for `give_up_after` since they were due, by what the clock read when it was last
/// set. One without a stamp was released by a person, or sealed by an earlier program: it counts from `now` on.
pub fn expire(
    connection: &Connection,
    endpoint: &str,
    give_up_after: Duration,
    now: Timestamp,
) -> rusqlite::Result<Step> {
    let clock = read(connection, endpoint)?;
    let sql = "UPDATE batch SET stamp = ?2 WHERE id IN (
                   SELECT id FROM batch WHERE endpoint = ?1 AND state = 'waiting' AND stamp IS NULL LIMIT ?3)";
    let stamped = connection.prepare_cached(sql)?.execute((endpoint, millis(clock.due(now)), STAMPS as i64))?;
    let sql = "SELECT id FROM batch WHERE endpoint = ?1 AND state = 'waiting' AND stamp <= ?2 LIMIT ?3";
    let before = millis(clock.reading) - millis(give_up_after);
    let batches: Vec<i64> = connection
        .prepare_cached(sql)?
        .query_map((endpoint, before, BATCHES as i64), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut messages = Vec::new();
    for batch in &batches {
        messages.extend(members(connection, *batch)?);
    }
    settle(connection, &messages, |connection| {
        let sql = "UPDATE batch SET state = 'held', reason = ?2 WHERE id = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        batches.iter().try_for_each(|batch| statement.execute((batch, EXPIRED)).map(drop))
    })?;
    let more = stamped == STAMPS || batches.len() == BATCHES;
    Ok(Step { batches: batches.len(), messages: messages.len(), more })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests;
