//! The courier: brings one endpoint's batches to its archive, in as many sessions as the archive likes.
//!
//! One task decides; what takes time are tasks of their own, which come back to it: mails that were made ready, trips, and
//! the commits of what was taken. A batch is busy from the moment it is chosen until the last of them is over.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use imarchive_crds::{PastOutage, ladder};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant, sleep_until},
};

use super::{
    Office,
    plan::Plan,
    step::Step,
    stock::{self, MAILS, Ready},
    trip::{Back, Kept, trip},
};
use crate::{
    directory::{AcceptedServer, Endpoint},
    smtp::Credentials,
    spool::{WriteError, outage, tries},
};

/// How often it is seen during an outage whether the mounted credentials changed: the kubelet tells nobody.
const CREDENTIALS_SEEN: Duration = Duration::from_secs(5);
/// Nothing is known to change earlier.
const IDLE: Duration = Duration::from_secs(3600);
/// Mails taken and not written down yet: so many could be sent again after a crash.
const UNWRITTEN: usize = 32;

/// Brings one endpoint's batches to its archive.
pub(super) struct Courier {
    pub(super) office: Office,
    pub(super) name: String,
    pub(super) plan: Plan,
    /// As the spool has it; read again when it may have changed.
    pub(super) record: Option<outage::Record>,
    stock: VecDeque<Ready>,
    /// Chosen, under way, or taken and not written down yet.
    pub(super) busy: BTreeSet<i64>,
    pub(super) unwritten: usize,
    preparing: bool,
    /// How often something may have changed.
    looks: u64,
    /// Until something changes there is nothing more to make ready; `None`: nobody looked.
    idle_until: Option<Instant>,
    pub(super) sessions: Vec<Kept>,
    pub(super) tasks: JoinSet<Result<Done, WriteError>>,
    /// By the monotonic clock: when the rung of this attempt, by outage and number, ends at the latest.
    pub(super) rung: Option<((i64, u32), Instant)>,
    /// By the monotonic clock: when this process last set the outage clock.
    pub(super) set_at: Option<Instant>,
    /// What was last tried: with another one it is tried at once.
    pub(super) tried: Option<Key>,
    /// The request for a test that was answered when this process last looked or tried: another one is followed by a try.
    pub(super) asked: Option<Option<String>>,
}

/// What comes back to the courier.
pub(super) enum Done {
    /// These were made ready; and how long there is nothing else to do, when there was not at this look.
    Ready(Vec<Ready>, Option<Duration>, u64),
    /// A session is back from its trip.
    Back(Box<(Endpoint, Back)>),
    /// Written down as delivered; the outage that this ended.
    Delivered(i64, Option<PastOutage>),
    Closed,
}

/// What opens an archive's door: the connection's fingerprint, and the credentials if they could be read.
#[derive(PartialEq)]
pub(super) struct Key {
    pub(super) fingerprint: String,
    pub(super) credentials: Result<Option<Credentials>, ()>,
}

impl Courier {
    pub(super) fn new(office: Office, name: String) -> Self {
        Self {
            office,
            name,
            plan: Plan::new(),
            record: None,
            stock: VecDeque::new(),
            busy: BTreeSet::new(),
            unwritten: 0,
            preparing: false,
            looks: 0,
            idle_until: None,
            sessions: Vec::new(),
            tasks: JoinSet::new(),
            rung: None,
            set_at: None,
            tried: None,
            asked: None,
        }
    }

    /// Delivers until the endpoint is gone, or it is told to stop.
    pub(super) async fn run(mut self) -> Result<(), WriteError> {
        let mut resources = self.office.resources.clone();
        let mut sealed = self.office.sealed.clone();
        let mut stopping = self.office.stopping.clone();
        let endpoint = resources.borrow().endpoints.get(&self.name).cloned();
        if let Some(endpoint) = endpoint {
            // The process before may have ended between a failed attempt and what follows from it.
            self.expire(&endpoint).await?;
        }
        while !*stopping.borrow_and_update() {
            let (Ok(other_resources), Ok(more)) = (resources.has_changed(), sealed.has_changed()) else {
                return Ok(());
            };
            // Marked as seen before they are looked at: what changes meanwhile wakes the wait below.
            resources.mark_unchanged();
            sealed.mark_unchanged();
            if other_resources {
                self.put_back().await?;
            }
            if other_resources || more {
                self.look_again();
            }
            let Some(endpoint) = resources.borrow().endpoints.get(&self.name).cloned() else { break };
            let wake = self.work(&endpoint).await?;
            self.office.metrics.sessions(&self.name, self.plan.at_work());
            tokio::select! {
                Some(done) = self.tasks.join_next() => {
                    self.done(done.unwrap_or_else(|panic| Err(WriteError::Fatal(panic.to_string())))?).await?;
                }
                changed = resources.changed() => {
                    if changed.is_err() { return Ok(()) }
                    resources.mark_changed();
                }
                changed = sealed.changed() => {
                    if changed.is_err() { return Ok(()) }
                    sealed.mark_changed();
                }
                changed = stopping.changed() => if changed.is_err() { return Ok(()) },
                () = sleep_until(wake) => self.look_again(),
            }
        }
        self.end().await
    }

    /// What is under way comes to its end, and nothing else begins.
    async fn end(mut self) -> Result<(), WriteError> {
        while let Some(done) = self.tasks.join_next().await {
            self.done(done.unwrap_or_else(|panic| Err(WriteError::Fatal(panic.to_string())))?).await?;
        }
        self.put_back().await?;
        self.office.metrics.sessions(&self.name, 0);
        for session in std::mem::take(&mut self.sessions) {
            session.close().await;
        }
        Ok(())
    }

