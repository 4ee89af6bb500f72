//! The `UserAssignment`: which users' messages go to which endpoint.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Address, archiver::ObjectRef};

/// Which users' messages go to which endpoint. Users named nowhere belong to the default endpoint.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[kube(
    group = "imarchive.dev",
    version = "v1alpha1",
    kind = "UserAssignment",
    namespaced,
    shortname = "ua",
    category = "imarchive",
    status = "UserAssignmentStatus",
    derive = "PartialEq",
    doc = "Which users' messages go to which endpoint. Users named nowhere belong to the default endpoint.",
    selectable = ".spec.endpointRef.name",
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".spec.endpointRef.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Users", type_ = "integer", json_path = ".status.users"),
    printcolumn(
        name = "Status",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct UserAssignmentSpec {
    /// The ArchivingEndpoint, in this namespace, that the users' messages go to.
    pub endpoint_ref: ObjectRef,
    /// The users' addresses. A user named in two assignments belongs to the older one.
    #[schemars(length(max = 2000), extend("x-kubernetes-list-type" = "set"))]
    pub users: Vec<Address>,
}

/// What is observed of an assignment.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserAssignmentStatus {
    /// The generation that the conditions speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Accepted, EndpointResolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How many users this assignment holds, conflicts taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<i64>,
    /// Users that an older assignment holds; at most 100 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
}

/// A user that an older assignment holds.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// The user.
    pub user: Address,
    /// The UserAssignment that holds the user.
    pub held_by: String,
}
