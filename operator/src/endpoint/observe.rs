//! What a reconcile of an endpoint looks at: all of it from the stores.

use imarchive_crds::{
    Archiver, ArchivingEndpoint, ArchivingEndpointStatus, Connection, ENDPOINT_LABEL, Server, TEST_REQUESTED_AT,
};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::{
    facts::Facts,
    verdict::{self, Run},
};
use crate::{context::Context, controller, notify::Notices, stores::controlled_by};

/// An endpoint and what surrounds it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The endpoint.
    pub endpoint: ArchivingEndpoint,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// Its status, as far as it has one.
    pub status: ArchivingEndpointStatus,
    /// What its spec connects to.
    pub connection: Connection,
    /// What tells that connection from others.
    pub fingerprint: String,
    /// The connection, parsed, or why it cannot be.
    pub server: Result<Server, String>,
    /// The value of the annotation that asks for a test.
    pub requested: Option<String>,
    /// The runs of the test that follows the one in the status; the latest last.
    pub runs: Vec<Run>,
    /// The namespace's Archiver, when it can be read.
    pub archiver: Option<Archiver>,
    /// Whether there is one, readable or not.
    pub has_archiver: bool,
    /// How many users are assigned here.
    pub users: usize,
    /// What the notifier knows.
    pub notices: Notices,
}

impl Observed {
    /// What the endpoint itself says; of its surroundings nothing yet.
    pub fn alone(endpoint: &ArchivingEndpoint) -> Self {
        let connection = endpoint.spec.connection();
        Self {
            name: endpoint.name_any(),
            namespace: endpoint.namespace().unwrap_or_default(),
            uid: endpoint.uid().unwrap_or_default(),
            status: endpoint.status.clone().unwrap_or_default(),
            fingerprint: connection.fingerprint(),
            server: Server::try_from(&connection).map_err(|error| error.to_string()),
            connection,
            requested: endpoint.annotations().get(TEST_REQUESTED_AT).cloned(),
            runs: Vec::new(),
            archiver: None,
            has_archiver: false,
            users: 0,
            notices: Notices::default(),
            endpoint: endpoint.clone(),
        }
    }
}

/// Gathers it.
pub fn observe(endpoint: &ArchivingEndpoint, context: &Context, now: Timestamp) -> Observed {
    let (stores, alone) = (&context.stores, Observed::alone(endpoint));
    let mut jobs = stores.jobs.state_filter(|job: &Job| {
        job.metadata.namespace.as_ref() == Some(&alone.namespace)
            && job.labels().get(ENDPOINT_LABEL) == Some(&alone.name)
            && controlled_by(job, &alone.uid)
    });
    jobs.sort_by_key(|job| (job.creation_timestamp(), job.name_any()));
    let runs = jobs.iter().filter_map(|job| {
        let facts = Facts::of(job).filter(|facts| facts.follow(&alone.fingerprint, alone.status.test.as_ref()))?;
        let pods = stores.pods_of(&alone.namespace, &job.uid().unwrap_or_default());
        Some(verdict::read(job, facts, &pods, now))
    });
    Observed {
        runs: runs.collect(),
        archiver: stores.archiver(&alone.namespace),
        has_archiver: stores.has_archiver(&alone.namespace),
        notices: context.shared.notifier.notices(
            &controller::key_of(endpoint),
            &alone.uid,
            alone.status.retry.as_ref(),
        ),
        users: context.shared.tables.of(stores, &alone.namespace).users_of(&alone.name),
        ..alone
    }
}
