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
    render,
    route::Route,
    spool::{
        Spool, WriteError,
        append::OpenCopy,
        batch::{self, Sealing},
    },
    window::{self, Key, Member, Ticks, cut},
};

/// How often windows are looked at when none is known to end sooner.
const IDLE: Duration = Duration::from_secs(3600);

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
    tell: Tell,
}

/// Who is told of what a [`Sealer`] does.
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
        let open = spool.read(batch::open_copies).await?;
        let seen = resources.borrow().clone();
        Ok(Self { spool, resources, seen, unsettled: true, now, windows, strays: open, tell })
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
                self.unsettled |= !self.seen.endpoints.contains_key(endpoint);
                self.take(copy).await
            }
        }
    }

    /// When a copy taken at `received_at` would have opened its window: now, or earlier when it waited for a restart.
    fn opened(&self, received_at: Timestamp) -> Ticks {
        let waited = (self.now)().duration_since(received_at).as_millis().max(0);
        self.windows.ticks() - waited as Ticks
    }

    async fn take(&mut self, copy: OpenCopy) -> Result<(), WriteError> {
        let resources = self.seen.clone();
        let Some(endpoint) = copy.endpoint.as_ref().and_then(|name| resources.endpoints.get(name)) else {
            self.strays.push(copy);
            return Ok(());
        };
        let key = Key::new(&endpoint.name, &copy.group, endpoint.batching.group_chats);
        let member = Member { seq: copy.seq, bytes: copy.bytes };
        let opened = self.opened(copy.received_at);
        let full = self.windows.lock().add(key.clone(), member, opened, &endpoint.batching);
        match endpoint.server() {
            Some(server) if full => self.seal(endpoint, server, &key).await,
            _ => Ok(()),
        }
    }

    /// Looks again at the copies that had nowhere to go, now that the resources changed.
    async fn place_strays(&mut self) -> Result<(), WriteError> {
        for copy in std::mem::take(&mut self.strays) {
            match &copy.endpoint {
                Some(_) => self.take(copy).await?,
                None => self.reroute(copy).await?,
            }
        }
        Ok(())
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
        let added = endpoints.clone();
        let fresh: Vec<String> = self
            .spool
            .write(
                move |connection| {
                    let has = batch::endpoints_of(connection, seq)?;
                    batch::reroute(connection, seq, &added)?;
                    Ok::<_, WriteError>(
                        added.into_iter().flatten().filter(|endpoint| !has.contains(endpoint)).collect(),
                    )
                },
                |_| {},
            )
            .await?;
        for endpoint in fresh {
            self.take(OpenCopy { endpoint: Some(endpoint), ..copy.clone() }).await?;
        }
        Ok(())
    }

    /// Seals every window that ended; answers when the next one ends.
    async fn seal_what_ended(&mut self) -> Result<Instant, WriteError> {
        let resources = self.seen.clone();
        let mut next = Instant::now() + IDLE;
        for endpoint in resources.endpoints.values() {
            // Before a connection was accepted nobody knows who the mail will be from: the windows stay open.
            let Some(server) = endpoint.server() else { continue };
            let ended = self.windows.lock().ended(&endpoint.name, self.windows.ticks(), &endpoint.batching);
            for key in ended {
                self.seal(endpoint, server, &key).await?;
            }
            let end = self.windows.lock().next_end(&endpoint.name, &endpoint.batching);
            if let Some(end) = end {
                let wait = Duration::from_millis(u64::try_from(end - self.windows.ticks()).unwrap_or(0));
                next = next.min(Instant::now() + wait.max(Duration::from_millis(1)));
            }
        }
        Ok(next)
    }

    /// Seals one window into as many batches as its messages need.
    async fn seal(&mut self, endpoint: &Endpoint, server: &Server, key: &Key) -> Result<(), WriteError> {
        let members = self.windows.lock().close(key);
        for seqs in cut(&members, &endpoint.batching) {
            self.seal_batch(endpoint, server, key, seqs).await?;
        }
        self.tell.sealed.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn seal_batch(
        &self,
        endpoint: &Endpoint,
        server: &Server,
        key: &Key,
        members: Vec<i64>,
    ) -> Result<(), WriteError> {
        let (seqs, name, source) = (members.clone(), endpoint.name.clone(), key.source.clone());
        let prepared = self
            .spool
            .read(move |connection| {
                let messages = batch::messages(connection, &seqs)?;
                let last = messages.last().ok_or(rusqlite::Error::QueryReturnedNoRows)?;
                let conversation = last.message.conversation.clone();
                let transcript = render::transcript(&name, &source, &conversation, &messages);
                Ok((conversation, messages[0].received_at, transcript.digest))
            })
            .await;
        let (conversation, oldest_at, digest) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // The rows stay as they are: waiting, found again at the next start, and by fsck.
                warn!(endpoint = endpoint.name, %error, "a window cannot be sealed: a message of it cannot be read");
                return Ok(());
            }
        };
        let sealing = Sealing {
            endpoint: endpoint.name.clone(),
            endpoint_uid: endpoint.uid.clone(),
            from_domain: server.from.domain().to_owned(),
            source: key.source.clone(),
            conversation,
            members,
            oldest_at,
            digest,
        };
        let messages = sealing.members.len();
        let (uuid, now) = (self.spool.uuid(), (self.now)());
        self.spool
            .write(move |connection| Ok::<_, WriteError>(batch::seal(connection, uuid, &sealing, now)?), |()| {})
            .await?;
        info!(endpoint = endpoint.name, messages, "sealed a batch");
        Ok(())
    }
}
