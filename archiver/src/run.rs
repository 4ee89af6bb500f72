//! The archiver as a whole: its parts with their sockets, the cluster, and what keeps house.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use axum_server::{Handle, tls_rustls::RustlsConfig};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Duration, sleep, timeout},
};
use tracing::{info, warn};

use crate::{
    admin, deliver,
    directory::{self, Directory},
    health,
    ingest::{
        self,
        callers::{Callers, Keys},
        certificate,
    },
    keep::Keeper,
    metrics::Metrics,
    now::Now,
    parts::{Parts, Site},
    report::{Cluster, Reporter},
    smtp::Client,
    spool::{Spool, WriteError, Writer},
};

/// Between a request to stop and the end of what is under way, less than the minute that Kubernetes grants.
const GRACE: Duration = Duration::from_secs(40);
/// A certificate of the archiver's own is made anew long before its 90 days are over.
const RENEWAL: Duration = Duration::from_secs(24 * 3600);

/// How an archiver is set up.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// A folder with the resources as YAML files. Without it, the organization's namespace is watched.
    #[arg(long, env = "IMARCHIVE_RESOURCES", value_name = "DIR")]
    pub resources: Option<PathBuf>,
    /// The folder of the spool.
    #[arg(long, env = "IMARCHIVE_SPOOL", value_name = "DIR")]
    pub spool: PathBuf,
    /// A folder with the archives' credentials: SECRET/username and SECRET/password.
    #[arg(long, env = "IMARCHIVE_CREDENTIALS", value_name = "DIR")]
    pub credentials: PathBuf,
    /// A folder with a token for each caller outside the cluster: the file's name is the client and its source.
    #[arg(long, env = "IMARCHIVE_TOKENS", value_name = "DIR")]
    pub tokens: PathBuf,
    /// CAs, in PEM, that are trusted beside the public ones.
    #[arg(long, env = "IMARCHIVE_EXTRA_ROOTS", value_name = "FILE")]
    pub extra_roots: Option<PathBuf>,
    /// Where messages are taken, over HTTPS.
    #[arg(long, env = "IMARCHIVE_LISTEN", value_name = "ADDR", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Where metrics and health are told, over HTTP.
    #[arg(long, env = "IMARCHIVE_METRICS", value_name = "ADDR", default_value = "0.0.0.0:9090")]
    pub metrics: SocketAddr,
    /// A certificate chain for callers, in PEM, instead of the archiver's own.
    #[arg(long, env = "IMARCHIVE_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[arg(long, env = "IMARCHIVE_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// The pod that this is.
    #[arg(long, env = "POD_NAME", hide = true, default_value = "archiver")]
    pub pod_name: String,
    /// The organization's namespace.
    #[arg(long, env = "POD_NAMESPACE", hide = true, default_value = "default")]
    pub pod_namespace: String,
}

