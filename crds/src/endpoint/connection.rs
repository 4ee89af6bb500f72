//! The block of an endpoint's type: what a test tests and a delivery uses.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Address, Domain, archiver::ObjectRef};

/// Kinds of archives.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum EndpointType {
    /// Any mailbox that is reached over verified TLS.
    SecureSMTP,
    /// Global Relay Archive.
    GlobalRelay,
    /// HP Autonomy Digital Recordkeeping & Compliance, Consolidated Messaging.
    AutonomyDRCCM,
}

/// How a connection becomes encrypted. Plain text does not exist.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Tls {
    /// By the STARTTLS command, before anything else is said.
    #[default]
    StartTLS,
    /// From the first byte.
    Implicit,
}

/// Who stands in a mail's From header.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum FromHeader {
    /// The first participant; the service is the Sender.
    #[default]
    Participant,
    /// The service, for archives that refuse foreign From headers.
    Service,
}

/// Any mailbox that is reached over verified TLS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(self.tls == 'Implicit' && has(self.port) && self.port == 25)").message("port 25 is never implicit TLS: use 465, or tls StartTLS"))]
#[x_kube(validation = Rule::new("self.tls == 'Implicit' || !has(self.startTlsPort)").message("startTlsPort is for tls Implicit"))]
pub struct Smtp {
    /// The server's name, which its certificate must bear.
    pub host: Domain,
    /// 25 for StartTLS and 465 for Implicit when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How the connection becomes encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// Implicit only: the port where the server's support of STARTTLS is proved; 587 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub start_tls_port: Option<i32>,
    /// The envelope sender, to which the server's bounces go.
    pub from: Address,
    /// Who stands in the From header.
    #[serde(default)]
    pub from_header: FromHeader,
    /// The archive's mailboxes: each mail goes to all of them.
    #[schemars(length(min = 1, max = 20), extend("x-kubernetes-list-type" = "set"))]
    pub recipients: Vec<Address>,
    /// A Secret of type kubernetes.io/basic-auth; without it nothing is authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<ObjectRef>,
}

/// Global Relay Archive: STARTTLS with authentication, mails of at most 250 MiB.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.account == 'Custom') == has(self.host)").message("host is for account Custom, which needs it"))]
#[x_kube(validation = Rule::new("self.account == 'Custom' || !has(self.port)").message("port is for account Custom"))]
pub struct GlobalRelay {
    /// The kind of account, which names the server.
    pub account: GlobalRelayAccount,
    /// Account Custom: the server's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Domain>,
    /// Account Custom: the server's port; 25 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The account's mailbox.
    pub recipient: Address,
    /// The envelope sender.
    pub from: Address,
    /// A Secret of type kubernetes.io/basic-auth.
    pub credentials_secret_ref: ObjectRef,
    /// The value of the header X-GlobalRelay-MsgType.
    #[serde(default = "default_message_type")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9 ._-]*$"))]
    pub message_type: String,
}

fn default_message_type() -> String {
    "imarchive".to_owned()
}

/// Which server a Global Relay account uses.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum GlobalRelayAccount {
    /// mailarchivespool1.globalrelay.com
    A9,
    /// feeds.globalrelay.com
    A10,
    /// The server that host names.
    Custom,
}

/// HP Autonomy DRC-CM.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(self.tls == 'Implicit' && has(self.port) && self.port == 25)").message("port 25 is never implicit TLS: use 465, or tls StartTLS"))]
#[x_kube(validation = Rule::new("self.tls == 'Implicit' || !has(self.startTlsPort)").message("startTlsPort is for tls Implicit"))]
pub struct AutonomyDrcCm {
    /// The server's name, which its certificate must bear.
    pub host: Domain,
    /// 25 for StartTLS and 465 for Implicit when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How the connection becomes encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// Implicit only: the port where the server's support of STARTTLS is proved; 587 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub start_tls_port: Option<i32>,
    /// The archive's mailbox.
    pub recipient: Address,
    /// The envelope sender.
    pub from: Address,
    /// A Secret of type kubernetes.io/basic-auth; without it nothing is authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<ObjectRef>,
}

/// The block of an endpoint's type: what a test tests and a delivery uses.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Which block is set.
    #[serde(rename = "type")]
    pub type_: EndpointType,
    /// Type SecureSMTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Smtp>,
    /// Type GlobalRelay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_relay: Option<GlobalRelay>,
    /// Type AutonomyDRCCM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autonomy_drc_cm: Option<AutonomyDrcCm>,
}

impl Connection {
    /// Tells connections apart: 16 hex digits of the SHA-256 of the block's JSON.
    pub fn fingerprint(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(json).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}
