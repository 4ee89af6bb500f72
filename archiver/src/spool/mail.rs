//! The rendered mail of a batch: stored before its first try, so that every try sends the same bytes.
//!
//! SQLite's pages have no checksums, so the SHA-256 of the mail is kept with the batch: bytes that differ from it are never
//! sent. They may be had again by rendering, which then has to come to the same SHA-256.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::chunks::{CHUNK, chunks};

/// What is stored of a batch's mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was never rendered, or may be rendered anew.
    Nothing,
    /// The mail, byte by byte.
    Mail(Vec<u8>),
    /// Other bytes than were stored. This is the SHA-256 of those.
    Damaged(Vec<u8>),
    /// It was given up, and the archive may have it. This is its SHA-256; nothing when that was not kept.
    Sent(Vec<u8>),
}

impl Stored {
    /// Whether `mail`, rendered now, may be stored in place of this, under the same Message-ID: what was damaged or sent has
    /// to be the same bytes.
    pub fn admits(&self, mail: &[u8]) -> bool {
        match self {
            Self::Damaged(digest) | Self::Sent(digest) => digest[..] == Sha256::digest(mail)[..],
            Self::Nothing | Self::Mail(_) => true,
        }
    }
}

/// Keeps a rendered mail, in place of damaged bytes if there are any.
pub fn store(connection: &Connection, batch: i64, mail: &[u8]) -> rusqlite::Result<()> {
    forget(connection, batch)?;
    let sql = "INSERT INTO mail (batch, chunk, bytes) VALUES (?1, ?2, ?3)";
    for (chunk, bytes) in mail.chunks(CHUNK).enumerate() {
        connection.prepare_cached(sql)?.execute(params![batch, chunk as i64, bytes])?;
    }
    let sql = "UPDATE batch SET mail_digest = ?2 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![batch, &Sha256::digest(mail)[..]]).map(drop)
}

/// Forgets the mail of `batch`: no try of it is to come, or it may be rendered anew.
pub fn forget(connection: &Connection, batch: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM mail WHERE batch = ?1")?.execute([batch]).map(drop)
}

/// The mail of `batch`, if there is one.
pub fn read(connection: &Connection, batch: i64) -> rusqlite::Result<Stored> {
    let sql = "SELECT bytes FROM mail WHERE batch = ?1 ORDER BY chunk";
    let Some(mail) = chunks(connection, sql, [batch])? else {
        let sql = "SELECT coalesce(mail_digest, x'') FROM batch WHERE id = ?1 AND maybe > 0";
        let sent = connection.prepare_cached(sql)?.query_row([batch], |row| row.get(0)).optional()?;
        return Ok(sent.map_or(Stored::Nothing, Stored::Sent));
    };
    let sql = "SELECT mail_digest FROM batch WHERE id = ?1";
    let row = |row: &rusqlite::Row<'_>| row.get::<_, Option<Vec<u8>>>(0);
    Ok(match connection.prepare_cached(sql)?.query_row([batch], row).optional()?.flatten() {
        Some(digest) if digest[..] != Sha256::digest(&mail)[..] => Stored::Damaged(digest),
        // Without a digest it was stored by a program of before, and is believed.
        _ => Stored::Mail(mail),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::samples;

    fn spool() -> Connection {
        let connection = samples::spool();
        let sql = "INSERT INTO batch (id, endpoint, endpoint_uid, sequence, digest, message_id, source, conversation,
                                      members, messages, oldest_at, sealed_at)
                   VALUES (7, 'journal', 'u', 1, 'd', 'first@x', 's', '{}', '[]', 0, 0, 0)";
        connection.execute(sql, []).expect("written");
        connection
    }

    #[test]
    fn a_mail_of_several_chunks_is_read_as_it_was_stored() {
        let connection = spool();
        assert_eq!(read(&connection, 7).expect("readable"), Stored::Nothing);
        let mail = vec![b'x'; CHUNK + 1];
        store(&connection, 7, &mail).expect("written");
        assert_eq!(read(&connection, 7).expect("readable"), Stored::Mail(mail));
    }

    #[test]
    fn changed_bytes_are_no_mail_until_the_same_are_stored_again() {
        let connection = spool();
        store(&connection, 7, b"mail").expect("written");
        connection.execute("UPDATE mail SET bytes = x'00'", []).expect("damaged");
        let digest = Sha256::digest(b"mail").to_vec();
        assert_eq!(read(&connection, 7).expect("readable"), Stored::Damaged(digest));
        store(&connection, 7, b"mail").expect("written");
        assert_eq!(read(&connection, 7).expect("readable"), Stored::Mail(b"mail".to_vec()));
    }
}
