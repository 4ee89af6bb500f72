//! Batches that others stand in for: one that is too big is split, one that is held is given to another endpoint.
//!
//! One transaction takes the copies out of the old batch and seals them into the new ones, at the end of their endpoint's
//! order. The old batch keeps its row, its number and its digest, in the state `replaced`: a gap that is explained by the
//! header of those that stand in for it.

use std::{collections::BTreeSet, fmt};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::{
    batch::{Sealing, members, seal},
    books::settle,
    mail, retain,
};
use crate::window::Member;

/// Replaces the waiting batch `old` by `parts`, which have all its messages. False: it does not wait any more. No message
/// changes its state, so the books stay as they are.
pub fn split(
    connection: &Connection,
    spool: Uuid,
    old: i64,
    parts: &[Sealing],
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let Some(replaced) = replace(connection, old, "waiting", None)? else { return Ok(false) };
    let of = members(connection, old)?;
    for seq in &of {
        let sql = "UPDATE copy SET batch = NULL WHERE message = ?2 AND batch = ?1";
        connection.prepare_cached(sql)?.execute((old, seq))?;
    }
    stand_in(connection, spool, parts, &replaced, now)?;
    all_in(parts, &of.into_iter().collect())?;
    Ok(true)
}

/// What became of a batch that was given to another endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerouted {
    /// The names of those that stand in for it.
    pub batches: Vec<String>,
    /// How many of its messages that endpoint had already.
    pub there: usize,
}

impl fmt::Display for Rerouted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.batches.is_empty(), self.there) {
            (true, _) => f.write_str("all of its messages were there already"),
            (false, 0) => write!(f, "rerouted to {}", self.batches.join(", ")),
            (false, there) => {
                write!(f, "rerouted to {}; {there} of its messages were there already", self.batches.join(", "))
            }
        }
    }
}

/// Replaces the held batch `old` by `parts`, which are batches of the endpoint `to` and have all its messages that are
/// [lacking] there. `None`: it is not held any more. A message that has a copy for `to` is archived by that one, in whatever
/// state it is: it is not given to it twice.
pub fn reroute(
    connection: &Connection,
    spool: Uuid,
    old: i64,
    parts: &[Sealing],
    to: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<Rerouted>> {
    let of = members(connection, old)?;
    let mut rerouted = None;
    settle(connection, &of, |connection| {
        let Some(replaced) = replace(connection, old, "held", Some(to))? else { return Ok(()) };
        let mut moved = BTreeSet::new();
        for seq in &of {
            let sql = "INSERT INTO copy (message, endpoint, whole, sender, bytes, received_at)
                       SELECT message, ?3, whole, sender, bytes, received_at FROM copy WHERE message = ?2 AND batch = ?1
                       ON CONFLICT (message, endpoint) DO NOTHING";
            if connection.prepare_cached(sql)?.execute((old, seq, to))? == 1 {
                moved.insert(*seq);
            } else {
                retain::again(connection, *seq, to)?;
            }
            let sql = "DELETE FROM copy WHERE message = ?2 AND batch = ?1";
            connection.prepare_cached(sql)?.execute((old, seq))?;
        }
        all_in(parts, &moved)?;
        let now =
            Rerouted { batches: stand_in(connection, spool, parts, &replaced, now)?, there: of.len() - moved.len() };
        let sql = "UPDATE batch SET reason = ?2 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute((old, now.to_string()))?;
        rerouted = Some(now);
        Ok(())
    })?;
    Ok(rerouted)
}

/// The messages of `batch` that have no copy for the endpoint `to`.
pub fn lacking(connection: &Connection, batch: i64, to: &str) -> rusqlite::Result<Vec<Member>> {
    let mut lacking = Vec::new();
    for seq in members(connection, batch)? {
        let sql = "SELECT 1 FROM copy WHERE message = ?1 AND endpoint = ?2";
        if connection.prepare_cached(sql)?.exists((seq, to))? {
            continue;
        }
        let sql = "SELECT bytes FROM message WHERE seq = ?1";
        let bytes: Option<i64> = connection.prepare_cached(sql)?.query_row([seq], |row| row.get(0)).optional()?;
        lacking.push(Member { seq, bytes: bytes.unwrap_or_default().unsigned_abs() });
    }
    Ok(lacking)
}

/// Takes the batch `old` out of its state; answers its sequence and digest, if it was in that.
fn replace(connection: &Connection, old: i64, state: &str, to: Option<&str>) -> rusqlite::Result<Option<String>> {
    let sql = "UPDATE batch SET state = 'replaced', next_at = NULL WHERE id = ?1 AND state = ?2 AND endpoint IS NOT ?3
               RETURNING sequence, digest";
    let row = |row: &rusqlite::Row<'_>| Ok(format!("{} {}", row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let replaced = connection.prepare_cached(sql)?.query_row((old, state, to), row).optional()?;
    if replaced.is_some() {
        mail::forget(connection, old)?;
    }
    Ok(replaced)
}

/// Seals `parts` in place of what was `replaced`; answers their names.
fn stand_in(
    connection: &Connection,
    spool: Uuid,
    parts: &[Sealing],
    replaced: &str,
    now: Timestamp,
) -> rusqlite::Result<Vec<String>> {
    let mut names = Vec::new();
    for part in parts {
        seal(connection, spool, part, now)?;
        let sql = "UPDATE batch SET replaces = ?2 WHERE id = ?1 RETURNING endpoint || '-' || sequence";
        let row = (connection.last_insert_rowid(), replaced);
        names.push(connection.prepare_cached(sql)?.query_row(row, |row| row.get(0))?);
    }
    Ok(names)
}

/// A message that would be in no batch, or in another one's: nothing of this may stay.
fn all_in(parts: &[Sealing], members: &BTreeSet<i64>) -> rusqlite::Result<()> {
    let sealed: BTreeSet<i64> = parts.iter().flat_map(|part| part.members.iter().copied()).collect();
    match sealed == *members {
        true => Ok(()),
        false => Err(rusqlite::Error::StatementChangedRows(members.len())),
    }
}

/// Sequence and digest of the batch that `batch` is a part of.
pub fn replaced(connection: &Connection, batch: i64) -> rusqlite::Result<Option<(i64, String)>> {
    let sql = "SELECT replaces FROM batch WHERE id = ?1";
    let replaces: Option<String> = connection.prepare_cached(sql)?.query_row([batch], |row| row.get(0))?;
    Ok(replaces.as_deref().and_then(|text| {
        let (sequence, digest) = text.split_once(' ')?;
        Some((sequence.parse().ok()?, digest.to_owned()))
    }))
}
