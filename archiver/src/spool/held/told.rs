//! What a person is told of batches, held or not, and of what is held in no batch.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use super::ASKED;
use crate::{
    message::{Conversation, ConversationKind, Message, Person},
    render,
    spool::{
        batch::members,
        columns::{time, time_if_any},
    },
};

/// The most that is told of a room, or of two people.
const SUBJECT: usize = 40;

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// `ENDPOINT-SEQUENCE`.
    pub batch: String,
    /// Its endpoint.
    pub endpoint: String,
    /// Its number there.
    pub sequence: i64,
    /// waiting, held, delivered or replaced.
    pub state: String,
    /// How many messages it has.
    pub messages: i64,
    /// The chat system.
    pub source: String,
    /// The conversation; none when it cannot be read.
    pub conversation: Option<Conversation>,
    /// The room's name, or the two people's.
    pub subject: String,
    /// When its oldest message was taken.
    pub oldest_at: Timestamp,
    /// Why it is held.
    pub reason: Option<String>,
}

/// Messages of an endpoint that are held in no batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// The endpoint.
    pub endpoint: String,
    /// How many.
    pub messages: i64,
    /// When the oldest of them was taken.
    pub oldest_at: Timestamp,
    /// Why.
    pub reason: String,
}

/// All that is known of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// What a list shows.
    #[serde(flatten)]
    pub batch: Batch,
    /// The UID of the endpoint that it was sealed for.
    pub endpoint_uid: String,
    /// Lower-case hex SHA-256 of `transcript.json`.
    pub digest: String,
    /// That of the batch before.
    pub previous_digest: Option<String>,
    /// Sequence and digest of the batch that it stands in for.
    pub replaces: Option<String>,
    /// Without angle brackets.
    pub message_id: String,
    /// How often its mail was rendered anew, under another Message-ID.
    pub revision: i64,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// Failed tries.
    pub attempts: i64,
    /// When it is tried again at the earliest, when it has a ladder of its own.
    pub next_at: Option<Timestamp>,
    /// Whether the archive may have the mail.
    pub may_be_there: bool,
    /// When the archive took it.
    pub delivered_at: Option<Timestamp>,
    /// The archive's words when it took it.
    pub reply: Option<String>,
    /// Its messages, in their order.
    pub members: Vec<Member>,
    /// What a person can do.
    pub advice: String,
}

/// A message of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The chat system; none when it is forgotten.
    pub source: Option<String>,
    /// Its name there.
    pub id: Option<String>,
    /// When it was said; none when its content is not there, or cannot be read.
    pub sent_at: Option<Timestamp>,
    /// When it was taken.
    pub received_at: Option<Timestamp>,
}

/// What a list shows of `batches`. A damaged row is shown as far as it can be read.
pub fn rows(connection: &Connection, batches: &[i64]) -> rusqlite::Result<Vec<Batch>> {
    batches.iter().map(|batch| row(connection, *batch)).collect()
}

fn row(connection: &Connection, batch: i64) -> rusqlite::Result<Batch> {
    let sql = "SELECT endpoint, sequence, state, messages, source, conversation, oldest_at, reason
               FROM batch WHERE id = ?1";
    let mut found = connection.prepare_cached(sql)?.query_row([batch], |row| {
        let (endpoint, sequence): (String, i64) = (row.get(0)?, row.get(1)?);
        Ok(Batch {
            batch: format!("{endpoint}-{sequence}"),
            endpoint,
            sequence,
            state: row.get(2)?,
            messages: row.get(3)?,
            source: row.get(4)?,
            conversation: serde_json::from_str(&row.get::<_, String>(5)?).ok(),
            subject: String::new(),
            oldest_at: time(6, row.get(6)?)?,
            reason: row.get(7)?,
        })
    })?;
    let first = members(connection, batch)?.first().copied();
    found.subject = subject(connection, found.conversation.as_ref(), first)?;
    Ok(found)
}

