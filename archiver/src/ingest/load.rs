//! Load: how much the requests under way may cost together, so that a flood is refused before it costs the process.
//!
//! Two things are counted. The bytes of requests that are held, from their arrival to their commit: when others hold
//! too much, one more is answered 503 and may come again. And the memory that reading JSON takes for a moment, which is
//! a multiple of the text: requests wait for each other there, the largest until it is alone. A request that nobody else
//! is in the way of is never refused.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Kind, Problem};

/// What may be held in any case.
const HELD: u64 = 32 << 20;
/// What reading JSON may take at once, in units of [`UNIT`] bytes.
const ROOM: u32 = 64;
const UNIT: usize = 1 << 20;
/// What a value of JSON takes in memory beside its text, about.
const VALUE: usize = 200;

/// What the requests under way cost.
#[derive(Debug)]
pub struct Load {
    held: AtomicU64,
    room: Arc<Semaphore>,
}

impl Load {
    /// Of no requests yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { held: AtomicU64::new(0), room: Arc::new(Semaphore::new(ROOM as usize)) })
    }

    /// The share of a request, which may have `limit` bytes.
    pub fn share(self: &Arc<Self>, limit: u64) -> Share {
        Share { load: self.clone(), bytes: 0, most: HELD.max(limit.saturating_mul(2)) }
    }

    /// Waits until there is room to read `json`.
    pub async fn room(&self, json: &[u8]) -> Result<OwnedSemaphorePermit, Problem> {
        let values = json.iter().filter(|byte| b"{[,".contains(byte)).count();
        let bytes = json.len().saturating_mul(3).saturating_add(values.saturating_mul(VALUE));
        let units = u32::try_from(bytes / UNIT + 1).map_or(ROOM, |units| units.min(ROOM));
        self.room.clone().acquire_many_owned(units).await.map_err(|_| overloaded())
    }
}

/// What one request holds, until this goes.
#[derive(Debug)]
pub struct Share {
    load: Arc<Load>,
    bytes: u64,
    most: u64,
}

impl Share {
    /// Holds `bytes` more, unless others hold too much for that.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let bytes = bytes as u64;
        self.bytes += bytes;
        let all = self.load.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if all > self.most && all > self.bytes { Err(overloaded()) } else { Ok(()) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.load.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn overloaded() -> Problem {
    Problem::new(Kind::Overloaded, "too much is being handed in at once; nothing of this request was kept")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 16 << 20;

    #[test]
    fn what_others_hold_can_be_too_much_and_is_given_back() {
        let load = Load::new();
        let (mut first, mut second) = (load.share(LIMIT), load.share(LIMIT));
        first.grow(30 << 20).expect("room");
        assert_eq!(second.grow(3 << 20).expect_err("full").kind, Kind::Overloaded);
        drop(second);
        load.share(LIMIT).grow(2 << 20).expect("what was refused is not counted");
        drop(first);
        load.share(LIMIT).grow(32 << 20).expect("all of it");
    }

    #[test]
    fn one_that_is_alone_is_never_refused() {
        let mut share = Load::new().share(LIMIT);
        share.grow(16 << 20).expect("room");
        share.grow(500 << 20).expect("it is alone");
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_much_memory_is_read_alone() {
        let load = Load::new();
        let small = load.room(b"{}").await.expect("room");
        let bomb = b"{},".repeat(1 << 20);
        let waiting = tokio::time::timeout(std::time::Duration::from_secs(1), load.room(&bomb));
        assert!(waiting.await.is_err(), "another is being read");
        drop(small);
        let _bomb = load.room(&bomb).await.expect("alone");
        let waiting = tokio::time::timeout(std::time::Duration::from_secs(1), load.room(b"{}"));
        assert!(waiting.await.is_err(), "and nothing beside it");
    }
}
