//! The archiver's word in the resources: its row of each endpoint's status, and the books in the Archiver's.
//!
//! It is applied at most every 30 s, and at once when an endpoint fails or recovers, when its mail is held or released, and
//! when messages cannot be made durable, or can again.
//! Nothing waits for it: while the API server is away the archiver goes on, and says later how it is.

mod credentials;
mod durable;
mod said;

use std::{path::PathBuf, sync::Arc, time::Duration};

use credentials::Seen;
use durable::Lapse;
use imarchive_crds::{
    ARCHIVER, Archiver, ArchiverRow, ArchivingEndpoint, MessageCounts, RetryStatus,
    ladder::{self, Moment},
};
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::Time};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use said::{Said, heard, object};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};
use tracing::warn;

use crate::{
    directory::{Endpoint, Resources},
    ingest::Ingest,
    metrics::Metrics,
    now::Now,
    spool::{
        Spool,
        backlog::{Backlog, OpenMessages, backlog, open_messages},
        books::Books,
        clock,
        outage::{self, Record},
    },
};

/// Between two reports when nothing turned.
const INTERVAL: Duration = Duration::from_secs(30);
/// After something turned: what turns together is reported together.
const BREATH: Duration = Duration::from_millis(500);

/// Where and as whom the archiver reports.
#[derive(Clone)]
pub struct Cluster {
    /// The API server.
    pub client: Client,
    /// The organization's namespace.
    pub namespace: String,
    /// The pod: the name of the row, and of the field manager.
    pub pod: String,
}

/// Keeps the metrics, and in a cluster the statuses, close to the truth.
pub struct Reporter {
    /// Where the truth is.
    pub spool: Spool,
    /// What the archiver knows of the world.
    pub resources: watch::Receiver<Arc<Resources>>,
    /// Told of failures and recoveries, and of what is held and released.
    pub turned: watch::Receiver<u64>,
    /// What Prometheus is told.
    pub metrics: Arc<Metrics>,
    /// The wall clock.
    pub now: Now,
    /// The cluster, if there is one.
    pub cluster: Option<Cluster>,
    /// Whether messages can be made durable.
    pub ingest: Arc<Ingest>,
    /// The ingest CA's certificate.
    pub ca: PathBuf,
    /// The files of the mounted credentials.
    pub credentials: PathBuf,
}

impl Reporter {
    /// Reports until the couriers are gone.
    pub async fn run(mut self) {
        let mut said = Said::default();
        let mut seen = Seen::new(self.credentials.clone());
        let mut lapse = Lapse::default();
        let mut space = self.spool.space();
        loop {
            space.mark_unchanged();
            if let Err(error) = self.report(&mut said, &mut seen, &mut lapse).await {
                warn!(%error, "the archiver cannot report; it goes on, and reports later");
            }
            tokio::select! {
                () = sleep(INTERVAL) => {}
                changed = self.turned.changed() => match changed {
                    Ok(()) => sleep(BREATH).await,
                    Err(_) => return,
                },
                changed = space.changed() => if changed.is_err() { return },
                // A newly accepted connection is shown to be in use.
                changed = self.resources.changed() => match changed {
                    Ok(()) => sleep(BREATH).await,
                    Err(_) => return,
                },
            }
        }
    }

