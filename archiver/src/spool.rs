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
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};
use tracing::{error, warn};
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
pub(crate) mod schema;
pub mod split;
pub mod tries;
mod upkeep;

use crate::offload::offload;
use readers::Readers;
use room::{Look, Space};
use upkeep::Upkeep;

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the spool {0} is in use by another process")]
    Locked(PathBuf),
    /// It was written by a version that this one is too old for.
    #[error("the spool {path} needs format {needs}, and this program knows up to {knows}: use a newer version")]
    Newer {
        /// Which spool.
        path: PathBuf,
        /// The oldest format number that may open it.
        needs: i64,
        /// The newest that this program knows.
        knows: i64,
    },
    /// The folder cannot be used.
    #[error("the spool {0} cannot be used: {1}")]
    Io(PathBuf, std::io::Error),
    /// The file is no spool, or damaged.
    #[error("the spool {0} cannot be read: {1}")]
    Database(PathBuf, rusqlite::Error),
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk is full. Nothing of the job was kept; later ones may succeed.
    #[error("the volume is full")]
    Full,
    /// The disk failed. Nothing is written any more.
    #[error("the volume failed: {0}")]
    Fatal(String),
    /// The job was wrong; others are not concerned.
    #[error("the database refused: {0}")]
    Refused(rusqlite::Error),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            // A damaged page is damaged for whoever needs it, at every start: the others go on.
            Some(ErrorCode::DatabaseCorrupt) => Self::Refused(error),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) | None => {
                Self::Refused(error)
            }
            Some(_) => Self::Fatal(error.to_string()),
        }
    }
}

impl WriteError {
    /// The same for another of those that it concerns.
    fn again(&self) -> Self {
        match self {
            Self::Full => Self::Full,
            Self::Fatal(cause) => Self::Fatal(cause.clone()),
            Self::Refused(error) => Self::Fatal(error.to_string()),
        }
    }
}

/// An error of a job, which may be one of the spool.
pub trait JobError: From<WriteError> + From<rusqlite::Error> + Send + 'static {
    /// The spool's error that it is.
    fn of_spool(&self) -> Option<&WriteError>;
}

impl JobError for WriteError {
    fn of_spool(&self) -> Option<&WriteError> {
        Some(self)
    }
}

/// What a job answers with, once the fate of its commit is known.
type Answer = Box<dyn FnOnce(Result<(), WriteError>) + Send>;
/// The second part is there when the job cost the group its transaction.
type Job = Box<dyn FnOnce(&Connection) -> (Answer, Option<WriteError>) + Send>;

/// What is said of a transaction that the database ended by itself, when it did not say why.
const LOST: &str = "the database ended the transaction";

/// The largest group of jobs in one commit: bounds how long the first of them waits for the last.
const GROUP: usize = 512;

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
        let uuid = schema::prepare(&writer).map_err(database)?.map_err(|needs| OpenError::Newer {
            path: folder.to_owned(),
            needs,
            knows: schema::FORMAT,
        })?;
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
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let done = in_savepoint(connection, job);
            let lost = match done.as_ref().err().and_then(JobError::of_spool) {
                Some(error @ WriteError::Fatal(_)) => Some(error.again()),
                error if connection.is_autocommit() => {
                    Some(error.map_or(WriteError::Fatal(LOST.to_owned()), WriteError::again))
                }
                _ => None,
            };
            let answer = move |committed: Result<(), WriteError>| {
                let answer = match (committed, done) {
                    (Ok(()), Ok(value)) => {
                        after(&value);
                        Ok(value)
                    }
                    (Ok(()), Err(error)) => Err(error),
                    (Err(error), _) => Err(error.into()),
                };
                // Whoever asked may have gone; what was written stays written.
                let _ = sender.send(answer);
            };
            (Box::new(answer), lost)
        });
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

/// The side of the spool that commits. There is one, and it ends when the last [`Spool`] goes or the disk fails.
pub struct Writer {
    connection: Connection,
    upkeep: Upkeep,
    queue: mpsc::Receiver<Job>,
}

impl Writer {
    /// Commits group after group. An error is fatal: the process must end with exit code 4.
    pub async fn run(self) -> Result<(), WriteError> {
        let Self { mut connection, mut upkeep, mut queue } = self;
        loop {
            let mut group = Vec::new();
            let received = queue.recv_many(&mut group, GROUP);
            let received = match upkeep.wakes() {
                Some(wake) => timeout(wake, received).await.ok(),
                None => Some(received.await),
            };
            if received == Some(0) {
                return Ok(());
            }
            let work = move || {
                let outcome = match group.is_empty() {
                    true => upkeep.idle(&connection),
                    false => commit(&connection, group, &mut upkeep),
                };
                (connection, upkeep, outcome)
            };
            let outcome;
            (connection, upkeep, outcome) =
                offload(work).await.map_err(|panic| WriteError::Fatal(panic.to_string()))?;
            if let Err(WriteError::Fatal(cause)) = outcome {
                error!(cause, "the spool cannot be written any more");
                return Err(WriteError::Fatal(cause));
            }
        }
    }
}

/// One commit for all jobs of `group`; then, and only then, their answers.
fn commit(connection: &Connection, group: Vec<Job>, upkeep: &mut Upkeep) -> Result<(), WriteError> {
    let mut answers = Vec::with_capacity(group.len());
    let mut outcome = connection.execute_batch("BEGIN IMMEDIATE").map_err(WriteError::from);
    for job in group {
        let (answer, lost) = job(connection);
        answers.push(answer);
        // A full or broken disk rolls back by itself. The jobs after it find no transaction, and do nothing.
        outcome = match (outcome, lost) {
            (Ok(()), Some(lost)) => Err(lost),
            (outcome, _) => outcome,
        };
    }
    let outcome = outcome.and_then(|()| upkeep.join(connection));
    let outcome = outcome.and_then(|()| connection.execute_batch("COMMIT").map_err(WriteError::from));
    if outcome.is_err() && !connection.is_autocommit() {
        // Nothing to add when this fails too: the outcome already says that nothing was kept.
        let _ = connection.execute_batch("ROLLBACK");
    }
    for answer in answers {
        answer(outcome.as_ref().copied().map_err(WriteError::again));
    }
    match outcome {
        Ok(()) => upkeep.after(connection),
        Err(WriteError::Full) => {
            upkeep.full();
            Err(WriteError::Full)
        }
        outcome => outcome,
    }
}

fn in_savepoint<T, E: JobError>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    if connection.is_autocommit() {
        return Err(WriteError::Fatal(LOST.to_owned()).into());
    }
    connection.execute_batch("SAVEPOINT job")?;
    let done = job(connection);
    if !connection.is_autocommit() {
        connection.execute_batch(if done.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" })?;
    }
    done
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
