//! A sealed batch: what one mail carries, and will carry whenever it is sent again.

use jiff::Timestamp;

use crate::message::{Conversation, Recorded};

/// A sealed batch: what one mail carries.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The endpoint's name.
    pub endpoint: String,
    /// Its place in the endpoint's order, from 1, without holes.
    pub sequence: i64,
    /// Lower-case hex SHA-256 of `transcript.json`.
    pub digest: String,
    /// The digest of the batch with the sequence before, if there is one.
    pub previous_digest: Option<String>,
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// The chat system.
    pub source: String,
    /// The conversation, by its latest name.
    pub conversation: Conversation,
    /// The messages, in the order they were taken; at least one.
    pub messages: Vec<Recorded>,
}

impl Sealed {
    /// The batch's name: the endpoint's and the sequence, `journal-17`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.endpoint, self.sequence)
    }
}
