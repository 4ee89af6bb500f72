//! What is held: found and told, and let go again by a person.
//!
//! A batch that is let go waits as if it never had been tried. What the archive may have of it is not forgotten: its mail
//! keeps its bytes and its Message-ID. Nothing here decides whether that makes sense.

use rusqlite::{Connection, OptionalExtension};

use super::{
    append::OpenCopy,
    batch::{load, members},
    books::settle,
    columns::time,
    intact::is_intact,
    open::threads,
    retain, tries,
};
use crate::render;

mod told;

pub(super) use told::message;
pub use told::{Batch, Details, Member, Open, details, open, rows};

/// Copies in no batch that are moved in one step.
const COPIES: i64 = 5_000;
/// Whether a reason is one of those that were asked for: by its beginning, in whatever case.
const ASKED: &str = "(?2 IS NULL OR lower(substr(coalesce(REASON, ''), 1, length(?2))) = lower(?2))";

/// The held batches of `endpoint`, or of all, whose reason begins with `reason`: a number for each, by endpoint and sequence.
pub fn all(connection: &Connection, endpoint: Option<&str>, reason: Option<&str>) -> rusqlite::Result<Vec<i64>> {
    let asked = ASKED.replace("REASON", "batch.reason");
    // That it is not delivered is said for the index of those.
    let sql = format!(
        "SELECT batch.id FROM tally CROSS JOIN batch ON batch.endpoint = tally.endpoint
         WHERE tally.held > 0 AND (?1 IS NULL OR tally.endpoint = ?1)
         AND batch.state = 'held' AND batch.state <> 'delivered' AND {asked} ORDER BY tally.endpoint, batch.sequence"
    );
    connection.prepare_cached(&sql)?.query_map((endpoint, reason), |row| row.get(0))?.collect()
}

/// The batch with this name, held or not.
pub fn named(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    let Some((endpoint, sequence)) = name.rsplit_once('-') else { return Ok(None) };
    let Ok(sequence) = sequence.parse::<i64>() else { return Ok(None) };
    let sql = "SELECT id FROM batch WHERE endpoint = ?1 AND sequence = ?2";
    connection.prepare_cached(sql)?.query_row((endpoint, sequence), |row| row.get(0)).optional()
}

/// Whether a batch can be read, each message is what was handed in, and all of them what was sealed.
pub fn is_whole(connection: &Connection, batch: i64) -> rusqlite::Result<bool> {
    let Ok(sealed) = load(connection, batch) else { return Ok(false) };
    for recorded in &sealed.messages {
        if !is_intact(connection, recorded)? {
            return Ok(false);
        }
    }
    let transcript = render::transcript(&sealed.endpoint, &sealed.source, &sealed.conversation, &sealed.messages);
    Ok(transcript.digest == sealed.digest)
}

/// Lets the held ones of `batches` wait again, at the beginning of every ladder. Answers which those were.
pub fn release(connection: &Connection, batches: &[i64]) -> rusqlite::Result<Vec<i64>> {
    let mut released = Vec::new();
    for batch in batches {
        settle(connection, &members(connection, *batch)?, |connection| {
            let sql = "UPDATE batch SET state = 'waiting', reason = NULL WHERE id = ?1 AND state = 'held'";
            match connection.prepare_cached(sql)?.execute([batch])? {
                1 => released.push(*batch),
                _ => return Ok(()),
            }
            tries::anew(connection, *batch)
        })?;
    }
    Ok(released)
}

/// What a step of [`move_open`] did.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// Messages that it moved.
    pub messages: u64,
    /// The last of them, after which the next step goes on; `None`: none was left.
    pub last: Option<i64>,
    /// The copies that windows have to take. Fewer: the others' messages had one for that endpoint already.
    pub copies: Vec<OpenCopy>,
}

/// Moves some of the copies in no batch that are held for `from` with that reason, of the messages after `after`: they wait
/// for `to`, which may be the same. A message that has a copy for `to` already is not given to it twice.
pub fn move_open(connection: &Connection, from: &str, reason: &str, to: &str, after: i64) -> rusqlite::Result<Moved> {
    let sql = "SELECT message, whole, sender, received_at, bytes FROM copy
               WHERE batch IS NULL AND endpoint = ?1 AND held = ?2 AND message > ?3 ORDER BY message LIMIT ?4";
    let row = |row: &rusqlite::Row<'_>| {
        let bytes = row.get::<_, i64>(4)?.unsigned_abs();
        let endpoint = Some(to.into());
        Ok(OpenCopy {
            endpoint,
            seq: row.get(0)?,
            received_at: time(3, row.get(3)?)?,
            bytes,
            threads: threads(row, 1)?,
        })
    };
    let some: Vec<OpenCopy> =
        connection.prepare_cached(sql)?.query_map((from, reason, after, COPIES), row)?.collect::<Result<_, _>>()?;
    let messages: Vec<i64> = some.iter().map(|copy| copy.seq).collect();
    let mut copies = Vec::new();
    settle(connection, &messages, |connection| {
        for copy in some {
            // Taken away and put down: what is counted for an endpoint follows a copy that comes or goes.
            let sql = "DELETE FROM copy WHERE message = ?1 AND endpoint = ?2";
            connection.prepare_cached(sql)?.execute((copy.seq, from))?;
            let sql = "INSERT INTO copy (message, endpoint, whole, sender, bytes, received_at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (message, endpoint) DO NOTHING";
            let at = copy.received_at.as_millisecond();
            let row = (copy.seq, to, copy.threads.whole, copy.threads.sender, copy.bytes as i64, at);
            if connection.prepare_cached(sql)?.execute(row)? == 1 {
                copies.push(copy);
            } else {
                retain::again(connection, copy.seq, to)?;
            }
        }
        Ok(())
    })?;
    Ok(Moved { messages: messages.len() as u64, last: messages.last().copied(), copies })
}

#[cfg(test)]
mod tests;
