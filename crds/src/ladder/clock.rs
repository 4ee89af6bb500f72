//! The outage clock: how long an endpoint's outages have lasted, as far as that counts.
//!
//! It is read in time of outage, over the endpoint's life, and never goes back. It runs from the first failed attempt of an
//! outage to the end of it, and stands still while the endpoint is suspended. Between two attempts it goes on by the rung
//! at most and by nothing at least, whatever the wall clock does meanwhile, and however long the archiver was away: its
//! hours are never more than those of the rungs that were climbed. A batch expires by it, and therefore never early.

use std::time::Duration;

use jiff::Timestamp;

use super::next_attempt_at;
use crate::{Retry, ladder::Outage};

/// An endpoint's outage clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// What it read when it was last set.
    pub reading: Duration,
    /// What it can read at most before the next attempt.
    pub most: Duration,
    /// When it was last set, while it runs.
    pub runs_since: Option<Timestamp>,
}

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock, which may be set.
    pub now: Timestamp,
    /// By the monotonic clock, how long ago the outage clock was set; `None`: another process did.
    pub elapsed: Option<Duration>,
}

impl Clock {
    /// What it reads now.
    pub fn read(&self, moment: Moment) -> Duration {
        let Some(since) = self.runs_since else { return self.reading };
        let passed = moment.elapsed.unwrap_or_else(|| between(since, moment.now).unwrap_or_default());
        (self.reading + passed).min(self.most)
    }

    /// What it reads for a batch that is due at `now`: rather too much than too little, so that it does not expire early.
    pub fn due(&self, now: Timestamp) -> Duration {
        match self.runs_since {
            None => self.reading,
            Some(since) => between(since, now).map_or(self.most, |passed| (self.reading + passed).min(self.most)),
        }
    }

    /// An attempt failed: the clock runs, until the next one for `rung` at most.
    pub fn failed(&self, moment: Moment, rung: Duration) -> Self {
        let reading = self.read(moment);
        Self { reading, most: reading + rung, runs_since: Some(moment.now) }
    }

    /// The endpoint is suspended, or the outage is over.
    pub fn stopped(&self, moment: Moment) -> Self {
        Self { reading: self.read(moment), runs_since: None, ..*self }
    }

    /// The endpoint is not suspended any more.
    pub fn started(&self, now: Timestamp) -> Self {
        Self { runs_since: Some(now), ..*self }
    }

    /// When a batch expires at the soonest, that was due at the reading `due`; `None` while the clock stands still.
    pub fn gives_up_at(
        &self,
        retry: &Retry,
        outage: &Outage,
        due: Duration,
        endpoint_uid: &str,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let left = retry.give_up_after.duration().saturating_sub(self.reading.saturating_sub(due));
        // It can only expire when an attempt has failed.
        Some((self.runs_since?.min(now) + left).max(next_attempt_at(retry, outage, endpoint_uid, now)))
    }
}

