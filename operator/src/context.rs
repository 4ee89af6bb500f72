//! What every reconcile is handed: the stores of its scope, and what all scopes share.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;

use crate::{
    api::Kube,
    backoff::Backoff,
    metrics::Metrics,
    notify::Notifier,
    progress::Progress,
    queue::Queues,
    settings::Workload,
    slots::{self, Slots},
    stores::Stores,
    tables::Tables,
};

/// Reads the wall clock. Only `main` has a real one.
pub type Clock = fn() -> Timestamp;

/// What all scopes share.
pub struct Shared {
    /// The API server, for writes.
    pub kube: Kube,
    /// What pods are built with.
    pub workload: Workload,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether reconciles get on.
    pub progress: Progress,
    /// Which objects fail.
    pub backoff: Backoff,
    /// How many probes run.
    pub probes: Slots,
    /// How many archivers are being replaced.
    pub rollouts: Slots,
    /// Who is assigned where.
    pub tables: Tables,
    /// Whom the administrators are told by.
    pub notifier: Notifier,
    /// The time.
    pub clock: Clock,
    scopes: RwLock<Vec<Arc<Stores>>>,
}

impl Shared {
    /// Nothing failed, and nothing runs.
    pub fn new(
        kube: Kube,
        workload: Workload,
        metrics: Metrics,
        progress: Progress,
        notifier: Notifier,
        clock: Clock,
    ) -> Self {
        Self {
            notifier,
            kube,
            workload,
            metrics,
            progress,
            backoff: Backoff::default(),
            probes: Slots::new(slots::PROBES),
            rollouts: Slots::new(slots::REPLACEMENTS),
            tables: Tables::default(),
            clock,
            scopes: RwLock::default(),
        }
    }

    /// The stores of all scopes.
    pub fn scopes(&self) -> Vec<Arc<Stores>> {
        self.scopes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a reconcile is handed.
pub struct Context {
    /// What is known of its scope.
    pub stores: Arc<Stores>,
    /// Where reconciles of its objects are asked for.
    pub queues: Queues,
    /// What all scopes share.
    pub shared: Arc<Shared>,
}

impl Context {
    /// The context of a scope.
    pub fn new(stores: Arc<Stores>, queues: Queues, shared: Arc<Shared>) -> Self {
        shared.scopes.write().unwrap_or_else(PoisonError::into_inner).push(stores.clone());
        Self { stores, queues, shared }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }
}
