//! Of the administrators' mails: each attempt is told, in time, and so is each end; nothing is told that never was, and
//! nothing twice unless a reply was lost or the operator was another one.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    history::{Event, Millis, What},
    plan::{MINUTE, Plan},
};

/// How long it may take, once relay and operator are there: a mail that failed is tried again after 15 minutes at most.
const PATIENCE: Millis = 20 * MINUTE;
/// And when they had been there for so long before.
const AT_ONCE: Millis = MINUTE;

/// What can be told of: an attempt of an outage, or its end.
type News = (i64, Option<i64>);

/// What is known of an endpoint.
#[derive(Default)]
struct Endpoint {
    /// What nobody was told of yet, and when it happened.
    untold: BTreeMap<News, Millis>,
    happened: BTreeSet<News>,
    /// Told, and heard of by the operator of now.
    known: BTreeSet<News>,
    /// When a reply was lost: the next mail may be 15 minutes later.
    unheard: Millis,
}

/// What did not hold.
pub fn judge(plan: &Plan, events: &[Event]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut endpoints: BTreeMap<usize, Endpoint> = (0..plan.endpoints).map(|of| (of, Endpoint::default())).collect();
    let mut back = Some(0);
    for Event { at, what } in events {
        for (endpoint, of) in &mut endpoints {
            wrong.extend(of.late(plan, *at, back).map(|words| format!("{at}: endpoint {endpoint}: {words}")));
        }
        match what {
            What::OperatorAway { on } => {
                back = (!on).then_some(*at);
                endpoints.values_mut().for_each(|endpoint| endpoint.known.clear());
            }
            // What nobody was there to read may be gone with it.
            What::VolumeLost if back.is_none() => endpoints.values_mut().for_each(|endpoint| endpoint.untold.clear()),
            What::Failed { endpoint, outage, attempt, .. } => {
                endpoints.entry(*endpoint).or_default().happens((*outage, Some(*attempt)), *at);
            }
            What::Recovered { endpoint, outage } => {
                let of = endpoints.entry(*endpoint).or_default();
                // What was not told by now is told as a count, with the end.
                of.untold.clear();
                of.happens((*outage, None), *at);
            }
            What::Notified { endpoint, outage, attempt, heard } => {
                let said = endpoints.entry(*endpoint).or_default().told((*outage, *attempt), *at, *heard);
                wrong.extend(said.map(|words| format!("{at}: endpoint {endpoint}: {words}")));
            }
            _ => {}
        }
    }
    wrong
}

impl Endpoint {
    fn happens(&mut self, news: News, at: Millis) {
        self.happened.insert(news);
        self.untold.insert(news, at);
    }

    fn told(&mut self, news: News, at: Millis, heard: bool) -> Option<String> {
        self.untold.remove(&news);
        let again = match heard {
            true => !self.known.insert(news),
            false => {
                self.unheard = at;
                self.known.contains(&news)
            }
        };
        match self.happened.contains(&news) {
            false => Some(format!("somebody was told of {}, which never was", named(news))),
            true => again.then(|| format!("somebody was told again of {}", named(news))),
        }
    }

    /// What should have been told by `at`, when the operator is there since `back`.
    fn late(&mut self, plan: &Plan, at: Millis, back: Option<Millis>) -> Option<String> {
        let since = back?.max(plan.relay_is_back(at)?).max(self.unheard);
        let patience = |happened| if since + PATIENCE < happened { AT_ONCE } else { PATIENCE };
        let late = |happened: Millis| since.max(happened) + patience(happened) < at;
        let news = *self.untold.iter().find(|(_, happened)| late(**happened))?.0;
        self.untold.remove(&news);
        Some(format!("nobody was told of {}", named(news)))
    }
}

fn named((outage, attempt): News) -> String {
    attempt.map_or(format!("the end of outage {outage}"), |attempt| format!("attempt {attempt} of outage {outage}"))
}
