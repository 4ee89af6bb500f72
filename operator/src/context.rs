//! What every reconcile is handed: the stores of its scope, and what all scopes share.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Client,
    runtime::{
        events::{Recorder, Reporter},
        reflector::Store,
    },
};

use crate::{
    MANAGER, api::Kube, backoff::Backoff, metrics::Metrics, settings::Workload, slots::Slots, stores::Stores,
    tables::Tables,
};

/// Reads the wall clock. Only `main` has a real one.
pub type Clock = fn() -> Timestamp;

/// What all scopes share.
pub struct Shared {
    /// The API server, for writes.
    pub kube: Kube,
    /// Publishes events.
    pub recorder: Recorder,
    /// What pods are built with.
    pub workload: Workload,
    /// What is counted.
    pub metrics: Metrics,
    /// Which objects fail.
    pub backoff: Backoff,
    /// How many probes run.
    pub slots: Slots,
    /// Who is assigned where.
    pub tables: Tables,
    /// The time.
    pub clock: Clock,
    jobs: RwLock<Vec<Store<Job>>>,
}

impl Shared {
    /// Nothing failed, and nothing runs.
    pub fn new(client: Client, workload: Workload, metrics: Metrics, clock: Clock) -> Self {
        Self {
            kube: Kube::new(client.clone()),
            recorder: Recorder::new(client, Reporter::from(MANAGER)),
            workload,
            metrics,
            backoff: Backoff::default(),
            slots: Slots::default(),
            tables: Tables::default(),
            clock,
            jobs: RwLock::default(),
        }
    }

    /// The Jobs of all scopes.
    pub fn jobs(&self) -> Vec<Arc<Job>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).iter().flat_map(Store::state).collect()
    }
}

/// What a reconcile is handed.
pub struct Context {
    /// What is known of its scope.
    pub stores: Arc<Stores>,
    /// What all scopes share.
    pub shared: Arc<Shared>,
}

impl Context {
    /// The context of a scope.
    pub fn new(stores: Arc<Stores>, shared: Arc<Shared>) -> Self {
        shared.jobs.write().unwrap_or_else(PoisonError::into_inner).push(stores.jobs.clone());
        Self { stores, shared }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }
}
