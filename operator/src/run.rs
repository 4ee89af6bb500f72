//! `operator run`: wires clients, the Lease, scopes, controllers and the port, and ends on SIGTERM.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use futures::StreamExt;
use kube::{Client, Config};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::{JoinError, JoinSet},
    time::{Instant, timeout},
};

use crate::{
    api::Kube,
    archiver, assignment,
    context::{Clock, Context, Shared},
    controller, endpoint,
    fence::Fence,
    http::{self, Phase, Readiness},
    leader::{Candidate, End},
    metrics::Metrics,
    notify::{Letter, Notifier, Relay},
    progress::Progress,
    scope::{self, Asked},
    settings,
};

/// How long reconciles that are under way may take to end.
const GRACE: Duration = Duration::from_secs(20);

/// Waits until this replica leads, and leads until SIGTERM or SIGINT.
pub async fn run(settings: settings::Run, clock: Clock) -> anyhow::Result<()> {
    let workload = settings.workload()?;
    let relay = settings.notify.relay(workload.extra_roots.clone())?;
    let mut config = Config::infer().await.context("neither a kubeconfig nor a ServiceAccount's token was found")?;
    // Watches are long and retried by the watcher; writes are short and retried by the backoff of their object.
    config.default_retry = false;
    let lease_namespace = settings.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let watching = Client::try_from(config.clone())?;
    let writing = Client::try_from(config.clone())?;
    // Its own connection: a renewal must not wait behind anything.
    let leasing = Client::try_from(config)?;
    let metrics = Metrics::new().context("the metrics contradict each other")?;
    let (readiness, progress, fence) = (Readiness::default(), Progress::since(Instant::now()), Fence::default());
    let mut tasks = JoinSet::new();
    serve(&settings, &metrics, &readiness, &progress, &mut tasks).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let identity = settings.identity.clone();
    let candidate = Candidate::new(leasing, &lease_namespace, identity, fence.clone(), clock, progress.beat());
    let lease = tokio::select! {
        lease = candidate.elected(|| readiness.set(Phase::Waiting)) => lease,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tracing::info!(identity = settings.identity, lease_namespace, "this replica leads");
    readiness.set(Phase::Listing);
    metrics.leader.set(1);
    let (resign, resigned) = oneshot::channel();
    let mut term = tokio::spawn(async move { candidate.keep(lease, resigned).await });

    let kube = Kube::new(writing, fence.clone(), metrics.clone());
    let notifier = Notifier::new(relay.is_some());
    if let Some(relay) = relay {
        mail(&mut tasks, notifier.clone(), relay, fence, clock, &metrics);
    }
    let shared = Arc::new(Shared::new(kube, workload, metrics.clone(), progress.clone(), notifier, clock));
    let mut scopes = Vec::new();
    for namespace in settings.scopes() {
        let (stores, queues, asked) = scope::start(&watching, namespace.as_deref(), &progress, &mut tasks);
        scopes.push((Arc::new(Context::new(stores, queues, shared.clone())), asked));
    }
    let (stop, stopped) = watch::channel(false);
    let mut controllers = JoinSet::new();
    let lead = async {
        for (context, _) in &scopes {
            context.stores.filled().await?;
        }
        readiness.set(Phase::Leading);
        tracing::info!(namespaces = ?settings.scopes(), image = settings.image, "everything was listed; reconciling");
        for (context, asked) in scopes {
            control(&mut controllers, &context, asked, &stopped);
        }
        while let Some(ended) = controllers.join_next().await {
            bailed("a controller", ended)?;
        }
        anyhow::Ok(())
    };
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        outcome = lead => outcome,
        Some(ended) = tasks.join_next() => bailed("a watch, or what mails the administrators,", ended),
        // What is under way finds the fence shut.
        ended = &mut term => return Err(lost(ended)),
    };
    let _ = stop.send(true);
    if timeout(GRACE, join_all_of(controllers)).await.is_err() {
        tracing::warn!("reconciles were cut off");
    }
    metrics.leader.set(0);
    let _ = resign.send(());
    // It ends by itself: its one call is bounded.
    let _ = term.await;
    outcome
}

async fn serve(
    settings: &settings::Run,
    metrics: &Metrics,
    readiness: &Readiness,
    progress: &Progress,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(settings.metrics).await.with_context(|| format!("--metrics {}", settings.metrics))?;
    let server = axum::serve(listener, http::router(metrics.clone(), readiness.clone(), progress.clone()));
    tasks.spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the port of the metrics is closed");
        }
    });
    Ok(())
}

/// Mails the administrators by `relay`, beside all else.
fn mail(tasks: &mut JoinSet<()>, notifier: Notifier, relay: Relay, fence: Fence, clock: Clock, metrics: &Metrics) {
    let relay = Arc::new(relay);
    let send = move |letter: Letter| {
        let relay = relay.clone();
        async move { relay.send(&letter, clock()).await }
    };
    tasks.spawn(notifier.run(send, fence, clock, metrics.clone()));
}

fn lost(ended: Result<End, JoinError>) -> anyhow::Error {
    match ended {
        Ok(End::Lost(why)) => anyhow!("{why}; the operator stops, to be started anew and to wait for its turn"),
        Ok(End::Resigned) => anyhow!("the Lease was given back, which nobody asked for; the operator stops"),
        Err(error) => anyhow!("what keeps the Lease broke: {error}; the operator stops, to be started anew"),
    }
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

fn bailed(what: &str, ended: Result<(), JoinError>) -> anyhow::Result<()> {
    match ended {
        Ok(()) => bail!("{what} ended, which it never should; the operator stops, to be started anew"),
        Err(error) => bail!("{what} broke: {error}; the operator stops, to be started anew"),
    }
}

async fn join_all_of(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}
