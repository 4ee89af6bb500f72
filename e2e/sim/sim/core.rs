//! The archiver without its sockets and without its ties to a cluster: ingest, spool, windows, couriers, on a folder.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use archiver::{
    deliver::{self, Office},
    directory::Resources,
    ingest::{self, Ingest, callers::Callers},
    metrics::Metrics,
    now::Now,
    seal::{Sealer, Tell},
    smtp::Client,
    spool::{Spool, WriteError, books::Books},
    window,
};
use axum::{Router, body::Body, http::Request};
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tower::ServiceExt;

/// A running archiver; it stops, as if killed, when this goes.
pub struct Core {
    pub spool: Spool,
    pub publish: watch::Sender<Arc<Resources>>,
    /// Told of failures and recoveries.
    pub turned: watch::Receiver<u64>,
    router: Router,
    /// None of them ends while all is well.
    pub tasks: JoinSet<Result<(), WriteError>>,
    _stops: watch::Sender<bool>,
}

impl Core {
    /// Starts on `volume`, which may hold a spool from before.
    pub async fn start(volume: &Path, tokens: &Path, resources: Resources, client: Client, now: Now) -> Self {
        let (spool, writer) = Spool::open(volume).expect("a spool");
        let (publish, resources) = watch::channel(Arc::new(resources));
        let windows = Arc::new(window::Shared::new());
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let (seals, sealed) = watch::channel(0);
        let (turns, turned) = watch::channel(0);
        let (stops, stopping) = watch::channel(false);
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let office = Office {
            spool: spool.clone(),
            resources: resources.clone(),
            client,
            credentials: volume.join("credentials"),
            sealed,
            stopping,
            turned: turns.clone(),
            metrics: metrics.clone(),
            now: now.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run());
        let tell = Tell { sealed: seals, turned: turns };
        let sealer = Sealer::start(spool.clone(), resources.clone(), windows.clone(), now.clone(), tell)
            .await
            .expect("a readable spool");
        tasks.spawn(sealer.run(arrived));
        tasks.spawn(deliver::run(office));
        let callers = Callers::new("acme", tokens.to_owned(), None);
        let broken = AtomicBool::new(false);
        let ingest = Ingest { spool: spool.clone(), resources, callers, windows, arrivals, metrics, now, broken };
        Self { spool, publish, turned, router: ingest::router(Arc::new(ingest)), tasks, _stops: stops }
    }

    /// Posts messages as a chat system does; answers the status and the body.
    pub async fn post(&self, messages: &Value) -> (u16, Value) {
        self.request(Request::post("/v1/messages"), messages.to_string().into()).await
    }

    /// Where a message is; `None`: it is unknown.
    pub async fn look(&self, message: usize) -> Option<Value> {
        let (status, answer) = self.request(Request::get(format!("/v1/messages/chat/{message}")), Body::empty()).await;
        (status == 200).then_some(answer)
    }

    /// The books.
    pub async fn books(&self) -> Books {
        self.spool.read(Books::read).await.expect("readable")
    }

    async fn request(&self, request: axum::http::request::Builder, body: Body) -> (u16, Value) {
        let request = request.header("authorization", "Bearer t").header("content-type", "application/json");
        let request = request.body(body).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }
}
