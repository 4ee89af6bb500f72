//! The ledger: one row for every acknowledged message, which outlives its content.
//!
//! # Promises
//!
//! - A message is found by its source and id from the moment it is in the ledger, whatever happened between.
//! - Taking messages only appends. Sources and ids come in no order, so an index of them, kept up to date with every
//!   message, would rewrite a page of the file for each: the index lags instead. The entries after the *mark* are in no
//!   index but one in memory, a temporary table of the writing connection, which shares the fate of each transaction and
//!   is made again at start. When there are many, they are merged into the index in the order of their hashes, a
//!   bounded step with each commit; then the mark moves on.
//! - A crash at any point costs nothing: what is in the index already is merged once more without harm.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::columns::time;

/// Entries after the mark that begin a merge: what a start has to read, and a look-up may have to go through.
const TAIL: i64 = 65_536;
/// When nothing else is to do, fewer do.
const IDLE_TAIL: i64 = 4_096;
/// Entries that are merged in one step: some 10 ms, which those wait whose messages are in the same commit.
const STEP: i64 = 2_048;

/// A message in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Its number: of a stored message its place in the order of commits.
    pub entry: i64,
    /// SHA-256 of the message as received, in canonical JSON.
    pub digest: Vec<u8>,
    /// When it was taken.
    pub received_at: Timestamp,
    /// Whether policy said not to archive it.
    pub excluded: bool,
}

/// What the index is ordered by. Two messages may share it: their sources and ids decide.
pub(super) fn hash(source: &str, id: &str) -> i64 {
    let mut hash = Sha256::new();
    hash.update(source);
    hash.update([0]);
    hash.update(id);
    let digest = hash.finalize();
    digest[..8].iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// Looks for a message. A connection that only reads has no index of the newest entries, and goes through them.
pub fn find(connection: &Connection, source: &str, id: &str) -> rusqlite::Result<Option<Entered>> {
    let newest = match connection.is_readonly(rusqlite::MAIN_DB)? {
        true => "SELECT entry FROM ledger WHERE entry > (SELECT entry FROM ledger_mark) AND hash = ?1",
        false => "SELECT entry FROM temp.ledger_tail WHERE hash = ?1",
    };
    // One statement, so that no entry moves from one part to the other between two looks.
    let sql = format!(
        "SELECT entry, digest, received_at, excluded FROM ledger
         WHERE entry IN (SELECT entry FROM ledger_index WHERE hash = ?1 UNION ALL {newest}) AND source = ?2 AND id = ?3"
    );
    let row = |row: &rusqlite::Row<'_>| {
        let (entry, digest, excluded) = (row.get(0)?, row.get(1)?, row.get(3)?);
        Ok(Entered { entry, digest, received_at: time(2, row.get(2)?)?, excluded })
    };
    connection.prepare_cached(&sql)?.query_row(params![hash(source, id), source, id], row).optional()
}

/// Enters messages, in the order of their numbers.
pub(super) struct Ledger<'c> {
    known: rusqlite::CachedStatement<'c>,
    enter: rusqlite::CachedStatement<'c>,
    note: rusqlite::CachedStatement<'c>,
    find: &'c Connection,
}

impl<'c> Ledger<'c> {
    /// The ledger of a connection that writes.
    pub(super) fn open(connection: &'c Connection) -> rusqlite::Result<Self> {
        let known = "SELECT 1 FROM temp.ledger_tail WHERE hash = ?1
                     UNION ALL SELECT 1 FROM ledger_index WHERE hash = ?1";
        let enter = "INSERT INTO ledger (hash, source, id, digest, received_at, excluded)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let note = "INSERT INTO temp.ledger_tail (hash, entry) VALUES (?1, ?2)";
        Ok(Self {
            known: connection.prepare_cached(known)?,
            enter: connection.prepare_cached(enter)?,
            note: connection.prepare_cached(note)?,
            find: connection,
        })
    }

    /// What is known of a message with this source and id, whose hash is `hash`.
    pub(super) fn find(&mut self, hash: i64, source: &str, id: &str) -> rusqlite::Result<Option<Entered>> {
        // Nearly every message is new: a look at two indexes says so.
        match self.known.exists([hash])? {
            true => find(self.find, source, id),
            false => Ok(None),
        }
    }

