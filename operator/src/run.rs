//! `operator run`: wires clients, scopes, controllers and the port, and ends on SIGTERM.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use futures::StreamExt;
use kube::{Client, Config};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::{
    archiver, assignment,
    context::{Clock, Context, Shared},
    controller, endpoint,
    http::{self, Readiness},
    metrics::Metrics,
    scope::{self, Asked},
    settings,
};

/// How long reconciles that are under way may take to end.
const GRACE: Duration = Duration::from_secs(20);

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: settings::Run, clock: Clock) -> anyhow::Result<()> {
    let workload = settings.workload()?;
    let mut config = Config::infer().await.context("neither a kubeconfig nor a ServiceAccount's token was found")?;
    // Watches are long and retried by the watcher; writes are short and retried by the backoff of their object.
    config.default_retry = false;
    let watching = Client::try_from(config.clone())?;
    let writing = Client::try_from(config)?;
    let metrics = Metrics::new().context("the metrics contradict each other")?;
    let readiness = Readiness::default();
    let listener =
        TcpListener::bind(settings.metrics).await.with_context(|| format!("--metrics {}", settings.metrics))?;

    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let server = axum::serve(listener, http::router(metrics.clone(), readiness.clone()));
    tasks.spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the port of the metrics is closed");
        }
    });

    let shared = Arc::new(Shared::new(writing, workload, metrics, clock));
    let mut scopes = Vec::new();
    for namespace in settings.scopes() {
        let (stores, asked) = scope::start(&watching, namespace.as_deref(), &mut tasks);
        scopes.push((Arc::new(Context::new(stores, shared.clone())), asked));
    }
    let mut controllers = JoinSet::new();
    let ready = async {
        for (context, _) in &scopes {
            context.stores.filled().await?;
        }
        anyhow::Ok(())
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        ready = ready => ready?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    }
    readiness.set();
    tracing::info!(namespaces = ?settings.scopes(), image = settings.image, "everything was listed; reconciling");
    for (context, asked) in scopes {
        control(&mut controllers, &context, asked, &stopped);
    }

    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        Some(ended) = tasks.join_next() => bailed("a watch", ended),
        Some(ended) = controllers.join_next() => bailed("a controller", ended),
    };
    let _ = stop.send(true);
    if timeout(GRACE, join_all_of(controllers)).await.is_err() {
        tracing::warn!("reconciles were cut off");
    }
    outcome
}

fn control(controllers: &mut JoinSet<()>, context: &Arc<Context>, asked: Asked, stopped: &watch::Receiver<bool>) {
    let stores = context.stores.clone();
    let until = || {
        let mut stopped = stopped.clone();
        Box::pin(async move {
            // An error means that the sender is gone, which is a stop as well.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        })
    };
    controllers.spawn(controller::run(
        context.clone(),
        stores.archivers.clone(),
        asked.archivers.take_until(until()),
        archiver::reconcile,
    ));
    controllers.spawn(controller::run(
        context.clone(),
        stores.endpoints.clone(),
        asked.endpoints.take_until(until()),
        endpoint::reconcile,
    ));
    controllers.spawn(controller::run(
        context.clone(),
        stores.assignments.clone(),
        asked.assignments.take_until(until()),
        assignment::reconcile,
    ));
}

fn bailed(what: &str, ended: Result<(), tokio::task::JoinError>) -> anyhow::Result<()> {
    match ended {
        Ok(()) => bail!("{what} ended, which it never should; the operator stops, to be started anew"),
        Err(error) => bail!("{what} broke: {error}; the operator stops, to be started anew"),
    }
}

async fn join_all_of(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}
