//! Forgetting what was delivered: first the content of messages, much later their part of the ledger.
//!
//! Oldest first, a bounded step with each commit. What waits or is held is never touched: a message is kept as long as any
//! copy of it needs it. The totals survive the rows: what is forgotten is counted. A batch's row goes once all before it
//! are gone, so that an endpoint's sequences have no gap but the one at their beginning; its last one stays, from which the
//! next goes on.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::batch::members;

/// Batches of one step.
const BATCHES: usize = 20;
/// Bytes that one step drops, if one batch has not more.
const BYTES: i64 = 16 << 20;
/// Excluded messages of one step.
const EXCLUDED: i64 = 1_000;

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Batches, or messages that were excluded.
    pub rows: usize,
    /// Bytes of content.
    pub bytes: i64,
}

/// Drops the content of some messages that every archive took by `until`. After it a look-up still says when.
pub fn drop_content(connection: &Connection, until: Timestamp, now: Timestamp) -> rusqlite::Result<Step> {
    let until = until.as_millisecond();
    let sql = "SELECT id FROM batch WHERE state = 'delivered' AND dropped_at IS NULL AND delivered_at <= ?1
               ORDER BY delivered_at LIMIT ?2";
    let mut step = Step::default();
    for batch in ids(connection, sql, until, BATCHES as i64)? {
        if step.bytes > BYTES {
            break;
        }
        for seq in members(connection, batch)? {
            if !is_over(connection, seq, until)? {
                continue;
            }
            step.bytes += drop_message(connection, seq)?;
        }
        let sql = "UPDATE batch SET dropped_at = ?2 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute((batch, now.as_millisecond()))?;
        step.rows += 1;
    }
    Ok(step)
}

/// Takes from the ledger some messages that every archive took by `until`, or that policy excluded by then.
pub fn forget(connection: &Connection, until: Timestamp, now: Timestamp) -> rusqlite::Result<Step> {
    let until = until.as_millisecond();
    let sql = "SELECT id FROM batch WHERE dropped_at IS NOT NULL AND forgotten_at IS NULL AND delivered_at <= ?1
               ORDER BY delivered_at LIMIT ?2";
    let mut step = Step::default();
    // The last entry stays: no number may be given twice.
    let last = super::open::last(connection)?;
    for batch in ids(connection, sql, until, BATCHES as i64)? {
        let members = members(connection, batch)?;
        if members.contains(&last) {
            continue;
        }
        let mut forgotten = 0;
        for seq in members {
            if is_over(connection, seq, until)? && strike(connection, seq)? {
                forgotten += 1;
                // Mostly gone before; not when the batch of another of its copies is still to be dropped.
                step.bytes += drop_message(connection, seq)?;
                connection.prepare_cached("DELETE FROM copy WHERE message = ?1")?.execute([seq])?;
            }
        }
        connection
            .prepare_cached("UPDATE books SET forgotten_delivered = forgotten_delivered + ?1")?
            .execute([forgotten])?;
        let sql = "UPDATE batch SET forgotten_at = ?2 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute((batch, now.as_millisecond()))?;
        remove_first(connection, batch)?;
        step.rows += 1;
    }
    let sql = "SELECT entry FROM ledger WHERE excluded AND received_at <= ?1 ORDER BY received_at LIMIT ?2";
    let excluded = ids(connection, sql, until, EXCLUDED)?;
    let mut forgotten = 0;
    for entry in excluded.into_iter().filter(|entry| *entry != last) {
        forgotten += i64::from(strike(connection, entry)?);
    }
    let sql = "UPDATE books SET forgotten_excluded = forgotten_excluded + ?1";
    connection.prepare_cached(sql)?.execute([forgotten])?;
    step.rows += forgotten as usize;
    Ok(step)
}

/// Drops the content of a message; answers how large it was.
fn drop_message(connection: &Connection, seq: i64) -> rusqlite::Result<i64> {
    let sql = "DELETE FROM message WHERE seq = ?1 RETURNING bytes";
    let bytes: Option<i64> = connection.prepare_cached(sql)?.query_row([seq], |row| row.get(0)).optional()?;
    connection.prepare_cached("DELETE FROM content WHERE message = ?1")?.execute([seq])?;
    Ok(bytes.unwrap_or(0))
}

/// The batch that has `seq` for `endpoint` is looked at once more: another copy, for which the message was kept when it was
/// looked at, is given up.
pub(super) fn again(connection: &Connection, seq: i64, endpoint: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE batch SET dropped_at = NULL, forgotten_at = NULL WHERE dropped_at IS NOT NULL
               AND id = (SELECT batch FROM copy WHERE message = ?1 AND endpoint = ?2)";
    connection.prepare_cached(sql)?.execute((seq, endpoint)).map(drop)
}

/// Whether every copy of a message was delivered by `until`.
fn is_over(connection: &Connection, seq: i64, until: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM copy LEFT JOIN batch ON batch.id = copy.batch WHERE copy.message = ?1
               AND (coalesce(batch.state, '') <> 'delivered' OR batch.delivered_at > ?2)";
    Ok(!connection.prepare_cached(sql)?.exists((seq, until))?)
}

/// Takes an entry from the ledger; answers whether it was there.
fn strike(connection: &Connection, entry: i64) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM ledger WHERE entry = ?1 RETURNING hash";
    let hash: Option<i64> = connection.prepare_cached(sql)?.query_row([entry], |row| row.get(0)).optional()?;
    let Some(hash) = hash else { return Ok(false) };
    for index in ["ledger_index", "temp.ledger_tail"] {
        let sql = format!("DELETE FROM {index} WHERE hash = ?1 AND entry = ?2");
        connection.prepare_cached(&sql)?.execute((hash, entry))?;
    }
    Ok(true)
}

/// Removes the rows of forgotten batches of the same endpoint up to the first one that is not.
fn remove_first(connection: &Connection, batch: i64) -> rusqlite::Result<()> {
    let sql = "SELECT endpoint FROM batch WHERE id = ?1";
    let endpoint: String = connection.prepare_cached(sql)?.query_row([batch], |row| row.get(0))?;
    let sql = "SELECT id, forgotten_at IS NOT NULL FROM batch WHERE endpoint = ?1 ORDER BY sequence LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let first = statement.query_map((endpoint, 2 * BATCHES as i64), |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
    let first: Vec<(i64, bool)> = first.collect::<Result<_, _>>()?;
    // A row goes when another one comes after it, and when no message is left that it tells of.
    for pair in first.windows(2).take_while(|pair| pair[0].1) {
        let id = pair[0].0;
        for seq in members(connection, id)? {
            let told = "SELECT 1 FROM copy WHERE message = ?1 AND batch = ?2";
            if connection.prepare_cached(told)?.exists((seq, id))? {
                return Ok(());
            }
        }
        connection.prepare_cached("DELETE FROM batch WHERE id = ?1")?.execute([id])?;
    }
    Ok(())
}

fn ids(connection: &Connection, sql: &str, until: i64, most: i64) -> rusqlite::Result<Vec<i64>> {
    connection.prepare_cached(sql)?.query_map((until, most), |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests;
