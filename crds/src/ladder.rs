//! When a failed delivery is tried again: 1, 2, 4, 8 h, then daily, for 90 days.
//!
//! Each delay counts from the end of the attempt before. The archiver follows this function from the attempts that it
//! persists; the operator publishes the same. How long a batch may fail is read off the outage [`Clock`].

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::Retry;

mod clock;

pub use clock::{Clock, Moment};

/// An endpoint's failures in a row. It ends with a delivery; a passed test does not end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// How often it was tried; at least once.
    pub attempts: u32,
    /// When the first failed attempt ended.
    pub first_failure_at: Timestamp,
    /// When the last failed attempt ended.
    pub last_attempt_at: Timestamp,
}

impl Outage {
    /// The outage after another failed attempt, which ended at `now`.
    pub fn failed(before: Option<&Self>, now: Timestamp) -> Self {
        match before {
            Some(outage) => Self { attempts: outage.attempts + 1, last_attempt_at: now, ..outage.clone() },
            None => Self { attempts: 1, first_failure_at: now, last_attempt_at: now },
        }
    }

    /// The outage by a clock that says `now`, and may have been set back: no part of it is yet to come.
    pub fn by(&self, now: Timestamp) -> Self {
        let past = |at: Timestamp| at.min(now);
        Self { first_failure_at: past(self.first_failure_at), last_attempt_at: past(self.last_attempt_at), ..*self }
    }
}

/// How long after the end of attempt number `attempts` the next one comes, jitter included.
///
/// The jitter is a fixed hash of the endpoint's UID, added, and at most 5 %: it keeps a thousand endpoints of one
/// archive from returning in the same second, and one endpoint's schedule the same after every restart.
pub fn delay(retry: &Retry, attempts: u32, endpoint_uid: &str) -> Duration {
    let rung = (attempts.max(1) - 1) as usize;
    let delay = retry.ladder.get(rung).unwrap_or(&retry.interval).duration();
    let hash = Sha256::digest(endpoint_uid);
    delay + delay * u32::from(hash[0]) / (255 * 20)
}

/// How long the rungs take together that lie between the first and the last of so many failures in a row.
pub fn climbed(retry: &Retry, failures: u32, endpoint_uid: &str) -> Duration {
    let rungs = failures.max(1) - 1;
    let listed = u32::try_from(retry.ladder.len()).unwrap_or(rungs).min(rungs);
    let listed_time: Duration = (1..=listed).map(|rung| delay(retry, rung, endpoint_uid)).sum();
    listed_time + delay(retry, u32::MAX, endpoint_uid) * (rungs - listed)
}

/// The longest rung, jitter included, whichever endpoint it is.
pub fn longest(retry: &Retry) -> Duration {
    let longest = retry.ladder.iter().chain([&retry.interval]).map(|rung| rung.duration()).max().unwrap_or_default();
    longest + longest / 20
}

/// When `outage` is tried next. `now` bounds it: a clock that went back never makes a wait longer than the rung.
pub fn next_attempt_at(retry: &Retry, outage: &Outage, endpoint_uid: &str, now: Timestamp) -> Timestamp {
    let delay = delay(retry, outage.attempts, endpoint_uid);
    (outage.last_attempt_at + delay).min(now + delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn the_default_ladder_climbs_1_2_4_8_and_then_24_hours() {
        let retry = Retry::default();
        let hours: Vec<u64> = (1..=7).map(|attempt| delay(&retry, attempt, "").as_secs() / 3600).collect();
        let least: Vec<u64> = vec![1, 2, 4, 8, 24, 24, 24];
        assert!(hours.iter().zip(&least).all(|(hours, least)| hours == least || *hours == least + 1), "{hours:?}");
    }

    #[test]
    fn what_was_climbed_is_the_sum_of_the_rungs() {
        let retry = Retry::default();
        for failures in 1..100 {
            let sum: Duration = (1..failures).map(|rung| delay(&retry, rung, "x")).sum();
            assert_eq!(climbed(&retry, failures, "x"), sum);
        }
    }

    #[test]
    fn an_empty_ladder_is_the_interval_from_the_start() {
        let retry = Retry { ladder: vec![], interval: Span::seconds(10), ..Retry::default() };
        assert!(delay(&retry, 1, "x") >= Duration::from_secs(10));
    }

    #[test]
    fn a_clock_that_went_back_a_year_costs_at_most_the_rung() {
        let retry = Retry::default();
        let outage = Outage::failed(None, at(40_000_000));
        assert!(next_attempt_at(&retry, &outage, "x", at(8_000_000)) <= at(8_000_000) + delay(&retry, 1, "x"));
    }

    #[test]
    fn a_failure_counts_up_and_keeps_the_beginning() {
        let first = Outage::failed(None, at(10));
        let second = Outage::failed(Some(&first), at(20));
        assert_eq!(second, Outage { attempts: 2, first_failure_at: at(10), last_attempt_at: at(20) });
    }

    #[test]
    fn an_outage_of_the_future_is_one_of_the_moment() {
        let outage = Outage { attempts: 3, first_failure_at: at(10), last_attempt_at: at(90) };
        assert_eq!(outage.by(at(100)), outage);
        assert_eq!(outage.by(at(50)), Outage { last_attempt_at: at(50), ..outage.clone() });
        assert_eq!(outage.by(at(5)), Outage { attempts: 3, first_failure_at: at(5), last_attempt_at: at(5) });
    }

    proptest! {
        #[test]
        fn jitter_is_added_fixed_and_at_most_a_twentieth(attempts in 1u32..200, uid in ".{0,40}") {
            let retry = Retry::default();
            let bare = retry.ladder.get(attempts as usize - 1).unwrap_or(&retry.interval).duration();
            let delay = delay(&retry, attempts, &uid);
            prop_assert!(delay >= bare && delay <= bare + bare / 20);
            prop_assert!(delay <= longest(&retry));
            prop_assert_eq!(delay, super::delay(&retry, attempts, &uid));
        }
    }
}