    /// Enters a message that is not known; answers its number.
    pub(super) fn enter(
        &mut self,
        hash: i64,
        (source, id): (&str, &str),
        digest: &[u8; 32],
        excluded: bool,
        now: Timestamp,
    ) -> rusqlite::Result<i64> {
        let row = params![hash, source, id, digest, now.as_millisecond(), excluded];
        let number = self.enter.insert(row)?;
        self.note.execute((hash, number))?;
        Ok(number)
    }
}

/// Makes the index of the newest entries, in memory.
pub(super) fn attach(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS ledger_tail (
             hash INTEGER NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (hash, entry)
         ) STRICT, WITHOUT ROWID;
         DELETE FROM temp.ledger_tail;
         INSERT INTO temp.ledger_tail
             SELECT hash, entry FROM main.ledger WHERE entry > (SELECT entry FROM main.ledger_mark) ORDER BY hash;",
    )
}

/// The merging of the newest entries into the index.
#[derive(Debug, Default)]
pub(super) struct Merge {
    /// The entries up to this one are being merged.
    target: Option<i64>,
}

impl Merge {
    /// Whether there is something to merge; `idle` when there is nothing else to do.
    pub(super) fn is_due(&self, connection: &Connection, idle: bool) -> rusqlite::Result<bool> {
        if self.target.is_some() {
            return Ok(true);
        }
        let (last, mark) = ends(connection)?;
        Ok(last - mark >= if idle { IDLE_TAIL } else { TAIL })
    }

    /// Merges some entries, within the caller's transaction.
    pub(super) fn step(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let target = match self.target {
            Some(target) => target,
            None => ends(connection)?.0,
        };
        self.target = Some(target);
        let sql = "SELECT hash, entry FROM temp.ledger_tail WHERE entry <= ?1 ORDER BY hash LIMIT ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map((target, STEP), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let some: Vec<(i64, i64)> = rows.collect::<Result<_, _>>()?;
        // After a crash some are there already.
        let mut index =
            connection.prepare_cached("INSERT OR IGNORE INTO ledger_index (hash, entry) VALUES (?1, ?2)")?;
        let mut forget = connection.prepare_cached("DELETE FROM temp.ledger_tail WHERE hash = ?1 AND entry = ?2")?;
        for row in &some {
            index.execute(*row)?;
            forget.execute(*row)?;
        }
        if (some.len() as i64) < STEP {
            connection.prepare_cached("UPDATE ledger_mark SET entry = ?1")?.execute([target])?;
            self.target = None;
        }
        Ok(())
    }
}

/// The last entry, and the mark.
fn ends(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let sql = "SELECT (SELECT coalesce(max(entry), 0) FROM ledger), (SELECT entry FROM ledger_mark)";
    connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::samples::spool;

    fn enter(connection: &Connection, hash: i64, id: usize) {
        let sql =
            "INSERT INTO ledger (hash, source, id, digest, received_at, excluded) VALUES (?1, 's', ?2, x'00', 0, 1)";
        connection.execute(sql, params![hash, id.to_string()]).expect("entered");
    }

    fn finds(connection: &Connection, ids: usize) -> bool {
        (0..ids).all(|id| find(connection, "s", &id.to_string()).expect("readable").is_some())
    }

    #[test]
    fn every_entry_is_found_before_while_and_after_it_is_merged_and_after_a_crash_between() {
        let connection = spool();
        let many = 2 * STEP as usize + 10;
        (0..many).for_each(|id| enter(&connection, hash("s", &id.to_string()), id));
        attach(&connection).expect("read");
        let mut merge = Merge::default();
        for _ in 0..2 {
            assert!(merge.is_due(&connection, true).expect("readable"));
            merge.step(&connection).expect("merged");
            assert!(finds(&connection, many));
        }
        attach(&connection).expect("read again after a crash");
        let mut merge = Merge::default();
        while merge.is_due(&connection, true).expect("readable") {
            merge.step(&connection).expect("merged");
            assert!(finds(&connection, many));
        }
        let left = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table}");
            connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).expect("readable")
        };
        assert_eq!((left("temp.ledger_tail"), left("ledger_index")), (0, many as i64));
    }

    #[test]
    fn two_messages_of_one_hash_are_told_apart() {
        let connection = spool();
        let same = hash("s", "1");
        enter(&connection, same, 2);
        enter(&connection, same, 1);
        attach(&connection).expect("read");
        assert_eq!(find(&connection, "s", "1").expect("readable").map(|found| found.entry), Some(2));
        assert_eq!(find(&connection, "s", "3").expect("readable"), None);
    }
}
