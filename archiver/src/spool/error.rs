//! What the spool answers when it cannot do something.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::schema;

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

impl OpenError {
    /// The spool in `folder` needs this format, which is newer than ours.
    pub(super) fn newer(folder: &Path, needs: i64) -> Self {
        Self::Newer { path: folder.to_owned(), needs, knows: schema::FORMAT }
    }
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
    pub(super) fn again(&self) -> Self {
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
