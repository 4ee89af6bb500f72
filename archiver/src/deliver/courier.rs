//! The courier: brings one endpoint's batches to its archive.

use std::{path::Path, sync::Arc};

use imarchive_crds::{Reason, RetryLogRow, Stage, ladder};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::{Duration, Instant, sleep_until};
use tracing::{info, warn};

use super::{
    Office,
    step::{Step, decide},
};
use crate::{
    classify::{Context, Verdict, classify},
    directory::{AcceptedServer, Endpoint},
    render,
    smtp::{Credentials, Envelope, Failure, Journal, SendFailure, Session},
    spool::{WriteError, batch, earlier::earlier, outage},
};

/// Mails in one session: some archives close longer ones.
const MAILS_A_SESSION: u32 = 100;

/// How often it is seen during an outage whether the mounted credentials changed: the kubelet tells nobody.
const CREDENTIALS_SEEN: Duration = Duration::from_secs(5);

/// Brings one endpoint's batches to its archive.
pub(super) struct Courier {
    office: Office,
    endpoint: String,
    session: Option<(String, Session)>,
    /// By the monotonic clock: when the rung of this attempt, by outage and number, ends at the latest.
    rung: Option<((i64, u32), Instant)>,
    /// What was last tried: with another one it is tried at once.
    tried: Option<Key>,
}

/// What opens an archive's door: the connection's fingerprint, and the credentials if they could be read.
#[derive(PartialEq)]
struct Key {
    fingerprint: String,
    credentials: Result<Option<Credentials>, ()>,
}

impl Courier {
    pub(super) fn new(office: Office, endpoint: String) -> Self {
        Self { office, endpoint, session: None, rung: None, tried: None }
    }

    /// Delivers until the endpoint is gone, or it is told to stop.
    pub(super) async fn run(mut self) -> Result<(), WriteError> {
        let mut resources = self.office.resources.clone();
        let mut sealed = self.office.sealed.clone();
        let mut stopping = self.office.stopping.clone();
        while !*stopping.borrow_and_update() {
            // Marked as seen before they are looked at: what changes meanwhile wakes the wait below.
            resources.mark_unchanged();
            sealed.mark_unchanged();
            let Some(endpoint) = resources.borrow().endpoints.get(&self.endpoint).cloned() else { break };
            let step = self.step(&endpoint).await?;
            if let (Step::Deliver(batch), Some(accepted)) = (step, &endpoint.accepted) {
                self.deliver(&endpoint, accepted, batch).await?;
                continue;
            }
            self.close().await;
            let wake = match step {
                Step::Wait(wait) => Instant::now() + wait.min(CREDENTIALS_SEEN),
                _ => Instant::now() + Duration::from_secs(3600),
            };
            tokio::select! {
                changed = resources.changed() => if changed.is_err() { return Ok(()) },
                changed = sealed.changed() => if changed.is_err() { return Ok(()) },
                changed = stopping.changed() => if changed.is_err() { return Ok(()) },
                () = sleep_until(wake) => {}
            }
        }
        self.close().await;
        Ok(())
    }

    async fn step(&mut self, endpoint: &Endpoint) -> Result<Step, WriteError> {
        let (name, uid) = (self.endpoint.clone(), endpoint.uid.clone());
        let look = move |connection: &_| Ok((outage::read(connection, &name, &uid)?, batch::next(connection, &name)?));
        let (record, next) = self.office.spool.read(look).await?;
        let now = (self.office.now)();
        let fresh = endpoint.accepted.as_ref().is_some_and(|accepted| self.is_fresh(accepted, &record));
        let step = decide(endpoint, &record, next, fresh, now);
        Ok(match (step, &record.outage) {
            (Step::Wait(wait), Some(outage)) => {
                let attempt = (record.number, outage.attempts);
                let ends = match self.rung {
                    Some((rung, ends)) if rung == attempt => ends,
                    _ => Instant::now() + ladder::delay(&endpoint.retry, outage.attempts, &endpoint.uid),
                };
                self.rung = Some((attempt, ends));
                let left = ends.saturating_duration_since(Instant::now());
                match (next, left.is_zero()) {
                    // The wall clock went back meanwhile; the wait was long enough all the same.
                    (Some(batch), true) => Step::Deliver(batch),
                    _ => Step::Wait(wait.min(left)),
                }
            }
            (step, _) => step,
        })
    }

    /// Whether something else opens the door now than what was tried: another connection, or other credentials. This
    /// process may not have tried itself; that the credentials lacked is in the log.
    fn is_fresh(&self, accepted: &AcceptedServer, record: &outage::Record) -> bool {
        let key = self.key(accepted);
        match (&self.tried, record.log.last()) {
            (Some(tried), _) => *tried != key,
            (None, Some(row)) => row.reason == Some(Reason::SecretMissing) && key.credentials.is_ok(),
            (None, None) => false,
        }
    }

    fn key(&self, accepted: &AcceptedServer) -> Key {
        let credentials = credentials(&self.office.credentials, accepted.server.credentials.as_deref());
        Key { fingerprint: accepted.fingerprint.clone(), credentials: credentials.map_err(drop) }
    }

    /// One attempt, or two when the session had grown old.
    async fn deliver(&mut self, endpoint: &Endpoint, accepted: &AcceptedServer, batch: i64) -> Result<(), WriteError> {
        self.tried = Some(self.key(accepted));
        let Some(mail) = self.mail(endpoint, accepted, batch).await? else { return Ok(()) };
        let mut outcome = self.send(accepted, &mail).await;
        if matches!(&outcome, Err((failure, context)) if classify(failure, *context) == Verdict::Stale) {
            self.session = None;
            outcome = self.send(accepted, &mail).await;
        }
        match outcome {
            Ok(reply) => self.delivered(endpoint, batch, reply).await,
            Err((failure, _)) => {
                self.session = None;
                self.failed(endpoint, batch, failure.failure()).await
            }
        }
    }

