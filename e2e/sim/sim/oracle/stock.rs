//! Of the messages: none is lost, the books are right, and what was delivered is with the archives.

use std::collections::{BTreeMap, BTreeSet};

use super::expiry;
use crate::{
    history::{Copy, Event, Fate, Mail, Millis, What},
    plan::{DAY, HOUR, Plan},
    resources::name,
};

/// How long a conversation is gathered.
const WINDOW: Millis = 8 * HOUR;
/// Days of outage after which a batch is held for a person.
const GIVEN_UP: u64 = 90;

/// What did not hold.
pub fn judge(plan: &Plan, events: &[Event]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut generation = 0;
    let mut acknowledged = BTreeSet::new();
    let mut stands: BTreeMap<usize, (&str, &[Copy])> = BTreeMap::new();
    let mut has: BTreeSet<(usize, usize)> = BTreeSet::new();
    let last = events.iter().rposition(|event| matches!(event.what, What::Books { .. }));
    for (number, event) in events.iter().enumerate() {
        match &event.what {
            What::Started { generation: of } => generation = *of,
            What::VolumeLost => {
                acknowledged.clear();
                stands.clear();
                has.clear();
            }
            What::Acknowledged { message, status } => {
                let first = acknowledged.insert(*message);
                let due = match (first, plan.messages[*message].endpoints.is_empty()) {
                    (_, true) => "excluded",
                    (true, _) => "stored",
                    (false, _) => "repeated",
                };
                if status != due {
                    wrong.push(format!("{}: message {message} is {status}, not {due}", event.at));
                }
            }
            What::Arrived { mail, fate } if fate.has() && mail.generation == generation => {
                has.extend(mail.messages.iter().map(|message| (mail.endpoint, *message)));
            }
            What::Stands { message, state, copies } => drop(stands.insert(*message, (state, copies))),
            What::Books { acknowledged: all, delivered, waiting, held, excluded } => {
                let count = |wanted: &str| stands.values().filter(|(state, _)| *state == wanted).count() as i64;
                let told = [*all, *delivered, *waiting, *held, *excluded];
                let counted =
                    [acknowledged.len() as i64, count("delivered"), count("waiting"), count("held"), count("excluded")];
                if told != counted || told[0] != told[1..].iter().sum::<i64>() {
                    wrong.push(format!("{}: the books say {told:?}, the messages {counted:?}", event.at));
                }
                for message in &acknowledged {
                    let (state, copies) = stands.get(message).copied().unwrap_or(("unknown", &[]));
                    let fault = one(plan, &events[..number], *message, (state, copies), &has, Some(number) == last);
                    wrong.extend(fault.map(|fault| format!("{}: message {message} {fault}", event.at)));
                }
            }
            _ => {}
        }
    }
    if last.is_none() && !events.iter().any(|event| matches!(event.what, What::Ended { .. })) {
        wrong.push("nobody looked at the end".to_owned());
    }
    if let Some(missing) = (0..plan.messages.len()).find(|message| !was_acknowledged(events, *message)) {
        wrong.push(format!("message {missing} was never acknowledged"));
    }
    wrong
}

fn was_acknowledged(events: &[Event], message: usize) -> bool {
    events.iter().any(|event| matches!(event.what, What::Acknowledged { message: of, .. } if of == message))
}

/// What is wrong with where a message stands. `end`: everything was well for long enough.
fn one(
    plan: &Plan,
    before: &[Event],
    message: usize,
    (state, copies): (&str, &[Copy]),
    has: &BTreeSet<(usize, usize)>,
    end: bool,
) -> Option<String> {
    let wanted = &plan.messages[message].endpoints;
    if wanted.is_empty() {
        return (state != "excluded").then(|| format!("is {state}, not excluded"));
    }
    let names: Vec<Option<String>> = wanted.iter().map(|endpoint| Some(name(*endpoint))).collect();
    let told: Vec<Option<String>> = copies.iter().map(|copy| copy.endpoint.clone()).collect();
    if names != told {
        return Some(format!("is {state} at {told:?}, not at {names:?}"));
    }
    wanted.iter().zip(copies).find_map(|(endpoint, copy)| match copy.state.as_str() {
        "delivered" if !has.contains(&(*endpoint, message)) => Some(format!("never reached endpoint {endpoint}")),
        "delivered" => {
            let due = acknowledged_at(before, message)? + WINDOW;
            let delivered = before.iter().rposition(|event| is_delivery(&event.what, *endpoint, message))?;
            let days = expiry::least(&before[..delivered], *endpoint, due)? / DAY;
            (days > GIVEN_UP).then(|| format!("did not expire at endpoint {endpoint} after {days} days of outage"))
        }
        "held" if is_refused(copy) => None,
        "held" if copy.reason.as_deref() == Some("Expired") => {
            let days = expiry::most(before, *endpoint, message) / DAY;
            (days < GIVEN_UP).then(|| format!("expired at endpoint {endpoint} after {days} days of outage"))
        }
        "held" => Some(format!("is held for no good reason: {:?}", copy.reason)),
        "waiting" if !end => None,
        state => Some(format!("is {state} at endpoint {endpoint} after all: {copy:?}")),
    })
}

fn acknowledged_at(events: &[Event], message: usize) -> Option<Millis> {
    let mut answers = events.iter();
    answers.find_map(|event| {
        matches!(event.what, What::Acknowledged { message: of, .. } if of == message).then_some(event.at)
    })
}

fn is_delivery(what: &What, endpoint: usize, message: usize) -> bool {
    let taken =
        |mail: &Mail, fate| fate == Fate::Taken && mail.endpoint == endpoint && mail.messages.contains(&message);
    matches!(what, What::Arrived { mail, fate } if taken(mail, *fate))
}

fn is_refused(copy: &Copy) -> bool {
    copy.reason.as_ref().is_some_and(|reason| reason.starts_with("refused: ") && reason.contains("554"))
}
