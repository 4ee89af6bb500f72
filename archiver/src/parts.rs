//! What a message goes through, joined: ingest, windows, seal and delivery on a spool, with the administration beside them.
//!
//! Sockets, the cluster and what keeps house are for whoever runs them; and so is it to run them.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use tokio::sync::{mpsc, watch};

use crate::{
    admin::Admin,
    deliver::Office,
    directory::Resources,
    ingest::{Ingest, callers::Callers},
    metrics::Metrics,
    now::Now,
    seal::{Sealer, Tell},
    smtp::Client,
    spool::{Spool, append::OpenCopy},
    window,
};

/// What the parts are joined to.
pub struct Site {
    /// Where everything is. Its writer runs.
    pub spool: Spool,
    /// What is known of the world.
    pub resources: watch::Receiver<Arc<Resources>>,
    /// Who may hand messages in.
    pub callers: Callers,
    /// Opens sessions.
    pub client: Client,
    /// The folder of the mounted Secrets.
    pub credentials: PathBuf,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The wall clock.
    pub now: Now,
}

/// The parts, of which none runs yet.
pub struct Parts {
    /// Takes messages.
    pub ingest: Arc<Ingest>,
    /// Does what a person asks for.
    pub admin: Arc<Admin>,
    /// Makes batches of what arrived.
    pub sealer: Sealer,
    /// What arrived.
    pub arrived: mpsc::UnboundedReceiver<Vec<OpenCopy>>,
    /// Delivers.
    pub office: Office,
    /// Asks the couriers to stop; closed once they have.
    pub stops: watch::Sender<bool>,
    /// Told of failures and recoveries, and of what is held and released.
    pub turned: watch::Receiver<u64>,
}

impl Site {
    /// Joins the parts; the windows are rebuilt from the spool.
    pub async fn join(self) -> rusqlite::Result<Parts> {
        let Self { spool, resources, callers, client, credentials, metrics, now } = self;
        let windows = Arc::new(window::Shared::new());
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let (seals, sealed) = watch::channel(0);
        let (turns, turned) = watch::channel(0);
        let (stops, stopping) = watch::channel(false);
        let tell = Tell { sealed: seals, turned: turns.clone() };
        let office = Office {
            spool: spool.clone(),
            resources: resources.clone(),
            client,
            credentials,
            sealed,
            stopping,
            turned: turns,
            metrics: metrics.clone(),
            now: now.clone(),
        };
        let admin = Admin {
            spool: spool.clone(),
            resources: resources.clone(),
            arrivals: arrivals.clone(),
            tell: tell.clone(),
            now: now.clone(),
        };
        let ingest = Ingest {
            spool: spool.clone(),
            resources: resources.clone(),
            callers,
            windows: windows.clone(),
            arrivals,
            metrics,
            now: now.clone(),
            broken: AtomicBool::new(false),
        };
        let sealer = Sealer::start(spool, resources, windows, now, tell).await?;
        Ok(Parts { ingest: Arc::new(ingest), admin: Arc::new(admin), sealer, arrived, office, stops, turned })
    }
}
