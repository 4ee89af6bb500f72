//! Delivered once more: what the archive took, while it is retained here.
//!
//! A batch that is replayed waits again, and nothing of its content is dropped until it is delivered again. It is sent under
//! its Message-ID only as the bytes that the archive took: a receiver may drop a repeated Message-ID unread. Where it cannot
//! be rendered to the same bytes, because the endpoint's block, its users or what its mail quotes have changed, it is a new
//! revision with a Message-ID of its own. Which it is turns out when the mail is made ready, by the mail's SHA-256.

use imarchive_crds::Address;
use jiff::Timestamp;
use rusqlite::Connection;
use uuid::Uuid;

use super::{batch::members, books::settle, held::message, tries};

/// The reason why a batch waits that was delivered before.
pub const REPLAYED: &str = "Replayed";

/// Which of the delivered batches.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// Of this endpoint.
    pub endpoint: Option<String>,
    /// Of this chat system.
    pub source: Option<String>,
    /// Taken by the archive at this time or later.
    pub since: Option<Timestamp>,
    /// Taken by the archive at this time or earlier.
    pub until: Option<Timestamp>,
}

const IN_RANGE: &str = "state = 'delivered' AND (?1 IS NULL OR endpoint = ?1) AND (?2 IS NULL OR source = ?2)
     AND delivered_at BETWEEN coalesce(?3, -9223372036854775808) AND coalesce(?4, 9223372036854775807)";

impl Range {
    fn row(&self) -> (Option<&str>, Option<&str>, Option<i64>, Option<i64>) {
        let at = |at: Option<Timestamp>| at.map(Timestamp::as_millisecond);
        (self.endpoint.as_deref(), self.source.as_deref(), at(self.since), at(self.until))
    }
}

/// The batches in the range whose content was not dropped: a number for each, by endpoint and sequence.
pub fn kept(connection: &Connection, range: &Range) -> rusqlite::Result<Vec<i64>> {
    let sql = format!("SELECT id FROM batch WHERE {IN_RANGE} AND dropped_at IS NULL ORDER BY endpoint, sequence");
    connection.prepare_cached(&sql)?.query_map(range.row(), |row| row.get(0))?.collect()
}

/// Batches in the range whose content was dropped, and messages in them.
pub fn dropped(connection: &Connection, range: &Range) -> rusqlite::Result<(u64, u64)> {
    let sql =
        format!("SELECT count(*), coalesce(sum(messages), 0) FROM batch WHERE {IN_RANGE} AND dropped_at IS NOT NULL");
    let row =
        |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()));
    connection.prepare_cached(&sql)?.query_row(range.row(), row)
}

/// Whether one message of `batch` is of that conversation, with that user among its people.
pub fn concerns(
    connection: &Connection,
    batch: i64,
    user: Option<&Address>,
    conversation: Option<&str>,
) -> rusqlite::Result<bool> {
    if user.is_none() && conversation.is_none() {
        return Ok(true);
    }
    for seq in members(connection, batch)? {
        let Some(message) = message(connection, seq)? else { continue };
        let mut people = std::iter::once(&message.sender).chain(&message.recipients);
        if user.is_none_or(|user| people.any(|person| person.address == *user))
            && conversation.is_none_or(|id| message.conversation.id == id)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the content of all messages of `batch` is there, and they are still its own: one that the archive took although it
/// had been given to another endpoint has none. Of a message with several copies the content goes with the first of their
/// batches that is dropped after all of them were delivered.
pub fn is_retained(connection: &Connection, batch: i64) -> rusqlite::Result<bool> {
    for seq in members(connection, batch)? {
        let sql = "SELECT 1 FROM message JOIN copy ON copy.message = seq WHERE seq = ?1 AND copy.batch = ?2";
        if !connection.prepare_cached(sql)?.exists((seq, batch))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Lets those of `batches` wait that are delivered and retained. Answers which those were.
pub fn again(connection: &Connection, batches: &[i64]) -> rusqlite::Result<Vec<i64>> {
    let mut waiting = Vec::new();
    for batch in batches {
        if !is_retained(connection, *batch)? {
            continue;
        }
        settle(connection, &members(connection, *batch)?, |connection| {
            // The archive has the mail: it is 2 for certain.
            let sql = "UPDATE batch SET state = 'waiting', reason = ?2, maybe = 2
                       WHERE id = ?1 AND state = 'delivered' AND dropped_at IS NULL";
            match connection.prepare_cached(sql)?.execute((batch, REPLAYED))? {
                1 => waiting.push(*batch),
                _ => return Ok(()),
            }
            tries::anew(connection, *batch)
        })?;
    }
    Ok(waiting)
}

/// The next mail of `batch` has other bytes than the archive may have: it gets another Message-ID.
pub fn revise(connection: &Connection, spool: Uuid, batch: i64, form: &str, from_domain: &str) -> rusqlite::Result<()> {
    // Under that Message-ID, which nobody was ever sent, the archive has nothing.
    connection.prepare_cached("UPDATE batch SET maybe = 0, form = '' WHERE id = ?1")?.execute([batch])?;
    tries::reform(connection, spool, batch, form, from_domain).map(drop)
}
