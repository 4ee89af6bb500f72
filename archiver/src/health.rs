//! What Kubernetes and Prometheus ask, in plain HTTP: `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{ingest::Ingest, metrics::Metrics};

/// The routes.
pub fn router(ingest: Arc<Ingest>) -> Router {
    let metrics = ingest.metrics.clone();
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(ingest))
        .route("/metrics", get(text).with_state(metrics))
}

/// `?critical` asks the same for a chat server that must stop rather than lose messages: whether they can be made durable.
async fn ready(State(ingest): State<Arc<Ingest>>, RawQuery(query): RawQuery) -> (StatusCode, &'static str) {
    let critical = query.is_some_and(|query| query.split('&').any(|part| part == "critical" || part == "critical="));
    if !ingest.is_ready() {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the resources are not known yet, or the spool failed\n")
    } else if critical && !ingest.is_durable() {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the volume is full; messages cannot be made durable\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn text(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
