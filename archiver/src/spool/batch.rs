//! Batches: sealing fixes what one mail carries; delivery, or a person, ends it.

use imarchive_crds::hex;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    books::settle,
    chunks::chunks,
    clock,
    columns::{from_json, json, time},
    mail,
};
use crate::{
    batch::Sealed,
    message::{Conversation, Recorded},
};

/// What a seal fixes: everything but the place in the endpoint's order, which the seal gives.
#[derive(Clone, Debug)]
pub struct Sealing {
    /// The endpoint's name.
    pub endpoint: String,
    /// The endpoint's UID.
    pub endpoint_uid: String,
    /// The right side of the Message-ID.
    pub from_domain: String,
    /// The chat system.
    pub source: String,
    /// The conversation.
    pub conversation: Conversation,
    /// The messages, in the order they were taken.
    pub members: Vec<i64>,
    /// When the oldest of them was taken.
    pub oldest_at: Timestamp,
    /// Lower-case hex SHA-256 of `transcript.json`.
    pub digest: String,
}

/// Fixes members, sequence, digest and Previous-Digest in one small transaction: the mail is rendered from them outside.
pub fn seal(connection: &Connection, spool: Uuid, sealing: &Sealing, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "SELECT sequence, digest FROM batch WHERE endpoint = ?1 ORDER BY sequence DESC LIMIT 1";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let last = connection.prepare_cached(sql)?.query_row([&sealing.endpoint], row).optional()?;
    let sequence = last.as_ref().map_or(1, |(sequence, _)| sequence + 1);
    let sql = "INSERT INTO batch (endpoint, endpoint_uid, sequence, digest, previous_digest, message_id, source,
                                  conversation, members, messages, oldest_at, sealed_at, stamp)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    connection.prepare_cached(sql)?.execute(params![
        sealing.endpoint,
        sealing.endpoint_uid,
        sequence,
        sealing.digest,
        last.map(|(_, digest)| digest),
        message_id(spool, &sealing.endpoint_uid, sequence, &sealing.digest, 0, &sealing.from_domain),
        sealing.source,
        json(&sealing.conversation)?,
        json(&sealing.members)?,
        sealing.members.len() as i64,
        sealing.oldest_at.as_millisecond(),
        now.as_millisecond(),
        clock::stamp(connection, &sealing.endpoint, now)?,
    ])?;
    let batch = connection.last_insert_rowid();
    for seq in &sealing.members {
        let sql = "UPDATE copy SET batch = ?1 WHERE message = ?2 AND endpoint = ?3 AND batch IS NULL AND held IS NULL";
        if connection.prepare_cached(sql)?.execute((batch, seq, &sealing.endpoint))? != 1 {
            // Sealed twice, never routed here, or held: nothing of this seal may stay.
            return Err(rusqlite::Error::StatementChangedRows(0));
        }
    }
    Ok(())
}

/// The same for the same batch and revision, and for no other: a receiver may drop a repeated Message-ID unread.
pub(super) fn message_id(
    spool: Uuid,
    endpoint_uid: &str,
    sequence: i64,
    digest: &str,
    revision: i64,
    from_domain: &str,
) -> String {
    let name = format!("{spool}/{endpoint_uid}/{sequence}/{digest}/{revision}");
    let hash = hex(&Sha256::digest(name)[..16]);
    format!("{hash}@{from_domain}")
}

/// The batch `id`, with its messages and their content.
pub fn load(connection: &Connection, id: i64) -> rusqlite::Result<Sealed> {
    let sql = "SELECT endpoint, sequence, digest, previous_digest, message_id, source, conversation, members, sealed_at
               FROM batch WHERE id = ?1";
    let (mut sealed, members) = connection.prepare_cached(sql)?.query_row([id], |row| {
        let sealed = Sealed {
            endpoint: row.get(0)?,
            sequence: row.get(1)?,
            digest: row.get(2)?,
            previous_digest: row.get(3)?,
            message_id: row.get(4)?,
            source: row.get(5)?,
            conversation: from_json(6, &row.get::<_, String>(6)?)?,
            sealed_at: time(8, row.get(8)?)?,
            messages: Vec::new(),
        };
        Ok((sealed, from_json::<Vec<i64>>(7, &row.get::<_, String>(7)?)?))
    })?;
    sealed.messages = messages(connection, &members)?;
    Ok(sealed)
}

