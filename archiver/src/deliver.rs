//! Delivery: each endpoint's sealed batches to its archive.
//!
//! An endpoint has one courier, which no other endpoint can slow down. It decides by its [`plan`] what is tried next, and
//! by the ladder when; mails are made ready in its [`stock`] ahead of their [trips](trip), of which there are as many at a
//! time as the archive likes. A failure is persisted before anything else is tried, so that everything goes on where it
//! was after a restart; what a trip came to is written down by [`outcome`].

mod courier;
mod outcome;
mod plan;
mod rungs;
mod step;
mod stock;
mod trip;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use courier::Courier;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinError, JoinSet},
};

use crate::{
    directory::Resources,
    metrics::Metrics,
    now::Now,
    smtp::Client,
    spool::{Spool, WriteError},
};

/// What every courier needs.
#[derive(Clone)]
pub struct Office {
    /// Where the batches are.
    pub spool: Spool,
    /// What the archiver knows of the world.
    pub resources: watch::Receiver<Arc<Resources>>,
    /// Opens sessions.
    pub client: Client,
    /// The folder of the mounted Secrets.
    pub credentials: PathBuf,
    /// Told of after each seal.
    pub sealed: watch::Receiver<u64>,
    /// Told to stop: what is being sent is sent to its end, and nothing more.
    pub stopping: watch::Receiver<bool>,
    /// Tells of each failure and recovery, for the report.
    pub turned: watch::Sender<u64>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The wall clock.
    pub now: Now,
}

impl Office {
    /// Waits while the volume is full: what became of a mail must not be forgotten.
    async fn write<T: Send + 'static>(
        &self,
        job: impl Fn(&rusqlite::Connection) -> rusqlite::Result<T> + Send + Sync + 'static,
    ) -> Result<T, WriteError> {
        self.spool.write_waiting(job).await
    }
}

/// Runs a courier for every endpoint that there is, until it is told to stop, or the resources or the spool are gone.
pub async fn run(office: Office) -> Result<(), WriteError> {
    let mut resources = office.resources.clone();
    let mut stopping = office.stopping.clone();
    let mut couriers = JoinSet::new();
    let mut at_work: BTreeMap<String, AbortHandle> = BTreeMap::new();
    loop {
        at_work.retain(|_, courier| !courier.is_finished());
        let names: Vec<String> = resources.borrow_and_update().endpoints.keys().cloned().collect();
        for name in names {
            at_work.entry(name.clone()).or_insert_with(|| couriers.spawn(Courier::new(office.clone(), name).run()));
        }
        tokio::select! {
            changed = resources.changed() => if changed.is_err() { return Ok(()) },
            Some(ended) = couriers.join_next() => joined(ended)?,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
    }
    while let Some(ended) = couriers.join_next().await {
        joined(ended)?;
    }
    Ok(())
}

fn joined(ended: Result<Result<(), WriteError>, JoinError>) -> Result<(), WriteError> {
    ended.unwrap_or_else(|panic| Err(WriteError::Fatal(panic.to_string())))
}
