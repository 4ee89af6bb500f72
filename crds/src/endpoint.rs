//! The `ArchivingEndpoint`: where transcripts are delivered.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Address, ByteSize, Domain, Reason, Span, Stage, TestReport, archiver::ObjectRef};

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

/// How messages are grouped into mails.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "duration(self.window) >= duration('1s') && duration(self.window) <= duration('24h')", "message": "window is between 1s and 24h"}
]))]
pub struct Batching {
    /// How long a conversation is gathered, from its first message; between 1s and 24h.
    pub window: Span,
    /// The most messages in one mail.
    #[schemars(range(min = 1, max = 50))]
    pub max_messages: i32,
    /// The most bytes of messages in one mail; a larger message goes alone.
    pub max_bytes: ByteSize,
    /// PerUser: a mail for each sender in a room; PerRoom: one for the room.
    pub group_chats: GroupChats,
    /// WindowEnd: nothing before the window ends; WhenFull: also when maxMessages are there.
    pub release: Release,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            window: Span::hours(8),
            max_messages: 50,
            max_bytes: ByteSize::mebibytes(20),
            group_chats: GroupChats::PerUser,
            release: Release::WindowEnd,
        }
    }
}

/// How a room's messages are grouped.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum GroupChats {
    /// Each sender's messages in the room.
    PerUser,
    /// All of the room's messages.
    PerRoom,
}

/// When a window is sealed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Release {
    /// When it ends.
    WindowEnd,
    /// When it ends, or is full.
    WhenFull,
}

/// When a failed delivery is tried again.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.ladder.all(r, duration(r) >= duration('1s') && duration(r) <= duration('24h'))", "message": "each rung of the ladder is between 1s and 24h"},
    {"rule": "duration(self.interval) >= duration('1s') && duration(self.interval) <= duration('24h')", "message": "interval is between 1s and 24h"},
    {"rule": "duration(self.giveUpAfter) <= duration('2160h')", "message": "giveUpAfter is at most 2160h"}
]))]
pub struct Retry {
    /// The delays after the first failures.
    #[schemars(length(max = 16))]
    pub ladder: Vec<Span>,
    /// The delay after the ladder's last rung.
    pub interval: Span,
    /// How long an outage lasts before its batches are held for a person; at most 2160h.
    pub give_up_after: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            ladder: [1, 2, 4, 8].map(Span::hours).to_vec(),
            interval: Span::hours(24),
            give_up_after: Span::hours(2160),
        }
    }
}

/// How hard the archive may be pressed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Delivery {
    /// The most connections at once.
    #[schemars(range(min = 1, max = 32))]
    pub max_connections: i32,
    /// The most mails in a minute; 0 is no limit.
    #[schemars(range(min = 0, max = 100_000))]
    pub max_mails_per_minute: i32,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { max_connections: 4, max_mails_per_minute: 0 }
    }
}

/// When the connection is tested.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "duration(self.interval) >= duration('10s')", "message": "the interval of tests is at least 10s"}
]))]
pub struct Testing {
    /// How often the connection is tested, besides after changes; at least 10s.
    pub interval: Span,
    /// Whether a test ends with a real, marked mail.
    pub send_message: bool,
}

impl Default for Testing {
    fn default() -> Self {
        Self { interval: Span::hours(6), send_message: false }
    }
}

/// What is observed of an endpoint.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchivingEndpointStatus {
    /// The generation that the conditions speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Tested, Accepted, Delivering, Default; Reconciling or Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The server and port of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether users named nowhere belong here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// When `default` last became true: the latest request wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_requested_at: Option<Time>,
    /// How many users assignments name for this endpoint, conflicts taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<i64>,
    /// Messages waiting for this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_messages: Option<i64>,
    /// What is delivered by: the block that last passed its test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// The last test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<TestReport>,
    /// The outage, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryStatus>,
    /// What each archiver pod says of this endpoint. Each pod writes its own row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub archivers: Vec<ArchiverRow>,
    /// The value of the annotation `imarchive.dev/test-requested-at` that was last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_test_at: Option<String>,
}

/// What is delivered by.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The generation whose block this is.
    pub generation: i64,
    /// The block.
    pub connection: Connection,
}

/// An outage, as the ladder has it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryStatus {
    /// How often it was tried in this outage.
    pub attempt: i64,
    /// When the outage began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failure_at: Option<Time>,
    /// When it was last tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<Time>,
    /// When it is tried next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// When the first batch is held for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give_up_at: Option<Time>,
    /// The number of this outage.
    pub outage: i64,
    /// Each try.
    pub log: Vec<RetryLogRow>,
}

/// One failed try.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryLogRow {
    /// Its number in the outage, from 1.
    pub attempt: i64,
    /// When it ended.
    pub at: Time,
    /// Where it failed.
    pub stage: Stage,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The server's reply code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The server's words, shortened, mailboxes masked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the administrators were mailed about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notified_at: Option<Time>,
}

/// What an archiver pod says of an endpoint.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiverRow {
    /// The pod.
    pub name: String,
    /// The accepted generation that it delivers by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_generation: Option<i64>,
    /// When the mounted credentials last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_changed_at: Option<Time>,
    /// Sealed batches waiting.
    #[serde(default)]
    pub pending_batches: i64,
    /// Messages waiting, in open windows too.
    #[serde(default)]
    pub pending_messages: i64,
    /// When the oldest of them was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_pending_at: Option<Time>,
    /// Batches in need of a person.
    #[serde(default)]
    pub held_batches: i64,
    /// When a batch was last delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivered_at: Option<Time>,
    /// The outage, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<RetryStatus>,
}
