//! The archiver without its sockets and without its ties to a cluster: ingest, spool, windows, couriers, on a folder.

use std::{path::Path, sync::Arc};

use archiver::{
    deliver,
    directory::Resources,
    ingest::{self, callers::Callers},
    metrics::Metrics,
    now::Now,
    parts::{Parts, Site},
    smtp::Client,
    spool::{Spool, WriteError, books::Books},
};
use axum::{Router, body::Body, http::Request};
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet};
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
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run());
        let site = Site {
            spool: spool.clone(),
            resources,
            callers: Callers::new("acme", tokens.to_owned(), None),
            client,
            credentials: volume.join("credentials"),
            metrics: Arc::new(Metrics::new().expect("metrics")),
            now,
        };
        let Parts { ingest, sealer, arrived, office, stops, turned, .. } = site.join().await.expect("a readable spool");
        tasks.spawn(sealer.run(arrived));
        tasks.spawn(deliver::run(office));
        Self { spool, publish, turned, router: ingest::router(ingest), tasks, _stops: stops }
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
