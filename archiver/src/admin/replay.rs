//! Delivering once more what was delivered, and is still retained.

use imarchive_crds::Address;
use rusqlite::Connection;

use super::{
    Admin, Out, STEP,
    protocol::{Line, Outcome, Replayed},
    release::absent,
};
use crate::spool::{
    held::{self, is_whole},
    replay::{self, Range, again, concerns, is_retained},
};

/// What can be done with a batch.
enum Fate {
    /// It is none of those that were asked for.
    Another,
    /// Its content, or some of it, is not there any more.
    Dropped,
    /// What is stored is not what was sealed.
    Damaged,
    /// It can be sent once more.
    Whole,
}

impl Admin {
    pub(super) async fn replay(&self, of: Replayed, dry_run: bool, out: &Out) -> anyhow::Result<Outcome> {
        let seen = self.resources.borrow().clone();
        let now = (self.now)();
        let Replayed { endpoint, source, since, until, user, conversation } = of;
        let (since, until) = (since.map(|when| when.at(now)), until.map(|when| when.at(now)));
        let range = Range { endpoint, source, since, until };
        let mut outcome = Outcome::default();
        let asked = range.clone();
        (outcome.dropped_batches, outcome.dropped_messages) =
            self.read(move |connection| replay::dropped(connection, &asked)).await?;
        for some in self.read(move |connection| replay::kept(connection, &range)).await?.chunks(STEP) {
            let mut chosen = Vec::new();
            for batch in some.iter().copied() {
                let (user, conversation) = (user.clone(), conversation.clone());
                let look = move |connection: &_| fate(connection, batch, user.as_ref(), conversation.as_deref());
                let fate = self.read(look).await?;
                if matches!(fate, Fate::Another) {
                    continue;
                }
                let Some(row) = self.read(move |connection| held::rows(connection, &[batch])).await?.pop() else {
                    continue;
                };
                match (fate, absent(&seen, &row.endpoint)) {
                    (Fate::Another, _) => {}
                    (Fate::Dropped, _) => {
                        outcome.dropped_batches += 1;
                        outcome.dropped_messages += row.messages.unsigned_abs();
                    }
                    (Fate::Damaged, _) => {
                        let why = "what is stored is not what was sealed; the archive has what was";
                        out.refuse(&mut outcome, row.batch, why).await;
                    }
                    (Fate::Whole, Some(why)) => out.refuse(&mut outcome, row.batch, why).await,
                    (Fate::Whole, None) => chosen.push((batch, row)),
                }
            }
            let waiting = match dry_run {
                true => chosen.iter().map(|(batch, _)| *batch).collect(),
                false => {
                    let ids: Vec<i64> = chosen.iter().map(|(batch, _)| *batch).collect();
                    self.write(move |connection| again(connection, &ids)).await?
                }
            };
            for (batch, row) in chosen {
                let messages = row.messages.unsigned_abs();
                if !waiting.contains(&batch) {
                    // Between the look and the step.
                    outcome.dropped_batches += 1;
                    outcome.dropped_messages += messages;
                    continue;
                }
                outcome.batches += 1;
                outcome.messages += messages;
                let line = match dry_run {
                    true => Line::Batch(row),
                    false => Line::Done { what: row.batch, now: "waits to be delivered once more".to_owned() },
                };
                out.say(line).await;
            }
        }
        if !dry_run {
            self.acted(&seen).await?;
        }
        Ok(outcome)
    }
}

fn fate(
    connection: &Connection,
    batch: i64,
    user: Option<&Address>,
    conversation: Option<&str>,
) -> rusqlite::Result<Fate> {
    Ok(match concerns(connection, batch, user, conversation)? {
        false => Fate::Another,
        true if !is_retained(connection, batch)? => Fate::Dropped,
        true if !is_whole(connection, batch)? => Fate::Damaged,
        true => Fate::Whole,
    })
}
