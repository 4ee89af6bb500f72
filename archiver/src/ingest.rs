//! Ingest: `POST /v1/messages` over HTTPS. The answer means that the messages are durable.
//!
//! A request is stored whole or not at all. What is wrong with it is said as a [`Problem`], with the line and the field.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use imarchive_crds::ArchiverSpec;
use serde::Serialize;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::error;

use crate::{
    directory::Resources,
    metrics::Metrics,
    now::Now,
    spool::{
        Spool, WriteError,
        append::{AppendError, Entry, OpenCopy, Outcome, append},
        books::Books,
        lookup::lookup,
        room::Room,
    },
    window,
};

pub mod body;
pub mod callers;
pub mod certificate;
pub mod check;
pub mod json;
mod load;
mod problem;
pub mod server;

use callers::Callers;
use load::{Load, Share};
pub use problem::{FieldError, Kind, Problem};

/// What an entry takes in memory beside its document, until it is committed and answered for, about.
const ENTRY: usize = 512;

/// Bytes that are read sooner than another thread is woken to read them.
const FEW: usize = 8 << 10;

/// What a request is answered from.
pub struct Ingest {
    /// Where messages go.
    pub spool: Spool,
    /// What the archiver knows of the world.
    pub resources: watch::Receiver<Arc<Resources>>,
    /// Who may hand messages in.
    pub callers: Callers,
    /// The open windows.
    pub windows: Arc<window::Shared>,
    /// Tells the windows of new copies, in the order of commits.
    pub arrivals: mpsc::UnboundedSender<Vec<OpenCopy>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The wall clock.
    pub now: Now,
    /// Whether the spool failed for good.
    pub broken: AtomicBool,
}

#[derive(Serialize)]
struct Answer {
    results: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    index: usize,
    source: String,
    id: String,
    status: Outcome,
}

/// The routes of the ingest.
pub fn router(ingest: Arc<Ingest>) -> Router {
    let load = Load::new();
    let post_messages = move |State(ingest), request| post_messages(ingest, load.clone(), request);
    Router::new()
        .route("/v1/messages", post(post_messages))
        .route("/v1/messages/{source}/{id}", get(get_message))
        .route("/v1/books", get(get_books))
        .with_state(ingest)
}

async fn post_messages(ingest: Arc<Ingest>, load: Arc<Load>, request: Request) -> Response {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let response = match ingest.take(&load, &parts.headers, body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => {
            ingest.metrics.refused(problem.kind.name());
            problem.into_response()
        }
    };
    ingest.metrics.answered(response.status().as_u16(), began.elapsed().as_secs_f64());
    response
}

