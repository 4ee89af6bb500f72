//! Administration: what a person does about held mail, and about mail that has to go out again.
//!
//! Whoever may exec into the pod may administer: `archiver held` and `archiver replay` connect to [`SOCKET`] in the spool's
//! folder, say one [`Request`], and read [`Line`]s until the end. All that is changed is changed by the running archiver,
//! through the spool's single writer, in steps of at most [`STEP`] batches: no other job waits long, the books balance after
//! each of them, and a crash between two leaves the rest as it was, to be asked for again. What was decided is done to its
//! end, also when nobody reads the answer any more. Each act is logged with its result, and with nobody's name in it.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

pub mod ask;
pub mod command;
mod print;
pub mod protocol;
mod release;
mod replay;
mod reroute;
pub mod serve;
mod tell;

use protocol::{Line, Outcome, Request, Which};

use crate::{
    deletion,
    directory::Resources,
    now::Now,
    seal::Tell,
    spool::{Spool, WriteError, append::OpenCopy, held},
};

/// The name of the socket, in the spool's folder.
pub const SOCKET: &str = "admin.sock";

/// Batches that are changed in one step.
const STEP: usize = 100;

/// Does what a person asks for.
pub struct Admin {
    /// Where everything is.
    pub spool: Spool,
    /// Which endpoints there are.
    pub resources: watch::Receiver<Arc<Resources>>,
    /// Takes the copies that have to find a window.
    pub arrivals: mpsc::UnboundedSender<Vec<OpenCopy>>,
    /// Told of what waits again.
    pub tell: Tell,
    /// The wall clock.
    pub now: Now,
}

/// Where the lines of an answer go.
pub struct Out(mpsc::Sender<Line>);

impl Out {
    /// Lines that go to `lines`.
    pub fn new(lines: mpsc::Sender<Line>) -> Self {
        Self(lines)
    }

    /// Says a line. False: nobody listens any more.
    async fn say(&self, line: Line) -> bool {
        self.0.send(line).await.is_ok()
    }

    /// One thing that was asked for is not done, for this reason.
    async fn refuse(&self, outcome: &mut Outcome, what: String, why: impl Into<String>) {
        outcome.refused += 1;
        self.say(Line::Refused { what, why: why.into() }).await;
    }
}

impl Admin {
    /// Does what `request` says. The last line is [`Line::End`], or [`Line::Failed`] when the spool failed.
    pub async fn act(&self, request: Request, out: Out) {
        let (act, said) = (request.act(), request.said());
        let done = match request {
            Request::List { of } => self.list(of, &out).await,
            Request::Show { batch, mail } => self.show(&batch, mail, &out).await,
            Request::Release { of } => self.release(of, &out).await,
            Request::Reroute { of, to } => self.reroute(of, &to, &out).await,
            Request::Replay { of, dry_run } => self.replay(of, dry_run, &out).await,
        };
        match done {
            Ok(outcome) => {
                let Outcome { batches, messages, refused, dropped_batches: dropped, .. } = outcome;
                info!(target: "admin", act, said, batches, messages, refused, dropped, "done");
                out.say(Line::End(outcome)).await;
            }
            Err(error) => {
                let error = format!("{error:#}");
                warn!(target: "admin", act, said, error, "not done to its end; what was done before stays done");
                out.say(Line::Failed(error)).await;
            }
        }
    }

    /// The batches that were asked for, by endpoint and sequence. A name that no batch has is refused.
    async fn chosen(&self, of: &Which, out: &Out, outcome: &mut Outcome) -> anyhow::Result<Vec<i64>> {
        match of.clone() {
            Which::Those { endpoint, reason } => {
                self.read(move |connection| held::all(connection, endpoint.as_deref(), reason.as_deref())).await
            }
            Which::Batches(names) => {
                let mut chosen = Vec::new();
                for name in names {
                    let asked = name.clone();
                    match self.read(move |connection| held::named(connection, &asked)).await? {
                        Some(batch) if !chosen.contains(&batch) => chosen.push(batch),
                        Some(_) => {}
                        None => out.refuse(outcome, name, "there is no such batch: see archiver held list").await,
                    }
                }
                Ok(chosen)
            }
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        self.spool.read(query).await.context("the spool cannot be read")
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let job = move |connection: &_| Ok::<_, WriteError>(job(connection)?);
        self.spool.write(job, |_| {}).await.context("the spool cannot be written")
    }

    /// After an act that was decided by `seen`: whoever delivers looks again, and what waits for an endpoint that was
    /// deleted meanwhile is held.
    async fn acted(&self, seen: &Arc<Resources>) -> anyhow::Result<()> {
        let newest = self.resources.borrow().clone();
        if !Arc::ptr_eq(seen, &newest) {
            deletion::settle(&self.spool, &newest).await?;
        }
        self.tell.sealed.send_modify(|count| *count += 1);
        self.tell.turned.send_modify(|count| *count += 1);
        Ok(())
    }
}
