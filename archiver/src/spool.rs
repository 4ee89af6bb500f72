//! The durable store of messages and batches: one SQLite file on the archiver's volume.
//!
//! # Promises
//!
//! - What [`Spool::write`] answered is on the disk: the answer comes after the commit, and the commit ends with an
//!   fsync (`synchronous=FULL`).
//! - One connection writes. All that arrives during one commit forms the next, so that one fsync carries many requests.
//! - A request is stored whole or not at all: each job runs in a savepoint of its own.
//! - An fsync is never retried. After a failed one nobody knows which pages reached the disk, so the spool answers
//!   [`WriteError::Fatal`] from then on, and the process ends, and recovers at its next start.
//!
//! # Files
//!
//! `spool.db` and its WAL; `lock`, held exclusively while a process has the spool open. Beside them, and none of the spool's
//! business: `admin.sock`, the certificate for callers, the mirrored resources.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rusqlite::Connection;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tracing::warn;
use uuid::Uuid;

pub mod append;
pub mod backlog;
pub mod batch;
pub mod books;
mod chunks;
pub mod clock;
mod columns;
pub mod deleted;
pub mod earlier;
mod error;
pub mod expire;
pub mod fsck;
pub mod group;
pub mod held;
pub mod intact;
pub mod ledger;
pub mod lookup;
pub mod mail;
pub mod open;
pub mod outage;
mod readers;
pub mod renew;
pub mod replay;
pub mod retain;
pub mod room;
#[cfg(test)]
mod samples;
pub(crate) mod schema;
pub mod split;
pub mod tries;
mod upkeep;
mod writer;

pub use error::{JobError, OpenError, WriteError};
use readers::Readers;
use room::{Look, Space};
use upkeep::Upkeep;
pub use writer::Writer;
use writer::{GROUP, Job, with_answer};

/// Between two tries of what waits for room.
const WHEN_FULL: Duration = Duration::from_secs(5);

/// A handle on the spool; clones share it.
#[derive(Clone)]
pub struct Spool {
    jobs: mpsc::Sender<Job>,
    readers: Readers,
    space: watch::Receiver<Space>,
    uuid: Uuid,
    /// Held until the last handle goes.
    _lock: Arc<File>,
}

impl Spool {
    /// Opens the spool in `folder`, making it when it is new. The second part must be run, to its end, by the caller.
    pub fn open(folder: &Path) -> Result<(Self, Writer), OpenError> {
        Self::open_on(folder, room::statvfs())
    }

    /// The same, on a volume that `look` tells of.
    pub fn open_on(folder: &Path, look: Look) -> Result<(Self, Writer), OpenError> {
        fs::create_dir_all(folder).map_err(|error| OpenError::Io(folder.to_owned(), error))?;
        let lock = lock(folder)?;
        let file = folder.join("spool.db");
        let database = |error| OpenError::Database(folder.to_owned(), error);
        let writer = Connection::open(&file).map_err(database)?;
        let uuid = schema::prepare(&writer).map_err(database)?.map_err(|needs| OpenError::newer(folder, needs))?;
        let (told, space) = watch::channel(Space::default());
        let mut upkeep = Upkeep::new(&writer, folder, look, told).map_err(database)?;
        upkeep.look(&writer).map_err(database)?;
        let readers = Readers::open(file).map_err(database)?;
        // The new files' names must survive a power cut as well as their content, or the first acknowledged message
        // could be in a file that nobody finds.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| OpenError::Io(folder.to_owned(), error))?;
        let (jobs, queue) = mpsc::channel(4 * GROUP);
        let spool = Self { jobs, readers, space, uuid, _lock: Arc::new(lock) };
        Ok((spool, Writer { connection: writer, upkeep, queue }))
    }

    /// Which spool this is: part of every Message-ID.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// How much room there is, as of the last commit or, when it is little, of the last second.
    pub fn space(&self) -> watch::Receiver<Space> {
        self.space.clone()
    }

    /// Runs `job` inside the next commit, and answers what it returned once that is durable. An `Err` of the job undoes
    /// what it did, and nothing else.
    ///
    /// `after` runs after the commit even when nobody waits for the answer any more.
    pub async fn write<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        after: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: JobError,
    {
        let (job, receiver) = with_answer(job, after);
        let gone = || WriteError::Fatal("the spool has stopped".to_owned());
        self.jobs.send(job).await.map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    /// The same for what cannot be given up while the volume is full: it waits, and tries again.
    pub async fn write_waiting<T: Send + 'static>(
        &self,
        job: impl Fn(&Connection) -> rusqlite::Result<T> + Send + Sync + 'static,
    ) -> Result<T, WriteError> {
        let job = Arc::new(job);
        loop {
            let again = job.clone();
            match self.write(move |connection| Ok::<_, WriteError>(again(connection)?), |_| {}).await {
                Err(WriteError::Full) => {
                    warn!("the volume is full; what has to be written waits");
                    sleep(WHEN_FULL).await;
                }
                written => return written,
            }
        }
    }

    /// Runs `query` on a connection that cannot write, and that nobody else uses meanwhile.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        self.readers.read(query).await
    }
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let io = |error| OpenError::Io(folder.to_owned(), error);
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}