/// Why an archiver ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The spool cannot be written any more: exit code 4.
    #[error("the spool failed: {0}")]
    Spool(#[from] WriteError),
    /// It could not begin, or a part of it stopped.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// Runs until `stop` ends. `cluster` is there when the namespace is to be watched.
pub async fn run(
    args: RunArgs,
    (spool, writer): (Spool, Writer),
    client: Client,
    now: Now,
    cluster: Option<Cluster>,
    stop: impl Future<Output = ()>,
) -> Result<(), Ended> {
    let metrics = Arc::new(Metrics::new().context("the metrics cannot be set up")?);
    let folder = args.resources.clone().unwrap_or_else(|| args.spool.join("resources"));
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut directory = Directory::new(&folder, cluster.is_some());
    let first = directory.read().with_context(|| format!("{} cannot be read", folder.display()))?.unwrap_or_default();
    let (publish, resources) = watch::channel(Arc::new(first));
    let keys = cluster.as_ref().map(|cluster| Keys::of_cluster(cluster.client.clone(), args.spool.join("keys.json")));
    let writing = tokio::spawn(writer.run());
    let site = Site {
        spool: spool.clone(),
        resources: resources.clone(),
        callers: Callers::new(&args.pod_namespace, args.tokens.clone(), keys),
        client,
        credentials: args.credentials.clone(),
        metrics: metrics.clone(),
        now: now.clone(),
    };
    let Parts { ingest, admin, sealer, arrived, office, stops, turned } =
        site.join().await.context("the spool cannot be read")?;
    let keeper =
        Keeper { spool: spool.clone(), resources: resources.clone(), metrics: metrics.clone(), now: now.clone() };
    let reporter = Reporter {
        spool,
        resources,
        turned,
        metrics,
        now: now.clone(),
        cluster: cluster.clone(),
        ingest: ingest.clone(),
        ca: args.spool.join("ca.crt"),
        credentials: args.credentials.clone(),
    };

    let handle = Handle::new();
    let tls = RustlsConfig::from_config(tls(&args, now()).context("the certificate for callers")?);
    let https = ingest::server::bind(args.listen, tls.clone()).handle(handle.clone());
    let https = https.serve(ingest::router(ingest.clone()).into_make_service());
    let http = axum_server::bind(args.metrics).serve(health::router(ingest).into_make_service());
    let watching = watching(cluster, &folder);
    let delivering = async {
        deliver::run(office).await?;
        // It was told to stop; others may not be done.
        std::future::pending::<Result<(), WriteError>>().await
    };
    info!(listen = %args.listen, metrics = %args.metrics, spool = %args.spool.display(), "the archiver runs");

    tokio::select! {
        written = writing => written.map_err(anyhow::Error::from)??,
        ended = sealer.run(arrived) => ended?,
        ended = keeper.run() => ended?,
        ended = delivering => ended?,
        ended = https => ended.with_context(|| format!("cannot listen on {}", args.listen))?,
        ended = http => ended.with_context(|| format!("cannot listen on {}", args.metrics))?,
        ended = watching => ended?,
        () = reporter.run() => {}
        () = directory::follow(directory, publish) => {}
        () = renew(&args, &tls, &now) => {}
        () = admin::serve::serve(admin, &args.spool) => {}
        () = stopped(stop, &stops, &handle) => info!("the archiver stops, as it was asked to"),
    }
    Ok(())
}

/// Lets the requests and the mails under way end, once `stop` ends. A mail that is cut off is sent again at the next start.
async fn stopped(stop: impl Future<Output = ()>, stops: &watch::Sender<bool>, handle: &Handle<SocketAddr>) {
    stop.await;
    stops.send_replace(true);
    handle.graceful_shutdown(Some(GRACE));
    let answered = async {
        while handle.connection_count() > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(GRACE, async { tokio::join!(answered, stops.closed()) }).await.is_err() {
        warn!("what was under way is cut off; it is repeated later");
    }
}

async fn watching(cluster: Option<Cluster>, folder: &Path) -> anyhow::Result<()> {
    match cluster {
        Some(cluster) => {
            let mirrored = crate::watch::mirror(cluster.client, &cluster.namespace, folder).await;
            mirrored.with_context(|| format!("{} cannot be written", folder.display()))
        }
        None => std::future::pending().await,
    }
}

fn tls(args: &RunArgs, now: Timestamp) -> Result<Arc<rustls::ServerConfig>, certificate::CertificateError> {
    match (&args.tls_certificate, &args.tls_key) {
        (Some(certificate), Some(key)) => certificate::given(certificate, key),
        _ => {
            let namespace = &args.pod_namespace;
            let service = ["archiver".into(), format!("archiver.{namespace}"), format!("archiver.{namespace}.svc")];
            let own = [format!("archiver.{namespace}.svc.cluster.local"), "localhost".into(), "127.0.0.1".into()];
            certificate::own(&args.spool, service.into_iter().chain(own).collect(), now)
        }
    }
}

/// Makes the certificate anew, or reads a person's again, while the old one serves.
async fn renew(args: &RunArgs, served: &RustlsConfig, now: &Now) {
    loop {
        sleep(RENEWAL).await;
        match tls(args, now()) {
            Ok(config) => served.reload_from_config(config),
            Err(error) => warn!(%error, "the certificate for callers stays the old one"),
        }
    }
}
