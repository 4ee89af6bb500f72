//! `transcript.json`: the batch's facts for machines, and the bytes that its digest stands for.

use imarchive_crds::hex;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::roster::{Participant, roster};
use crate::message::{Conversation, Recorded};

/// The bytes of `transcript.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// The bytes.
    pub json: Vec<u8>,
    /// Their lower-case hex SHA-256.
    pub digest: String,
}

/// The transcript of `messages`, which are all of one conversation of `source`, for `endpoint`.
///
/// It holds nothing that is only known after the seal, such as the sequence: the seal stores its digest.
///
/// The bytes are made again from the messages when the mail is rendered and when the spool is checked, perhaps by a later
/// version: whatever changes them for messages that were sealed before makes those look damaged.
pub fn transcript(endpoint: &str, source: &str, conversation: &Conversation, messages: &[Recorded]) -> Transcript {
    let mut place = json!({"source": source, "type": conversation.kind, "id": conversation.id});
    if let Some(name) = &conversation.name {
        place["name"] = json!(name);
    }
    let value = json!({
        "endpoint": endpoint,
        "conversation": place,
        "participants": roster(messages).iter().map(participant).collect::<Vec<_>>(),
        "messages": messages.iter().map(message).collect::<Vec<_>>(),
    });
    let json = sorted(value).to_string().into_bytes();
    let digest = sha256(&json);
    Transcript { json, digest }
}

fn participant(participant: &Participant<'_>) -> Value {
    let times = |times: &[Timestamp]| times.iter().map(time).collect::<Vec<_>>();
    let mut value = json!({
        "address": participant.address,
        "names": participant.names,
        "type": participant.kind,
        "messages": participant.messages,
    });
    if !participant.joined.is_empty() {
        value["joined"] = json!(times(&participant.joined));
    }
    if !participant.left.is_empty() {
        value["left"] = json!(times(&participant.left));
    }
    value
}

fn message(recorded: &Recorded) -> Value {
    let mut document = match recorded.document.clone() {
        Value::Object(document) => document,
        other => Map::from_iter([("document".to_owned(), other)]),
    };
    let received_at = json!(time(&recorded.received_at));
    // A source may have a field of that name. When the archive took a message is the archive's to say, but nothing
    // that a source stated is dropped.
    if let Some(stated) = document.insert("receivedAt".to_owned(), received_at) {
        let mut key = "receivedAtBySource".to_owned();
        while document.contains_key(&key) {
            key.push('_');
        }
        document.insert(key, stated);
    }
    Value::Object(document)
}

/// RFC 3339 with milliseconds.
fn time(at: &Timestamp) -> String {
    format!("{at:.3}")
}

/// `value` with the keys of every object in byte order, whichever map serde_json was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Lower-case hex SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
