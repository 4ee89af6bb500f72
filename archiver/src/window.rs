//! Windows: which messages of a conversation go into the world together, and when.
//!
//! A window opens with the first message of its key and ends after the endpoint's `batching.window`, by the monotonic
//! clock. Times here are milliseconds of that clock since the process started; a window that was open before a restart
//! opened at a negative time. Since only the opening is kept, a changed window length applies to open windows too.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use imarchive_crds::{Batching, GroupChats, Release};
use tokio::time::Instant;

use crate::{message::ConversationKind, spool::append::Group};

/// Milliseconds of the monotonic clock since the process started.
pub type Ticks = i64;

/// What a window gathers: the messages of one conversation for one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The endpoint.
    pub endpoint: String,
    /// The chat system.
    pub source: String,
    /// Two people, or a room.
    pub kind: ConversationKind,
    /// Direct: the two addresses; room: its id.
    pub thread: String,
    /// Whose messages of a room: unset for a direct chat, and for a room that is batched as a whole.
    pub sender: Option<String>,
}

impl Key {
    /// The key of a message of `group` at `endpoint`.
    pub fn new(endpoint: &str, group: &Group, group_chats: GroupChats) -> Self {
        let per_user = group.kind == ConversationKind::Room && group_chats == GroupChats::PerUser;
        Self {
            endpoint: endpoint.to_owned(),
            source: group.source.clone(),
            kind: group.kind,
            thread: group.thread.clone(),
            sender: per_user.then(|| group.sender.clone()),
        }
    }
}

/// A message in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its place in the order of commits.
    pub seq: i64,
    /// Its size.
    pub bytes: u64,
}

#[derive(Debug)]
struct Window {
    opened_at: Ticks,
    members: Vec<Member>,
}

/// The open windows.
#[derive(Debug, Default)]
pub struct Windows {
    open: HashMap<Key, Window>,
    /// For each endpoint its windows in the order they opened, which is the order they end.
    ends: BTreeMap<String, BTreeSet<(Ticks, Key)>>,
}

impl Windows {
    /// Adds a message, opening a window at `now` when there is none. Answers whether the window is full.
    pub fn add(&mut self, key: Key, member: Member, now: Ticks, batching: &Batching) -> bool {
        let window = self.open.entry(key.clone()).or_insert_with(|| {
            self.ends.entry(key.endpoint.clone()).or_default().insert((now, key));
            Window { opened_at: now, members: Vec::new() }
        });
        window.members.push(member);
        batching.release == Release::WhenFull && window.members.len() as i64 >= i64::from(batching.max_messages)
    }

    /// When the next window of `endpoint` ends.
    pub fn next_end(&self, endpoint: &str, batching: &Batching) -> Option<Ticks> {
        let (opened_at, _) = self.ends.get(endpoint)?.first()?;
        Some(opened_at + batching.window.duration().as_millis() as Ticks)
    }

    /// The windows of `endpoint` that ended by `now`.
    pub fn ended(&self, endpoint: &str, now: Ticks, batching: &Batching) -> Vec<Key> {
        let window = batching.window.duration().as_millis() as Ticks;
        let ends = self.ends.get(endpoint).into_iter().flatten();
        ends.take_while(|(opened_at, _)| opened_at + window <= now).map(|(_, key)| key.clone()).collect()
    }

    /// Closes a window: its messages in the order they were taken.
    pub fn close(&mut self, key: &Key) -> Vec<Member> {
        let Some(mut window) = self.open.remove(key) else { return Vec::new() };
        if let Some(ends) = self.ends.get_mut(&key.endpoint) {
            ends.remove(&(window.opened_at, key.clone()));
        }
        window.members.sort_unstable();
        window.members
    }

    /// When the window of `key` ends, if it is open.
    pub fn end(&self, key: &Key, batching: &Batching) -> Option<Ticks> {
        self.open.get(key).map(|window| window.opened_at + batching.window.duration().as_millis() as Ticks)
    }

    /// Whether no window is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// The open windows, where the task that seals them and whoever asks about them both reach them.
#[derive(Debug)]
pub struct Shared {
    started: Instant,
    windows: Mutex<Windows>,
}

impl Shared {
    /// No window, at the start of the process.
    pub fn new() -> Self {
        Self { started: Instant::now(), windows: Mutex::default() }
    }

    /// The time by the clock that windows go by.
    pub fn ticks(&self) -> Ticks {
        self.started.elapsed().as_millis() as Ticks
    }

