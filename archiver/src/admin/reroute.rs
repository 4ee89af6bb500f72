//! Giving what is held to another endpoint: new batches there stand in for it, and its own number stays as a gap that they
//! explain.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Context;
use futures::future::join_all;
use imarchive_crds::Server;
use rusqlite::Connection;

use super::{
    Admin, Out, STEP,
    protocol::{Line, Outcome, Which},
    release::in_no_batch,
};
use crate::{
    directory::Endpoint,
    seal::prepare::{Prepared, prepare},
    spool::{
        WriteError,
        batch::Sealing,
        held,
        split::{self, Rerouted},
    },
    window::cut,
};

impl Admin {
    pub(super) async fn reroute(&self, of: Which, to: &str, out: &Out) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        let seen = self.resources.borrow().clone();
        let Some(target) = seen.endpoints.get(to) else {
            out.refuse(&mut outcome, to.to_owned(), "there is no endpoint of that name: see kubectl get aep").await;
            return Ok(outcome);
        };
        let Some(server) = target.server() else {
            let why = format!(
                "it was never accepted, so that nobody knows who its mail is from: see kubectl describe aep {to}"
            );
            out.refuse(&mut outcome, to.to_owned(), why).await;
            return Ok(outcome);
        };
        let (target, server) = (Arc::new(target.clone()), Arc::new(server.clone()));
        for some in self.chosen(&of, out, &mut outcome).await?.chunks(STEP) {
            let ids = some.to_vec();
            let rows = self.read(move |connection| held::rows(connection, &ids)).await?;
            let mut planned = Vec::new();
            for (row, batch) in rows.into_iter().zip(some.iter().copied()) {
                let why = match row.state.as_str() {
                    "held" if row.endpoint == to => {
                        "it is held for that very endpoint: archiver held release".to_owned()
                    }
                    "held" => {
                        let (target, server) = (target.clone(), server.clone());
                        match self.read(move |connection| plan(connection, batch, &target, &server)).await? {
                            Ok(parts) => {
                                planned.push((row, batch, parts));
                                continue;
                            }
                            Err(why) => why,
                        }
                    }
                    state => format!("it is not held: it is {state}"),
                };
                out.refuse(&mut outcome, row.batch, why).await;
            }
            // Each in a transaction of its own, and all of them in one commit.
            let replaced = planned.into_iter().map(|(row, batch, parts)| async move {
                let replaced = self.replace(batch, parts, to.to_owned()).await;
                (row, batch, replaced)
            });
            for (row, batch, replaced) in join_all(replaced).await {
                let replaced = match replaced {
                    // Another one of its messages' copies came there since: planned again it leaves that out.
                    Err(WriteError::Refused(_)) => {
                        let (target, server) = (target.clone(), server.clone());
                        match self.read(move |connection| plan(connection, batch, &target, &server)).await? {
                            Ok(parts) => self.replace(batch, parts, to.to_owned()).await,
                            Err(_) => Ok(None),
                        }
                    }
                    replaced => replaced,
                };
                match replaced.context("the spool cannot be written")? {
                    Some(now) => {
                        outcome.batches += 1;
                        outcome.messages += row.messages.unsigned_abs();
                        out.say(Line::Done { what: row.batch, now: now.to_string() }).await;
                    }
                    None => out.refuse(&mut outcome, row.batch, "it is not held any more").await,
                }
            }
        }
        if let Which::Those { endpoint, reason } = of {
            let read = move |connection: &_| held::open(connection, endpoint.as_deref(), reason.as_deref());
            let others = self.read(read).await?.into_iter().filter(|open| open.endpoint != to);
            for open in others {
                let what = in_no_batch(&open);
                let (moved, there) = self.move_open(&open.endpoint, &open.reason, Some(to)).await?;
                outcome.messages += moved;
                let there = match there {
                    0 => String::new(),
                    there => format!("; {there} of them were there already"),
                };
                out.say(Line::Done { what, now: format!("wait for the end of their windows at {to}{there}") }).await;
            }
        }
        self.acted(&seen).await?;
        Ok(outcome)
    }

    async fn replace(&self, batch: i64, parts: Vec<Sealing>, to: String) -> Result<Option<Rerouted>, WriteError> {
        let (spool, now) = (self.spool.uuid(), (self.now)());
        let job = move |connection: &Connection| {
            Ok::<_, WriteError>(split::reroute(connection, spool, batch, &parts, &to, now)?)
        };
        self.spool.write(job, |_| {}).await
    }
}

/// The batches that `target` would have instead of `batch`, as it groups and bounds them; or why there can be none.
fn plan(
    connection: &Connection,
    batch: i64,
    target: &Endpoint,
    server: &Server,
) -> rusqlite::Result<Result<Vec<Sealing>, String>> {
    let lacking = split::lacking(connection, batch, &target.name)?;
    let mut parts = Vec::new();
    let mut damaged = BTreeSet::new();
    for seqs in cut(&lacking, &target.batching) {
        let Prepared { drafts, damaged: some } = prepare(connection, &target.name, target.batching.group_chats, &seqs)?;
        parts.extend(drafts.into_iter().map(|draft| draft.sealing(target, server)));
        damaged.extend(some.into_iter().map(|(seq, _)| seq));
    }
    Ok(match damaged.len() {
        0 => Ok(parts),
        count => Err(format!("{count} of its messages cannot be read: see archiver held show")),
    })
}
