//! What the writer does beside its commits: it keeps the ledger's index and the WAL in bounds.
//!
//! The WAL is copied into the file when it is long enough, between two commits: those wait some ten milliseconds who come
//! meanwhile, instead of anybody whose commit happens to cross a line. No reader is waited for, unless the WAL is far too
//! long, and what cannot be copied now is copied later. When nothing else is to do, its space is given back.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tracing::{debug, warn};

use super::{WriteError, ledger::Merge};

/// The WAL's length that is copied into the file.
const LONG: i64 = 16 << 20;
/// The length at which readers are waited for: a WAL can only begin anew when none reads its end.
const TOO_LONG: i64 = 8 * LONG;
/// How long they are waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// The length that an idle writer gives back.
const IDLE: i64 = 4 << 20;

/// What is to be kept up.
#[derive(Debug)]
pub(super) struct Upkeep {
    merge: Merge,
    page: i64,
    /// The WAL's length after the last commit.
    wal: i64,
    /// Whether something is left that an idle writer does.
    left: bool,
}

impl Upkeep {
    pub(super) fn new(connection: &Connection) -> rusqlite::Result<Self> {
        let page = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        Ok(Self { merge: Merge::default(), page, wal: 0, left: true })
    }

    /// Whether there is something to do when nothing else is.
    pub(super) fn is_left(&self) -> bool {
        self.left
    }

    /// Merges a part of the ledger's index, if that is due: within the transaction of a group, so that it costs no fsync.
    pub(super) fn join(&mut self, connection: &Connection) -> Result<(), WriteError> {
        if !self.merge.is_due(connection, false)? {
            return Ok(());
        }
        self.merge(connection)
    }

    fn merge(&mut self, connection: &Connection) -> Result<(), WriteError> {
        connection.execute_batch("SAVEPOINT merge")?;
        let merged = self.merge.step(connection);
        if !connection.is_autocommit() {
            connection.execute_batch(if merged.is_ok() {
                "RELEASE merge"
            } else {
                "ROLLBACK TO merge; RELEASE merge"
            })?;
        }
        match merged.map_err(WriteError::from) {
            // The messages of the group are no worse for it.
            Err(error @ (WriteError::Full | WriteError::Refused(_))) if !connection.is_autocommit() => {
                warn!(%error, "the ledger's index stays behind");
                Ok(())
            }
            merged => merged,
        }
    }

    /// After a commit.
    pub(super) fn after(&mut self, connection: &Connection) -> Result<(), WriteError> {
        self.left = true;
        self.wal = self.look(connection, "NOOP")?;
        if self.wal >= LONG {
            self.wal = self.look(connection, "PASSIVE")?;
        }
        if self.wal >= TOO_LONG {
            warn!(bytes = self.wal, "the WAL is too long; readers are waited for");
            connection.busy_timeout(PATIENCE)?;
            self.wal = self.look(connection, "TRUNCATE")?;
        }
        Ok(())
    }

    /// When nothing else is to do.
    pub(super) fn idle(&mut self, connection: &Connection) -> Result<(), WriteError> {
        self.left = self.merge.is_due(connection, true)?;
        if self.left {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let merged = self.merge(connection).and_then(|()| Ok(connection.execute_batch("COMMIT")?));
            if !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK")?;
            }
            return match merged {
                Err(WriteError::Full) => Ok(()),
                merged => merged,
            };
        }
        if self.look(connection, "NOOP")? >= IDLE {
            connection.busy_timeout(Duration::ZERO)?;
            self.look(connection, "TRUNCATE")?;
        }
        Ok(())
    }

    /// Answers how long the part of the WAL is that the file lacks, after a checkpoint of that kind.
    fn look(&self, connection: &Connection, kind: &str) -> Result<i64, WriteError> {
        let sql = format!("PRAGMA wal_checkpoint({kind})");
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        match connection.prepare_cached(&sql)?.query_row([], row) {
            // All of it copied: the next commit begins it anew.
            Ok((length, copied)) if length == copied => Ok(0),
            Ok((length, _)) => Ok(length.max(0) * self.page),
            Err(error) => match error.sqlite_error_code() {
                // Readers are in the way, or there is no room: it is tried again after a later commit. What is in the WAL is
                // as durable there.
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => {
                    debug!(%error, "the WAL stays as it is");
                    Ok(0)
                }
                _ => Err(error.into()),
            },
        }
    }
}
