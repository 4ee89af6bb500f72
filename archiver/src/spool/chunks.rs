//! Bytes that are too many for one row: in pieces, each a row of its own.

use rusqlite::Connection;

/// The largest piece of content in one row: a larger one would need as much memory at once, for every reader.
pub(super) const CHUNK: usize = 1 << 20;

/// The pieces that `sql` selects in their order, put together; `None` when there is none.
pub(super) fn chunks(
    connection: &Connection,
    sql: &str,
    key: impl rusqlite::Params,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(key)?;
    let mut whole: Option<Vec<u8>> = None;
    while let Some(row) = rows.next()? {
        whole.get_or_insert_default().extend_from_slice(row.get_ref(0)?.as_blob()?);
    }
    Ok(whole)
}
