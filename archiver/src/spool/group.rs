//! What windows group messages by.
//!
//! In the spool, and in memory for a million open messages, a group is two short hashes. Two groups may share one: a seal
//! therefore looks at the messages themselves, and never puts two conversations into one batch.

use imarchive_crds::GroupChats;
use sha2::{Digest, Sha256};

use crate::message::{ConversationKind, Message};

/// What windows group a message by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// The chat system.
    pub source: String,
    /// Two people, or a room.
    pub kind: ConversationKind,
    /// Direct: the two addresses, sorted; room: its id.
    pub thread: String,
    /// Whose message it is.
    pub sender: String,
}

impl Group {
    /// The group of `message`.
    pub fn of(message: &Message) -> Self {
        let sender = message.sender.address.as_str().to_owned();
        let thread = match message.conversation.kind {
            ConversationKind::Room => message.conversation.id.clone(),
            ConversationKind::Direct => {
                let other =
                    message.recipients.iter().map(|person| person.address.as_str()).find(|other| *other != sender);
                let mut two = [sender.as_str(), other.unwrap_or_default()];
                two.sort_unstable();
                two.join(" ")
            }
        };
        Self { source: message.source.clone(), kind: message.conversation.kind, thread, sender }
    }

    /// The group without what does not part windows under `group_chats`.
    pub fn parted(self, group_chats: GroupChats) -> Self {
        match (self.kind, group_chats) {
            (ConversationKind::Room, GroupChats::PerUser) => self,
            _ => Self { sender: String::new(), ..self },
        }
    }

    /// The group in its short form.
    pub fn threads(&self) -> Threads {
        let mut hash = Sha256::new();
        for part in [self.source.as_str(), self.thread.as_str()] {
            hash.update(part);
            hash.update([0]);
        }
        hash.update([u8::from(self.kind == ConversationKind::Room)]);
        let whole = short(hash.clone());
        let sender = match self.kind {
            ConversationKind::Direct => whole,
            ConversationKind::Room => {
                hash.update(&self.sender);
                short(hash)
            }
        };
        Threads { whole, sender }
    }
}

/// A hash of six bytes, which is what the spool can store in six.
fn short(hash: Sha256) -> i64 {
    let digest = hash.finalize();
    digest[..6].iter().fold(0, |number, byte| number << 8 | i64::from(*byte)) >> 1
}

/// The short form of a [`Group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// Of the conversation as a whole.
    pub whole: i64,
    /// Of what its sender says in it; of a direct chat the same as the whole.
    pub sender: i64,
}

impl Threads {
    /// The one that windows are parted by.
    pub fn by(self, group_chats: GroupChats) -> i64 {
        match group_chats {
            GroupChats::PerUser => self.sender,
            GroupChats::PerRoom => self.whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(kind: ConversationKind, sender: &str) -> Threads {
        Group { source: "s".into(), kind, thread: "r".into(), sender: sender.into() }.threads()
    }

    #[test]
    fn a_room_is_one_thread_for_each_sender_and_one_as_a_whole() {
        let [a, b] = ["a", "b"].map(|sender| threads(ConversationKind::Room, sender));
        assert_ne!(a.by(GroupChats::PerUser), b.by(GroupChats::PerUser));
        assert_eq!(a.by(GroupChats::PerRoom), b.by(GroupChats::PerRoom));
    }

    #[test]
    fn both_sides_of_a_direct_chat_are_one_thread() {
        let [a, b] = ["a", "b"].map(|sender| threads(ConversationKind::Direct, sender));
        assert_eq!(a, b);
        assert_ne!(a.whole, threads(ConversationKind::Room, "a").whole);
    }
}