    async fn report(&mut self, said: &mut Said, seen: &mut Seen, lapse: &mut Lapse) -> anyhow::Result<()> {
        let resources = self.resources.borrow_and_update().clone();
        let now = (self.now)();
        let not_durable_since = lapse.look(self.ingest.is_durable(), resources.not_durable_since, now);
        let books = self.spool.read(Books::read).await?;
        self.metrics.books(&books);
        said.forget_the_gone(&resources, &self.metrics);
        for endpoint in resources.endpoints.values() {
            let (name, of) = (endpoint.name.clone(), endpoint.uid.clone());
            let read = move |connection: &_| {
                let record = outage::read(connection, &name, &of)?;
                let first_due = clock::first_due(connection, &name)?;
                Ok((backlog(connection, &name)?, open_messages(connection, &name)?, record, first_due))
            };
            let (backlog, open, record, first_due) = self.spool.read(read).await?;
            // The courier may not have come to it yet; nobody shall hear that the spool is behind.
            let record =
                record.caught_up(&endpoint.known(), &endpoint.uid, Moment { now, elapsed: None }).unwrap_or(record);
            let failed = record.outage.as_ref().map_or(0, |outage| outage.attempts);
            let oldest_at = oldest_at(&backlog, &open);
            self.metrics.backlog(&endpoint.name, backlog.messages + open.messages, oldest_at, failed);
            if let Some(cluster) = &self.cluster {
                let changed_at = seen.changed_at(endpoint, now);
                let attempts = attempts(endpoint, &record, first_due, now);
                let row = row(&cluster.pod, endpoint, &backlog, &open, attempts, changed_at);
                let body = json!({
                    "apiVersion": "imarchive.dev/v1alpha1", "kind": "ArchivingEndpoint",
                    "metadata": {"name": endpoint.name}, "status": {"archivers": [row]},
                });
                let api: Api<ArchivingEndpoint> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
                let apply = |body: Value| async move {
                    api.patch_status(&endpoint.name, &cluster.params(), &Patch::Apply(body)).await.map(drop)
                };
                said.unless_said(&object(endpoint), body, apply).await?;
            }
        }
        if let Some(cluster) = &self.cluster {
            let mut status = json!({"messages": counts(&books)});
            if let Some(since) = not_durable_since {
                status["notDurableSince"] = json!(Time(since));
            }
            let body = json!({
                "apiVersion": "imarchive.dev/v1alpha1", "kind": "Archiver",
                "metadata": {"name": ARCHIVER}, "status": status,
            });
            let api: Api<Archiver> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
            let apply = |body: Value| async move {
                api.patch_status(ARCHIVER, &cluster.params(), &Patch::Apply(body)).await.map(drop)
            };
            said.unless_said("archiver", body, apply).await?;
            self.publish_ca(cluster).await?;
        }
        Ok(())
    }

    /// The CA's certificate, for callers: the operator made the ConfigMap, and the archiver may fill this one only. It is
    /// said at each report: who deletes or edits it is not seen from here, and the callers need it.
    async fn publish_ca(&self, cluster: &Cluster) -> anyhow::Result<()> {
        const NAME: &str = "archiver-ca";
        let Ok(certificate) = std::fs::read_to_string(&self.ca) else { return Ok(()) };
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": {"ca.crt": certificate},
        });
        let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let (params, body) = (cluster.params(), Patch::Apply(body));
        heard("ca", async { api.patch(NAME, &params, &body).await.map(drop) }).await.map(drop)
    }
}

impl Cluster {
    fn params(&self) -> PatchParams {
        PatchParams::apply(&format!("archiver/{}", self.pod)).force()
    }
}

/// What the archiver of `pod` says of an endpoint.
pub fn row(
    pod: &str,
    endpoint: &Endpoint,
    backlog: &Backlog,
    open: &OpenMessages,
    attempts: RetryStatus,
    credentials_changed_at: Option<Timestamp>,
) -> ArchiverRow {
    ArchiverRow {
        name: pod.to_owned(),
        accepted_generation: endpoint.accepted.as_ref().and_then(|accepted| accepted.generation),
        credentials_changed_at: credentials_changed_at.map(Time),
        pending_batches: backlog.batches,
        pending_messages: backlog.messages + open.messages,
        oldest_pending_at: oldest_at(backlog, open).map(Time),
        held_batches: backlog.held,
        last_delivered_at: backlog.last_delivered_at.map(Time),
        attempts: Some(attempts),
        expired_batches: backlog.expired,
    }
}

