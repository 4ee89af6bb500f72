//! Whether the operator gets on: what `/livez` tells. A process that answers, and does nothing, is started anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The Lease is looked at every few seconds, with a call that is bounded.
const LONGEST_BEAT: Duration = Duration::from_secs(60);
/// A reconcile is a dozen calls at most, and each is bounded.
const LONGEST_RECONCILE: Duration = Duration::from_secs(180);
/// A reconcile that was asked for begins at once, or when one of the few that run has ended.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What was asked for, what runs, and when the Lease was last looked at.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    beat: Instant,
    /// By kind: since when nothing that was asked for has begun.
    asked: HashMap<String, Instant>,
    /// By object: since when its reconcile runs.
    running: HashMap<String, Instant>,
}

/// Says that the Lease was looked at.
#[derive(Clone, Debug)]
pub struct Beat(Progress);

impl Beat {
    /// It was looked at now.
    pub fn tick(&self) {
        self.0.lock().beat = Instant::now();
    }
}

impl Progress {
    /// Of an operator that starts at `now`.
    pub fn since(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(State { beat: now, asked: HashMap::new(), running: HashMap::new() })))
    }

    /// For who looks at the Lease.
    pub fn beat(&self) -> Beat {
        Beat(self.clone())
    }

    /// A reconcile of this kind was asked for.
    pub fn asked(&self, kind: &str, now: Instant) {
        let mut state = self.lock();
        if !state.asked.contains_key(kind) {
            state.asked.insert(kind.to_owned(), now);
        }
    }

    /// What was asked for of this kind is served: one began, or its object is gone.
    pub fn served(&self, kind: &str) {
        self.lock().asked.remove(kind);
    }

    /// The reconcile of `object` begins.
    pub fn began(&self, kind: &str, object: &str, now: Instant) {
        let mut state = self.lock();
        state.asked.remove(kind);
        state.running.insert(object.to_owned(), now);
    }

    /// The reconcile of `object` ended.
    pub fn ended(&self, object: &str) {
        self.lock().running.remove(object);
    }

    /// What stands still at `now`, if anything does.
    pub fn stuck(&self, now: Instant) -> Option<String> {
        let state = self.lock();
        let age = |since: Instant| now.saturating_duration_since(since);
        if age(state.beat) > LONGEST_BEAT {
            return Some(format!("the Lease was not looked at for {} s", age(state.beat).as_secs()));
        }
        if let Some((object, since)) = state.running.iter().find(|(_, since)| age(**since) > LONGEST_RECONCILE) {
            return Some(format!("the reconcile of {object} runs for {} s", age(*since).as_secs()));
        }
        let waits = state.asked.iter().find(|(_, since)| age(**since) > LONGEST_WAIT);
        waits.map(|(kind, since)| format!("reconciles of {kind} are waited for, for {} s", age(*since).as_secs()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_operator_that_has_nothing_to_do_gets_on_as_long_as_it_looks_at_the_lease() {
        let start = Instant::now();
        let progress = Progress::since(start);
        assert_eq!(progress.stuck(start + MINUTE), None);
        assert!(progress.stuck(start + 2 * MINUTE).is_some_and(|why| why.contains("Lease")));
        progress.beat().tick();
        assert_eq!(progress.stuck(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_never_ends_is_no_progress() {
        let progress = Progress::since(Instant::now());
        progress.began("Archiver", "Archiver acme/archiver", Instant::now());
        tokio::time::advance(4 * MINUTE).await;
        progress.beat().tick();
        assert!(progress.stuck(Instant::now()).is_some_and(|why| why.contains("acme/archiver")));
        progress.ended("Archiver acme/archiver");
        assert_eq!(progress.stuck(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_never_begins_is_no_progress() {
        let progress = Progress::since(Instant::now());
        progress.asked("Archiver", Instant::now());
        tokio::time::advance(6 * MINUTE).await;
        progress.asked("Archiver", Instant::now());
        progress.beat().tick();
        assert!(progress.stuck(Instant::now()).is_some());
        progress.served("Archiver");
        assert_eq!(progress.stuck(Instant::now()), None);
    }
}