    /// The windows, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the window of `key` is still open, if it is.
    pub fn ends_in(&self, key: &Key, batching: &Batching) -> Option<Duration> {
        let end = self.lock().end(key, batching)?;
        Some(Duration::from_millis(u64::try_from(end - self.ticks()).unwrap_or(0)))
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

/// Cuts a closed window's messages into batches of at most `maxMessages` and `maxBytes`, in order; a larger message is a
/// batch alone.
pub fn cut(members: &[Member], batching: &Batching) -> Vec<Vec<i64>> {
    let mut batches: Vec<Vec<i64>> = Vec::new();
    let mut bytes = 0;
    for member in members {
        bytes += member.bytes;
        match batches.last_mut() {
            Some(batch)
                if (batch.len() as i64) < i64::from(batching.max_messages) && bytes <= batching.max_bytes.bytes() =>
            {
                batch.push(member.seq);
            }
            _ => {
                batches.push(vec![member.seq]);
                bytes = member.bytes;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use imarchive_crds::{ByteSize, Span};
    use proptest::prelude::*;

    fn batching() -> Batching {
        Batching { window: Span::seconds(10), ..Batching::default() }
    }

    fn group(sender: &str) -> Group {
        Group { source: "s".into(), kind: ConversationKind::Room, thread: "r".into(), sender: sender.into() }
    }

    fn key(sender: &str) -> Key {
        Key::new("journal", &group(sender), GroupChats::PerUser)
    }

    fn member(seq: i64) -> Member {
        Member { seq, bytes: 100 }
    }

    #[test]
    fn nothing_is_released_before_the_window_ends_even_when_it_is_full() {
        let mut windows = Windows::default();
        let full = (0..60).any(|seq| windows.add(key("a"), member(seq), seq, &batching()));
        assert!(!full);
        assert!(windows.ended("journal", 9_999, &batching()).is_empty());
        assert_eq!(windows.ended("journal", 10_000, &batching()), [key("a")]);
    }

    #[test]
    fn with_release_when_full_the_fiftieth_message_says_so() {
        let mut windows = Windows::default();
        let batching = Batching { release: Release::WhenFull, ..batching() };
        let full: Vec<bool> = (0..50).map(|seq| windows.add(key("a"), member(seq), 0, &batching)).collect();
        assert_eq!(full.iter().position(|full| *full), Some(49));
    }

    #[test]
    fn a_room_is_one_window_for_each_sender_or_one_for_all() {
        assert_ne!(key("a"), key("b"));
        let whole = |sender| Key::new("journal", &group(sender), GroupChats::PerRoom);
        assert_eq!(whole("a"), whole("b"));
    }

    #[test]
    fn a_shorter_window_length_applies_to_open_windows() {
        let mut windows = Windows::default();
        windows.add(key("a"), member(1), 0, &batching());
        let shorter = Batching { window: Span::seconds(1), ..batching() };
        assert_eq!(windows.next_end("journal", &shorter), Some(1_000));
        assert_eq!(windows.ended("journal", 1_000, &shorter), [key("a")]);
    }

    #[test]
    fn messages_leave_in_the_order_of_commits() {
        let mut windows = Windows::default();
        for seq in [3, 1, 2] {
            windows.add(key("a"), member(seq), 0, &batching());
        }
        assert_eq!(windows.close(&key("a")), [member(1), member(2), member(3)]);
        assert!(windows.is_empty() && windows.next_end("journal", &batching()).is_none());
    }

    #[test]
    fn a_message_over_the_limit_is_a_batch_alone() {
        let batching = Batching { max_bytes: ByteSize::parse("250").expect("valid"), ..batching() };
        let members = [(1, 100), (2, 900), (3, 100), (4, 100), (5, 100)].map(|(seq, bytes)| Member { seq, bytes });
        assert_eq!(cut(&members, &batching), [vec![1], vec![2], vec![3, 4], vec![5]]);
    }

    proptest! {
        #[test]
        fn a_cut_keeps_every_message_once_and_in_order(sizes in prop::collection::vec(0u64..400, 0..200), most in 1i32..50) {
            let members: Vec<_> = sizes.iter().enumerate().map(|(seq, bytes)| Member { seq: seq as i64, bytes: *bytes }).collect();
            let batching = Batching { max_messages: most, max_bytes: ByteSize::parse("500").expect("valid"), ..batching() };
            let batches = cut(&members, &batching);
            prop_assert_eq!(batches.concat(), (0..sizes.len() as i64).collect::<Vec<_>>());
            for batch in &batches {
                let bytes: u64 = batch.iter().map(|seq| sizes[*seq as usize]).sum();
                prop_assert!(batch.len() <= most as usize && (bytes <= 500 || batch.len() == 1));
            }
        }
    }
}
