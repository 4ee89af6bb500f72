//! The port for kubelet and Prometheus: `/metrics`, `/livez`, `/readyz`.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::time::Instant;

use crate::{metrics::Metrics, progress::Progress};

/// How far a replica is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It has not reached the API server yet.
    #[default]
    Starting,
    /// Another replica leads, and this one is ready to.
    Waiting,
    /// It leads, and lists everything.
    Listing,
    /// It leads.
    Leading,
}

/// The phase, for who asks whether this replica is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Phase>>);

impl Readiness {
    /// From now on.
    pub fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn get(&self) -> Phase {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is served.
pub fn router(metrics: Metrics, readiness: Readiness, progress: Progress) -> Router {
    Router::new()
        .route("/metrics", get(text).with_state(metrics))
        .route("/livez", get(alive).with_state(progress))
        .route("/readyz", get(ready).with_state(readiness))
}

async fn text(State(metrics): State<Metrics>) -> Response {
    match metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn alive(State(progress): State<Progress>) -> Response {
    match progress.stuck(Instant::now()) {
        None => "ok\n".into_response(),
        Some(what) => {
            tracing::error!(what, "no progress; the kubelet starts the operator anew");
            (StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n")).into_response()
        }
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let not_yet = match readiness.get() {
        Phase::Waiting | Phase::Leading => return "ok\n".into_response(),
        Phase::Starting => "the Lease could not be read yet: is the API server there?\n",
        Phase::Listing => "the resources were not all listed yet\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, not_yet).into_response()
}
