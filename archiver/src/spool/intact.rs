//! Whether what is stored of a message is what was handed in.
//!
//! SQLite's pages have no checksums: without a look here a flipped bit would be sealed and delivered as if somebody had said
//! it. The ledger has the digest of each message as received; a message with attachments was received with their content
//! in it, so that of such a one the content is compared, by the digests in its document.

use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use crate::{canonical, message::Recorded};
use imarchive_crds::hex;

/// Whether `recorded`, as it was read, is what was handed in. Without a row in the ledger nothing can be said against it.
pub fn is_intact(connection: &Connection, recorded: &Recorded) -> rusqlite::Result<bool> {
    if let Some(attachments) = recorded.document.get("attachments") {
        let mut contents = recorded.contents.iter().enumerate();
        return Ok(contents.all(|(index, content)| {
            let noted = attachments.get(index).and_then(|attachment| attachment.get("sha256"));
            content.as_ref().is_none_or(|content| {
                noted.and_then(|digest| digest.as_str()) == Some(hex(&Sha256::digest(content)).as_str())
            })
        }));
    }
    let sql = "SELECT digest FROM ledger WHERE entry = ?1";
    let noted = connection.prepare_cached(sql)?.query_row([recorded.seq], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    let written = serde_json::to_vec(&recorded.document);
    let digest = written.and_then(|written| canonical::digest(&recorded.document, &written));
    Ok(match (noted, digest) {
        (Some(noted), Ok(digest)) => noted == digest,
        (None, Ok(_)) => true,
        (_, Err(_)) => false,
    })
}
