//! Windows: which messages of a conversation go into the world together, and when.
//!
//! A window opens with the first message of its thread and ends after the endpoint's `batching.window`, by the monotonic
//! clock. Times here are milliseconds of that clock since the process started; a window that was open before a restart
//! opened at a negative time. Since only the opening is kept, a changed window length applies to open windows too.
//!
//! A million messages may wait in a hundred thousand windows: a message costs 16 bytes, all in one block of memory, and a
//! window some 80. Looking for the windows that ended touches those alone.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use imarchive_crds::{Batching, Release};
use tokio::time::Instant;

/// Milliseconds of the monotonic clock since the process started.
pub type Ticks = i64;

/// A message in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its place in the order of commits.
    pub seq: i64,
    /// Its size.
    pub bytes: u64,
}

/// A place in the store of members.
type Slot = u32;
/// After the last one.
const END: Slot = Slot::MAX;

/// The members of all windows, each window's linked in the order they were added; and the free slots.
#[derive(Debug)]
struct Members {
    slots: Vec<(i64, u32, Slot)>,
    free: Slot,
}

impl Default for Members {
    fn default() -> Self {
        Self { slots: Vec::new(), free: END }
    }
}

impl Members {
    fn add(&mut self, member: Member) -> Slot {
        // A message is far smaller than 4 GiB; a larger one would count as that.
        let slot = (member.seq, u32::try_from(member.bytes).unwrap_or(u32::MAX), END);
        if self.free == END {
            self.slots.push(slot);
            return (self.slots.len() - 1) as Slot;
        }
        let at = self.free;
        self.free = std::mem::replace(&mut self.slots[at as usize], slot).2;
        at
    }

    /// The members from `first` on, whose slots are free now.
    fn take(&mut self, first: Slot) -> Vec<Member> {
        let mut members = Vec::new();
        let mut at = first;
        while at != END {
            let (seq, bytes, next) = self.slots[at as usize];
            members.push(Member { seq, bytes: u64::from(bytes) });
            self.slots[at as usize].2 = self.free;
            self.free = at;
            at = next;
        }
        members
    }
}

#[derive(Debug)]
struct Window {
    opened_at: Ticks,
    first: Slot,
    last: Slot,
    count: u32,
}

/// The windows of one endpoint.
#[derive(Debug, Default)]
struct Lane {
    open: HashMap<i64, Window>,
    /// In the order they opened, which is the order they end.
    ends: BTreeSet<(Ticks, i64)>,
}

/// The open windows: of each endpoint, by the thread of their messages.
#[derive(Debug, Default)]
pub struct Windows {
    lanes: HashMap<String, Lane>,
    members: Members,
}

impl Windows {
    /// Adds a message, opening a window at `now` when there is none. Answers whether the window is full.
    pub fn add(&mut self, endpoint: &str, thread: i64, member: Member, now: Ticks, batching: &Batching) -> bool {
        if !self.lanes.contains_key(endpoint) {
            self.lanes.insert(endpoint.to_owned(), Lane::default());
        }
        let Some(lane) = self.lanes.get_mut(endpoint) else { return false };
        let slot = self.members.add(member);
        let window = lane.open.entry(thread).or_insert_with(|| {
            lane.ends.insert((now, thread));
            Window { opened_at: now, first: slot, last: slot, count: 0 }
        });
        if window.last != slot {
            self.members.slots[window.last as usize].2 = slot;
        }
        window.last = slot;
        window.count += 1;
        batching.release == Release::WhenFull && i64::from(window.count) >= i64::from(batching.max_messages)
    }

    /// When the next window of `endpoint` ends.
    pub fn next_end(&self, endpoint: &str, batching: &Batching) -> Option<Ticks> {
        let (opened_at, _) = self.lanes.get(endpoint)?.ends.first()?;
        Some(opened_at + batching.window.duration().as_millis() as Ticks)
    }

    /// The windows of `endpoint` that ended by `now`, the first `most` of them.
    pub fn ended(&self, endpoint: &str, now: Ticks, batching: &Batching, most: usize) -> Vec<i64> {
        let window = batching.window.duration().as_millis() as Ticks;
        let ends = self.lanes.get(endpoint).into_iter().flat_map(|lane| &lane.ends);
        let ended = ends.take_while(|(opened_at, _)| opened_at + window <= now);
        ended.take(most).map(|(_, thread)| *thread).collect()
    }

