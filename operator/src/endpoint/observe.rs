//! What a reconcile of an endpoint looks at: all of it from the stores.

use imarchive_crds::{Archiver, ArchivingEndpoint, ArchivingEndpointStatus, Connection, Server, TEST_REQUESTED_AT};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::{
    facts::{Facts, marker},
    verdict::{self, Run},
};
use crate::{context::Context, pods::ENDPOINT_LABEL, stores::controlled_by};

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
}

/// Gathers it.
pub fn observe(endpoint: &ArchivingEndpoint, context: &Context, now: Timestamp) -> Observed {
    let stores = &context.stores;
    let (name, namespace) = (endpoint.name_any(), endpoint.namespace().unwrap_or_default());
    let uid = endpoint.uid().unwrap_or_default();
    let status = endpoint.status.clone().unwrap_or_default();
    let connection = endpoint.spec.connection();
    let fingerprint = connection.fingerprint();
    let previous = marker(status.test.as_ref());

    let mut jobs = stores.jobs.state_filter(|job: &Job| {
        job.namespace().as_deref() == Some(&namespace)
            && job.labels().get(ENDPOINT_LABEL) == Some(&name)
            && controlled_by(job, &uid)
    });
    jobs.sort_by_key(|job| (job.creation_timestamp(), job.name_any()));
    let runs = jobs.iter().filter_map(|job| {
        let facts = Facts::of(job)?;
        let successor = facts.connection == fingerprint && facts.previous == previous;
        let pods = successor.then(|| stores.pods_of(&namespace, &job.uid().unwrap_or_default()))?;
        Some(verdict::read(job, facts, &pods, now))
    });
    Observed {
        runs: runs.collect(),
        requested: endpoint.annotations().get(TEST_REQUESTED_AT).cloned(),
        server: Server::try_from(&connection).map_err(|error| error.to_string()),
        archiver: stores.archiver(&namespace),
        has_archiver: stores.has_archiver(&namespace),
        users: context.shared.tables.of(stores, &namespace).users_of(&name),
        endpoint: endpoint.clone(),
        name,
        namespace,
        uid,
        status,
        connection,
        fingerprint,
    }
}
