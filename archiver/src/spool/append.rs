//! Taking messages: into the ledger and onto the end of the spool. Every row that a message costs is the last of its
//! table, or nearly so: a million messages later the next one costs what the first did.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, params};

pub use super::group::{Group, Threads};
use super::{
    books::Books,
    chunks::CHUNK,
    error::{JobError, WriteError},
    ledger::{Ledger, hash},
};
use crate::route::Route;

/// A message that may be stored: parsed, checked, and told where it goes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The chat system.
    pub source: String,
    /// The event's name in its source.
    pub id: String,
    /// SHA-256 of the message as received, in canonical JSON: tells a repetition from another message of the same id.
    pub digest: [u8; 32],
    /// What windows group by.
    pub group: Group,
    /// The document, as JSON text.
    pub document: Vec<u8>,
    /// The content of each attachment, in their order.
    pub contents: Vec<Option<Vec<u8>>>,
    /// Where it goes.
    pub route: Route,
}

/// A copy of a message for an endpoint, in no batch yet.
#[derive(Clone, Debug)]
pub struct OpenCopy {
    /// The endpoint; `None` when there is none yet.
    pub endpoint: Option<Arc<str>>,
    /// The message's place in the order of commits.
    pub seq: i64,
    /// When it was taken.
    pub received_at: Timestamp,
    /// Its size, attachments included.
    pub bytes: u64,
    /// What windows group it by.
    pub threads: Threads,
}

/// What became of an [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is durable now.
    Stored,
    /// It was durable before.
    Repeated,
    /// Policy says that it is not archived; that is durable now.
    Excluded,
}

/// Why a request was not stored.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// These entries, by index, repeat the id of another message.
    #[error("the id of another message is repeated")]
    Conflict(Vec<usize>),
    /// The spool could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<rusqlite::Error> for AppendError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Write(error.into())
    }
}

impl JobError for AppendError {
    fn of_spool(&self) -> Option<&WriteError> {
        match self {
            Self::Write(error) => Some(error),
            Self::Conflict(_) => None,
        }
    }
}

/// A stored request.
#[derive(Debug)]
pub struct Appended {
    /// What became of each entry.
    pub outcomes: Vec<Outcome>,
    /// The new copies, for the windows.
    pub copies: Vec<OpenCopy>,
}

/// Stores all of `entries`, or nothing when one of them conflicts.
pub fn append(connection: &Connection, entries: &[Entry], now: Timestamp) -> Result<Appended, AppendError> {
    let mut appended = Appended { outcomes: Vec::with_capacity(entries.len()), copies: Vec::new() };
    let mut conflicts = Vec::new();
    let mut moved = Books::default();
    let mut end = End::of(connection)?;
    for (index, entry) in entries.iter().enumerate() {
        let (hash, name) = (hash(&entry.source, &entry.id), (entry.source.as_str(), entry.id.as_str()));
        match end.ledger.find(hash, &entry.source, &entry.id)? {
            Some(known) if known.digest != entry.digest => conflicts.push(index),
            Some(known) if known.excluded => appended.outcomes.push(Outcome::Excluded),
            Some(_) => appended.outcomes.push(Outcome::Repeated),
            None => {
                moved.acknowledged += 1;
                let outcome = match &entry.route {
                    Route::Excluded => {
                        moved.excluded += 1;
                        end.ledger.enter(hash, name, &entry.digest, true, now)?;
                        Outcome::Excluded
                    }
                    Route::To(endpoints) => {
                        moved.waiting += 1;
                        moved.unrouted += i64::from(endpoints.contains(&None));
                        let seq = end.ledger.enter(hash, name, &entry.digest, false, now)?;
                        end.store(seq, entry, now)?;
                        let threads = entry.group.threads();
                        for endpoint in endpoints {
                            let endpoint = end.name(endpoint.as_deref());
                            let copy = OpenCopy { endpoint, seq, received_at: now, bytes: entry.bytes(), threads };
                            end.copy(&copy)?;
                            appended.copies.push(copy);
                        }
                        Outcome::Stored
                    }
                };
                appended.outcomes.push(outcome);
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(AppendError::Conflict(conflicts));
    }
    if moved != Books::default() {
        moved.add(connection)?;
    }
    Ok(appended)
}

/// The end of the spool, where all that a message needs is written.
struct End<'c> {
    ledger: Ledger<'c>,
    message: CachedStatement<'c>,
    copy: CachedStatement<'c>,
    connection: &'c Connection,
    /// Endpoints by name: a request's messages mostly go to the same.
    names: Vec<Arc<str>>,
}

impl Entry {
    /// The size in the spool.
    pub fn bytes(&self) -> u64 {
        let contents: usize = self.contents.iter().flatten().map(Vec::len).sum();
        (self.document.len() + contents) as u64
    }
}

impl<'c> End<'c> {
    fn of(connection: &'c Connection) -> rusqlite::Result<Self> {
        let message = "INSERT INTO message (seq, received_at, source, id, room, thread, sender, bytes, document)
                       VALUES (?1, ?2, ?3, ?4, 0, '', '', ?5, ?6)";
        let copy = "INSERT INTO copy (message, endpoint, whole, sender, bytes, received_at)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        Ok(Self {
            ledger: Ledger::open(connection)?,
            message: connection.prepare_cached(message)?,
            copy: connection.prepare_cached(copy)?,
            connection,
            names: Vec::new(),
        })
    }

    fn store(&mut self, seq: i64, entry: &Entry, now: Timestamp) -> rusqlite::Result<()> {
        let bytes = entry.bytes() as i64;
        let row = params![seq, now.as_millisecond(), entry.source, entry.id, bytes, entry.document];
        self.message.execute(row)?;
        let sql = "INSERT INTO content (message, attachment, chunk, bytes) VALUES (?1, ?2, ?3, ?4)";
        for (attachment, content) in entry.contents.iter().enumerate() {
            let Some(content) = content else { continue };
            for (chunk, bytes) in content.chunks(CHUNK).enumerate() {
                let row = params![seq, attachment as i64, chunk as i64, bytes];
                self.connection.prepare_cached(sql)?.execute(row)?;
            }
        }
        Ok(())
    }

    fn copy(&mut self, copy: &OpenCopy) -> rusqlite::Result<()> {
        let endpoint = copy.endpoint.as_deref().unwrap_or("");
        let (bytes, at) = (copy.bytes as i64, copy.received_at.as_millisecond());
        self.copy.execute((copy.seq, endpoint, copy.threads.whole, copy.threads.sender, bytes, at)).map(drop)
    }

    fn name(&mut self, endpoint: Option<&str>) -> Option<Arc<str>> {
        let endpoint = endpoint?;
        if let Some(name) = self.names.iter().find(|name| ***name == *endpoint) {
            return Some(name.clone());
        }
        let name: Arc<str> = endpoint.into();
        self.names.push(name.clone());
        Some(name)
    }
}