async fn get_message(
    State(ingest): State<Arc<Ingest>>,
    Path((source, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (resources, spec) = ingest.ready()?;
    let now = (ingest.now)();
    let sources = ingest.callers.sources(&headers, &spec, now).await?;
    if !sources.contains(&source) {
        return Err(Problem::new(Kind::SourceForbidden, check::foreign(&source)));
    }
    let (name, key) = (source.clone(), id.clone());
    let found = ingest.spool.read(move |connection| lookup(connection, &name, &key)).await.map_err(unreadable)?;
    let unknown = || Problem::new(Kind::UnknownMessage, format!("no message {id:?} of {source:?} was acknowledged"));
    let mut whereabouts = found.ok_or_else(unknown)?;
    for copy in &mut whereabouts.copies {
        let endpoint = copy.endpoint.as_ref().and_then(|name| resources.endpoints.get(name));
        if let (Some(endpoint), Some(threads)) = (endpoint, copy.open) {
            let thread = threads.by(endpoint.batching.group_chats);
            let left = ingest.windows.ends_in(&endpoint.name, thread, &endpoint.batching);
            copy.window_ends_at = left.map(|left| now + left);
        }
    }
    Ok(Json(whereabouts).into_response())
}

async fn get_books(State(ingest): State<Arc<Ingest>>, headers: HeaderMap) -> Result<Json<Books>, Problem> {
    let (_, spec) = ingest.ready()?;
    ingest.callers.sources(&headers, &spec, (ingest.now)()).await?;
    ingest.spool.read(Books::read).await.map(Json).map_err(unreadable)
}

impl Ingest {
    /// Whether messages can be taken now.
    pub fn is_ready(&self) -> bool {
        self.ready().is_ok() && !self.broken.load(Ordering::Relaxed)
    }

    /// Whether messages can be made durable now.
    pub fn is_durable(&self) -> bool {
        self.durable().is_ok()
    }

    fn durable(&self) -> Result<(), Problem> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(volume_failed());
        }
        match self.spool.space().borrow().room {
            Room::None => Err(volume_full()),
            _ => Ok(()),
        }
    }

    fn ready(&self) -> Result<(Arc<Resources>, ArchiverSpec), Problem> {
        let resources = self.resources.borrow().clone();
        match &resources.archiver {
            Some(spec) if resources.complete => {
                let spec = spec.clone();
                Ok((resources, spec))
            }
            _ => Err(Problem::new(Kind::NotReady, "the Archiver, its endpoints and assignments are not known yet")),
        }
    }

    async fn take(&self, load: &Arc<Load>, headers: &HeaderMap, body: Body) -> Result<Answer, Problem> {
        let (resources, spec) = self.ready()?;
        let now = (self.now)();
        // Before the body is read: a stranger must not make us read 16 MiB.
        let sources = self.callers.sources(headers, &spec, now).await?;
        let limit = spec.ingest.max_request_bytes.bytes();
        if let Err(problem) = self.durable() {
            body::discard(&mut body.into_data_stream(), limit).await;
            return Err(problem);
        }
        let form = body::Form::of(headers)?;
        let (bytes, mut share) = body::read(form, headers, body, limit, load.share(limit)).await?;
        let room = load.room(&bytes).await?;
        let few = bytes.len() <= FEW;
        // What the request costs goes with it: it is still paid for when its caller has hung up.
        let parse = move || {
            let _room = room;
            let entries = check::entries(&bytes, form, &resources.table, &sources)?;
            share.grow(ENTRY * entries.len())?;
            Ok((entries, share))
        };
        let (entries, share) = match few {
            true => parse()?,
            false => tokio::task::spawn_blocking(parse).await.map_err(|panic| internal(&panic))??,
        };
        self.store(entries, share, now).await
    }

    async fn store(&self, entries: Vec<Entry>, share: Share, now: jiff::Timestamp) -> Result<Answer, Problem> {
        let names: Vec<_> = entries.iter().map(|entry| (entry.source.clone(), entry.id.clone())).collect();
        let arrivals = self.arrivals.clone();
        let stored = self.spool.write(
            move |connection| {
                let appended = append(connection, &entries, now);
                drop((entries, share));
                appended
            },
            // In the order of commits, and also when the caller has hung up: a stored copy without a window would wait
            // for the next restart. Nobody listens only while the process ends.
            move |appended| drop(arrivals.send(appended.copies.clone())),
        );
        let appended = stored.await.map_err(|error| self.not_stored(error, &names))?;
        appended.outcomes.iter().for_each(|outcome| self.metrics.taken(*outcome));
        let rows = appended.outcomes.into_iter().zip(names).enumerate();
        let row = |(index, (status, (source, id)))| Row { index, source, id, status };
        Ok(Answer { results: rows.map(row).collect() })
    }

    fn not_stored(&self, error: AppendError, names: &[(String, String)]) -> Problem {
        match error {
            AppendError::Conflict(indices) => {
                let detail = "another message with this source and id, and other content, was acknowledged before";
                let errors = indices.into_iter().map(|index| FieldError {
                    index: Some(index),
                    line: None,
                    pointer: "/id".into(),
                    detail: names.get(index).map(|(_, id)| format!("{id:?}: {detail}")).unwrap_or_default(),
                });
                Problem::new(Kind::IdConflict, detail).with_errors(errors)
            }
            AppendError::Write(WriteError::Full) => volume_full(),
            AppendError::Write(error) => {
                error!(%error, "a request could not be made durable");
                if matches!(error, WriteError::Fatal(_)) {
                    self.broken.store(true, Ordering::Relaxed);
                }
                volume_failed()
            }
        }
    }
}

fn volume_failed() -> Problem {
    Problem::new(Kind::NotDurable, "the volume failed; nothing of this request was kept")
}

fn volume_full() -> Problem {
    Problem::new(Kind::NotDurable, "the volume is full; nothing of this request was kept")
}

fn unreadable(error: rusqlite::Error) -> Problem {
    error!(%error, "the spool cannot be read");
    Problem::new(Kind::NotDurable, "the spool cannot be read")
}

fn internal(panic: &tokio::task::JoinError) -> Problem {
    error!(%panic, "a request was not understood to its end");
    Problem::new(Kind::NotDurable, "the request was not understood to its end; nothing of it was kept")
}
