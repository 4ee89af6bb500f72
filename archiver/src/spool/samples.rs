//! What the spool's tests begin with: a spool in memory, and messages, batches and failures for it.

use imarchive_crds::{RetryLogRow, Stage};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rusqlite::Connection;
use serde_json::json;
use uuid::Uuid;

use super::{
    append::{Entry, Group},
    batch::{self, Sealing},
    schema,
};
use crate::{
    canonical,
    message::{Conversation, ConversationKind},
    render,
    route::Route,
};

/// In memory, and empty.
pub fn spool() -> Connection {
    let connection = Connection::open_in_memory().expect("a database");
    schema::prepare(&connection).expect("a new spool").expect("of our format");
    connection
}

/// So many seconds after the epoch.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

/// To these endpoints.
pub fn to(endpoints: &[&str]) -> Route {
    Route::To(endpoints.iter().map(|name| Some((*name).to_owned())).collect())
}

/// A message in the room `r` of the source `s`.
pub fn entry(id: impl ToString, route: Route) -> Entry {
    let id = id.to_string();
    let document = json!({
        "source": "s", "id": id, "kind": "message", "conversation": {"type": "room", "id": "r"},
        "sender": {"address": "a@acme.example"}, "sentAt": "2026-11-23T09:15:02.123Z", "text": "hello",
    });
    let text = document.to_string().into_bytes();
    Entry {
        source: "s".into(),
        id,
        digest: canonical::digest(&document, &text).expect("a digest"),
        group: Group {
            source: "s".into(),
            kind: ConversationKind::Room,
            thread: "r".into(),
            sender: "a@acme.example".into(),
        },
        document: text,
        contents: vec![],
        route,
    }
}

/// These messages, as a batch of `endpoint`.
pub fn sealing(connection: &Connection, endpoint: &str, members: Vec<i64>, oldest_at: Timestamp) -> Sealing {
    let conversation = Conversation { kind: ConversationKind::Room, id: "r".into(), name: Some("Room".into()) };
    let messages = batch::messages(connection, &members).expect("readable");
    Sealing {
        endpoint: endpoint.into(),
        endpoint_uid: "uid".into(),
        from_domain: "acme.example".into(),
        source: "s".into(),
        digest: render::transcript(endpoint, "s", &conversation, &messages).digest,
        conversation,
        members,
        oldest_at,
    }
}

/// Seals these messages for `endpoint`; answers the batch, if there are any.
pub fn seal(connection: &Connection, endpoint: &str, members: Vec<i64>, now: Timestamp) -> Option<i64> {
    if members.is_empty() {
        return None;
    }
    batch::seal(connection, Uuid::nil(), &sealing(connection, endpoint, members, now), now).expect("sealed");
    connection.query_row("SELECT max(id) FROM batch", [], |row| row.get(0)).expect("readable")
}

/// A failed attempt, which has no number yet.
pub fn failure(now: Timestamp) -> RetryLogRow {
    RetryLogRow {
        attempt: 0,
        at: Time(now),
        stage: Stage::Connect,
        reason: None,
        code: None,
        message: String::new(),
        notified_at: None,
    }
}
