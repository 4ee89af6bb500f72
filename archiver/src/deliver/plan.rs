//! What a courier does next, decided from what it knows: how many sessions, and what follows from a failure.
//!
//! The number of sessions follows Postfix's feedback: it begins with one, each mail that is taken adds 1/N, and a failure
//! takes one away. While several are at work none of their failures is the endpoint's by itself: the last of them decides,
//! so that an archive that does not like one more connection is not said to be down.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use crate::classify::Verdict;

/// So many batches that are refused in a row are the endpoint's fault.
const REFUSED: usize = 3;
/// An archive that is pressed too hard is left alone for so long, so many times, before that is an outage.
const RESPITE: Duration = Duration::from_secs(5 * 60);
const RESPITES: u32 = 3;

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The batch is tried again in its turn; the endpoint has not failed yet.
    Again,
    /// The endpoint failed: the ladder.
    Ladder,
    /// The batch is split, or held when it cannot be.
    Split,
}

/// A batch that was refused, while it is not known whether others are too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) batch: i64,
    pub(super) permanent: bool,
    pub(super) words: String,
}

/// What a courier remembers of its deliveries.
#[derive(Debug)]
pub(super) struct Plan {
    sessions: f64,
    at_work: BTreeSet<i64>,
    suspects: Vec<Suspect>,
    respites: u32,
    until: Option<Instant>,
    next_mail: Option<Instant>,
}

impl Plan {
    pub(super) fn new() -> Self {
        Self { sessions: 1.0, at_work: BTreeSet::new(), suspects: vec![], respites: 0, until: None, next_mail: None }
    }

    /// How many sessions there may be now, of at most `most`. While the endpoint is in an outage it is one.
    pub(super) fn sessions(&self, most: i32, outage: bool) -> usize {
        match outage {
            true => 1,
            false => (self.sessions as usize).clamp(1, most.max(1) as usize),
        }
    }

    /// Batches that are being sent.
    pub(super) fn at_work(&self) -> usize {
        self.at_work.len()
    }