/// The room's name, or the two people's.
fn subject(
    connection: &Connection,
    conversation: Option<&Conversation>,
    first: Option<i64>,
) -> rusqlite::Result<String> {
    let Some(conversation) = conversation else { return Ok("(damaged)".to_owned()) };
    let label = |person: &Person| person.name.clone().unwrap_or_else(|| person.address.to_string());
    let name = match conversation.kind {
        ConversationKind::Room => conversation.name.clone(),
        ConversationKind::Direct => match first.map(|seq| message(connection, seq)).transpose()?.flatten() {
            Some(Message { sender, recipients, .. }) => {
                let other = recipients.iter().find(|person| person.address != sender.address);
                let people: Vec<_> = std::iter::once(&sender).chain(other).map(label).collect();
                Some(people.join(", "))
            }
            None => None,
        },
    };
    Ok(render::line(name.as_deref().unwrap_or(&conversation.id), SUBJECT))
}

/// A message without its attachments' content; `None` when it is not there, or cannot be understood.
pub(in crate::spool) fn message(connection: &Connection, seq: i64) -> rusqlite::Result<Option<Message>> {
    let sql = "SELECT document FROM message WHERE seq = ?1";
    let document: Option<Vec<u8>> = connection.prepare_cached(sql)?.query_row([seq], |row| row.get(0)).optional()?;
    Ok(document.and_then(|document| serde_json::from_slice(&document).ok()))
}

/// What is held in no batch: by endpoint and reason.
pub fn open(connection: &Connection, endpoint: Option<&str>, reason: Option<&str>) -> rusqlite::Result<Vec<Open>> {
    let asked = ASKED.replace("REASON", "copy.held");
    let sql = format!(
        "SELECT copy.endpoint, copy.held, count(*), coalesce(min(copy.received_at), 0)
         FROM tally CROSS JOIN copy ON copy.endpoint = tally.endpoint
         WHERE tally.open_held > 0 AND (?1 IS NULL OR tally.endpoint = ?1)
         AND copy.batch IS NULL AND copy.held IS NOT NULL AND {asked} GROUP BY 1, 2"
    );
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Open { endpoint: row.get(0)?, reason: row.get(1)?, messages: row.get(2)?, oldest_at: time(3, row.get(3)?)? })
    };
    connection.prepare_cached(&sql)?.query_map((endpoint, reason), row)?.collect()
}

/// All that is known of a batch; what to do about it is not.
pub fn details(connection: &Connection, batch: i64) -> rusqlite::Result<Details> {
    let shown = row(connection, batch)?;
    let sql =
        "SELECT endpoint_uid, digest, previous_digest, replaces, message_id, revision, sealed_at, attempts, next_at,
                      maybe, delivered_at, reply FROM batch WHERE id = ?1";
    let mut details = connection.prepare_cached(sql)?.query_row([batch], |row| {
        Ok(Details {
            batch: shown,
            endpoint_uid: row.get(0)?,
            digest: row.get(1)?,
            previous_digest: row.get(2)?,
            replaces: row.get(3)?,
            message_id: row.get(4)?,
            revision: row.get(5)?,
            sealed_at: time(6, row.get(6)?)?,
            attempts: row.get(7)?,
            next_at: time_if_any(row, 8)?,
            may_be_there: row.get::<_, i64>(9)? > 0,
            delivered_at: time_if_any(row, 10)?,
            reply: row.get(11)?,
            members: Vec::new(),
            advice: String::new(),
        })
    })?;
    for seq in members(connection, batch)? {
        details.members.push(member(connection, seq)?);
    }
    Ok(details)
}

fn member(connection: &Connection, seq: i64) -> rusqlite::Result<Member> {
    let sql = "SELECT source, id, received_at FROM ledger WHERE entry = ?1";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, time(2, row.get(2)?)?));
    let entered: Option<(String, String, Timestamp)> =
        connection.prepare_cached(sql)?.query_row([seq], row).optional()?;
    let sent_at = message(connection, seq)?.map(|message| message.sent_at);
    let (source, id, received_at) = match entered {
        Some((source, id, received_at)) => (Some(source), Some(id), Some(received_at)),
        None => (None, None, None),
    };
    Ok(Member { source, id, sent_at, received_at })
}
