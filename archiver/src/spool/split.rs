//! Splitting: a batch that is too big for its archive is replaced by smaller ones.
//!
//! One transaction takes the copies out of the old batch and seals them into the new ones, at the end of the endpoint's
//! order. The old batch keeps its row, its number and its digest, in the state `replaced`: a gap that is explained by the
//! header of those that stand in for it. No message changes its state, so the books stay as they are.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::{
    batch::{Sealing, seal},
    mail,
};

/// Replaces the waiting batch `old` by `parts`, which have all its messages. False: it does not wait any more.
pub fn split(
    connection: &Connection,
    spool: Uuid,
    old: i64,
    parts: &[Sealing],
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE batch SET state = 'replaced', next_at = NULL WHERE id = ?1 AND state = 'waiting'
               RETURNING sequence, digest";
    let row = |row: &rusqlite::Row<'_>| Ok(format!("{} {}", row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let Some(replaced) = connection.prepare_cached(sql)?.query_row([old], row).optional()? else { return Ok(false) };
    connection.prepare_cached("UPDATE copy SET batch = NULL WHERE batch = ?1")?.execute([old])?;
    mail::forget(connection, old)?;
    for part in parts {
        seal(connection, spool, part, now)?;
        let sql = "UPDATE batch SET replaces = ?2 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute((connection.last_insert_rowid(), &replaced))?;
    }
    let left = "SELECT count(*) FROM copy JOIN batch ON batch.endpoint = copy.endpoint
                WHERE batch.id = ?1 AND copy.batch IS NULL AND copy.held IS NULL
                AND copy.message IN (SELECT value FROM json_each(batch.members))";
    match connection.prepare_cached(left)?.query_row([old], |row| row.get::<_, i64>(0))? {
        0 => Ok(true),
        // A message would be in no batch: nothing of this may stay.
        left => Err(rusqlite::Error::StatementChangedRows(left as usize)),
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
