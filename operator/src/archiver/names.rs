//! The names of what an Archiver owns. Each is fixed: there is one Archiver in a namespace.

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
