//! The archiver without its sockets: ingest, spool, windows and couriers under virtual time, before a scripted archive.

use std::{convert::Infallible, fs, path::Path, sync::Arc, time::Duration};

use archiver::{
    admin::{
        Admin, Out,
        protocol::{Line, Outcome, Request as Asked},
    },
    deliver,
    directory::{Directory, Resources},
    ingest::{self, callers::Callers},
    metrics::Metrics,
    now::Now,
    parts::{Parts, Site},
    spool::{
        Spool,
        books::Books,
        outage::{self, Record},
    },
};
use axum::{Router, body::Body, http::Request};
use futures::stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::ServiceExt;

use crate::{archive, certificates::Authority, scripted::Host};

/// What a person would write for Acme and its journal.
pub const ACME: &str = "
apiVersion: imarchive.dev/v1alpha1
kind: Archiver
metadata: {name: archiver}
spec: {organization: {name: Acme, domains: [acme.example]}}
---
apiVersion: imarchive.dev/v1alpha1
kind: ArchivingEndpoint
metadata: {name: journal}
spec:
  type: SecureSMTP
  smtp:
    host: journal.archive.example
    port: 587
    from: archive@acme.example
    recipients: [acme@journal.archive.example]
    credentialsSecretRef: {name: journal}
";

/// A running archiver; it stops, as if killed, when this goes.
pub struct Core {
    pub spool: Spool,
    pub publish: watch::Sender<Arc<Resources>>,
    pub admin: Arc<Admin>,
    router: Router,
    stops: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Core {
    /// Starts on the folder `home`, which may hold a spool from before.
    pub async fn start(home: &Path, yaml: &str, host: &Host, authority: &Authority, now: Now) -> Self {
        let credentials = home.join("credentials");
        for (path, text) in [
            ("credentials/journal/username", "journal"),
            ("credentials/journal/password", "hunter2"),
            ("tokens/chat", "t"),
        ] {
            let file = home.join(path);
            fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
            fs::write(file, text).expect("written");
        }
        let (spool, writer) = Spool::open(&home.join("spool")).expect("a spool");
        let (publish, resources) = watch::channel(Arc::new(read(home, yaml)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async { writer.run().await.expect("the spool holds") });
        let site = Site {
            spool: spool.clone(),
            resources,
            callers: Callers::new("acme", home.join("tokens"), None),
            client: archive::client(host, authority),
            credentials,
            metrics: Arc::new(Metrics::new().expect("metrics")),
            now,
        };
        let Parts { ingest, admin, sealer, arrived, office, stops, .. } = site.join().await.expect("a readable spool");
        tasks.spawn(async { sealer.run(arrived).await.expect("sealing goes on") });
        tasks.spawn(async { deliver::run(office).await.expect("delivery goes on") });
        Self { spool, publish, admin, router: ingest::router(ingest), stops, _tasks: tasks }
    }

    /// Asks the couriers to stop, and waits until they have.
    pub async fn stop(&self) {
        self.stops.send_replace(true);
        self.stops.closed().await;
    }

    /// Posts messages as a chat system does; they are taken.
    pub async fn post(&self, messages: &Value) {
        let (status, answer) = self.ask(messages).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Posts anything; answers the status and the body.
    pub async fn ask(&self, body: &Value) -> (u16, Value) {
        self.request(Request::post("/v1/messages"), body.to_string().into()).await
    }

    /// Posts messages whose bytes come only after a while.
    pub async fn post_slowly(&self, messages: Value, takes: Duration) {
        let text = messages.to_string();
        let body = Body::from_stream(stream::once(async move {
            sleep(takes).await;
            Ok::<_, Infallible>(text)
        }));
        let (status, answer) = self.request(Request::post("/v1/messages"), body).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Where a message is.
    pub async fn look(&self, id: usize) -> Value {
        let (status, answer) = self.request(Request::get(format!("/v1/messages/chat/{id}")), Body::empty()).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn request(&self, request: axum::http::request::Builder, body: Body) -> (u16, Value) {
        let request = request.header("authorization", "Bearer t").header("content-type", "application/json");
        let request = request.body(body).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    /// What a person asks for over the socket: the lines before the last, and that.
    pub async fn administer(&self, asked: Asked) -> (Vec<Line>, Outcome) {
        let (lines, mut answer) = mpsc::channel(1_000);
        self.admin.act(asked, Out::new(lines)).await;
        let mut said = Vec::new();
        while let Some(line) = answer.recv().await {
            match line {
                Line::End(outcome) => return (said, outcome),
                Line::Failed(error) => panic!("{error}"),
                line => said.push(line),
            }
        }
        panic!("no last line: {said:?}")
    }

    /// The books.
    pub async fn books(&self) -> Books {
        let books = self.spool.read(Books::read).await.expect("readable");
        assert!(books.balance(), "{books:?}");
        books
    }

    /// The journal's outage.
    pub async fn outage(&self) -> Record {
        let uid = self.publish.borrow().endpoints["journal"].uid.clone();
        self.spool.read(move |connection| outage::read(connection, "journal", &uid)).await.expect("readable")
    }
}

/// The resources that `yaml` describes.
pub fn read(home: &Path, yaml: &str) -> Resources {
    let folder = home.join("resources");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("acme.yaml"), yaml).expect("written");
    Directory::new(&folder, false).read().expect("readable").expect("new")
}

/// Tokio's virtual time as the time of day.
pub fn clock() -> Now {
    let (began, instant) = (Timestamp::from_second(1_800_000_000).expect("in range"), Instant::now());
    Arc::new(move || began + instant.elapsed())
}

/// A direct message from Alice to Bob.
pub fn message(id: usize) -> Value {
    json!({
        "source": "chat", "id": id.to_string(), "kind": "message", "conversation": {"type": "direct", "id": "d"},
        "sender": {"address": "alice@acme.example", "name": "Alice"},
        "recipients": [{"address": "bob@other.example", "name": "Bob"}],
        "sentAt": "2026-11-23T09:15:02.123Z", "text": format!("message {id}"),
    })
}
