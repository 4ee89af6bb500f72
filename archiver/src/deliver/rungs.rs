//! The courier in an outage: when it tries again, what it takes up, and what has waited for too long.

use imarchive_crds::{
    Reason,
    ladder::{self, Moment},
};
use tokio::time::{Duration, Instant};
use tracing::warn;

use super::{
    courier::{Courier, Key},
    step::{Step, decide},
    trip::credentials,
};
use crate::{
    directory::{AcceptedServer, Endpoint},
    spool::{WriteError, expire, outage},
};

impl Courier {
    pub(super) async fn step(&mut self, endpoint: &Endpoint) -> Result<Step, WriteError> {
        let record = match self.record.take() {
            Some(record) => record,
            None => self.catch_up(endpoint).await?,
        };
        let step = self.decide(endpoint, &record);
        self.record = Some(record);
        Ok(step)
    }

    /// The record, with what is known beside it.
    async fn catch_up(&mut self, endpoint: &Endpoint) -> Result<outage::Record, WriteError> {
        let (name, uid, known) = (self.name.clone(), endpoint.uid.clone(), endpoint.known());
        let moment = self.moment();
        let (of, by) = (name.clone(), uid.clone());
        let record = self.office.spool.read(move |connection| outage::read(connection, &of, &by)).await?;
        let Some(expected) = record.caught_up(&known, &uid, moment) else { return Ok(record) };
        let rung = |record: &outage::Record| (record.number, record.outage.as_ref().map(|outage| outage.attempts));
        if rung(&record) != rung(&expected) {
            warn!(
                endpoint = name,
                outage = expected.number,
                "the spool is behind what was published; it goes on from there"
            );
        }
        if record.clock != expected.clock {
            self.set_at = expected.clock.runs_since.filter(|since| *since == moment.now).map(|_| Instant::now());
        }
        let catch_up = move |connection: &_| outage::catch_up(connection, &name, &uid, &known, moment);
        let caught_up = self.office.write(catch_up).await?;
        self.office.turned.send_modify(|count| *count += 1);
        Ok(caught_up)
    }

    /// Holds the batches that failed for too long, while there is an outage.
    pub(super) async fn expire(&mut self, endpoint: &Endpoint) -> Result<(), WriteError> {
        let (name, uid) = (self.name.clone(), endpoint.uid.clone());
        let record = self.office.spool.read(move |connection| outage::read(connection, &name, &uid)).await?;
        let (give_up_after, now) = (endpoint.retry.give_up_after.duration(), (self.office.now)());
        let (mut batches, mut messages, mut more) = (0, 0, record.outage.is_some());
        while more {
            let name = self.name.clone();
            let step = move |connection: &_| expire::expire(connection, &name, give_up_after, now);
            let step = self.office.write(step).await?;
            (batches, messages, more) = (batches + step.batches, messages + step.messages, step.more);
        }
        if batches > 0 {
            warn!(
                endpoint = self.name,
                batches,
                messages,
                "they could not be delivered for too long, and are held for a person; nothing is deleted"
            );
            self.office.turned.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// What time it is.
    pub(super) fn moment(&self) -> Moment {
        Moment { now: (self.office.now)(), elapsed: self.set_at.map(|at| at.elapsed()) }
    }

    fn decide(&mut self, endpoint: &Endpoint, record: &outage::Record) -> Step {
        let accepted = endpoint.accepted.as_ref().filter(|_| record.outage.is_some());
        let fresh = accepted.is_some_and(|accepted| self.is_fresh(accepted, record));
        let now = (self.office.now)();
        let step = decide(endpoint, record, fresh, now);
        let Some(outage) = &record.outage else { return step };
        let next_at = ladder::next_attempt_at(&endpoint.retry, outage, &endpoint.uid, now);
        let by_the_wall = Instant::now() + Duration::try_from(next_at.duration_since(now)).unwrap_or_default();
        // What is over by one of the clocks stays over, and what is left never grows, whatever becomes of the wall's.
        let attempt = (record.number, outage.attempts);
        let known = self.rung.filter(|(rung, _)| *rung == attempt).map(|(_, ends)| ends);
        let ends = known.map_or(by_the_wall, |known| known.min(by_the_wall));
        self.rung = Some((attempt, ends));
        let left = ends.saturating_duration_since(Instant::now());
        match step {
            Step::Wait(_) if left.is_zero() => Step::Deliver,
            Step::Wait(_) => Step::Wait(left),
            _ => step,
        }
    }

    /// Whether something else opens the door now than what was tried: another connection, or other credentials; or a test
    /// that a person asked for found it open. This process may not have tried itself; that the credentials lacked is in the
    /// log.
    fn is_fresh(&mut self, accepted: &AcceptedServer, record: &outage::Record) -> bool {
        let asked = self.asked.get_or_insert_with(|| accepted.asked.clone());
        if accepted.asked.is_some() && *asked != accepted.asked {
            return true;
        }
        let key = self.key(accepted);
        match (&self.tried, record.log.last()) {
            (Some(tried), _) => *tried != key,
            (None, Some(row)) => row.reason == Some(Reason::SecretMissing) && key.credentials.is_ok(),
            (None, None) => false,
        }
    }

    pub(super) fn key(&self, accepted: &AcceptedServer) -> Key {
        let credentials = credentials(&self.office.credentials, accepted.server.credentials.as_deref());
        Key { fingerprint: accepted.fingerprint.clone(), credentials: credentials.map_err(drop) }
    }
}