/// The messages `seqs`, with their content.
pub fn messages(connection: &Connection, seqs: &[i64]) -> rusqlite::Result<Vec<Recorded>> {
    let mut statement = connection.prepare_cached("SELECT received_at, document FROM message WHERE seq = ?1")?;
    let mut recorded = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let (at, text) = statement.query_row([seq], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let broken = |error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Blob, Box::new(error));
        let document: serde_json::Value = serde_json::from_slice(&text).map_err(broken)?;
        let message: crate::message::Message = serde_json::from_value(document.clone()).map_err(broken)?;
        let contents = (0..message.attachments.len())
            .map(|attachment| content(connection, *seq, attachment))
            .collect::<Result<_, _>>()?;
        recorded.push(Recorded { seq: *seq, received_at: time(0, at)?, message, document, contents });
    }
    Ok(recorded)
}

fn content(connection: &Connection, seq: i64, attachment: usize) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT bytes FROM content WHERE message = ?1 AND attachment = ?2 ORDER BY chunk";
    chunks(connection, sql, (seq, attachment as i64))
}

/// Marks a batch as taken by the archive, in whose words.
pub fn delivered(connection: &Connection, batch: i64, reply: &str, now: Timestamp) -> rusqlite::Result<()> {
    settle(connection, &members(connection, batch)?, |connection| {
        let sql = "UPDATE batch SET state = 'delivered', delivered_at = ?2, reply = ?3, reason = NULL WHERE id = ?1";
        connection.prepare_cached(sql)?.execute((batch, now.as_millisecond(), reply))?;
        // The mail can be rendered again from its messages; kept twice, it would double what a delivered batch costs.
        mail::forget(connection, batch)
    })
}

/// Sets a batch aside for a person, and says why; not one that was delivered or replaced meanwhile.
pub fn hold(connection: &Connection, batch: i64, reason: &str) -> rusqlite::Result<()> {
    settle(connection, &members(connection, batch)?, |connection| {
        let sql = "UPDATE batch SET state = 'held', reason = ?2 WHERE id = ?1 AND state IN ('waiting', 'held')";
        connection.prepare_cached(sql)?.execute((batch, reason)).map(drop)
    })
}

/// The messages of a batch, for the books: when its row cannot say, then by theirs.
pub(super) fn members(connection: &Connection, batch: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT members FROM batch WHERE id = ?1";
    let members: String = connection.prepare_cached(sql)?.query_row([batch], |row| row.get(0))?;
    if let Ok(members) = from_json(0, &members) {
        return Ok(members);
    }
    let mut statement = connection.prepare_cached("SELECT message FROM copy WHERE batch = ?1")?;
    statement.query_map([batch], |row| row.get(0))?.collect()
}

/// The endpoints that `seq` has a copy for.
pub fn endpoints_of(connection: &Connection, seq: i64) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT endpoint FROM copy WHERE message = ?1 AND endpoint <> ''")?;
    statement.query_map([seq], |row| row.get(0))?.collect()
}

/// Replaces the unrouted copy of `seq` by one for each of `endpoints`, unless its message has that already.
pub fn reroute(connection: &Connection, seq: i64, endpoints: &[String]) -> rusqlite::Result<()> {
    // The copies that it has already may all be delivered, or one of them held.
    settle(connection, &[seq], |connection| {
        let unrouted = "message = ?1 AND endpoint = '' AND batch IS NULL";
        let sql = format!(
            "INSERT INTO copy (message, endpoint, whole, sender, bytes, received_at)
             SELECT message, ?2, whole, sender, bytes, received_at FROM copy WHERE {unrouted}
             ON CONFLICT (message, endpoint) DO NOTHING"
        );
        for endpoint in endpoints {
            connection.prepare_cached(&sql)?.execute((seq, endpoint))?;
        }
        connection.prepare_cached(&format!("DELETE FROM copy WHERE {unrouted}"))?.execute([seq]).map(drop)
    })
}
