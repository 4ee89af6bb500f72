//! What is observed of an endpoint.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Connection;
use crate::{Reason, Stage, TestReport};

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