/// When the oldest message that waits was taken.
fn oldest_at(backlog: &Backlog, open: &OpenMessages) -> Option<Timestamp> {
    backlog.oldest_at.into_iter().chain(open.oldest_at).min()
}

/// The outage as it stands; without one only its number, by which the operator knows that the last one is over, and how
/// that was. `first_due`: the first of the stamps of what waits.
pub fn attempts(endpoint: &Endpoint, record: &Record, first_due: Option<Duration>, now: Timestamp) -> RetryStatus {
    let Some(outage) = &record.outage else {
        return RetryStatus { outage: record.number, last: record.last.clone(), ..RetryStatus::default() };
    };
    let (retry, uid) = (&endpoint.retry, &endpoint.uid);
    let give_up_at = first_due.and_then(|due| record.clock.gives_up_at(retry, outage, due, uid, now));
    RetryStatus {
        attempt: i64::from(outage.attempts),
        first_failure_at: Some(Time(outage.first_failure_at)),
        last_attempt_at: Some(Time(outage.last_attempt_at)),
        next_attempt_at: (!endpoint.suspend).then(|| Time(ladder::next_attempt_at(retry, outage, uid, now))),
        give_up_at: give_up_at.map(Time),
        outage: record.number,
        log: record.log.clone(),
        last: record.last.clone(),
    }
}

fn counts(books: &Books) -> MessageCounts {
    MessageCounts {
        acknowledged: books.acknowledged,
        delivered: books.delivered,
        waiting: books.waiting,
        held: books.held,
        excluded: books.excluded,
        unrouted: books.unrouted,
    }
}

#[cfg(test)]
mod tests {
    use imarchive_crds::{PastOutage, ladder::Clock, ladder::Outage};

    use super::*;
    use crate::directory::Directory;

    fn journal(suspend: bool) -> Endpoint {
        let yaml = format!(
            "{{apiVersion: imarchive.dev/v1alpha1, kind: ArchivingEndpoint, metadata: {{name: journal}}, spec: {{suspend: {suspend},
              type: SecureSMTP, smtp: {{host: a.example, from: a@acme.example, recipients: [b@a.example]}}}}}}"
        );
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("journal.yaml"), yaml).expect("written");
        let read = Directory::new(folder.path(), false).read().expect("readable").expect("new");
        read.endpoints["journal"].clone()
    }

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).expect("in range")
    }

    #[test]
    fn an_outage_is_told_with_its_next_try_and_when_the_first_batch_expires() {
        let clock = Clock { runs_since: Some(at(100)), ..Clock::default() };
        let record = Record { number: 3, outage: Some(Outage::failed(None, at(100))), clock, ..Record::default() };
        let told = attempts(&journal(false), &record, Some(Duration::ZERO), at(100));
        assert_eq!((told.outage, told.attempt, told.give_up_at), (3, 1, Some(Time(at(100 + 90 * 24)))));
        assert!(told.next_attempt_at.is_some_and(|next| next.0 >= at(101) && next.0 < at(102)));
        assert_eq!(attempts(&journal(false), &record, None, at(100)).give_up_at, None, "nothing waits");
        let stopped = Record { clock: Clock { runs_since: None, ..clock }, ..record };
        let told = attempts(&journal(true), &stopped, Some(Duration::ZERO), at(100));
        assert_eq!((told.next_attempt_at, told.give_up_at), (None, None), "it is suspended");
    }

    #[test]
    fn an_outage_that_is_over_is_told_until_the_next_one_is() {
        let last = PastOutage {
            outage: 3,
            attempts: 5,
            first_failure_at: Time(at(1)),
            ended_at: Time(at(40)),
            messages: 7,
            notified_at: None,
        };
        let record = Record { number: 4, last: Some(last.clone()), ..Record::default() };
        let told = attempts(&journal(false), &record, None, at(50));
        assert_eq!((told.outage, told.attempt, told.last), (4, 0, Some(last)));
    }
}
