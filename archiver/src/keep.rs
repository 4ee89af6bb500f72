//! How long things are kept: by the Archiver's `storage.retainDelivered` and `retainLedger`, or less when room is little.
//!
//! What waits or is held is kept whatever happens. A step is one commit, and others come between two of them.

use std::{sync::Arc, time::Duration};

use imarchive_crds::{ArchiverSpec, Span};
use jiff::Timestamp;
use tokio::{sync::watch, time::sleep};
use tracing::{debug, info, warn};

use crate::{
    directory::Resources,
    metrics::Metrics,
    now::Now,
    spool::{
        Spool, WriteError,
        retain::{Step, drop_content, forget},
        room::{Room, Space},
    },
};

/// How often it is looked at what is old enough, and how much room there is.
const INTERVAL: Duration = Duration::from_secs(60);

/// The task that forgets.
pub struct Keeper {
    /// Where everything is.
    pub spool: Spool,
    /// How long it is kept.
    pub resources: watch::Receiver<Arc<Resources>>,
    /// What Prometheus is told.
    pub metrics: Arc<Metrics>,
    /// The wall clock.
    pub now: Now,
}

/// Until when what was delivered has to have been, for its content to be dropped and for its ledger rows to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Of content.
    pub content: Timestamp,
    /// Of the ledger.
    pub ledger: Timestamp,
}

/// What is old enough at `now`. Without an Archiver nobody knows, and nothing is.
pub fn ages(spec: Option<&ArchiverSpec>, now: Timestamp) -> Option<Ages> {
    let storage = &spec?.storage;
    let before = |span: &Span| now.checked_sub(span.duration()).unwrap_or(Timestamp::MIN);
    Some(Ages { content: before(&storage.retain_delivered), ledger: before(&storage.retain_ledger) })
}

impl Keeper {
    /// Forgets until the resources are gone.
    pub async fn run(self) -> Result<(), WriteError> {
        let mut space = self.spool.space();
        let mut resources = self.resources.clone();
        loop {
            let seen = *space.borrow_and_update();
            self.tell(seen);
            self.keep().await?;
            if seen.room != Room::Enough {
                self.release().await?;
            }
            tokio::select! {
                () = sleep(INTERVAL) => {}
                changed = space.changed() => if changed.is_err() { return Ok(()) },
                changed = resources.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    fn tell(&self, space: Space) {
        self.metrics.space(space);
        match space.room {
            Room::Enough => {}
            Room::Little => warn!(free = space.free, "the volume gets full: delivered content is dropped early"),
            Room::None => {
                warn!(free = space.free, "the volume is nearly full: no message is taken until there is room")
            }
        }
    }

    /// Drops what is old enough.
    async fn keep(&self) -> Result<(), WriteError> {
        let now = (self.now)();
        let Some(ages) = ages(self.resources.borrow().archiver.as_ref(), now) else { return Ok(()) };
        let dropped = self.all(move |connection| drop_content(connection, ages.content, now)).await?;
        let forgotten = self.all(move |connection| forget(connection, ages.ledger, now)).await?;
        debug!(dropped = dropped.rows, bytes = dropped.bytes, forgotten = forgotten.rows, "old enough");
        Ok(())
    }

    /// Drops delivered content before its time, the oldest first, until there is room, or none is left.
    async fn release(&self) -> Result<(), WriteError> {
        let space = self.spool.space();
        let mut released = Step::default();
        while space.borrow().room != Room::Enough {
            let now = (self.now)();
            let step = self.spool.write_waiting(move |connection| drop_content(connection, now, now)).await;
            let Some(step) = given(step)?.filter(|step| step.rows > 0) else { break };
            released = Step { rows: released.rows + step.rows, bytes: released.bytes + step.bytes };
            self.metrics.released(step.rows as u64);
        }
        if released.rows > 0 {
            info!(batches = released.rows, bytes = released.bytes, "delivered content was dropped early");
        }
        Ok(())
    }

    async fn all(
        &self,
        job: impl Fn(&rusqlite::Connection) -> rusqlite::Result<Step> + Clone + Send + Sync + 'static,
    ) -> Result<Step, WriteError> {
        let mut all = Step::default();
        loop {
            let step = given(self.spool.write_waiting(job.clone()).await)?.unwrap_or_default();
            if step.rows == 0 {
                return Ok(all);
            }
            all = Step { rows: all.rows + step.rows, bytes: all.bytes + step.bytes };
        }
    }
}

/// A damaged row is in the way of those after it, but of nothing else.
fn given(step: Result<Step, WriteError>) -> Result<Option<Step>, WriteError> {
    match step {
        Err(WriteError::Refused(error)) => {
            warn!(%error, "what is old enough cannot be dropped");
            Ok(None)
        }
        step => step.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_counted_back_from_now_and_without_an_archiver_there_are_none() {
        let spec: ArchiverSpec = serde_json::from_value(serde_json::json!({
            "organization": {"name": "Acme", "domains": ["acme.example"]},
            "storage": {"retainDelivered": "1h", "retainLedger": "2161h"},
        }))
        .expect("valid");
        let at = |hour: i64| Timestamp::from_second(hour * 3600).expect("in range");
        assert_eq!(ages(Some(&spec), at(3000)), Some(Ages { content: at(2999), ledger: at(839) }));
        assert_eq!(ages(None, at(3000)), None);
    }
}
