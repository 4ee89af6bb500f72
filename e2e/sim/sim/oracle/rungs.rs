//! Of the outages: every rung on time, and each attempt counted once.

use std::collections::BTreeMap;

use crate::{
    history::{Event, Millis, What},
    lookout::{SLACK, rung},
    plan::{Plan, SECOND},
};

/// What is known of an endpoint at a point of its history.
#[derive(Default)]
struct Endpoint {
    /// The attempt that failed last, of the outage that runs: outage, attempt, when.
    failed: Option<(i64, i64, Millis)>,
    /// The highest outage and attempt that was ever seen.
    highest: (i64, i64),
    published: (i64, i64),
    dialed_since: bool,
    /// The clock went forward: the next attempt may come early.
    early: bool,
    /// The clock went back.
    back: bool,
    /// Nothing has been tried although it could have been.
    overdue: u32,
    /// When each attempt failed.
    times: BTreeMap<(i64, i64), Millis>,
}

/// What did not hold.
pub fn judge(plan: &Plan, events: &[Event]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut endpoints: BTreeMap<usize, Endpoint> = (0..plan.endpoints).map(|of| (of, Endpoint::default())).collect();
    let (mut started, mut new) = (0, false);
    let mut jumps: Vec<(Millis, i64)> = Vec::new();
    for Event { at, what } in events {
        let mut say = |endpoint: &usize, words: String| wrong.push(format!("{at}: endpoint {endpoint}: {words}"));
        match what {
            What::Started { .. } => {
                started = *at;
                endpoints.values_mut().for_each(|endpoint| endpoint.overdue = 0);
                if std::mem::take(&mut new) {
                    endpoints.values_mut().for_each(|endpoint| endpoint.lose_volume(&jumps));
                }
            }
            What::Clock { by } => {
                jumps.push((*at, *by));
                endpoints.values_mut().for_each(|endpoint| endpoint.jump(*by));
            }
            What::VolumeLost => new = true,
            What::Suspended { endpoint, .. } => endpoints.entry(*endpoint).or_default().overdue = 0,
            What::Dialed { endpoint } => {
                let of = endpoints.entry(*endpoint).or_default();
                of.overdue = 0;
                let first = !std::mem::replace(&mut of.dialed_since, true);
                let Some((_, attempt, failed)) = of.failed.filter(|_| first && !of.early) else { continue };
                let due = failed + rung(*endpoint, attempt);
                if *at + SECOND < due {
                    say(endpoint, format!("tried again {} s too early after attempt {attempt}", (due - at) / SECOND));
                }
            }
            What::Failed { endpoint, outage, attempt, .. } => {
                let of = endpoints.entry(*endpoint).or_default();
                let (next, new) = ((of.highest.0, of.highest.1 + 1), (of.highest.0 + 1, 1));
                let is = (*outage, *attempt);
                let right = match of.failed {
                    Some(_) => is == next,
                    None => is == new,
                };
                if !right {
                    say(endpoint, format!("attempt {is:?} follows on {:?}", of.highest));
                }
                *of = Endpoint {
                    failed: Some((*outage, *attempt, *at)),
                    highest: is,
                    published: of.published,
                    times: std::mem::take(&mut of.times),
                    ..Endpoint::default()
                };
                of.times.insert(is, *at);
            }
            What::Recovered { endpoint, outage } => {
                let of = endpoints.entry(*endpoint).or_default();
                if of.failed.take().is_none_or(|(ran, ..)| ran != *outage) {
                    say(
                        endpoint,
                        format!("outage {outage} is over that was none: its attempt follows on {:?}", of.highest),
                    );
                }
                of.highest = (*outage, 0);
            }
            What::Published { endpoint, outage, attempt } => {
                let of = endpoints.entry(*endpoint).or_default();
                if (*outage, *attempt) < of.published {
                    say(endpoint, format!("what was published went back from {:?}", of.published));
                }
                of.published = (*outage, *attempt);
            }
            What::Overdue { endpoint } => {
                let of = endpoints.entry(*endpoint).or_default();
                let Some((_, attempt, failed)) = of.failed else { continue };
                let from = if of.back { failed.max(started) } else { failed };
                of.overdue += 1;
                // A batch may have become due at this moment; half an hour later it is late.
                if *at > from + rung(*endpoint, attempt) + SLACK && of.overdue == 2 {
                    say(endpoint, format!("nothing is tried after attempt {attempt}, although its rung is over"));
                }
            }
            _ => {}
        }
    }
    for (endpoint, of) in &endpoints {
        if of.failed.is_some() || of.published.1 > 0 {
            wrong.push(format!("endpoint {endpoint}: an outage is not over after all"));
        }
    }
    wrong
}

impl Endpoint {
    fn jump(&mut self, by: i64) {
        self.early |= by > 0;
        self.back |= by < 0;
    }

    /// The archiver goes on from what was published: in the outage that ran by that, or before the next.
    fn lose_volume(&mut self, jumps: &[(Millis, i64)]) {
        self.overdue = 0;
        let (outage, attempt) = self.published;
        self.dialed_since = false;
        if attempt > 0 {
            let failed = self.times.get(&self.published).copied().unwrap_or(0);
            jumps.iter().filter(|(at, _)| *at >= failed).for_each(|(_, by)| self.jump(*by));
            self.failed = Some((outage, attempt, failed));
            self.highest = self.published;
        } else {
            self.failed = None;
            self.highest = (outage.max(1) - 1, 0);
        }
    }
}