/// `None`: the clock was set back.
fn between(since: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(now.duration_since(since)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const YEAR: i64 = 365 * 24;

    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3600).expect("in range")
    }

    fn wall(at: i64) -> Moment {
        Moment { now: hour(at), elapsed: None }
    }

    #[test]
    fn it_runs_from_the_first_failure_on_and_not_before() {
        let clock = Clock::default();
        assert_eq!((clock.read(wall(9)), clock.due(hour(9))), (Duration::ZERO, Duration::ZERO));
        let clock = clock.failed(wall(9), 4 * HOUR);
        assert_eq!((clock.reading, clock.read(wall(10)), clock.due(hour(11))), (Duration::ZERO, HOUR, 2 * HOUR));
    }

    #[test]
    fn an_archiver_that_was_away_has_counted_the_rung() {
        let clock = Clock::default().failed(wall(0), 4 * HOUR);
        assert_eq!(clock.read(wall(1000)), 4 * HOUR);
    }

    #[test]
    fn it_stands_still_while_suspended_and_the_rung_is_not_counted_twice() {
        let clock = Clock::default().failed(wall(0), 4 * HOUR).stopped(wall(3));
        assert_eq!((clock.read(wall(700)), clock.due(hour(700))), (3 * HOUR, 3 * HOUR));
        let clock = clock.started(hour(720));
        assert_eq!(
            (clock.read(wall(720)), clock.read(wall(721)), clock.read(wall(730))),
            (3 * HOUR, 4 * HOUR, 4 * HOUR)
        );
    }

    #[test]
    fn a_wall_clock_that_is_set_does_not_matter_to_the_process_that_saw_the_last_attempt() {
        let clock = Clock::default().failed(wall(0), 8 * HOUR);
        for jump in [-YEAR, 0, YEAR] {
            assert_eq!(clock.read(Moment { now: hour(2 + jump), elapsed: Some(2 * HOUR) }), 2 * HOUR);
        }
    }

    #[test]
    fn a_batch_that_is_due_after_the_wall_clock_was_set_counts_from_the_next_attempt() {
        let clock = Clock::default().failed(wall(0), 8 * HOUR);
        assert_eq!((clock.due(hour(2 - YEAR)), clock.due(hour(2 + YEAR))), (8 * HOUR, 8 * HOUR));
    }

    #[test]
    fn it_gives_up_when_the_rest_has_passed_and_not_before_an_attempt() {
        let retry = Retry::default();
        let outage = Outage::failed(None, hour(0));
        let clock = Clock { reading: 2100 * HOUR, most: 2101 * HOUR, runs_since: Some(hour(0)) };
        let at = |clock: &Clock, due| clock.gives_up_at(&retry, &outage, due, "", hour(0));
        assert_eq!(at(&clock, Duration::ZERO), Some(hour(60)));
        assert_eq!(at(&clock, 100 * HOUR), Some(hour(160)));
        let late = Clock { reading: 3000 * HOUR, ..clock };
        assert_eq!(at(&late, Duration::ZERO), Some(next_attempt_at(&retry, &outage, "", hour(0))));
        assert_eq!(at(&clock.stopped(wall(0)), Duration::ZERO), None);
    }

    /// What can happen to the clock of an endpoint in an outage; each with how far the wall clock is off by then.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// Some hours after the one before; whether by the process that set the clock.
        Failed(u32, bool),
        Suspended(u32, bool),
        Resumed(u32),
        Due(u32),
    }

    fn events() -> impl Strategy<Value = Vec<(Event, i64)>> {
        let hours = 0u32..60;
        let event = prop_oneof![
            3 => (hours.clone(), any::<bool>()).prop_map(|(hours, same)| Event::Failed(hours, same)),
            1 => (hours.clone(), any::<bool>()).prop_map(|(hours, same)| Event::Suspended(hours, same)),
            1 => hours.clone().prop_map(Event::Resumed),
            1 => hours.prop_map(Event::Due),
        ];
        let off = prop_oneof![3 => Just(0), 1 => -YEAR..YEAR];
        prop::collection::vec((event, off), 1..80)
    }

    proptest! {
        #[test]
        fn it_never_goes_back_nor_counts_more_than_the_rungs_that_were_climbed(events in events()) {
            let (mut clock, mut at, mut rungs) = (Clock::default(), 0, Duration::ZERO);
            for (attempt, (event, off)) in events.into_iter().enumerate() {
                let before = clock;
                let moment = |hours: u32, same: bool| Moment {
                    now: hour(at + i64::from(hours) + off),
                    elapsed: same.then(|| HOUR * hours),
                };
                let hours = match event {
                    Event::Failed(hours, same) => {
                        let rung = HOUR * (1 << attempt.min(4)) as u32;
                        clock = clock.failed(moment(hours, same), rung);
                        prop_assert!(clock.reading <= rungs, "{clock:?} {rungs:?}");
                        rungs += rung;
                        hours
                    }
                    Event::Suspended(hours, same) => {
                        clock = clock.stopped(moment(hours, same));
                        hours
                    }
                    Event::Resumed(hours) => {
                        clock = clock.started(moment(hours, false).now);
                        hours
                    }
                    Event::Due(hours) => {
                        let due = clock.due(moment(hours, false).now);
                        prop_assert!(due >= clock.reading && due <= clock.most.max(clock.reading));
                        hours
                    }
                };
                at += i64::from(hours);
                prop_assert!(clock.reading >= before.reading && clock.reading <= rungs);
            }
        }

        /// One process, whose wall clock is set again and again; attempts when their rung is over.
        #[test]
        fn no_batch_expires_before_it_was_due_for_as_long_as_it_may_fail(
            offs in prop::collection::vec(prop::sample::select(vec![-YEAR, 0, YEAR]), 40),
            due in 0u32..400,
        ) {
            let rung = 24 * HOUR;
            let (mut clock, mut stamp) = (Clock::default(), None);
            for (attempt, off) in (0u32..).zip(offs) {
                let at = rung * attempt;
                // The wall clock is set right after the attempt before, so that the batch is sealed by the new time.
                if stamp.is_none() && at >= HOUR * due {
                    stamp = Some(clock.due(hour(i64::from(due) + off)));
                }
                let elapsed = (attempt > 0).then_some(rung);
                clock = clock.failed(Moment { now: hour(i64::from(attempt) * 24 + off), elapsed }, rung);
                if let Some(stamp) = stamp {
                    let counted = clock.reading.saturating_sub(stamp);
                    prop_assert!(counted <= at - HOUR * due, "{counted:?} at {at:?}");
                }
            }
        }
    }
}
