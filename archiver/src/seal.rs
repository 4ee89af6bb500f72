//! Sealing: a window's messages become batches whose bytes never change again.
//!
//! One task owns the windows. It hears of every new copy after its commit, and it alone seals, so that a copy is sealed
//! once; the spool refuses a second time. All it does follows one picture of the resources until it takes the next, and
//! first settles by it which mail is held because its [endpoint was deleted](crate::deletion).

use std::{sync::Arc, time::Duration};

use imarchive_crds::Server;
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

use crate::{
    deletion,
    directory::{Endpoint, Resources},
    now::Now,
    route::Route,
    spool::{
        Spool, WriteError,
        append::OpenCopy,
        batch::{self, Sealing},
        open,
    },
    window::{self, Member, Ticks, cut},
};

mod found;
pub(crate) mod prepare;

use prepare::{Prepared, prepare};

/// How often windows are looked at when none is known to end sooner.
const IDLE: Duration = Duration::from_secs(3600);
/// Windows that are closed at once; new messages find their windows in between.
const WINDOWS: usize = 256;
/// Batches that are sealed in one commit: one fsync for all of them.
const BATCHES: usize = 64;

/// The task that owns the windows.
pub struct Sealer {
    spool: Spool,
    resources: watch::Receiver<Arc<Resources>>,
    /// Those that everything is done by.
    seen: Arc<Resources>,
    /// Whether newer ones have to be taken, before anything else is done.
    unsettled: bool,
    now: Now,
    windows: Arc<window::Shared>,
    /// Copies that no window can take yet: no endpoint is known for them, or theirs is gone.
    strays: Vec<OpenCopy>,
    /// Closed windows, to be sealed next.
    ready: Vec<(Arc<str>, Vec<Member>)>,
    tell: Tell,
}

/// Who is told of what a [`Sealer`] does.
#[derive(Clone)]
pub struct Tell {
    /// Told when batches wait that did not before.
    pub sealed: watch::Sender<u64>,
    /// Told when mail is held or released, for the report.
    pub turned: watch::Sender<u64>,
}

impl Sealer {
    /// Rebuilds the windows from the copies that are in no batch yet.
    pub async fn start(
        spool: Spool,
        resources: watch::Receiver<Arc<Resources>>,
        windows: Arc<window::Shared>,
        now: Now,
        tell: Tell,
    ) -> rusqlite::Result<Self> {
        let seen = resources.borrow().clone();
        let (strays, ready) = (Vec::new(), Vec::new());
        let mut sealer = Self { spool, resources, seen, unsettled: true, now, windows, strays, ready, tell };
        let spool = sealer.spool.clone();
        if let Err(error) = found::in_order(&spool, |copy| sealer.take(copy)).await {
            warn!(%error, "the copies in no batch cannot be read in order; they are read one by one");
            sealer.strays.clear();
            sealer.ready.clear();
            *sealer.windows.lock() = window::Windows::default();
            found::what_is_readable(&spool, |copy| sealer.take(copy)).await?;
        }
        Ok(sealer)
    }