    async fn send(&mut self, accepted: &AcceptedServer, mail: &[u8]) -> Result<String, (SendFailure, Context)> {
        let server = &accepted.server;
        let kept = self.session.take().filter(|(fingerprint, session)| {
            *fingerprint == accepted.fingerprint && session.is_usable() && session.sent() < MAILS_A_SESSION
        });
        let mut session = match kept {
            Some((_, session)) => session,
            None => self.open(accepted).await.map_err(|failure| (failure.into(), Context::default()))?,
        };
        let context = Context { reused: session.sent() > 0, ..Context::default() };
        let envelope = Envelope { from: server.from.clone(), recipients: server.recipients.clone() };
        let sent = session.send(&envelope, mail).await;
        self.session = Some((accepted.fingerprint.clone(), session));
        sent.map(|reply| reply.to_string()).map_err(|failure| (failure, context))
    }

    async fn open(&self, accepted: &AcceptedServer) -> Result<Session, Failure> {
        let credentials = credentials(&self.office.credentials, accepted.server.credentials.as_deref())?;
        self.office.client.open(&accepted.server, credentials.as_ref(), &mut Journal::default()).await
    }

    async fn close(&mut self) {
        if let Some((_, session)) = self.session.take() {
            // All mails of the session are answered for; how it ends is of no consequence.
            let _ = session.quit().await;
        }
    }

    /// The mail of `batch`: rendered and stored before its first attempt, and the same bytes ever after. `None`: the batch
    /// is damaged, and was set aside.
    async fn mail(
        &self,
        endpoint: &Endpoint,
        accepted: &AcceptedServer,
        id: i64,
    ) -> Result<Option<Vec<u8>>, WriteError> {
        if let Some(mail) = self.office.spool.read(move |connection| batch::mail(connection, id)).await? {
            return Ok(Some(mail));
        }
        let (name, server) = (endpoint.name.clone(), accepted.server.clone());
        let resources = self.office.resources.borrow().clone();
        let render = move |connection: &_| {
            let sealed = batch::load(connection, id)?;
            let transcript =
                render::transcript(&sealed.endpoint, &sealed.source, &sealed.conversation, &sealed.messages);
            let form = render::Form {
                from: &server.from,
                from_header: server.from_header,
                message_type: server.message_type.as_deref(),
                belongs: &|user| resources.table.belongs(user, &name),
                replaces: None,
                earlier: &earlier(connection, &sealed)?,
            };
            Ok((transcript.digest == sealed.digest).then(|| render::mail(&sealed, &transcript, &form)))
        };
        let rendered = self.office.spool.read(render).await;
        let Some(mail) =
            rendered.inspect_err(|error| warn!(batch = id, %error, "a batch cannot be read")).ok().flatten()
        else {
            let damaged = "damaged: the messages are not those that were sealed";
            self.write(move |connection| batch::hold(connection, id, damaged)).await?;
            return Ok(None);
        };
        let mail = Arc::new(mail);
        let kept = mail.clone();
        self.write(move |connection| batch::store_mail(connection, id, &kept)).await?;
        Ok(Some(Arc::unwrap_or_clone(mail)))
    }

    async fn delivered(&mut self, endpoint: &Endpoint, id: i64, reply: String) -> Result<(), WriteError> {
        let (name, uid, now) = (self.endpoint.clone(), endpoint.uid.clone(), (self.office.now)());
        let recovered = self
            .write(move |connection| {
                let record = outage::read(connection, &name, &uid)?;
                batch::delivered(connection, id, &reply, now)?;
                outage::end(connection, &name)?;
                Ok(record.outage.is_some())
            })
            .await?;
        self.rung = None;
        self.office.metrics.delivered(&self.endpoint);
        if recovered {
            info!(endpoint = self.endpoint, "the outage is over");
            self.office.turned.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    async fn failed(&mut self, endpoint: &Endpoint, id: i64, failure: &Failure) -> Result<(), WriteError> {
        let (name, uid, now) = (self.endpoint.clone(), endpoint.uid.clone(), (self.office.now)());
        let words = failure.to_string();
        let row = RetryLogRow {
            attempt: 0,
            at: Time(now),
            stage: failure.stage,
            reason: Some(failure.reason),
            code: failure.code().map(i32::from),
            message: failure.words(),
            notified_at: None,
        };
        warn!(endpoint = self.endpoint, failure = words, "a delivery failed; its batch is kept and tried again");
        self.write(move |connection| {
            batch::failed(connection, id, &words)?;
            outage::failed(connection, &name, &uid, row.clone(), now)
        })
        .await?;
        self.office.metrics.failed(&self.endpoint, failure.reason);
        self.office.turned.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl Fn(&rusqlite::Connection) -> rusqlite::Result<T> + Send + Sync + 'static,
    ) -> Result<T, WriteError> {
        self.office.spool.write_waiting(job).await
    }
}

/// The content of the Secret that a server names, as it is mounted now.
fn credentials(folder: &Path, secret: Option<&str>) -> Result<Option<Credentials>, Failure> {
    let Some(secret) = secret else { return Ok(None) };
    let missing = |detail: String| Failure::new(Stage::Auth, Reason::SecretMissing, detail);
    match Credentials::read(&folder.join(secret)) {
        Ok(Some(credentials)) => Ok(Some(credentials)),
        Ok(None) => Err(missing(format!("the Secret {secret} does not exist, or lacks username or password"))),
        Err(error) => Err(missing(format!("the Secret {secret} cannot be used: {error}"))),
    }
}
