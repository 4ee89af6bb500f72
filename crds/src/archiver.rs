//! The `Archiver`: the data plane of an organization.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Address, ByteSize, Domain, Span};

/// The archiver of an organization: takes its messages, keeps them, and delivers them to the organization's endpoints.
/// There is one in a namespace, and it is named `archiver`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "imarchive.dev",
    version = "v1alpha1",
    kind = "Archiver",
    namespaced,
    shortname = "arc",
    category = "imarchive",
    status = "ArchiverStatus",
    derive = "PartialEq",
    doc = "The archiver of an organization: takes its messages, keeps them, and delivers them to the organization's endpoints. There is one in a namespace, and it is named archiver.",
    validation = Rule::new("self.metadata.name == 'archiver'").message("a namespace has one Archiver, and its name is archiver"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Default", type_ = "string", json_path = ".status.defaultEndpoint"),
    printcolumn(name = "Acknowledged", type_ = "integer", json_path = ".status.messages.acknowledged"),
    printcolumn(name = "Delivered", type_ = "integer", json_path = ".status.messages.delivered"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.messages.waiting"),
    printcolumn(name = "Held", type_ = "integer", json_path = ".status.messages.held"),
    printcolumn(name = "Status", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type==\"Ready\")].message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ArchiverSpec {
    /// Whose messages are archived.
    pub organization: Organization,
    /// Where messages are kept until they are delivered.
    #[serde(default)]
    pub storage: Storage,
    /// How chat systems hand messages in.
    #[serde(default)]
    pub ingest: Ingest,
    /// Stops the pod and keeps the spool. Meanwhile nothing is taken and nothing delivered.
    #[serde(default)]
    pub paused: bool,
    /// What the archiver's pod asks of its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that the archiver's node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the archiver's pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Where the archiver's pod prefers to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Secrets of this namespace with which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}

/// Whose messages are archived.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// The name that administrators know the organization by.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// The domains whose addresses are the organization's users. Only those, and users named in an assignment, are archived.
    #[schemars(length(min = 1, max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub domains: Vec<Domain>,
    /// Who is mailed when a delivery fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "set"))]
    pub administrators: Vec<Address>,
}

/// Where messages are kept until they are delivered.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0", "message": "size may only grow"},
    {"rule": "duration(self.retainLedger) >= duration('2160h') + duration(self.retainDelivered)", "message": "retainLedger must be at least 2160h more than retainDelivered"}
]))]
pub struct Storage {
    /// The size of the claim. It may only grow.
    pub size: ByteSize,
    /// The StorageClass of the claim; the cluster's default when unset. Fixed once the claim exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// How long the content of a delivered message is kept.
    pub retain_delivered: Span,
    /// How long after its delivery a message can still say where it went.
    pub retain_ledger: Span,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            size: ByteSize::gibibytes(20),
            storage_class_name: None,
            retain_delivered: Span::hours(168),
            retain_ledger: Span::hours(2400),
        }
    }
}

/// How chat systems hand messages in.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Ingest {
    /// The largest request, after decompression.
    pub max_request_bytes: ByteSize,
    /// The ServiceAccounts that may hand messages in, and the sources they may name.
    #[schemars(length(max = 64))]
    pub clients: Vec<IngestClient>,
    /// A Secret with a token for each caller outside the cluster: key = client and source, value = token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_secret_ref: Option<ObjectRef>,
    /// The certificate that callers see; one by the archiver's own CA when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<IngestTls>,
    /// The Service in front of the archiver.
    pub service: Service,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            max_request_bytes: ByteSize::mebibytes(16),
            clients: Vec::new(),
            tokens_secret_ref: None,
            tls: None,
            service: Service::default(),
        }
    }
}

/// A ServiceAccount that may hand messages in.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngestClient {
    /// The namespace of the ServiceAccount; the Archiver's own when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The name of the ServiceAccount.
    #[schemars(length(min = 1, max = 253))]
    pub service_account: String,
    /// The sources whose messages it may hand in.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub sources: Vec<String>,
}

/// The certificate that callers see.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngestTls {
    /// A Secret of type kubernetes.io/tls in this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// The Service in front of the archiver.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// How the Service is reached.
    #[serde(rename = "type")]
    pub type_: ServiceType,
    /// Annotations for the Service, such as a load balancer's.
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}

/// How a Service is reached.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum ServiceType {
    /// From inside the cluster.
    #[default]
    ClusterIP,
    /// On a port of every node.
    NodePort,
    /// Through a load balancer.
    LoadBalancer,
}

/// The name of an object in the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct ObjectRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What is observed of an archiver.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiverStatus {
    /// The generation that the conditions speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready; Reconciling or Stalled while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The endpoint of users that no assignment names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_endpoint: Option<String>,
    /// The books: acknowledged = delivered + waiting + held + excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<MessageCounts>,
    /// How many users are archived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<UserCounts>,
}

/// Messages by state. `acknowledged = delivered + waiting + held + excluded` at any moment.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageCounts {
    /// Taken, durably.
    pub acknowledged: i64,
    /// Taken by every archive they are for.
    pub delivered: i64,
    /// On their way: in an open window, sealed, or unrouted.
    pub waiting: i64,
    /// In need of a person.
    pub held: i64,
    /// Not archived, by policy.
    pub excluded: i64,
    /// Those of the waiting that no endpoint is known for.
    pub unrouted: i64,
}

/// Users by how they are known.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UserCounts {
    /// Named in an assignment.
    pub assigned: i64,
    /// Seen in a message of the last 72 hours; absent until the archiver has counted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active72h: Option<i64>,
}
