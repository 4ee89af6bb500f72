//! How long an archive was tried in vain: what expired had to wait for ninety days of that.

use crate::{
    history::{Event, Millis, What},
    lookout::rung,
    plan::MINUTE,
};

/// How long a message may have been counted to fail at `endpoint`, at most.
///
/// Between two attempts it is what passed since it was acknowledged, and the rung at most; when the clock went forward in
/// between nobody can know, and it may be all of the rung.
pub fn most(events: &[Event], endpoint: usize, message: usize) -> Millis {
    let mut acknowledged = None;
    let mut last: Option<(i64, Millis)> = None;
    let (mut forward, mut most) = (false, MINUTE);
    for Event { at, what } in events {
        match what {
            What::Acknowledged { message: of, .. } if *of == message => {
                acknowledged.get_or_insert(*at);
            }
            What::Clock { by } => forward |= *by > 0,
            What::Failed { endpoint: of, .. } | What::Recovered { endpoint: of, .. } if *of == endpoint => {
                if let (Some((before, failed)), Some(acknowledged)) = (last, acknowledged) {
                    let passed = at - failed.max(acknowledged).min(*at);
                    most += if forward { rung(endpoint, before) } else { passed.min(rung(endpoint, before)) };
                }
                last = match what {
                    What::Failed { attempt, .. } => Some((*attempt, *at)),
                    _ => None,
                };
                forward = false;
            }
            _ => {}
        }
    }
    most
}

/// How long a message that was due at `due` failed at `endpoint` at least, until the last attempt; `None`: more was out of
/// order than archive and archiver, and nobody can know.
pub fn least(events: &[Event], endpoint: usize, due: Millis) -> Option<Millis> {
    let mut last: Option<(i64, Millis)> = None;
    let mut least = 0;
    for Event { at, what } in events {
        match what {
            What::Recovered { endpoint: of, .. } if *of == endpoint => last = None,
            What::Failed { endpoint: of, attempt, .. } if *of == endpoint => {
                least += last.map_or(0, |(before, failed)| (at - failed.max(due).min(*at)).min(rung(endpoint, before)));
                last = Some((*attempt, *at));
            }
            What::Clock { .. } | What::VolumeLost => return None,
            What::Suspended { endpoint: of, .. } if *of == endpoint => return None,
            _ => {}
        }
    }
    Some(least)
}
