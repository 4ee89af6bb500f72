//! A chat event, as a chat system hands it in and as it is kept.
//!
//! A [`Message`] is the typed view that decisions and rendering use. Beside it goes its *document*: the JSON object as
//! received, unknown fields included, with each attachment's content taken out and its size and SHA-256 filled in. The
//! document is what is stored and what `transcript.json` repeats; the view can be had from it again at any time.

use imarchive_crds::Address;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One chat event.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The chat system.
    pub source: String,
    /// The event's name in its source; with it, unique.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// Where it happened.
    pub conversation: Conversation,
    /// Whose doing it was.
    pub sender: Person,
    /// Who could see it: in a room those present.
    #[serde(default)]
    pub recipients: Vec<Person>,
    /// When it was said, by the source's clock.
    pub sent_at: Timestamp,
    /// Plain text.
    #[serde(default)]
    pub text: Option<String>,
    /// The same as HTML.
    #[serde(default)]
    pub html: Option<String>,
    /// The id of the event that this one answers, edits or deletes.
    #[serde(default)]
    pub refers_to: Option<String>,
    /// Files.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something said.
    Message,
    /// A new version of something said.
    Edit,
    /// Something said is taken back; the archive keeps it.
    Delete,
    /// A person came into the room.
    Join,
    /// A person left the room.
    Leave,
    /// A file was shared.
    File,
}

/// Where an event happened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// Two people, or a room.
    #[serde(rename = "type")]
    pub kind: ConversationKind,
    /// Its name to the source.
    pub id: String,
    /// Its name to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Kinds of conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationKind {
    /// Exactly two people.
    Direct,
    /// A group chat room.
    Room,
}

/// Someone in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// Who, to the organization.
    pub address: Address,
    /// Who, to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What kind of participant.
    #[serde(default, rename = "type")]
    pub kind: PersonKind,
}

/// Kinds of participants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PersonKind {
    /// A person with an account.
    #[default]
    User,
    /// A person from outside.
    Guest,
    /// A program.
    Bot,
    /// The chat system itself.
    System,
}

/// A file, without its content: that is kept beside the document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The file's name, as its sender typed it.
    #[serde(default)]
    pub name: Option<String>,
    /// The media type that the source states.
    #[serde(default)]
    pub media_type: Option<String>,
    /// Bytes, when known.
    #[serde(default)]
    pub size: Option<u64>,
    /// Lower-case hex SHA-256 of the content, when known.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// A message in the spool.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place in the order of commits.
    pub seq: i64,
    /// When it was taken.
    pub received_at: Timestamp,
    /// The typed view.
    pub message: Message,
    /// The JSON object as received, without attachments' content.
    pub document: serde_json::Value,
    /// The content of each of `message.attachments`, in their order; `None` where the source handed none in.
    pub contents: Vec<Option<Vec<u8>>>,
}
