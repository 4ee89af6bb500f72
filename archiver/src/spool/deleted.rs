//! The mail of endpoints that were deleted: held as it is, and released as it was.
//!
//! The mark is on the rows: a batch has its state and reason, a copy in no batch its reason in `held`. Members, sequence,
//! digest, Message-ID and a rendered mail stay what they are. A step moves some rows and the books in one transaction; each
//! may be the last that a process makes, and whoever comes next finds by [`names`] what is left to do.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{batch::members, books::settle, outage};

/// The reason why they are held. Nothing that is held for another one is ever touched here.
pub const ENDPOINT_DELETED: &str = "EndpointDeleted";

/// Batches that are moved in one step, of at most some 5,000 messages: other jobs wait for a commit that long.
const BATCHES: i64 = 100;
/// Copies that are moved in one step.
const COPIES: i64 = 5_000;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The endpoint was deleted: what waits is held.
    Hold,
    /// An endpoint of its name was accepted: what was held for that waits again.
    Release,
}

/// Endpoints by what the spool has of theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Those that something waits for, or that have an outage.
    pub waiting: BTreeSet<String>,
    /// Those whose mail is held because they were deleted.
    pub held: BTreeSet<String>,
}

/// Which endpoints' mail may have to be held or released.
pub fn names(connection: &Connection) -> rusqlite::Result<Names> {
    let waiting = "SELECT endpoint FROM tally WHERE (open > 0 OR batches > 0) AND endpoint <> ''
                   UNION SELECT endpoint FROM outage WHERE attempts > 0";
    let held = format!(
        "SELECT endpoint FROM tally WHERE
         open_held > 0 AND EXISTS (
             SELECT 1 FROM copy WHERE batch IS NULL AND copy.endpoint = tally.endpoint AND held = '{ENDPOINT_DELETED}')
         OR held > 0 AND EXISTS (
             SELECT 1 FROM batch WHERE batch.endpoint = tally.endpoint AND state = 'held' AND state <> 'delivered'
             AND reason = '{ENDPOINT_DELETED}')"
    );
    let select = |sql: &str| -> rusqlite::Result<BTreeSet<String>> {
        connection.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    Ok(Names { waiting: select(waiting)?, held: select(&held)? })
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Messages whose copies it moved.
    pub messages: usize,
    /// Where the next step begins; `None`: all is done.
    pub next: Option<i64>,
}

/// Moves some of the mail of `endpoint`: batches first, then the copies in no batch that come after the message `after`,
/// which is 0 at first. The endpoint's outage ends with it.
pub fn step(connection: &Connection, endpoint: &str, turn: Turn, after: i64) -> rusqlite::Result<Step> {
    outage::end(connection, endpoint)?;
    let batches = batches(connection, endpoint, turn)?;
    if !batches.is_empty() {
        let messages = move_batches(connection, &batches, turn)?;
        return Ok(Step { messages, next: Some(after) });
    }
    let copies = copies(connection, endpoint, turn, after)?;
    move_copies(connection, endpoint, &copies, turn)?;
    let next = copies.last().copied().filter(|_| copies.len() as i64 == COPIES);
    Ok(Step { messages: copies.len(), next })
}

fn batches(connection: &Connection, endpoint: &str, turn: Turn) -> rusqlite::Result<Vec<i64>> {
    let which = match turn {
        Turn::Hold => "state = 'waiting'".to_owned(),
        Turn::Release => format!("state = 'held' AND reason = '{ENDPOINT_DELETED}'"),
    };
    // That it is not delivered is said for the index of those.
    let sql = format!("SELECT id FROM batch WHERE endpoint = ?1 AND state <> 'delivered' AND {which} LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map((endpoint, BATCHES), |row| row.get(0))?.collect()
}

fn move_batches(connection: &Connection, batches: &[i64], turn: Turn) -> rusqlite::Result<usize> {
    let mut messages = Vec::new();
    for batch in batches {
        messages.extend(members(connection, *batch)?);
    }
    settle(connection, &messages, |connection| {
        let (state, reason) = match turn {
            Turn::Hold => ("held", Some(ENDPOINT_DELETED)),
            Turn::Release => ("waiting", None),
        };
        let mut statement = connection.prepare_cached("UPDATE batch SET state = ?2, reason = ?3 WHERE id = ?1")?;
        batches.iter().try_for_each(|batch| statement.execute((batch, state, reason)).map(drop))
    })?;
    Ok(messages.len())
}

fn copies(connection: &Connection, endpoint: &str, turn: Turn, after: i64) -> rusqlite::Result<Vec<i64>> {
    let which = match turn {
        Turn::Hold => "held IS NULL".to_owned(),
        Turn::Release => format!("held = '{ENDPOINT_DELETED}'"),
    };
    let sql = format!(
        "SELECT message FROM copy WHERE batch IS NULL AND endpoint = ?1 AND {which} AND message > ?2
         ORDER BY message LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map((endpoint, after, COPIES), |row| row.get(0))?.collect()
}

fn move_copies(connection: &Connection, endpoint: &str, messages: &[i64], turn: Turn) -> rusqlite::Result<()> {
    settle(connection, messages, |connection| {
        let reason = (turn == Turn::Hold).then_some(ENDPOINT_DELETED);
        let sql = "UPDATE copy SET held = ?3 WHERE message = ?1 AND endpoint = ?2 AND batch IS NULL";
        let mut statement = connection.prepare_cached(sql)?;
        messages.iter().try_for_each(|message| statement.execute((message, endpoint, reason)).map(drop))
    })
}

#[cfg(test)]
mod tests;
