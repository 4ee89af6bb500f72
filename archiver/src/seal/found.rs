//! What a start finds: the copies that are in no batch yet.

use rusqlite::Connection;

use crate::spool::{
    Spool,
    append::OpenCopy,
    open::{self, open_copies},
};

/// Copies that are read at once: a million of them must not be in memory.
const READ: i64 = 5_000;

/// Hands each to `take`, in their order.
pub async fn in_order(spool: &Spool, mut take: impl FnMut(OpenCopy)) -> rusqlite::Result<()> {
    let mut after = (String::new(), i64::MIN);
    loop {
        let from = after.clone();
        let copies = spool.read(move |connection| open_copies(connection, (&from.0, from.1), READ)).await?;
        let Some(last) = copies.last() else { return Ok(()) };
        after = (last.endpoint.as_deref().unwrap_or_default().to_owned(), last.seq);
        copies.into_iter().for_each(&mut take);
    }
}

/// The same of a damaged spool: what can be read is delivered, and what cannot is named by fsck.
pub async fn what_is_readable(spool: &Spool, mut take: impl FnMut(OpenCopy)) -> rusqlite::Result<()> {
    let last = spool.read(open::last).await?;
    for first in (0..=last).step_by(READ as usize) {
        let read = spool.read(move |connection| open::salvage(connection, first, READ)).await;
        let copies = match read {
            Ok(copies) => copies,
            Err(_) => {
                let each = move |connection: &Connection| {
                    let one = |seq| open::salvage(connection, seq, 1).unwrap_or_default();
                    Ok((first..first + READ).flat_map(one).collect())
                };
                spool.read(each).await?
            }
        };
        copies.into_iter().for_each(&mut take);
    }
    Ok(())
}