    /// Begins all that may begin now; answers when there may be more.
    async fn work(&mut self, endpoint: &Endpoint) -> Result<Instant, WriteError> {
        let now = Instant::now();
        let step = self.step(endpoint).await?;
        let (Step::Deliver, Some(accepted)) = (step, &endpoint.accepted) else {
            self.put_back().await?;
            self.close_beyond(0);
            let watched = endpoint.server().is_some_and(|server| server.credentials.is_some());
            return Ok(match step {
                Step::Wait(wait) if watched => now + wait.min(CREDENTIALS_SEEN),
                Step::Wait(wait) => now + wait,
                _ => now + IDLE,
            });
        };
        let outage = self.record.as_ref().is_some_and(|record| record.outage.is_some());
        let most = self.plan.sessions(endpoint.delivery.max_connections, outage);
        let mut wake = self.idle_until.unwrap_or(now + IDLE);
        while self.plan.at_work() < most && self.unwritten < UNWRITTEN {
            if let Some(until) = self.plan.not_before().filter(|until| *until > now) {
                wake = wake.min(until);
                break;
            }
            let Some(ready) = self.stock.pop_front() else { break };
            self.send(endpoint, accepted, ready, now);
        }
        let low = if outage { self.stock.is_empty() && self.busy.is_empty() } else { self.stock.len() < MAILS / 2 };
        if low && !self.preparing && self.idle_until.is_none_or(|until| until <= now) {
            self.prepare(endpoint, accepted, if outage { 1 } else { MAILS });
        }
        let nothing_left = self.stock.is_empty() && !self.preparing;
        self.close_beyond(if nothing_left { 0 } else { most.saturating_sub(self.plan.at_work()) });
        Ok(wake)
    }

    fn send(&mut self, endpoint: &Endpoint, accepted: &AcceptedServer, ready: Ready, now: Instant) {
        self.plan.begun(ready.batch, endpoint.delivery.max_mails_per_minute, now);
        let kept = std::iter::from_fn(|| self.sessions.pop()).find(|kept| kept.serves(accepted));
        if kept.is_none() {
            self.tried = Some(self.key(accepted));
            self.asked = Some(accepted.asked.clone());
        }
        let (office, endpoint, accepted) = (self.office.clone(), endpoint.clone(), Arc::new(accepted.clone()));
        self.tasks
            .spawn(async move { Ok(Done::Back(Box::new((endpoint, trip(office, accepted, ready, kept).await)))) });
    }

    /// Chooses what is tried next, and makes it ready.
    fn prepare(&mut self, endpoint: &Endpoint, accepted: &AcceptedServer, most: usize) {
        self.preparing = true;
        let (office, name, busy) = (self.office.clone(), self.name.clone(), self.busy.clone());
        let (accepted, suspects) = (Arc::new(accepted.clone()), self.plan.suspected());
        let (now, look) = ((self.office.now)(), self.looks);
        let horizon = now + ladder::longest(&endpoint.retry);
        self.tasks.spawn(async move {
            let (endpoint, limit) = (name.clone(), most + busy.len() + suspects.len());
            let read = move |connection: &_| {
                Ok((tries::due(connection, &endpoint, now, limit)?, tries::next_at(connection, &endpoint)?))
            };
            let (due, mut next_at) = office.spool.read(read).await?;
            if next_at.is_some_and(|at| at > horizon) {
                let name = name.clone();
                office.write(move |connection| tries::set_back(connection, &name, now, horizon)).await?;
                next_at = Some(now);
            }
            let free: Vec<i64> = due.into_iter().filter(|batch| !busy.contains(batch)).collect();
            let (refused, mut chosen): (Vec<_>, Vec<_>) = free.into_iter().partition(|batch| suspects.contains(batch));
            // While another is under way it is not known yet what is to be done about them.
            if chosen.is_empty() && busy.is_empty() {
                chosen = refused;
            }
            chosen.truncate(most);
            let wait = next_at.map_or(IDLE, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
            let idle = chosen.is_empty().then_some(wait.clamp(Duration::from_secs(1), IDLE));
            Ok(Done::Ready(stock::prepare(&office, &name, &accepted, chosen).await?, idle, look))
        });
    }

    async fn done(&mut self, done: Done) -> Result<(), WriteError> {
        match done {
            Done::Ready(ready, idle, look) => {
                self.preparing = false;
                // Something may have been sealed since.
                self.idle_until = idle.filter(|_| look == self.looks).map(|wait| Instant::now() + wait);
                self.busy.extend(ready.iter().map(|ready| ready.batch));
                self.stock.extend(ready);
            }
            Done::Back(back) => self.back(back.0, back.1).await?,
            Done::Delivered(batch, past) => self.written(batch, past),
            Done::Closed => {}
        }
        Ok(())
    }

    /// Something may be different from what it was.
    pub(super) fn look_again(&mut self) {
        self.looks += 1;
        self.record = None;
        self.idle_until = None;
    }

    /// What was made ready is not tried for now.
    pub(super) async fn put_back(&mut self) -> Result<(), WriteError> {
        let batches: Vec<i64> = self.stock.drain(..).map(|ready| ready.batch).collect();
        if batches.is_empty() {
            return Ok(());
        }
        self.busy.retain(|batch| !batches.contains(batch));
        let undo = move |connection: &_| batches.iter().try_for_each(|batch| tries::not_tried(connection, *batch));
        self.office.write(undo).await
    }

    /// Says goodbye in the sessions beyond the first `count` that wait for a mail.
    fn close_beyond(&mut self, count: usize) {
        for session in self.sessions.split_off(count.min(self.sessions.len())) {
            self.tasks.spawn(async move {
                session.close().await;
                Ok(Done::Closed)
            });
        }
    }
}