    /// Until when nothing may be sent: the archive is left alone, or its mails of this minute are used up.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.until.max(self.next_mail)
    }

    /// A batch is being sent, at most `per_minute` in a minute, if that is not 0.
    pub(super) fn begun(&mut self, batch: i64, per_minute: i32, now: Instant) {
        self.at_work.insert(batch);
        self.until = None;
        self.next_mail = match u32::try_from(per_minute) {
            Ok(count @ 1..) => Some(self.next_mail.unwrap_or(now).max(now) + Duration::from_secs(60) / count),
            _ => None,
        };
    }

    /// The archive took a batch. Answers those that it refused before, which are not like this one.
    pub(super) fn taken(&mut self, batch: i64, most: i32) -> Vec<Suspect> {
        self.at_work.remove(&batch);
        self.respites = 0;
        self.until = None;
        self.sessions = (self.sessions + 1.0 / self.sessions).min(f64::from(most.max(1)));
        self.suspects.retain(|suspect| suspect.batch != batch);
        std::mem::take(&mut self.suspects)
    }

    /// The archive did not take a batch. `others`: another batch can be tried that was not refused.
    pub(super) fn failed(&mut self, batch: i64, verdict: Verdict, words: &str, others: bool, now: Instant) -> Next {
        self.at_work.remove(&batch);
        let busy = !self.at_work.is_empty();
        match verdict {
            Verdict::TooBig => return Next::Split,
            Verdict::Batch { permanent } => {
                self.suspects.retain(|suspect| suspect.batch != batch);
                self.suspects.push(Suspect { batch, permanent, words: words.to_owned() });
                return match (busy, others && self.suspects.len() < REFUSED) {
                    (true, _) | (_, true) => Next::Again,
                    _ => self.ladder(),
                };
            }
            _ => {}
        }
        self.sessions = (self.sessions - 1.0).min(self.at_work.len() as f64).max(1.0);
        match (busy, verdict) {
            (true, _) => Next::Again,
            (false, Verdict::Throttle) if self.respites < RESPITES => {
                self.respites += 1;
                self.until = Some(now + RESPITE);
                Next::Again
            }
            _ => self.ladder(),
        }
    }

    /// The batches that were refused, and are not tried while there is another.
    pub(super) fn suspected(&self) -> BTreeSet<i64> {
        self.suspects.iter().map(|suspect| suspect.batch).collect()
    }

    fn ladder(&mut self) -> Next {
        // Several in a row: it is not about them.
        if self.suspects.len() >= REFUSED {
            self.suspects.clear();
        }
        self.sessions = 1.0;
        self.respites = 0;
        self.until = None;
        Next::Ladder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: Verdict = Verdict::Batch { permanent: true };

    fn plan(at_work: std::ops::Range<i64>) -> Plan {
        let mut plan = Plan::new();
        at_work.for_each(|batch| plan.begun(batch, 0, Instant::now()));
        plan
    }

    fn fail(plan: &mut Plan, batch: i64, verdict: Verdict, others: bool) -> Next {
        plan.begun(batch, 0, Instant::now());
        plan.failed(batch, verdict, "no", others, Instant::now())
    }

    #[test]
    fn sessions_grow_by_one_for_as_many_mails_as_there_are_sessions_and_no_further_than_they_may() {
        let mut plan = plan(0..0);
        let counts: Vec<usize> = (0..10)
            .map(|batch| {
                plan.taken(batch, 4);
                plan.sessions(4, false)
            })
            .collect();
        assert_eq!(counts, [2, 2, 2, 3, 3, 3, 4, 4, 4, 4]);
        assert_eq!((plan.sessions(2, false), plan.sessions(4, true)), (2, 1));
    }

    #[test]
    fn what_one_failure_means_depends_on_the_others_at_work() {
        for (verdict, alone, among_others) in [
            (Verdict::Endpoint, Next::Ladder, Next::Again),
            (Verdict::Ambiguous, Next::Ladder, Next::Again),
            (Verdict::Throttle, Next::Again, Next::Again),
            (Verdict::TooBig, Next::Split, Next::Split),
            (NO, Next::Ladder, Next::Again),
        ] {
            assert_eq!(fail(&mut plan(0..0), 9, verdict, false), alone, "{verdict:?}");
            assert_eq!(fail(&mut plan(0..2), 9, verdict, false), among_others, "{verdict:?}");
        }
    }

    #[test]
    fn of_several_that_fail_the_last_decides() {
        let mut plan = plan(1..4);
        assert_eq!(plan.failed(1, Verdict::Endpoint, "", true, Instant::now()), Next::Again);
        assert_eq!(plan.failed(2, Verdict::Endpoint, "", true, Instant::now()), Next::Again);
        assert_eq!(plan.failed(3, Verdict::Endpoint, "", true, Instant::now()), Next::Ladder);
    }

    #[test]
    fn a_failure_among_others_leaves_as_many_sessions_as_are_at_work() {
        let mut plan = plan(0..0);
        (0..10).for_each(|batch| drop(plan.taken(batch, 4)));
        (0..3).for_each(|batch| plan.begun(batch, 0, Instant::now()));
        plan.failed(0, Verdict::Throttle, "", true, Instant::now());
        assert_eq!(plan.sessions(4, false), 2);
    }

    #[test]
    fn an_archive_that_is_pressed_has_three_respites_and_then_an_outage() {
        let mut plan = plan(0..0);
        for _ in 0..3 {
            assert_eq!(fail(&mut plan, 1, Verdict::Throttle, false), Next::Again);
            assert!(plan.not_before() > Some(Instant::now() + Duration::from_secs(290)));
        }
        assert_eq!(fail(&mut plan, 1, Verdict::Throttle, false), Next::Ladder);
        fail(&mut plan, 1, Verdict::Throttle, false);
        plan.taken(2, 4);
        assert_eq!(plan.respites, 0);
    }

    #[test]
    fn a_refused_batch_is_judged_by_the_next_one() {
        let mut plan = plan(0..0);
        assert_eq!(fail(&mut plan, 1, NO, true), Next::Again);
        assert!(plan.suspected().contains(&1));
        let judged = plan.taken(2, 4);
        assert_eq!(judged, [Suspect { batch: 1, permanent: true, words: "no".into() }]);
        assert!(plan.suspected().is_empty());
    }

    #[test]
    fn a_refused_batch_that_is_taken_later_is_not_suspected() {
        let mut plan = plan(0..0);
        fail(&mut plan, 1, NO, false);
        assert_eq!(plan.taken(1, 4), []);
    }

    #[test]
    fn three_refused_in_a_row_are_the_endpoints_fault() {
        let mut plan = plan(0..0);
        assert_eq!(fail(&mut plan, 1, NO, true), Next::Again);
        assert_eq!(fail(&mut plan, 1, NO, true), Next::Again);
        assert_eq!(fail(&mut plan, 2, NO, true), Next::Again);
        assert_eq!(fail(&mut plan, 3, NO, true), Next::Ladder);
        assert_eq!(plan.taken(4, 4), [], "none of them is held");
    }

    #[test]
    fn mails_are_spread_evenly_over_the_minute() {
        let (mut plan, now) = (plan(0..0), Instant::now());
        plan.begun(1, 60, now);
        assert_eq!(plan.not_before(), Some(now + Duration::from_secs(1)));
        plan.begun(2, 60, now + Duration::from_secs(1));
        assert_eq!(plan.not_before(), Some(now + Duration::from_secs(2)));
        plan.begun(3, 60, now + Duration::from_secs(100));
        assert_eq!(plan.not_before(), Some(now + Duration::from_secs(101)), "what was not used is not made up for");
    }
}
