//! The `UserAssignment`: which users' messages go to which endpoint.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Address, archiver::ObjectRef, condition};

/// Who belongs where.
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
    doc = "Users whose messages go to an endpoint of their own. Users named nowhere belong to the default endpoint; a user \
           named in two assignments belongs to the older one, and the younger one's status says so.\n\nkubectl get ua -o \
           wide shows in words how each is; kubectl get ua --field-selector spec.endpointRef.name=NAME those of an \
           endpoint.",
    selectable = ".spec.endpointRef.name",
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".spec.endpointRef.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
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
    /// The ArchivingEndpoint, in this namespace, that the users' messages go to. Until there is one of that name, they are
    /// kept.
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "size(self.name) <= 40", "message": "the name of an endpoint has at most 40 characters", "fieldPath": ".name"
    }]))]
    pub endpoint_ref: ObjectRef,
    /// The users' addresses. A change applies to later messages; what came before stays where it is. More users than fit
    /// here go into another assignment to the same endpoint.
    ///
    /// kubectl apply writes a copy of the object into an annotation, which may have 256 KiB. For more addresses than that,
    /// such as 2,000 of over 120 characters, use kubectl apply --server-side.
    #[schemars(length(max = 2000), extend("x-kubernetes-list-type" = "set"))]
    pub users: Vec<Address>,
}

/// What is observed of an assignment.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserAssignmentStatus {
    /// The metadata.generation that this status speaks of; -1 before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: both of the following. Accepted: no older assignment holds any of the users. EndpointResolved: the endpoint
    /// exists. And while it is so, Reconciling (time is needed) or Stalled (a person is needed).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::list_schema")]
    pub conditions: Vec<Condition>,
    /// How many users this assignment holds: those that it names, without the conflicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<i64>,
    /// Users that an older assignment holds; the first 100 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub conflicts: Vec<Conflict>,
}

/// A user that an older assignment holds.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// The user.
    pub user: Address,
    /// The UserAssignment that holds the user.
    #[schemars(length(max = 253))]
    pub held_by: String,
}
