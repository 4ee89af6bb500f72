//! What is observed of an endpoint.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Connection;
use crate::{Reason, Stage, TestReport, condition};

/// What is observed of an endpoint.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchivingEndpointStatus {
    /// The metadata.generation that this status speaks of; -1 before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Tested: the last test of this connection passed. Accepted: mail is delivered by it. Ready: both. Delivering: not
    /// suspended, and no outage. Default: users named nowhere belong here. And while it is so, Reconciling (time is needed) or
    /// Stalled (a person is needed).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::list_schema")]
    pub conditions: Vec<Condition>,
    /// Server and port of the connection in spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub host: Option<String>,
    /// Whether this is the default endpoint: that of users whom no UserAssignment names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// When spec.default became true. Of several endpoints the latest is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_requested_at: Option<Time>,
    /// How many users belong here by a UserAssignment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<i64>,
    /// How many messages wait for this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_messages: Option<i64>,
    /// The connection that mail is delivered by: the last one that passed a test. A changed one takes its place once it
    /// passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// The last test, stage by stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<TestReport>,
    /// The outage: the failed deliveries since the last that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryStatus>,
    /// What the archiver's pods say of this endpoint. Each pod writes its own row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub archivers: Vec<ArchiverRow>,
    /// The value of the annotation imarchive.dev/test-requested-at that the last test answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    // As long as annotations can be: it echoes one.
    #[schemars(length(max = 262_144))]
    pub last_handled_test_at: Option<String>,
}

/// What is delivered by.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The metadata.generation whose connection this is.
    pub generation: i64,
    /// The type and its block, as in spec.
    pub connection: Connection,
}

/// An outage, as the ladder has it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryStatus {
    /// How many attempts failed in this outage; 0 while there is none.
    pub attempt: i64,
    /// When the first attempt of the outage failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failure_at: Option<Time>,
    /// When the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<Time>,
    /// When the next attempt is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// When the first batch is held for a person, if it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give_up_at: Option<Time>,
    /// The number of the outage, counted over the endpoint's life; of the next one while there is none.
    pub outage: i64,
    /// Every failed attempt of the outage; of more than 100 the first 20 and the last 80.
    #[schemars(length(max = 100))]
    pub log: Vec<RetryLogRow>,
    /// The outage before: how long it lasted, and how much waited for its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<PastOutage>,
}

/// The first attempts of an outage, which tell how it began, and the last ones: so many are kept of its log.
const FIRST: usize = 20;
const LAST: usize = 80;

impl RetryStatus {
    /// What is kept of the failed attempts of an outage, which are in their order: all, or the first and the last.
    pub fn kept(mut log: Vec<RetryLogRow>) -> Vec<RetryLogRow> {
        if log.len() > FIRST + LAST {
            log.drain(FIRST..log.len() - LAST);
        }
        log
    }
}

/// An outage that is over.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastOutage {
    /// Its number, counted over the endpoint's life.
    pub outage: i64,
    /// How many attempts failed.
    pub attempts: i64,
    /// When the first of them failed.
    pub first_failure_at: Time,
    /// When a batch was taken again.
    pub ended_at: Time,
    /// How many messages waited then.
    pub messages: i64,
    /// When the administrators were mailed that it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notified_at: Option<Time>,
}

/// One failed attempt.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryLogRow {
    /// Its number in the outage, counted from 1.
    pub attempt: i64,
    /// When it ended.
    pub at: Time,
    /// The stage that failed.
    pub stage: Stage,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The server's reply code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The server's words, shortened and with mailboxes masked, or what went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
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
    #[schemars(length(max = 253))]
    pub name: String,
    /// The generation of the accepted connection that it delivers by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_generation: Option<i64>,
    /// When it saw its credentials change. They are tested then, and used at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_changed_at: Option<Time>,
    /// Batches that wait to be delivered.
    #[serde(default)]
    pub pending_batches: i64,
    /// Messages that wait, in open windows too.
    #[serde(default)]
    pub pending_messages: i64,
    /// When the oldest of the waiting messages was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_pending_at: Option<Time>,
    /// Batches that need a person. They are kept.
    #[serde(default)]
    pub held_batches: i64,
    /// Those of them that waited for longer than spec.retry.giveUpAfter.
    #[serde(default)]
    pub expired_batches: i64,
    /// When a batch was last delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivered_at: Option<Time>,
    /// The outage as this pod sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<RetryStatus>,
}