    /// Closes a window: its messages in the order they were taken.
    pub fn close(&mut self, endpoint: &str, thread: i64) -> Vec<Member> {
        let Some(lane) = self.lanes.get_mut(endpoint) else { return Vec::new() };
        let Some(window) = lane.open.remove(&thread) else { return Vec::new() };
        lane.ends.remove(&(window.opened_at, thread));
        if lane.open.is_empty() {
            // What a hundred thousand of them needed is given back.
            self.lanes.remove(endpoint);
        }
        let mut members = self.members.take(window.first);
        if self.lanes.is_empty() {
            self.members = Members::default();
        }
        members.sort_unstable();
        // One that was given to another endpoint and back.
        members.dedup();
        members
    }

    /// When a window ends, if it is open.
    pub fn end(&self, endpoint: &str, thread: i64, batching: &Batching) -> Option<Ticks> {
        let window = self.lanes.get(endpoint)?.open.get(&thread)?;
        Some(window.opened_at + batching.window.duration().as_millis() as Ticks)
    }

    /// Whether no window is open.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
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

    /// How long a window is still open, if it is.
    pub fn ends_in(&self, endpoint: &str, thread: i64, batching: &Batching) -> Option<Duration> {
        let end = self.lock().end(endpoint, thread, batching)?;
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

    fn member(seq: i64) -> Member {
        Member { seq, bytes: 100 }
    }

    #[test]
    fn nothing_is_released_before_the_window_ends_even_when_it_is_full() {
        let mut windows = Windows::default();
        let full = (0..60).any(|seq| windows.add("journal", 7, member(seq), seq, &batching()));
        assert!(!full);
        assert!(windows.ended("journal", 9_999, &batching(), 9).is_empty());
        assert_eq!(windows.ended("journal", 10_000, &batching(), 9), [7]);
    }

    #[test]
    fn with_release_when_full_the_fiftieth_message_says_so() {
        let mut windows = Windows::default();
        let batching = Batching { release: Release::WhenFull, ..batching() };
        let full: Vec<bool> = (0..50).map(|seq| windows.add("journal", 7, member(seq), 0, &batching)).collect();
        assert_eq!(full.iter().position(|full| *full), Some(49));
    }

    #[test]
    fn a_shorter_window_length_applies_to_open_windows() {
        let mut windows = Windows::default();
        windows.add("journal", 7, member(1), 0, &batching());
        let shorter = Batching { window: Span::seconds(1), ..batching() };
        assert_eq!(windows.next_end("journal", &shorter), Some(1_000));
        assert_eq!(windows.ended("journal", 1_000, &shorter, 9), [7]);
    }

    #[test]
    fn messages_leave_in_the_order_of_commits() {
        let mut windows = Windows::default();
        for seq in [3, 1, 2] {
            windows.add("journal", 7, member(seq), 0, &batching());
        }
        assert_eq!(windows.close("journal", 7), [member(1), member(2), member(3)]);
        assert!(windows.is_empty() && windows.next_end("journal", &batching()).is_none());
    }

    #[test]
    fn windows_end_in_the_order_they_opened_and_as_many_as_are_asked_for() {
        let mut windows = Windows::default();
        for (thread, opened) in [(1, 30), (2, 10), (3, 20)] {
            windows.add("journal", thread, member(thread), opened, &batching());
        }
        assert_eq!(windows.ended("journal", 20_000, &batching(), 2), [2, 3]);
    }

    #[test]
    fn a_message_over_the_limit_is_a_batch_alone() {
        let batching = Batching { max_bytes: ByteSize::parse("250").expect("valid"), ..batching() };
        let members = [(1, 100), (2, 900), (3, 100), (4, 100), (5, 100)].map(|(seq, bytes)| Member { seq, bytes });
        assert_eq!(cut(&members, &batching), [vec![1], vec![2], vec![3, 4], vec![5]]);
    }

    proptest! {
        #[test]
        fn every_message_leaves_with_its_own_window(
            adds in prop::collection::vec((0i64..2, 0i64..5, any::<bool>()), 0..200)
        ) {
            let mut windows = Windows::default();
            let mut expected: std::collections::BTreeMap<_, Vec<i64>> = Default::default();
            for (seq, (endpoint, thread, close)) in adds.into_iter().enumerate() {
                let name = endpoint.to_string();
                windows.add(&name, thread, member(seq as i64), 0, &batching());
                expected.entry((endpoint, thread)).or_default().push(seq as i64);
                if close {
                    let left: Vec<i64> = windows.close(&name, thread).iter().map(|member| member.seq).collect();
                    prop_assert_eq!(Some(left), expected.remove(&(endpoint, thread)));
                }
            }
            for ((endpoint, thread), seqs) in expected {
                let left: Vec<i64> =
                    windows.close(&endpoint.to_string(), thread).iter().map(|member| member.seq).collect();
                prop_assert_eq!(left, seqs);
            }
            prop_assert!(windows.is_empty());
        }

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
