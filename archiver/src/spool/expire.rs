//! Batches expire when the outage clock has gone on, since they were due, by as much as the endpoint gives up after.
//!
//! An expired batch is held, for a person; nothing is deleted. A step holds some batches and moves the books in one
//! transaction, and each may be the last that a process makes: whoever comes next finds from the rows what is left.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

use super::{
    batch::hold,
    clock::{millis, read},
};

/// The reason why they are held.
pub const EXPIRED: &str = "Expired";

/// Batches that are held in one step, of at most some 5,000 messages: other jobs wait for a commit that long.
const BATCHES: usize = 100;
/// Batches that are stamped in one step.
const STAMPS: usize = 1_000;

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Batches that it held.
    pub batches: usize,
    /// Their messages.
    pub messages: i64,
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
    let sql = "SELECT id, messages FROM batch WHERE endpoint = ?1 AND state = 'waiting' AND stamp <= ?2 LIMIT ?3";
    let before = millis(clock.reading) - millis(give_up_after);
    let batches: Vec<(i64, i64)> = connection
        .prepare_cached(sql)?
        .query_map((endpoint, before, BATCHES as i64), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    batches.iter().try_for_each(|(batch, _)| hold(connection, *batch, EXPIRED))?;
    let messages = batches.iter().map(|(_, messages)| messages).sum();
    let more = stamped == STAMPS || batches.len() == BATCHES;
    Ok(Step { batches: batches.len(), messages, more })
}

#[cfg(test)]
mod tests;
