//! Checking a spool that no archiver has open: do the books balance, and can every row be read?

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{
    batch,
    books::{Books, recount},
    error::OpenError,
    intact::is_intact,
    lock,
    mail::{self, Stored},
    schema,
};
use crate::render;

mod rows;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The books, counted anew from the rows.
    pub books: Books,
    /// What is wrong, a sentence each.
    pub faults: Vec<String>,
}

/// Checks the spool in `folder`. An error means that it cannot be read, or that an archiver has it open.
pub fn fsck(folder: &Path) -> Result<Finding, OpenError> {
    let database = |error| OpenError::Database(folder.to_owned(), error);
    let file = folder.join("spool.db");
    let _lock = lock(folder)?;
    // Opened for writing, though nothing is written: a WAL left by a crash can only be read by replaying it.
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(database)?;
    // Undone by its end: a spool of an earlier format is looked at in the newest, and stays what it is.
    let look = connection.unchecked_transaction().map_err(database)?;
    schema::migrate(&look).map_err(database)?.map_err(|needs| OpenError::newer(folder, needs))?;
    check(&look).map_err(database)
}

pub(super) fn check(connection: &Connection) -> rusqlite::Result<Finding> {
    let mut faults = Vec::new();
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    for line in statement.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            faults.push(format!("the database: {line}"));
        }
    }
    let kept = Books::read(connection)?;
    let mut books = recount(connection)?;
    books.damaged += check_messages(connection, &mut faults)?;
    check_batches(connection, &mut faults)?;
    rows::check(connection, &mut faults)?;
    if (Books { damaged: 0, ..books }) != kept {
        faults.push(format!("the totals {kept:?} are not those of the rows {books:?}"));
    }
    if !books.balance() {
        faults.push("the books do not balance".to_owned());
    }
    Ok(Finding { books, faults })
}

/// Reads every message that still waits for something. A damaged one is left out here, so that the rest can be counted.
fn check_messages(connection: &Connection, faults: &mut Vec<String>) -> rusqlite::Result<i64> {
    let mut damaged = 0;
    let mut statement = connection.prepare("SELECT DISTINCT message FROM copy WHERE batch IS NULL")?;
    for seq in statement.query_map([], |row| row.get::<_, i64>(0))? {
        let seq = seq?;
        let fault = match batch::messages(connection, &[seq]) {
            Err(error) => format!("message {seq} cannot be read: {error}"),
            Ok(read) if !is_intact(connection, &read[0])? => format!("message {seq} is not what was handed in"),
            Ok(_) => continue,
        };
        damaged += 1;
        faults.push(fault);
    }
    Ok(damaged)
}

/// Renders every undelivered batch's transcript again: its digest was fixed when it was sealed.
fn check_batches(connection: &Connection, faults: &mut Vec<String>) -> rusqlite::Result<()> {
    let sql = "SELECT id, endpoint, sequence FROM batch WHERE state NOT IN ('delivered', 'replaced') ORDER BY id";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))?;
    for row in rows {
        let (id, endpoint, sequence) = row?;
        if matches!(mail::read(connection, id), Ok(Stored::Damaged(_))) {
            faults.push(format!("batch {endpoint}-{sequence}: its mail is not what was stored"));
        }
        match batch::load(connection, id) {
            Err(error) => faults.push(format!("batch {endpoint}-{sequence} cannot be read: {error}")),
            Ok(sealed) => {
                let transcript =
                    render::transcript(&sealed.endpoint, &sealed.source, &sealed.conversation, &sealed.messages);
                if transcript.digest != sealed.digest {
                    faults.push(format!("batch {endpoint}-{sequence} is not what was sealed: its digest differs"));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Spool;

    #[test]
    fn a_spool_of_an_earlier_format_is_checked_and_stays_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = Connection::open(folder.path().join("spool.db")).expect("a database");
        schema::first_format(&connection);
        // What was written by hand is no message, nor a batch of one.
        connection
            .execute_batch("DELETE FROM batch; DELETE FROM copy; DELETE FROM message; DELETE FROM ledger")
            .expect("ok");
        connection.execute("UPDATE books SET acknowledged = 0, waiting = 0, excluded = 0", []).expect("written");
        let finding = fsck(folder.path()).expect("readable");
        assert_eq!((finding.books, finding.faults), (Books::default(), vec![]));
        let version = connection.query_row("SELECT version FROM format", [], |row| row.get::<_, i64>(0));
        assert_eq!(version.expect("readable"), 1);
        drop(Spool::open(folder.path()).expect("a spool"));
        let version = connection.query_row("SELECT version FROM format", [], |row| row.get::<_, i64>(0));
        assert_eq!(version.expect("readable"), schema::FORMAT);
    }
}
