//! The side of the spool that commits: groups of jobs, one transaction and one fsync each.

use rusqlite::Connection;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::error;

use super::{
    error::{JobError, WriteError},
    upkeep::Upkeep,
};
use crate::offload::offload;

/// What a job answers with, once the fate of its commit is known.
type Answer = Box<dyn FnOnce(Result<(), WriteError>) + Send>;
/// The second part is there when the job cost the group its transaction.
pub(super) type Job = Box<dyn FnOnce(&Connection) -> (Answer, Option<WriteError>) + Send>;

/// What is said of a transaction that the database ended by itself, when it did not say why.
const LOST: &str = "the database ended the transaction";

/// The largest group of jobs in one commit: bounds how long the first of them waits for the last.
pub(super) const GROUP: usize = 512;

/// The side of the spool that commits. There is one, and it ends when the last [`Spool`] goes or the disk fails.
pub struct Writer {
    pub(super) connection: Connection,
    pub(super) upkeep: Upkeep,
    pub(super) queue: mpsc::Receiver<Job>,
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

/// `job` for a group, and where its answer will be. `after` runs between the commit and the answer.
pub(super) fn with_answer<T, E>(
    job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    after: impl FnOnce(&T) + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, E>>)
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
    (job, receiver)
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
