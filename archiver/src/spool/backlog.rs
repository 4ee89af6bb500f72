//! What an endpoint has to do: its batches, and its messages that are in no batch yet.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::batch::time;

/// What an endpoint has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Sealed batches waiting.
    pub batches: i64,
    /// Messages in them.
    pub messages: i64,
    /// When the oldest of them was taken.
    pub oldest_at: Option<Timestamp>,
    /// Batches in need of a person.
    pub held: i64,
    /// When a batch was last delivered.
    pub last_delivered_at: Option<Timestamp>,
}

/// The sealed part of what `endpoint` has to do.
pub fn backlog(connection: &Connection, endpoint: &str) -> rusqlite::Result<Backlog> {
    let sql = "SELECT count(*) FILTER (WHERE state = 'waiting'), sum(messages) FILTER (WHERE state = 'waiting'),
                      min(oldest_at) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'held')
               FROM batch WHERE endpoint = ?1 AND state <> 'delivered'";
    let mut backlog = connection.prepare_cached(sql)?.query_row([endpoint], |row| {
        Ok(Backlog {
            batches: row.get(0)?,
            messages: row.get::<_, Option<i64>>(1)?.unwrap_or(0),
            oldest_at: row.get::<_, Option<i64>>(2)?.map(|at| time(2, at)).transpose()?,
            held: row.get(3)?,
            last_delivered_at: None,
        })
    })?;
    let sql = "SELECT delivered_at FROM batch WHERE endpoint = ?1 AND delivered_at IS NOT NULL ORDER BY sequence DESC LIMIT 1";
    let last = connection.prepare_cached(sql)?.query_row([endpoint], |row| row.get(0)).optional()?;
    backlog.last_delivered_at = last.map(|at| time(0, at)).transpose()?;
    Ok(backlog)
}

/// Messages of an endpoint that are in no batch yet, and not held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenMessages {
    /// How many.
    pub messages: i64,
    /// When the oldest of them was taken.
    pub oldest_at: Option<Timestamp>,
}

/// The unsealed part of what `endpoint` has to do.
pub fn open_messages(connection: &Connection, endpoint: &str) -> rusqlite::Result<OpenMessages> {
    let sql = "SELECT count(*), min(received_at) FROM copy JOIN message ON seq = message
               WHERE batch IS NULL AND held IS NULL AND endpoint = ?1";
    connection.prepare_cached(sql)?.query_row([endpoint], |row| {
        let oldest: Option<i64> = row.get(1)?;
        Ok(OpenMessages { messages: row.get(0)?, oldest_at: oldest.map(|at| time(1, at)).transpose()? })
    })
}
