//! Taking messages: into the ledger and onto the end of the spool.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{WriteError, books::Books};
use crate::{message::ConversationKind, route::Route};

/// The largest piece of content in one row: a larger one would need as much memory at once, for every reader.
pub(super) const CHUNK: usize = 1 << 20;

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

/// What windows group a message by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// The chat system.
    pub source: String,
    /// Two people, or a room.
    pub kind: ConversationKind,
    /// Direct: the two addresses, sorted; room: its id.
    pub thread: String,
    /// Whose message it is.
    pub sender: String,
}

/// A copy of a message for an endpoint, in no batch yet.
#[derive(Clone, Debug)]
pub struct OpenCopy {
    /// The endpoint; `None` when there is none yet.
    pub endpoint: Option<String>,
    /// The message's place in the order of commits.
    pub seq: i64,
    /// When it was taken.
    pub received_at: Timestamp,
    /// Its size, attachments included.
    pub bytes: u64,
    /// What windows group it by.
    pub group: Group,
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

impl super::JobError for AppendError {
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
    for (index, entry) in entries.iter().enumerate() {
        match known(connection, entry)? {
            Some((digest, _)) if digest != entry.digest => conflicts.push(index),
            Some((_, None)) => appended.outcomes.push(Outcome::Excluded),
            Some((_, Some(_))) => appended.outcomes.push(Outcome::Repeated),
            None => {
                moved.acknowledged += 1;
                let outcome = match &entry.route {
                    Route::Excluded => {
                        moved.excluded += 1;
                        enter(connection, entry, None, now)?;
                        Outcome::Excluded
                    }
                    Route::To(endpoints) => {
                        moved.waiting += 1;
                        let seq = store(connection, entry, now)?;
                        enter(connection, entry, Some(seq), now)?;
                        for endpoint in endpoints {
                            insert_copy(connection, seq, endpoint.as_deref())?;
                            appended.copies.push(OpenCopy {
                                endpoint: endpoint.clone(),
                                seq,
                                received_at: now,
                                bytes: entry.bytes(),
                                group: entry.group.clone(),
                            });
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
    moved.add(connection)?;
    Ok(appended)
}

impl Entry {
    /// The size in the spool.
    pub fn bytes(&self) -> u64 {
        let contents: usize = self.contents.iter().flatten().map(Vec::len).sum();
        (self.document.len() + contents) as u64
    }
}

type Known = (Vec<u8>, Option<i64>);

fn known(connection: &Connection, entry: &Entry) -> rusqlite::Result<Option<Known>> {
    let sql = "SELECT digest, message FROM ledger WHERE source = ?1 AND id = ?2";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    connection.prepare_cached(sql)?.query_row((&entry.source, &entry.id), row).optional()
}

fn enter(connection: &Connection, entry: &Entry, message: Option<i64>, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "INSERT INTO ledger (source, id, digest, received_at, message) VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = params![entry.source, entry.id, entry.digest, now.as_millisecond(), message];
    connection.prepare_cached(sql)?.execute(row).map(drop)
}

fn store(connection: &Connection, entry: &Entry, now: Timestamp) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO message (received_at, source, id, room, thread, sender, bytes, document)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    connection.prepare_cached(sql)?.execute(params![
        now.as_millisecond(),
        entry.source,
        entry.id,
        entry.group.kind == ConversationKind::Room,
        entry.group.thread,
        entry.group.sender,
        entry.bytes() as i64,
        entry.document,
    ])?;
    let seq = connection.last_insert_rowid();
    let sql = "INSERT INTO content (message, attachment, chunk, bytes) VALUES (?1, ?2, ?3, ?4)";
    for (attachment, content) in entry.contents.iter().enumerate() {
        let Some(content) = content else { continue };
        for (chunk, bytes) in content.chunks(CHUNK).enumerate() {
            connection.prepare_cached(sql)?.execute(params![seq, attachment as i64, chunk as i64, bytes])?;
        }
    }
    Ok(seq)
}

pub(super) fn insert_copy(connection: &Connection, seq: i64, endpoint: Option<&str>) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO copy (message, endpoint) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute((seq, endpoint.unwrap_or(""))).map(drop)
}
