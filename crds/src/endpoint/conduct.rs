//! How an endpoint is used, whatever its connection: batching, retries, pace and tests. Applies at once, untested.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ByteSize, Span,
    rules::{self, Rung},
};

/// How messages are grouped into mails.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Batching {
    /// How long a conversation is gathered, from its first message. Then all of it is sent.
    #[schemars(extend("x-kubernetes-validations" = rules::span("1s", "24h")))]
    pub window: Span,
    /// The most messages in one mail. A conversation with more of them becomes several mails.
    #[schemars(range(min = 1, max = 50))]
    pub max_messages: i32,
    /// The most bytes of messages and attachments in one mail, before they are encoded. A larger message goes alone.
    #[schemars(extend("x-kubernetes-validations" = rules::size("1Ki", "512Mi")))]
    pub max_bytes: ByteSize,
    /// How the messages of a group chat are divided. PerUser: a mail for each sender. PerRoom: one for the whole room.
    pub group_chats: GroupChats,
    /// When a window is sent. WindowEnd: when it ends, not before. WhenFull: also as soon as maxMessages are there.
    pub release: Release,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            window: Span::hours(8),
            max_messages: 50,
            max_bytes: ByteSize::mebibytes(20),
            group_chats: GroupChats::PerUser,
            release: Release::WindowEnd,
        }
    }
}

/// How a room's messages are grouped.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum GroupChats {
    /// Each sender's messages in the room.
    PerUser,
    /// All of the room's messages.
    PerRoom,
}

/// When a window is sealed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Release {
    /// When it ends.
    WindowEnd,
    /// When it ends, or is full.
    WhenFull,
}

/// When a failed delivery is tried again, and when a person is asked for. Nothing is ever deleted undelivered.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// The delays after the first failures of an outage, one after the other, each counted from the end of the attempt
    /// before. Up to a twentieth is added, always the same for one endpoint.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = rules::climbing()), with = "Vec<Rung>")]
    pub ladder: Vec<Span>,
    /// The delay after every further failure.
    #[schemars(extend("x-kubernetes-validations" = rules::span("1s", "24h")))]
    pub interval: Span,
    /// How long a batch may fail before it is held for a person. The time while the endpoint is suspended does not count.
    #[schemars(extend("x-kubernetes-validations" = rules::span("1s", "2160h")))]
    pub give_up_after: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            ladder: [1, 2, 4, 8].map(Span::hours).to_vec(),
            interval: Span::hours(24),
            give_up_after: Span::hours(2160),
        }
    }
}

/// How hard the archive may be pressed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Delivery {
    /// The most connections to the archive at once.
    #[schemars(range(min = 1, max = 32))]
    pub max_connections: i32,
    /// The most mails in a minute. 0: no limit.
    #[schemars(range(min = 0, max = 100_000))]
    pub max_mails_per_minute: i32,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { max_connections: 4, max_mails_per_minute: 0 }
    }
}

/// When the connection is tested. A test goes through all that a delivery does, up to the recipients.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Testing {
    /// How often the connection is tested, besides after every change of it or of its credentials. A test that failed is
    /// repeated sooner, after 1 minute, then 2, 4 and so on, unless the credentials were refused: accounts lock. To test at
    /// once, annotate the endpoint with imarchive.dev/test-requested-at and any new value.
    #[schemars(extend("x-kubernetes-validations" = rules::span("10s", "168h")))]
    pub interval: Span,
    /// Whether a test ends with a real mail to the recipients, marked as a test.
    pub send_message: bool,
}

impl Default for Testing {
    fn default() -> Self {
        Self { interval: Span::hours(6), send_message: false }
    }
}
