//! Messages of 1 KiB, as JSON.

use serde_json::json;

/// The bytes of a message.
pub const SIZE: usize = 1024;

const WORDS: &str = "the quarterly numbers are in and they look better than what we had feared in the spring so let us \
                     talk about them before the call with the auditors on Thursday at ten ";

/// The message `id` of the conversation `room`, exactly [`SIZE`] bytes.
pub fn message(id: &str, room: usize) -> String {
    let person = |who: usize| json!({"address": format!("user-{who}@acme.example"), "name": format!("User {who}")});
    let with = |text: &str| {
        json!({
            "source": "bench", "id": id, "kind": "message",
            "conversation": {"type": "room", "id": format!("room-{room}"), "name": format!("Room {room}")},
            "sender": person(room % 500), "recipients": [person(500 + room % 7), person(600 + room % 11)],
            "sentAt": "2026-11-23T09:15:02.123Z", "text": text,
        })
        .to_string()
    };
    let text: String = WORDS.chars().cycle().take(SIZE - with("").len()).collect();
    with(&text)
}

/// A name that no other run uses, to begin ids with.
pub fn tag() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
