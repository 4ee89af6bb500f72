//! The oracle can fail: histories that were right, with one thing made wrong, of each kind that it looks for.

#![allow(clippy::ptr_arg, reason = "each of them has the same form")]

use crate::{
    history::{Event, Fate, What},
    oracle,
    plan::Plan,
};

/// Makes one thing wrong; `None`: there is nothing in this history that it could be done to.
type Break = fn(&Plan, &mut Vec<Event>) -> Option<()>;

/// What can be wrong, and a part of what has to be said then.
const BREAKS: [(&str, Break, &str); 15] = [
    ("an acknowledged message is lost", lose, "never reached"),
    ("an acknowledged message is forgotten", forget, "is unknown"),
    ("a message waits when all is well", wait, "after all"),
    ("the books are wrong", cheat, "the books say"),
    ("a mail that was taken comes again", repeat, "came again, although it was taken"),
    ("a mail comes again with other bytes", alter, "came again with other bytes"),
    ("messages of a batch change places", swap, "out of its order"),
    ("a batch follows on another", unchain, "does not follow on the one before"),
    ("an attempt comes early", hurry, "too early"),
    ("no attempt comes", stay, "although its rung is over"),
    ("an attempt is not counted", skip, "follows on"),
    ("nobody is told of an attempt", hush, "nobody was told of attempt"),
    ("nobody is told of an end", hush_end, "nobody was told of the end"),
    ("an attempt is told again", tell_again, "told again"),
    ("a batch expires early", expire, "expired at endpoint"),
];

/// The breaks that were tried, and what the oracle did not see.
#[derive(Default)]
pub struct Mutations {
    tried: [bool; BREAKS.len()],
    pub unseen: Vec<String>,
}

impl Mutations {
    /// Those that could not be.
    pub fn untried(&self) -> Vec<&'static str> {
        BREAKS.iter().zip(self.tried).filter(|(_, tried)| !tried).map(|((name, ..), _)| *name).collect()
    }

    /// Breaks a history that is right in every way that was not tried yet.
    pub fn add(&mut self, plan: &Plan, events: &[Event]) {
        for (number, (name, make, words)) in BREAKS.iter().enumerate() {
            let mut broken = events.to_vec();
            if self.tried[number] || make(plan, &mut broken).is_none() {
                continue;
            }
            self.tried[number] = true;
            let said = oracle::judge(plan, &broken);
            if !said.iter().any(|said| said.contains(words)) {
                self.unseen.push(format!("the oracle does not see that {name}; it says {said:?}"));
            }
        }
    }
}

fn position(events: &[Event], is: impl Fn(&What) -> bool) -> Option<usize> {
    events.iter().position(|event| is(&event.what))
}

fn lose(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let is = |what: &What| matches!(what, What::Stands { state, .. } if state == "delivered");
    let What::Stands { message: lost, .. } = events[position(events, is)?].what else { return None };
    events.retain(|event| !matches!(&event.what, What::Arrived { mail, .. } if mail.messages.contains(&lost)));
    Some(())
}

fn forget(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let at = position(events, |what| matches!(what, What::Stands { .. }))?;
    events.remove(at);
    Some(())
}

fn wait(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let last = events.iter_mut().rev().find_map(|event| match &mut event.what {
        What::Stands { copies, .. } => copies.first_mut(),
        _ => None,
    });
    last?.state = "waiting".to_owned();
    Some(())
}

fn cheat(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let books = events.iter_mut().find_map(|event| match &mut event.what {
        What::Books { waiting, .. } => Some(waiting),
        _ => None,
    });
    *books? += 1;
    Some(())
}

fn repeat(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let at = position(events, |what| matches!(what, What::Arrived { fate: Fate::Taken, .. }))?;
    events.insert(at, events[at].clone());
    Some(())
}

fn alter(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let at = position(events, |what| matches!(what, What::Arrived { fate: Fate::TakenUnheard, .. }))?;
    let mut again = events[at].clone();
    let What::Arrived { mail, .. } = &mut again.what else { return None };
    mail.bytes[0] ^= 1;
    events.insert(at + 1, again);
    Some(())
}

fn swap(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let two = events.iter_mut().find_map(|event| match &mut event.what {
        What::Arrived { mail, fate: Fate::Taken } if mail.messages.len() > 1 => Some(mail),
        _ => None,
    });
    two?.messages.swap(0, 1);
    Some(())
}

fn unchain(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let chained = events.iter_mut().find_map(|event| match &mut event.what {
        What::Arrived { mail, .. } => mail.previous.take(),
        _ => None,
    });
    chained.map(drop)
}

fn hurry(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    if events.iter().any(|event| matches!(event.what, What::Clock { .. } | What::VolumeLost)) {
        return None;
    }
    let failed = position(events, |what| matches!(what, What::Failed { .. }))?;
    let What::Failed { endpoint, .. } = events[failed].what else { return None };
    events.insert(failed + 1, Event { at: events[failed].at + 60_000, what: What::Dialed { endpoint } });
    Some(())
}

fn stay(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let failed = position(events, |what| matches!(what, What::Failed { .. }))?;
    let What::Failed { endpoint, .. } = events[failed].what else { return None };
    for hours in [3, 2] {
        let at = events[failed].at + hours * 3_600_000;
        events.insert(failed + 1, Event { at, what: What::Overdue { endpoint } });
    }
    Some(())
}

fn skip(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let at = position(events, |what| matches!(what, What::Failed { attempt: 1, .. }))?;
    let second = |what: &What| matches!(what, What::Failed { attempt: 2, .. });
    position(&events[at..], second)?;
    events.remove(at);
    Some(())
}

fn hush(plan: &Plan, events: &mut Vec<Event>) -> Option<()> {
    hushed(plan, events, |what| matches!(what, What::Notified { attempt: Some(_), heard: true, .. }))
}

fn hush_end(plan: &Plan, events: &mut Vec<Event>) -> Option<()> {
    hushed(plan, events, |what| matches!(what, What::Notified { attempt: None, heard: true, .. }))
}

fn hushed(plan: &Plan, events: &mut Vec<Event>, is: impl Fn(&What) -> bool) -> Option<()> {
    if !plan.relay.is_empty() || events.iter().any(|event| matches!(event.what, What::OperatorAway { .. })) {
        return None;
    }
    let at = position(events, is)?;
    events.remove(at);
    Some(())
}

fn tell_again(_: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let at = position(events, |what| matches!(what, What::Notified { heard: true, .. }))?;
    events.insert(at, events[at].clone());
    Some(())
}

fn expire(plan: &Plan, events: &mut Vec<Event>) -> Option<()> {
    let days = plan.ends / crate::plan::DAY;
    let copy = events.iter_mut().find_map(|event| match &mut event.what {
        What::Stands { copies, .. } if days < 90 => copies.first_mut(),
        _ => None,
    })?;
    (copy.state, copy.reason) = ("held".to_owned(), Some("Expired".to_owned()));
    Some(())
}
