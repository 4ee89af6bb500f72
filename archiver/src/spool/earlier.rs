//! What a batch's messages refer to in earlier batches: an edit of a message that was sealed before quotes it.
//!
//! Only what the same archive was given before, in the same conversation, is quoted: what policy kept from an endpoint
//! does not reach it by being referred to. What is not retained any more is named, by its batch and that one's digest.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use super::ledger::find;
use crate::{
    batch::Sealed,
    message::{Conversation, Message},
    render::Earlier,
};

/// What the messages of `sealed` refer to in batches of its endpoint with a lower sequence, by id.
pub fn earlier(connection: &Connection, sealed: &Sealed) -> rusqlite::Result<BTreeMap<String, Earlier>> {
    // The content goes before the rows that tell where it went.
    let sql = "SELECT batch.sequence, batch.digest, message.document
               FROM copy
               JOIN batch ON batch.id = copy.batch AND batch.sequence < ?3
               LEFT JOIN message ON message.seq = copy.message
               WHERE copy.message = ?1 AND copy.endpoint = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = BTreeMap::new();
    for id in sealed.messages.iter().filter_map(|recorded| recorded.message.refers_to.as_ref()) {
        if found.contains_key(id) {
            continue;
        }
        let Some(entered) = find(connection, &sealed.source, id)? else { continue };
        let row = |row: &rusqlite::Row<'_>| {
            let sequence: i64 = row.get(0)?;
            let document = row.get_ref(2)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
            Ok(Earlier {
                batch: format!("{}-{sequence}", sealed.endpoint),
                digest: row.get(1)?,
                message: document.and_then(|document| quotable(document, sealed)),
            })
        };
        let key = (entered.entry, &sealed.endpoint, sealed.sequence);
        if let Some(earlier) = statement.query_row(key, row).optional()? {
            found.insert(id.clone(), earlier);
        }
    }
    Ok(found)
}

/// The message in `document`, if it is still one, and of the same conversation as `sealed`.
fn quotable(document: &[u8], sealed: &Sealed) -> Option<Message> {
    let message: Message = serde_json::from_slice(document).ok()?;
    let there = |conversation: &Conversation| (conversation.kind, conversation.id.clone());
    (there(&message.conversation) == there(&sealed.conversation)).then_some(message)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::{
        message::Conversation,
        spool::{
            append::{Entry, append},
            batch::{self, Sealing, load},
            group::Group,
            samples::{self, spool, to},
        },
    };

    /// Takes a message of `room` for `endpoints`, and seals it for each of them. The batch of the last is given.
    fn say(connection: &Connection, room: &str, id: &str, refers_to: Option<&str>, endpoints: &[&str]) -> Sealed {
        let document: Value = json!({
            "source": "s", "id": id, "kind": "edit", "conversation": {"type": "room", "id": room},
            "sender": {"address": "a@acme.example"}, "sentAt": "2026-11-23T09:15:02.123Z", "text": format!("text of {id}"),
            "refersTo": refers_to,
        });
        let message = samples::entry(id, to(endpoints));
        let group = Group { thread: room.into(), ..message.group };
        let entry = Entry { document: document.to_string().into_bytes(), group, ..message };
        let taken = append(connection, &[entry], Timestamp::UNIX_EPOCH).expect("stored");
        let mut last = None;
        for endpoint in endpoints {
            let sealing = samples::sealing(connection, endpoint, vec![taken.copies[0].seq], Timestamp::UNIX_EPOCH);
            let conversation = Conversation { id: room.into(), ..sealing.conversation };
            let sealing = Sealing { conversation, digest: format!("digest of {id}"), ..sealing };
            batch::seal(connection, Uuid::nil(), &sealing, Timestamp::UNIX_EPOCH).expect("sealed");
            let id = connection.query_row("SELECT max(id) FROM batch", [], |row| row.get(0)).expect("sealed");
            last = Some(load(connection, id).expect("readable"));
        }
        last.expect("an endpoint")
    }

    fn quoted(connection: &Connection, sealed: &Sealed) -> Vec<(String, String, String, Option<String>)> {
        let found = earlier(connection, sealed).expect("readable").into_iter();
        found.map(|(id, it)| (id, it.batch, it.digest, it.message.and_then(|message| message.text))).collect()
    }

    #[test]
    fn what_was_sealed_before_is_quoted_with_its_batch_and_digest() {
        let connection = spool();
        say(&connection, "r", "m-1", None, &["journal"]);
        let edit = say(&connection, "r", "m-2", Some("m-1"), &["journal"]);
        let expected = ("m-1", "journal-1", "digest of m-1", Some("text of m-1"));
        let (id, batch, digest, text) = &quoted(&connection, &edit)[0];
        assert_eq!((id.as_str(), batch.as_str(), digest.as_str(), text.as_deref()), expected);
    }

    #[test]
    fn what_is_not_retained_is_still_named() {
        let connection = spool();
        say(&connection, "r", "m-1", None, &["journal"]);
        let edit = say(&connection, "r", "m-2", Some("m-1"), &["journal"]);
        connection.execute("DELETE FROM message WHERE seq = 1", []).expect("written");
        let (_, batch, digest, text) = &quoted(&connection, &edit)[0];
        assert_eq!((batch.as_str(), digest.as_str(), text), ("journal-1", "digest of m-1", &None));
    }

    #[test]
    fn what_went_to_another_archive_only_is_not_told() {
        let connection = spool();
        say(&connection, "r", "m-1", None, &["vault"]);
        let edit = say(&connection, "r", "m-2", Some("m-1"), &["journal"]);
        assert_eq!(quoted(&connection, &edit), []);
    }

    #[test]
    fn what_was_said_elsewhere_is_named_and_not_quoted() {
        let connection = spool();
        say(&connection, "board", "m-1", None, &["journal"]);
        let reply = say(&connection, "r", "m-2", Some("m-1"), &["journal"]);
        let found = quoted(&connection, &reply);
        assert_eq!((found.len(), &found[0].3), (1, &None));
    }

    #[test]
    fn a_batch_sealed_later_is_none_of_its_business() {
        let connection = spool();
        let edit = say(&connection, "r", "m-2", Some("m-1"), &["journal"]);
        say(&connection, "r", "m-1", None, &["journal"]);
        assert_eq!(quoted(&connection, &edit), [], "so that it reads the same whenever it is rendered");
    }
}
