//! What an endpoint has to do: its batches, and its messages that are in no batch yet.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::columns::{time, time_if_any};

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
    /// Those of them that waited for too long.
    pub expired: i64,
    /// When a batch was last delivered.
    pub last_delivered_at: Option<Timestamp>,
}

/// The sealed part of what `endpoint` has to do.
pub fn backlog(connection: &Connection, endpoint: &str) -> rusqlite::Result<Backlog> {
    let sql = "SELECT batches, messages, held, last_delivered_at,
                      (SELECT min(oldest_at) FROM batch WHERE endpoint = ?1 AND state = 'waiting'),
                      (SELECT count(*) FROM batch WHERE endpoint = ?1 AND state = 'held' AND reason = 'Expired')
               FROM tally WHERE endpoint = ?1";
    let backlog = connection.prepare_cached(sql)?.query_row([endpoint], |row| {
        let (batches, messages, held) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Backlog {
            batches,
            messages,
            held,
            last_delivered_at: time_if_any(row, 3)?,
            oldest_at: time_if_any(row, 4)?,
            expired: row.get(5)?,
        })
    });
    Ok(backlog.optional()?.unwrap_or_default())
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
    let sql = "SELECT open FROM tally WHERE endpoint = ?1";
    let messages: i64 =
        connection.prepare_cached(sql)?.query_row([endpoint], |row| row.get(0)).optional()?.unwrap_or(0);
    if messages == 0 {
        return Ok(OpenMessages::default());
    }
    let sql =
        "SELECT received_at FROM copy WHERE batch IS NULL AND held IS NULL AND endpoint = ?1 ORDER BY message LIMIT 1";
    let oldest_at = connection.prepare_cached(sql)?.query_row([endpoint], |row| time(0, row.get(0)?)).optional()?;
    Ok(OpenMessages { messages, oldest_at })
}