    /// Takes new copies into windows, and seals the windows that end, until the ingest is gone.
    pub async fn run(mut self, mut arrivals: mpsc::UnboundedReceiver<Vec<OpenCopy>>) -> Result<(), WriteError> {
        let mut resources = self.resources.clone();
        loop {
            if std::mem::take(&mut self.unsettled) {
                self.seen = resources.borrow_and_update().clone();
                self.settle().await?;
            }
            let wake = self.seal_what_ended().await?;
            tokio::select! {
                arrived = arrivals.recv() => match arrived {
                    Some(copies) => {
                        for copy in copies {
                            self.arrived(copy).await?;
                        }
                        self.seal_ready().await?;
                    }
                    None => return Ok(()),
                },
                changed = resources.changed() => match changed {
                    Ok(()) => self.unsettled = true,
                    Err(_) => return Ok(()),
                },
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Holds and releases what has to be by the resources, and finds the copies that had nowhere to go a place.
    async fn settle(&mut self) -> Result<(), WriteError> {
        let moved = deletion::settle(&self.spool, &self.seen).await?;
        if moved != deletion::Moved::default() {
            self.tell.turned.send_modify(|count| *count += 1);
        }
        if moved.released > 0 {
            self.tell.sealed.send_modify(|count| *count += 1);
        }
        self.place_strays().await
    }

    /// A new copy. Its message was routed by what was known when its request began, and that may be different by now.
    async fn arrived(&mut self, copy: OpenCopy) -> Result<(), WriteError> {
        match &copy.endpoint {
            None => self.reroute(copy).await,
            Some(endpoint) => {
                self.unsettled |= !self.seen.endpoints.contains_key(&**endpoint);
                self.take(copy);
                Ok(())
            }
        }
    }

    /// When a copy taken at `received_at` would have opened its window: now, or earlier when it waited for a restart.
    fn opened(&self, received_at: Timestamp) -> Ticks {
        let waited = (self.now)().duration_since(received_at).as_millis().max(0);
        self.windows.ticks() - waited as Ticks
    }

    fn take(&mut self, copy: OpenCopy) {
        let Some(name) = &copy.endpoint else { return self.strays.push(copy) };
        let Some(endpoint) = self.seen.endpoints.get(&**name) else { return self.strays.push(copy) };
        let thread = copy.threads.by(endpoint.batching.group_chats);
        let member = Member { seq: copy.seq, bytes: copy.bytes };
        let opened = self.opened(copy.received_at);
        let mut windows = self.windows.lock();
        if windows.add(name, thread, member, opened, &endpoint.batching) && endpoint.server().is_some() {
            self.ready.push((name.clone(), windows.close(name, thread)));
        }
    }

    /// Looks again at the copies that had nowhere to go, now that the resources changed.
    async fn place_strays(&mut self) -> Result<(), WriteError> {
        for copy in std::mem::take(&mut self.strays) {
            match &copy.endpoint {
                Some(_) => self.take(copy),
                None => self.reroute(copy).await?,
            }
        }
        self.seal_ready().await
    }

    /// Routes an unrouted copy again. Its message keeps the copies that it already has.
    async fn reroute(&mut self, copy: OpenCopy) -> Result<(), WriteError> {
        let seq = copy.seq;
        let read = self.spool.read(move |connection| batch::messages(connection, &[seq])).await;
        let messages = read.inspect_err(|error| warn!(message = seq, %error, "an unrouted message cannot be read"));
        let message = messages.unwrap_or_default().pop();
        let endpoints: Vec<_> = match message.map(|recorded| self.seen.table.route(&recorded.message)) {
            Some(Route::To(endpoints)) if !endpoints.contains(&None) => endpoints.into_iter().collect(),
            // Still nobody's, or damaged; or, by today's policy, excluded: but it was acknowledged as kept.
            _ => {
                self.strays.push(copy);
                return Ok(());
            }
        };
        let added: Vec<String> = endpoints.into_iter().flatten().collect();
        let fresh = self.spool.write_waiting(move |connection| {
            let has = batch::endpoints_of(connection, seq)?;
            batch::reroute(connection, seq, &added)?;
            Ok(added.iter().filter(|endpoint| !has.contains(endpoint)).cloned().collect::<Vec<_>>())
        });
        for endpoint in fresh.await? {
            self.take(OpenCopy { endpoint: Some(endpoint.into()), ..copy.clone() });
        }
        Ok(())
    }

    /// Seals every window that ended; answers when the next one ends.
    async fn seal_what_ended(&mut self) -> Result<Instant, WriteError> {
        let resources = self.seen.clone();
        let mut next = Instant::now() + IDLE;
        for endpoint in resources.endpoints.values() {
            // Before a connection was accepted nobody knows who the mail will be from: the windows stay open.
            if endpoint.server().is_none() {
                continue;
            }
            let ended = {
                let mut windows = self.windows.lock();
                let threads = windows.ended(&endpoint.name, self.windows.ticks(), &endpoint.batching, WINDOWS);
                let name: Arc<str> = endpoint.name.as_str().into();
                let close = |thread| (name.clone(), windows.close(&name, thread));
                threads.into_iter().map(close).collect::<Vec<_>>()
            };
            self.ready.extend(ended);
            self.seal_ready().await?;
            let end = self.windows.lock().next_end(&endpoint.name, &endpoint.batching);
            if let Some(end) = end {
                let wait = Duration::from_millis(u64::try_from(end - self.windows.ticks()).unwrap_or(0));
                next = next.min(Instant::now() + wait.max(Duration::from_millis(1)));
            }
        }
        Ok(next)
    }

    /// Seals the closed windows, each into as many batches as its messages need, many batches with one commit.
    async fn seal_ready(&mut self) -> Result<(), WriteError> {
        let resources = self.seen.clone();
        let mut ready = std::mem::take(&mut self.ready);
        while let Some((name, _)) = ready.first() {
            let name = name.clone();
            let (mine, others) = ready.into_iter().partition(|(other, _)| *other == name);
            ready = others;
            let Some(endpoint) = resources.endpoints.get(&*name) else { continue };
            let Some(server) = endpoint.server() else { continue };
            let mine: Vec<(Arc<str>, Vec<Member>)> = mine;
            let cuts: Vec<_> = mine.iter().flat_map(|(_, members)| cut(members, &endpoint.batching)).collect();
            let (mut batches, mut messages) = (0, 0);
            for some in cuts.chunks(BATCHES) {
                let sealed = self.seal(endpoint, server, some.to_vec()).await?;
                (batches, messages) = (batches + sealed.0, messages + sealed.1);
                self.tell.sealed.send_modify(|count| *count += 1);
            }
            info!(endpoint = endpoint.name, batches, messages, "sealed");
        }
        Ok(())
    }

    /// Seals some batches; answers how many, and how many messages are in them.
    async fn seal(
        &self,
        endpoint: &Endpoint,
        server: &Server,
        cuts: Vec<Vec<i64>>,
    ) -> Result<(usize, usize), WriteError> {
        let (name, group_chats) = (endpoint.name.clone(), endpoint.batching.group_chats);
        let read = move |connection: &_| {
            let prepare = |seqs| prepare(connection, &name, group_chats, &open::still_open(connection, &name, seqs)?);
            cuts.iter().map(|seqs| prepare(seqs)).collect::<rusqlite::Result<Vec<_>>>()
        };
        let (mut sealings, mut damaged) = (Vec::new(), Vec::new());
        for Prepared { drafts, damaged: some } in self.spool.read(read).await? {
            damaged.extend(some);
            sealings.extend(drafts.into_iter().map(|draft| draft.sealing(endpoint, server)));
        }
        for (message, error) in &damaged {
            warn!(endpoint = endpoint.name, message, error, "a message cannot be read; it is held for a person");
        }
        let sealed = (sealings.len(), sealings.iter().map(|sealing| sealing.members.len()).sum());
        match self.write(&endpoint.name, sealings.clone(), damaged).await {
            Err(WriteError::Refused(error)) => {
                warn!(endpoint = endpoint.name, %error, "some batches cannot be sealed together; each is sealed alone");
                self.seal_each(&endpoint.name, sealings).await
            }
            written => written.map(|()| sealed),
        }
    }

    /// The same when one of them is in the way of the others.
    async fn seal_each(&self, endpoint: &str, sealings: Vec<Sealing>) -> Result<(usize, usize), WriteError> {
        let mut sealed = (0, 0);
        for sealing in sealings {
            let messages = sealing.members.len();
            match self.write(endpoint, vec![sealing], Vec::new()).await {
                // The rows stay as they are: waiting, found again at the next start, and by fsck.
                Err(WriteError::Refused(error)) => warn!(endpoint, %error, "a batch cannot be sealed"),
                written => {
                    written?;
                    sealed = (sealed.0 + 1, sealed.1 + messages);
                }
            }
        }
        Ok(sealed)
    }

    async fn write(
        &self,
        endpoint: &str,
        sealings: Vec<Sealing>,
        damaged: Vec<(i64, String)>,
    ) -> Result<(), WriteError> {
        let (uuid, now, endpoint) = (self.spool.uuid(), (self.now)(), endpoint.to_owned());
        let job = move |connection: &_| {
            let mut sealed = sealings.iter().map(|sealing| batch::seal(connection, uuid, sealing, now));
            sealed.try_for_each(|sealed| sealed)?;
            damaged
                .iter()
                .try_for_each(|(seq, error)| open::hold_copy(connection, &endpoint, *seq, &format!("damaged: {error}")))
        };
        self.spool.write_waiting(job).await
    }
}
