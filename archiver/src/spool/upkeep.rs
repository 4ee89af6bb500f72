//! What the writer does beside its commits: it keeps the ledger's index and the WAL in bounds, and looks at the room.
//!
//! The WAL is copied into the file when it is long enough, between two commits: those wait some ten milliseconds who come
//! meanwhile, instead of anybody whose commit happens to cross a line. No reader is waited for, unless the WAL is far too
//! long, and what cannot be copied now is copied later. When nothing else is to do, its space is given back.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;
use tracing::{debug, warn};

use super::{
    error::WriteError,
    ledger::Merge,
    room::{Look, Room, Space, Volume, reserve, space},
};

/// The WAL's length that is copied into the file; on a small volume less.
const LONG: i64 = 16 << 20;
const LEAST: i64 = 1 << 20;
/// How many times longer it may be before readers are waited for: a WAL can only begin anew when none reads its end.
const TOO_LONG: i64 = 8;
/// How long they are waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// The length that an idle writer copies, and gives back.
const SHORT: i64 = 4 << 20;
/// How long there is nothing to do before a writer is idle.
const IDLE: Duration = Duration::from_millis(200);
/// How often the room is looked at while it is little.
const WATCHFUL: Duration = Duration::from_secs(1);
/// Free pages that an idle writer gives back to the volume at once, when a quarter of the file is free.
const PAGES: i64 = 512;

/// What is to be kept up.
pub(super) struct Upkeep {
    merge: Merge,
    page: i64,
    /// The WAL's length after the last commit.
    wal: i64,
    /// The length that is too much for it.
    long: i64,
    /// Whether something is left that an idle writer does.
    left: bool,
    folder: PathBuf,
    volume: Look,
    space: watch::Sender<Space>,
}

impl Upkeep {
    pub(super) fn new(
        connection: &Connection,
        folder: &Path,
        volume: Look,
        space: watch::Sender<Space>,
    ) -> rusqlite::Result<Self> {
        let page = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let (merge, folder) = (Merge::default(), folder.to_owned());
        Ok(Self { merge, page, wal: 0, long: LONG, left: true, folder, volume, space })
    }

    /// How long a writer without jobs waits for one, before it does what is left.
    pub(super) fn wakes(&self) -> Option<Duration> {
        let little = self.space.borrow().room != Room::Enough;
        self.left.then_some(IDLE).or(little.then_some(WATCHFUL))
    }

    /// Looks how much room there is.
    pub(super) fn look(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let free: i64 = connection.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))?;
        match (self.volume)(&self.folder) {
            Ok(volume) => self.tell(volume, free * self.page),
            Err(error) => warn!(%error, "nobody knows how much room there is"),
        }
        Ok(())
    }

    fn tell(&mut self, volume: Volume, pages: i64) {
        let share = i64::try_from(reserve(volume.size) / 4).unwrap_or(LONG);
        self.long = share.clamp(LEAST, LONG);
        let now = space(volume, u64::try_from(pages).unwrap_or(0));
        self.space.send_if_modified(|before| std::mem::replace(before, now).room != now.room);
    }

    /// The volume was full, whatever it said before.
    pub(super) fn full(&mut self) {
        self.space.send_if_modified(|before| std::mem::replace(&mut before.room, Room::None) != Room::None);
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
        self.wal = self.copy(connection, "NOOP")?;
        if self.wal >= self.long {
            self.wal = self.copy(connection, "PASSIVE")?;
        }
        if self.wal >= TOO_LONG * self.long {
            warn!(bytes = self.wal, "the WAL is too long; readers are waited for");
            connection.busy_timeout(PATIENCE)?;
            self.wal = self.copy(connection, "TRUNCATE")?;
        }
        Ok(self.look(connection)?)
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
        if self.copy(connection, "NOOP")? >= SHORT.min(self.long) {
            connection.busy_timeout(Duration::ZERO)?;
            self.copy(connection, "TRUNCATE")?;
        }
        self.shrink(connection)?;
        Ok(self.look(connection)?)
    }

    /// Gives some of many free pages back to the volume.
    fn shrink(&mut self, connection: &Connection) -> Result<(), WriteError> {
        let sql = "SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let (free, all) = connection.prepare_cached(sql)?.query_row([], row)?;
        if free < PAGES || free * 4 < all {
            return Ok(());
        }
        match connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})")).map_err(WriteError::from) {
            Err(WriteError::Full | WriteError::Refused(_)) => Ok(()),
            shrunk => {
                self.left = true;
                shrunk
            }
        }
    }

    /// Answers how long the part of the WAL is that the file lacks, after a checkpoint of that kind.
    fn copy(&self, connection: &Connection, kind: &str) -> Result<i64, WriteError> {
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
