//! What a seal fixes, read from the messages: outside the transaction, and a batch at a time, so that a hundred thousand
//! windows that end together need no more memory than one.

use imarchive_crds::{GroupChats, Server};
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode};

use crate::{
    directory::Endpoint,
    message::{Conversation, Recorded},
    render,
    spool::{
        append::Group,
        batch::{self, Sealing},
        intact::is_intact,
    },
};

/// A batch that may be sealed.
#[derive(Debug)]
pub(crate) struct Draft {
    source: String,
    conversation: Conversation,
    members: Vec<i64>,
    oldest_at: Timestamp,
    digest: String,
}

impl Draft {
    /// As a batch of `endpoint`, whose archive is `server`.
    pub(crate) fn sealing(self, endpoint: &Endpoint, server: &Server) -> Sealing {
        Sealing {
            endpoint: endpoint.name.clone(),
            endpoint_uid: endpoint.uid.clone(),
            from_domain: server.from.domain().to_owned(),
            source: self.source,
            conversation: self.conversation,
            members: self.members,
            oldest_at: self.oldest_at,
            digest: self.digest,
        }
    }
}

/// What became of some messages that were to be one batch.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// One, unless their threads only looked the same.
    pub(crate) drafts: Vec<Draft>,
    /// The messages that cannot be read, and why.
    pub(crate) damaged: Vec<(i64, String)>,
}

/// Reads the messages `seqs` of `endpoint`. An error means that nothing can be read now.
pub(crate) fn prepare(
    connection: &Connection,
    endpoint: &str,
    group_chats: GroupChats,
    seqs: &[i64],
) -> rusqlite::Result<Prepared> {
    let mut prepared = Prepared::default();
    let messages = match batch::messages(connection, seqs) {
        Ok(messages) => messages,
        Err(_) => one_by_one(connection, seqs, &mut prepared.damaged)?,
    };
    let mut groups: Vec<(Group, Vec<Recorded>)> = Vec::with_capacity(1);
    for recorded in messages {
        if !is_intact(connection, &recorded)? {
            prepared.damaged.push((recorded.seq, "it is not what was handed in".to_owned()));
            continue;
        }
        let group = Group::of(&recorded.message).parted(group_chats);
        match groups.iter_mut().find(|(other, _)| *other == group) {
            Some((_, messages)) => messages.push(recorded),
            None => groups.push((group, vec![recorded])),
        }
    }
    for (group, messages) in groups {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { continue };
        let conversation = last.message.conversation.clone();
        prepared.drafts.push(Draft {
            members: messages.iter().map(|recorded| recorded.seq).collect(),
            oldest_at: first.received_at,
            digest: render::transcript(endpoint, &group.source, &conversation, &messages).digest,
            source: group.source,
            conversation,
        });
    }
    Ok(prepared)
}

/// Those of the messages that can be read.
fn one_by_one(
    connection: &Connection,
    seqs: &[i64],
    damaged: &mut Vec<(i64, String)>,
) -> rusqlite::Result<Vec<Recorded>> {
    let mut readable = Vec::new();
    for seq in seqs {
        match batch::messages(connection, &[*seq]) {
            Ok(messages) => readable.extend(messages),
            Err(error) if is_damage(&error) => damaged.push((*seq, error.to_string())),
            Err(error) => return Err(error),
        }
    }
    Ok(readable)
}

/// Whether the row is at fault, and will be tomorrow; not the disk, which may only be slow to answer today.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        canonical,
        route::Route,
        spool::{append, schema},
    };

    fn spool() -> Connection {
        let connection = Connection::open_in_memory().expect("a database");
        schema::prepare(&connection).expect("a new spool").expect("of our format");
        connection
    }

    fn take(connection: &Connection, room: &str, sender: &str) -> i64 {
        let last = crate::spool::open::last(connection).expect("readable");
        let document = json!({
            "source": "s", "id": last.to_string(), "kind": "message", "conversation": {"type": "room", "id": room},
            "sender": {"address": sender}, "sentAt": "2026-11-23T09:15:02.123Z", "text": "hello",
        });
        let entry = append::Entry {
            source: "s".into(),
            id: last.to_string(),
            digest: canonical::digest(&document, document.to_string().as_bytes()).expect("a digest"),
            group: Group::of(&serde_json::from_value(document.clone()).expect("valid")),
            document: document.to_string().into_bytes(),
            contents: vec![],
            route: Route::To([Some("journal".to_owned())].into()),
        };
        append::append(connection, &[entry], Timestamp::UNIX_EPOCH).expect("stored").copies[0].seq
    }

    fn members(prepared: &Prepared) -> Vec<Vec<i64>> {
        prepared.drafts.iter().map(|draft| draft.members.clone()).collect()
    }

    #[test]
    fn conversations_whose_threads_look_the_same_are_batches_of_their_own() {
        let connection = spool();
        let seqs = ["r", "q", "r"].map(|room| take(&connection, room, "a@acme.example"));
        let prepared = prepare(&connection, "journal", GroupChats::PerRoom, &seqs).expect("readable");
        assert_eq!(members(&prepared), [vec![seqs[0], seqs[2]], vec![seqs[1]]]);
    }

    #[test]
    fn a_room_is_parted_by_sender_when_it_is_to_be() {
        let connection = spool();
        let seqs = ["a@acme.example", "b@acme.example"].map(|sender| take(&connection, "r", sender));
        let batches = |group_chats| prepare(&connection, "journal", group_chats, &seqs).expect("readable").drafts.len();
        assert_eq!((batches(GroupChats::PerRoom), batches(GroupChats::PerUser)), (1, 2));
    }

    #[test]
    fn what_is_not_what_was_handed_in_is_named_and_not_sealed() {
        let connection = spool();
        let seqs = [1, 2].map(|_| take(&connection, "r", "a@acme.example"));
        let flip = "UPDATE message SET document = CAST(replace(CAST(document AS TEXT), 'hello', 'jello') AS BLOB)
                    WHERE seq = ?1";
        connection.execute(flip, [seqs[0]]).expect("damaged");
        let prepared = prepare(&connection, "journal", GroupChats::PerUser, &seqs).expect("readable");
        assert_eq!(members(&prepared), [vec![seqs[1]]]);
        assert_eq!(prepared.damaged, [(seqs[0], "it is not what was handed in".to_owned())]);
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_is_sealed() {
        let connection = spool();
        let seqs = [1, 2, 3].map(|_| take(&connection, "r", "a@acme.example"));
        connection.execute("UPDATE message SET document = x'7b' WHERE seq = ?1", [seqs[1]]).expect("damaged");
        let prepared = prepare(&connection, "journal", GroupChats::PerUser, &seqs).expect("readable");
        assert_eq!(members(&prepared), [vec![seqs[0], seqs[2]]]);
        assert_eq!(prepared.damaged.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [seqs[1]]);
    }
}
