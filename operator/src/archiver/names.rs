//! The names of what an Archiver owns. Each is fixed: there is one Archiver in a namespace.

use imarchive_crds::{ARCHIVER, Archiver};
use kube::{Resource, ResourceExt, api::ObjectMeta};

use crate::pods;

/// The claim that the spool is on. It has no owner.
pub const CLAIM: &str = "spool";
/// The ServiceAccount of probes.
pub const PROBE: &str = "imarchive-probe";
/// The ConfigMap with the certificate of the ingest CA, which the archiver's pod writes.
pub const CA: &str = "archiver-ca";
/// The chart's ClusterRole that the archiver is bound to.
pub const CLUSTER_ROLE: &str = "imarchive-archiver";
/// The archiver's container.
pub const CONTAINER: &str = "archiver";
/// The port of HTTPS.
pub const HTTPS: i32 = 8443;
/// The port of metrics and probes.
pub const METRICS: i32 = 9090;

/// Name, labels and owner of something that goes with its Archiver.
pub fn metadata(archiver: &Archiver, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: archiver.namespace(),
        labels: Some(pods::labels(ARCHIVER)),
        owner_references: archiver.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}
