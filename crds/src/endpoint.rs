//! The `ArchivingEndpoint`: where transcripts are delivered.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

mod conduct;
mod connection;
mod status;

pub use conduct::{Batching, Delivery, GroupChats, Release, Retry, Testing};
pub use connection::{AutonomyDrcCm, Connection, EndpointType, FromHeader, GlobalRelay, GlobalRelayAccount, Smtp, Tls};
pub use status::{Accepted, ArchiverRow, ArchivingEndpointStatus, RetryLogRow, RetryStatus};

/// Where transcripts are delivered: Global Relay, HP Autonomy DRC-CM, or any secure SMTP mailbox.
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
    doc = "Where transcripts are delivered: Global Relay, HP Autonomy DRC-CM, or any secure SMTP mailbox.",
    validation = Rule::new("size(self.metadata.name) <= 40").message("the name of an endpoint has at most 40 characters"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.host"),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".status.default"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Pending", type_ = "integer", json_path = ".status.pendingMessages"),
    printcolumn(name = "Status", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == oldSelf.type").message("type cannot be changed: make a new endpoint").field_path(".type"))]
#[x_kube(validation = Rule::new("(self.type == 'SecureSMTP') == has(self.smtp)").message("type SecureSMTP needs the block smtp, and no other type has it"))]
#[x_kube(validation = Rule::new("(self.type == 'GlobalRelay') == has(self.globalRelay)").message("type GlobalRelay needs the block globalRelay, and no other type has it"))]
#[x_kube(validation = Rule::new("(self.type == 'AutonomyDRCCM') == has(self.autonomyDrcCm)").message("type AutonomyDRCCM needs the block autonomyDrcCm, and no other type has it"))]
pub struct ArchivingEndpointSpec {
    /// What kind of archive this is. Exactly the block of this type is set. Cannot be changed.
    #[serde(rename = "type")]
    pub type_: EndpointType,
    /// true: wants to be the default; false: never; unset: may be elected when nobody wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// Maintenance: nothing is attempted, which is no failure; the time to give up stands still; tests go on.
    #[serde(default)]
    pub suspend: bool,
    /// Type SecureSMTP: any mailbox that is reached over verified TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Smtp>,
    /// Type GlobalRelay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_relay: Option<GlobalRelay>,
    /// Type AutonomyDRCCM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autonomy_drc_cm: Option<AutonomyDrcCm>,
    /// How messages are grouped into mails.
    #[serde(default)]
    pub batching: Batching,
    /// When a failed delivery is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// How hard the archive may be pressed.
    #[serde(default)]
    pub delivery: Delivery,
    /// When the connection is tested.
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
