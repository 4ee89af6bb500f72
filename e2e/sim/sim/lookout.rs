//! When an endpoint's next attempt is looked for.

use std::collections::BTreeMap;

use imarchive_crds::{Retry, RetryStatus, ladder};

use crate::{
    history::{Event, History, Millis, What},
    plan::{HOUR, MINUTE},
    resources::uid,
};

/// After a rung is over, how long it may take until it is seen at the archive.
pub const SLACK: Millis = 2 * MINUTE;
/// Between two looks.
const AGAIN: Millis = 30 * MINUTE;

/// How long after an attempt the next one comes.
pub fn rung(endpoint: usize, attempt: i64) -> Millis {
    ladder::delay(&Retry::default(), attempt as u32, &uid(endpoint)).as_millis() as Millis
}

/// Of each endpoint.
pub struct Lookout {
    /// When its next attempt is looked for.
    looks: Vec<Option<Millis>>,
    /// When its archiver could first make it.
    able: Vec<Millis>,
}

impl Lookout {
    /// Looks for nothing yet.
    pub fn new(endpoints: usize) -> Self {
        Self { looks: vec![None; endpoints], able: vec![0; endpoints] }
    }

    /// When to look next.
    pub fn next(&self) -> Option<Millis> {
        self.looks.iter().flatten().min().copied()
    }

    /// From `now` on nothing stands in its archiver's way, so far as that follows from what was done to it.
    pub fn is_able(&mut self, endpoint: usize, now: Millis) {
        self.able[endpoint] = now;
    }

    /// After a failure the next attempt comes at the end of the rung.
    pub fn see(&mut self, event: &Event) {
        match event.what {
            What::Failed { endpoint, attempt, .. } => {
                self.looks[endpoint] = Some(event.at + rung(endpoint, attempt) + SLACK);
            }
            What::Recovered { endpoint, .. } => self.looks[endpoint] = None,
            _ => {}
        }
    }

    /// The archiver goes on from what was published: in an outage it tries again after the longest rung at the latest.
    pub fn lose_volume(&mut self, now: Millis, published: &BTreeMap<usize, RetryStatus>) {
        for (endpoint, look) in self.looks.iter_mut().enumerate() {
            *look = published.get(&endpoint).filter(|retry| retry.attempt > 0).map(|_| now + 26 * HOUR);
        }
    }

    /// The endpoints of which no attempt was seen by `now`, although its time has come and it could have been made.
    pub fn missing(&mut self, now: Millis, history: &History) -> Vec<usize> {
        let mut missing = Vec::new();
        for (endpoint, look) in self.looks.iter_mut().enumerate() {
            let Some(looked) = look.filter(|at| *at <= now) else { continue };
            *look = Some(now + AGAIN);
            // Seen since about the failure: another look is planned when that attempt fails.
            let seen = history.last_dial(endpoint).unwrap_or(0) + 2 * SLACK + 15 * MINUTE >= looked;
            if !seen && self.able[endpoint] + SLACK <= now {
                missing.push(endpoint);
            }
        }
        missing
    }
}
