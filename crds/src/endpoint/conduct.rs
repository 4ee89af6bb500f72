//! How an endpoint is used, whatever its connection: batching, retries, pace and tests. Applies at once, untested.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Span};

/// How messages are grouped into mails.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "duration(self.window) >= duration('1s') && duration(self.window) <= duration('24h')", "message": "window is between 1s and 24h"}
]))]
pub struct Batching {
    /// How long a conversation is gathered, from its first message; between 1s and 24h.
    pub window: Span,
    /// The most messages in one mail.
    #[schemars(range(min = 1, max = 50))]
    pub max_messages: i32,
    /// The most bytes of messages in one mail; a larger message goes alone.
    pub max_bytes: ByteSize,
    /// PerUser: a mail for each sender in a room; PerRoom: one for the room.
    pub group_chats: GroupChats,
    /// WindowEnd: nothing before the window ends; WhenFull: also when maxMessages are there.
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

/// When a failed delivery is tried again.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.ladder.all(r, duration(r) >= duration('1s') && duration(r) <= duration('24h'))", "message": "each rung of the ladder is between 1s and 24h"},
    {"rule": "duration(self.interval) >= duration('1s') && duration(self.interval) <= duration('24h')", "message": "interval is between 1s and 24h"},
    {"rule": "duration(self.giveUpAfter) <= duration('2160h')", "message": "giveUpAfter is at most 2160h"}
]))]
pub struct Retry {
    /// The delays after the first failures.
    #[schemars(length(max = 16))]
    pub ladder: Vec<Span>,
    /// The delay after the ladder's last rung.
    pub interval: Span,
    /// How long an outage lasts before its batches are held for a person; at most 2160h.
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
    /// The most connections at once.
    #[schemars(range(min = 1, max = 32))]
    pub max_connections: i32,
    /// The most mails in a minute; 0 is no limit.
    #[schemars(range(min = 0, max = 100_000))]
    pub max_mails_per_minute: i32,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { max_connections: 4, max_mails_per_minute: 0 }
    }
}

/// When the connection is tested.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "duration(self.interval) >= duration('10s')", "message": "the interval of tests is at least 10s"}
]))]
pub struct Testing {
    /// How often the connection is tested, besides after changes; at least 10s.
    pub interval: Span,
    /// Whether a test ends with a real, marked mail.
    pub send_message: bool,
}

impl Default for Testing {
    fn default() -> Self {
        Self { interval: Span::hours(6), send_message: false }
    }
}
