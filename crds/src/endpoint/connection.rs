//! The block of an endpoint's type: what a test tests and a delivery uses.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Address, Domain,
    archiver::ObjectRef,
    hex::hex,
    rules::{self, Mailbox},
};

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
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::tls()))]
pub struct Smtp {
    /// The server's name, as its certificate bears it.
    pub host: Domain,
    /// The port that mail goes to. When unset: 25 with tls StartTLS, 465 with Implicit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How the connection becomes encrypted. StartTLS: by the STARTTLS command, before anything else is said. Implicit: from
    /// the first byte. Plain text does not exist, and the certificate is always verified.
    #[serde(default)]
    pub tls: Tls,
    /// With tls Implicit: the port where a test proves that the server supports STARTTLS, as it must all the same. No mail
    /// goes there. When unset: 587.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub start_tls_port: Option<i32>,
    /// The sender in the envelope, whom the archive's bounces go to; its domain is in every Message-ID.
    #[schemars(with = "Mailbox")]
    pub from: Address,
    /// Who stands in the From header. Participant: the first participant of the conversation, with from as the Sender.
    /// Service: the address in from, for archives that refuse mails From somebody else.
    #[serde(default)]
    pub from_header: FromHeader,
    /// The archive's mailboxes. Each mail goes to all of them: if one is refused, none gets it.
    #[schemars(with = "Vec<Mailbox>", length(min = 1, max = 20), extend("x-kubernetes-list-type" = "set"))]
    pub recipients: Vec<Address>,
    /// The Secret, of type kubernetes.io/basic-auth, whose username and password are shown to the archive. Without it nobody
    /// is authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<ObjectRef>,
}

/// Global Relay Archive: STARTTLS with authentication, mails of at most 250 MiB.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.account == 'Custom') == has(self.host)")
        .message("account Custom needs a host, and no other account has one")
)]
#[x_kube(
    validation = Rule::new("self.account == 'Custom' || !has(self.port)")
        .message("a port is for account Custom alone")
)]
pub struct GlobalRelay {
    /// The kind of account, which names the server. A9: mailarchivespool1.globalrelay.com. A10: feeds.globalrelay.com. Both
    /// on port 25. Custom: the host and port below.
    pub account: GlobalRelayAccount,
    /// The server's name, as its certificate bears it, for account Custom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Domain>,
    /// The server's port, for account Custom. When unset: 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The account's mailbox, as Global Relay named it.
    #[schemars(with = "Mailbox")]
    pub recipient: Address,
    /// The sender in the envelope, whom the archive's bounces go to; its domain is in every Message-ID.
    #[schemars(with = "Mailbox")]
    pub from: Address,
    /// The Secret, of type kubernetes.io/basic-auth, whose username and password are shown to the archive.
    pub credentials_secret_ref: ObjectRef,
    /// The value of the header X-GlobalRelay-MsgType.
    #[serde(default = "default_message_type")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = rules::header_word()))]
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
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::tls()))]
pub struct AutonomyDrcCm {
    /// The server's name, as its certificate bears it.
    pub host: Domain,
    /// The port that mail goes to. When unset: 25 with tls StartTLS, 465 with Implicit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// How the connection becomes encrypted. StartTLS: by the STARTTLS command, before anything else is said. Implicit: from
    /// the first byte. Plain text does not exist, and the certificate is always verified.
    #[serde(default)]
    pub tls: Tls,
    /// With tls Implicit: the port where a test proves that the server supports STARTTLS, as it must all the same. No mail
    /// goes there. When unset: 587.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub start_tls_port: Option<i32>,
    /// The archive's mailbox.
    #[schemars(with = "Mailbox")]
    pub recipient: Address,
    /// The sender in the envelope, whom the archive's bounces go to; its domain is in every Message-ID.
    #[schemars(with = "Mailbox")]
    pub from: Address,
    /// The Secret, of type kubernetes.io/basic-auth, whose username and password are shown to the archive. Without it nobody
    /// is authenticated.
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
        hex(&Sha256::digest(json)[..8])
    }
}
