//! Copies that are in no batch yet: what the windows are rebuilt from at start, without reading a message.

use rusqlite::{Connection, Row};

use super::{
    append::{OpenCopy, Threads},
    books::settle,
    columns::time,
    deleted::ENDPOINT_DELETED,
};

/// Copies of one endpoint after the other, in the order of commits, `limit` at a time, after the one that is named by its
/// endpoint and message. One that a person must look at is in no window; one whose endpoint was deleted is.
pub fn open_copies(connection: &Connection, after: (&str, i64), limit: i64) -> rusqlite::Result<Vec<OpenCopy>> {
    let sql = format!(
        "SELECT endpoint, message, whole, sender, received_at, bytes FROM copy INDEXED BY copy_open
         WHERE batch IS NULL AND (endpoint, message) > (?1, ?2) AND (held IS NULL OR held = '{ENDPOINT_DELETED}')
         ORDER BY endpoint, message LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((after.0, after.1, limit))?;
    let mut copies: Vec<OpenCopy> = Vec::new();
    while let Some(row) = rows.next()? {
        copies.push(copy(row, copies.last())?);
    }
    Ok(copies)
}

/// The same of the messages from `first` on, `count` of them, without the index, which may be damaged: of what cannot be
/// read, nothing.
pub fn salvage(connection: &Connection, first: i64, count: i64) -> rusqlite::Result<Vec<OpenCopy>> {
    let sql = format!(
        "SELECT endpoint, message, whole, sender, received_at, bytes FROM copy NOT INDEXED
         WHERE message >= ?1 AND message < ?2 AND batch IS NULL AND (held IS NULL OR held = '{ENDPOINT_DELETED}')"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((first, first + count))?;
    let mut copies: Vec<OpenCopy> = Vec::new();
    while let Some(row) = rows.next()? {
        copies.push(copy(row, copies.last())?);
    }
    Ok(copies)
}

/// Those of the messages `seqs` that `endpoint` still has to get in a batch: others may have been given to another endpoint
/// since they came into their window.
pub fn still_open(connection: &Connection, endpoint: &str, seqs: &[i64]) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT 1 FROM copy WHERE message = ?1 AND endpoint = ?2 AND batch IS NULL AND held IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let mut open = Vec::with_capacity(seqs.len());
    for seq in seqs {
        if statement.exists((seq, endpoint))? {
            open.push(*seq);
        }
    }
    Ok(open)
}

/// The number of the last message that was taken.
pub fn last(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(entry), 0) FROM ledger", [], |row| row.get(0))
}

fn copy(row: &Row<'_>, before: Option<&OpenCopy>) -> rusqlite::Result<OpenCopy> {
    let endpoint = match (row.get_ref(0)?.as_str()?, before) {
        ("", _) => None,
        // One name for all that go there.
        (name, Some(OpenCopy { endpoint: Some(last), .. })) if **last == *name => Some(last.clone()),
        (name, _) => Some(name.into()),
    };
    let (seq, bytes) = (row.get(1)?, row.get::<_, i64>(5)? as u64);
    Ok(OpenCopy { endpoint, seq, received_at: time(4, row.get(4)?)?, bytes, threads: threads(row, 2)? })
}

/// What windows group a copy by, from the columns whole and sender, the first of which is `column`.
pub(super) fn threads(row: &Row<'_>, column: usize) -> rusqlite::Result<Threads> {
    Ok(Threads { whole: row.get(column)?, sender: row.get(column + 1)? })
}

/// Sets aside a copy in no batch for a person, and says why.
pub fn hold_copy(connection: &Connection, endpoint: &str, seq: i64, reason: &str) -> rusqlite::Result<()> {
    settle(connection, &[seq], |connection| {
        let sql = "UPDATE copy SET held = ?3 WHERE message = ?1 AND endpoint = ?2 AND batch IS NULL";
        connection.prepare_cached(sql)?.execute((seq, endpoint, reason)).map(drop)
    })
}
