//! What must hold of every history. It knows the plan and what happened, and nothing of how the archiver works.

#[path = "oracle/expiry.rs"]
mod expiry;
#[path = "oracle/mails.rs"]
mod mails;
#[path = "oracle/rungs.rs"]
mod rungs;
#[path = "oracle/stock.rs"]
mod stock;
#[path = "oracle/told.rs"]
mod told;

use crate::{
    history::{Event, What},
    plan::Plan,
};

/// What did not hold.
pub fn judge(plan: &Plan, events: &[Event]) -> Vec<String> {
    let ended = events.iter().filter_map(|event| match &event.what {
        What::Ended { why } => Some(format!("{}: the archiver ended by itself: {why}", event.at)),
        _ => None,
    });
    let parts =
        [mails::judge(plan, events), stock::judge(plan, events), rungs::judge(plan, events), told::judge(plan, events)];
    ended.chain(parts.into_iter().flatten()).collect()
}
