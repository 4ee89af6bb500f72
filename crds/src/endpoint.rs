//! The `ArchivingEndpoint`: where transcripts are delivered.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

mod conduct;
mod connection;
mod status;

pub use conduct::{Batching, Delivery, GroupChats, Release, Retry, Testing};
pub use connection::{AutonomyDrcCm, Connection, EndpointType, FromHeader, GlobalRelay, GlobalRelayAccount, Smtp, Tls};
pub use status::{Accepted, ArchiverRow, ArchivingEndpointStatus, PastOutage, RetryLogRow, RetryStatus};

/// What archive it is, how it is reached, and how it is used. The block of the type (smtp, globalRelay or autonomyDrcCm) is
/// used once a test of it has passed; everything else applies at once.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "imarchive.dev",
    version = "v1alpha1",
    kind = "ArchivingEndpoint",
    namespaced,
    shortname = "aep",
    category = "imarchive",
    status = "ArchivingEndpointStatus",
    derive = "PartialEq",
    doc = "An archive that transcripts are delivered to: Global Relay, HP Autonomy DRC-CM, or any mailbox that is reached \
           over verified TLS. A new or changed connection is used once a test of it has passed; until then the one before \
           goes on.\n\nkubectl get aep -o wide shows in words how each is, kubectl describe aep NAME how far its last test \
           came. To test again at once: kubectl annotate aep NAME --overwrite imarchive.dev/test-requested-at=\"$(date)\"",
    validation = Rule::new("size(self.metadata.name) <= 40").message("the name of an endpoint has at most 40 characters"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.host"),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".status.default"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Delivering", type_ = "string", json_path = ".status.conditions[?(@.type==\"Delivering\")].status"),
    printcolumn(name = "Pending", type_ = "integer", json_path = ".status.pendingMessages"),
    printcolumn(name = "Held Batches", type_ = "integer", priority = 1, json_path = ".status.archivers[0].heldBatches"),
    printcolumn(name = "Users", type_ = "integer", priority = 1, json_path = ".status.users"),
    printcolumn(name = "Next Attempt", type_ = "string", priority = 1, json_path = ".status.retry.nextAttemptAt"),
    printcolumn(name = "Status", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == oldSelf.type")
        .message("the type cannot be changed: make a new endpoint").field_path(".type")
)]
#[x_kube(
    validation = Rule::new("(self.type == 'SecureSMTP') == has(self.smtp)")
        .message("type SecureSMTP needs the block smtp, and no other type has it")
)]
#[x_kube(
    validation = Rule::new("(self.type == 'GlobalRelay') == has(self.globalRelay)")
        .message("type GlobalRelay needs the block globalRelay, and no other type has it")
)]
#[x_kube(
    validation = Rule::new("(self.type == 'AutonomyDRCCM') == has(self.autonomyDrcCm)")
        .message("type AutonomyDRCCM needs the block autonomyDrcCm, and no other type has it")
)]
pub struct ArchivingEndpointSpec {
    /// What kind of archive it is. SecureSMTP: any mailbox that is reached over verified TLS, described by smtp. GlobalRelay:
    /// Global Relay Archive, described by globalRelay. AutonomyDRCCM: HP Autonomy DRC-CM, described by autonomyDrcCm. It
    /// cannot be changed.
    #[serde(rename = "type")]
    pub type_: EndpointType,
    /// Whether users that no UserAssignment names belong to this endpoint. true: it asks for them; of several endpoints that
    /// ask, the one that asked last has them. false: never. When unset: only while no endpoint asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// Maintenance: true keeps all mail waiting. That is no failure, the time of retry.giveUpAfter stands still, and tests go
    /// on.
    #[serde(default)]
    pub suspend: bool,
    /// The server of type SecureSMTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Smtp>,
    /// The account of type GlobalRelay. It is reached by STARTTLS, with a password, and takes mails of at most 250 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_relay: Option<GlobalRelay>,
    /// The server of type AutonomyDRCCM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autonomy_drc_cm: Option<AutonomyDrcCm>,
    /// How messages are grouped into mails.
    #[serde(default)]
    pub batching: Batching,
    /// When a failed delivery is tried again, and when a person is asked for. Nothing is ever deleted undelivered.
    #[serde(default)]
    pub retry: Retry,
    /// How hard the archive may be pressed.
    #[serde(default)]
    pub delivery: Delivery,
    /// When the connection is tested. A test goes through all that a delivery does, up to the recipients.
    #[serde(default)]
    pub test: Testing,
}

impl ArchivingEndpointSpec {
    /// The block of the type.
    pub fn connection(&self) -> Connection {
        Connection {
            type_: self.type_,
            smtp: self.smtp.clone(),
            global_relay: self.global_relay.clone(),
            autonomy_drc_cm: self.autonomy_drc_cm.clone(),
        }
    }
}
