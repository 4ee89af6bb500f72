//! Letting go what is held: it waits for delivery again, as if it never had been tried.

use anyhow::Context;

use super::{
    Admin, Out, STEP,
    protocol::{Line, Outcome, Which},
};
use crate::{
    directory::Resources,
    spool::{
        WriteError,
        deleted::ENDPOINT_DELETED,
        held::{self, Batch, Open},
    },
};

impl Admin {
    pub(super) async fn release(&self, of: Which, out: &Out) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        let seen = self.resources.borrow().clone();
        let chosen = self.chosen(&of, out, &mut outcome).await?;
        for some in chosen.chunks(STEP) {
            let ids = some.to_vec();
            let rows = self.read(move |connection| held::rows(connection, &ids)).await?;
            let mut free = Vec::new();
            for (row, batch) in rows.into_iter().zip(some.iter().copied()) {
                match self.obstacle(&seen, &row, batch).await? {
                    Some(why) => out.refuse(&mut outcome, row.batch, why).await,
                    None => free.push((batch, row)),
                }
            }
            let ids: Vec<i64> = free.iter().map(|(batch, _)| *batch).collect();
            let released = self.write(move |connection| held::release(connection, &ids)).await?;
            for (batch, row) in free {
                if !released.contains(&batch) {
                    out.refuse(&mut outcome, row.batch, "it is not held any more").await;
                    continue;
                }
                outcome.batches += 1;
                outcome.messages += row.messages.unsigned_abs();
                out.say(Line::Done { what: row.batch, now: "waits for delivery".to_owned() }).await;
            }
        }
        if let Which::Those { endpoint, reason } = of {
            let read = move |connection: &_| held::open(connection, endpoint.as_deref(), reason.as_deref());
            for open in self.read(read).await? {
                let what = in_no_batch(&open);
                match absent(&seen, &open.endpoint) {
                    Some(why) => out.refuse(&mut outcome, what, why).await,
                    None if open.reason == ENDPOINT_DELETED => {
                        let why = "they are released by themselves once the endpoint is accepted";
                        out.refuse(&mut outcome, what, why).await;
                    }
                    None => {
                        outcome.messages += self.move_open(&open.endpoint, &open.reason, None).await?.0;
                        out.say(Line::Done { what, now: "wait for the end of their windows".to_owned() }).await;
                    }
                }
            }
        }
        self.acted(&seen).await?;
        Ok(outcome)
    }

    /// Why it makes no sense to release a batch.
    async fn obstacle(&self, seen: &Resources, row: &Batch, batch: i64) -> anyhow::Result<Option<String>> {
        if row.state != "held" {
            return Ok(Some(format!("it is not held: it is {}", row.state)));
        }
        if let Some(why) = absent(seen, &row.endpoint) {
            return Ok(Some(why));
        }
        // What is read here is read again before it is sent; of the others that is enough.
        let damaged = row.reason.as_deref().is_some_and(|reason| reason.starts_with("damaged"));
        if damaged && !self.read(move |connection| held::is_whole(connection, batch)).await? {
            return Ok(Some("what is stored of it is still not what was sealed: see archiver held show".to_owned()));
        }
        Ok(None)
    }

    /// Moves what is held in no batch to the endpoint `to`, or lets it wait for its own. Answers how many messages that
    /// were, and how many of them the endpoint had already.
    pub(super) async fn move_open(&self, from: &str, reason: &str, to: Option<&str>) -> anyhow::Result<(u64, u64)> {
        let (mut moved, mut there) = (0, 0);
        let mut next = Some(0);
        // What the seal finds damaged once more, and holds again meanwhile, is behind the steps that follow.
        while let Some(after) = next {
            let (from, reason, to) = (from.to_owned(), reason.to_owned(), to.unwrap_or(from).to_owned());
            let job =
                move |connection: &_| Ok::<_, WriteError>(held::move_open(connection, &from, &reason, &to, after)?);
            let arrivals = self.arrivals.clone();
            // In the order of commits, as new ones come: a copy without a window would wait for the next restart.
            let arrive = move |step: &held::Moved| drop(arrivals.send(step.copies.clone()));
            let step = self.spool.write(job, arrive).await.context("the spool cannot be written")?;
            moved += step.messages;
            there += step.messages - step.copies.len() as u64;
            next = step.last;
        }
        Ok((moved, there))
    }
}

/// What is held in no batch has no name.
pub(super) fn in_no_batch(open: &Open) -> String {
    let s = if open.messages == 1 { "" } else { "s" };
    format!("{} message{s} of {} in no batch", open.messages, open.endpoint)
}

/// Why nothing can wait for an endpoint.
pub(super) fn absent(seen: &Resources, endpoint: &str) -> Option<String> {
    match seen.endpoints.contains_key(endpoint) {
        true => None,
        false if seen.lacks(endpoint) => Some(format!(
            "there is no endpoint {endpoint}, so that it would be held at once: archiver held reroute gives what is held to another one"
        )),
        false => Some(format!("it is not known yet whether there is an endpoint {endpoint}: ask again in a minute")),
    }
}
