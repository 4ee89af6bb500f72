//! The resources of imarchive (`imarchive.dev/v1alpha1`), with the rules that the operator and the archiver must agree on.
//!
//! The resources are [`Archiver`], [`ArchivingEndpoint`] and [`UserAssignment`]; the rules are [`elect`], [`resolve`] and
//! [`ladder`]. Every rule is a function of its arguments: nothing here reads a clock, a file or the network. The YAML
//! that a cluster is given is generated from these types by [`definitions`].

// Columns repeat their keys, each in a `printcolumn(..)` of its own, which the lint takes for one list.
#![allow(clippy::duplicated_attributes)]

mod address;
mod archiver;
mod assignment;
mod condition;
mod definitions;
pub mod elect;
mod endpoint;
mod hex;
pub mod ladder;
mod report;
pub mod resolve;
mod rules;
mod server;
mod size;
mod span;

pub use address::{Address, Domain, InvalidAddress};
pub use archiver::{
    Archiver, ArchiverSpec, ArchiverStatus, Ingest, IngestClient, IngestTls, MessageCounts, ObjectRef, Organization,
    Service, ServiceType, Storage, UserCounts,
};
pub use assignment::{Conflict, UserAssignment, UserAssignmentSpec, UserAssignmentStatus};
pub use condition::{ConditionType, condition, is_true, set_condition};
pub use definitions::definitions;
pub use endpoint::{
    Accepted, ArchiverRow, ArchivingEndpoint, ArchivingEndpointSpec, ArchivingEndpointStatus, AutonomyDrcCm, Batching,
    Connection, Delivery, EndpointType, FromHeader, GlobalRelay, GlobalRelayAccount, GroupChats, PastOutage, Release,
    Retry, RetryLogRow, RetryStatus, Smtp, Testing, Tls,
};
pub use hex::hex;
pub use report::{Reason, Stage, StageReport, TestReport, TestResult, TlsReport};
pub use server::{InvalidServer, Server};
pub use size::{ByteSize, InvalidSize};
pub use span::{InvalidSpan, Span};

/// The API group of all three resources.
pub const GROUP: &str = "imarchive.dev";
/// The name that the one [`Archiver`] of a namespace must have.
pub const ARCHIVER: &str = "archiver";
/// On an endpoint: a new value asks for a test; echoed in `status.lastHandledTestAt`.
pub const TEST_REQUESTED_AT: &str = "imarchive.dev/test-requested-at";
/// On the pods and Jobs of a test: the endpoint.
pub const ENDPOINT_LABEL: &str = "imarchive.dev/endpoint";
