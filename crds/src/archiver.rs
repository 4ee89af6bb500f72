//! The `Archiver`: the data plane of an organization.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, LocalObjectReference, ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Address, ByteSize, Domain, Span, condition,
    rules::{self, AnnotationValue, LabelValue, Mailbox, Source},
};

/// Whose messages are archived, who hands them in, and where they are kept meanwhile.
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
    doc = "The archiver of an organization: takes its messages, keeps them, and delivers them to the organization's \
           endpoints. There is one in a namespace, and it is named archiver.\n\nkubectl get arc shows the books: \
           acknowledged = delivered + waiting + held + excluded. Deleting the Archiver keeps the claim spool and all in it; \
           a new one takes it over.",
    validation = Rule::new("self.metadata.name == 'archiver'").message("a namespace has one Archiver, and its name is archiver"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Default", type_ = "string", json_path = ".status.defaultEndpoint"),
    printcolumn(name = "Acknowledged", type_ = "integer", json_path = ".status.messages.acknowledged"),
    printcolumn(name = "Delivered", type_ = "integer", json_path = ".status.messages.delivered"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.messages.waiting"),
    printcolumn(name = "Held", type_ = "integer", json_path = ".status.messages.held"),
    printcolumn(name = "Excluded", type_ = "integer", json_path = ".status.messages.excluded"),
    printcolumn(name = "Unrouted", type_ = "integer", priority = 1, json_path = ".status.messages.unrouted"),
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
    /// true stops the pod and keeps the spool. Meanwhile nothing is taken and nothing delivered: chat systems keep what they
    /// cannot hand in.
    #[serde(default)]
    pub paused: bool,
    /// Processor and memory of the archiver's container, as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::resources()))]
    pub resources: Option<ResourceRequirements>,
    /// Labels that the archiver's node must have, as in a pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, LabelValue>")]
    #[schemars(extend("maxProperties" = 32, "x-kubernetes-validations" = rules::node_selector()))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the archiver's pod tolerates, as in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Where the archiver's pod must or should run, as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Secrets of this namespace with which the image is pulled, besides those of the chart's values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<ObjectRef>", length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}

/// Whose messages are archived.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// The organization's name, for people.
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = rules::one_line()))]
    pub name: String,
    /// The domains whose addresses are the organization's users. Messages of these users, and of users that a UserAssignment
    /// names, are archived; nobody else's. A domain does not stand for those under it.
    #[schemars(length(min = 1, max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub domains: Vec<Domain>,
    /// Who is mailed at every failed delivery. Mails need the chart's value notify.host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Mailbox>", length(max = 20), extend("x-kubernetes-list-type" = "set"))]
    pub administrators: Vec<Address>,
}

/// Where messages are kept until they are delivered.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules::storage()))]
pub struct Storage {
    /// The size of the claim spool. It holds what comes in while an archive cannot be reached, for 90 days by default. To
    /// grow it the StorageClass must allow expansion.
    #[schemars(extend("x-kubernetes-validations" = rules::size("64Mi", "64Ti")))]
    pub size: ByteSize,
    /// The StorageClass of the claim spool. When unset: the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub storage_class_name: Option<String>,
    /// How long the content of a message is kept after its delivery. It is dropped earlier when the disk runs full.
    #[schemars(extend("x-kubernetes-validations" = rules::span("0s", "8760h")))]
    pub retain_delivered: Span,
    /// How long after its delivery a message can still say where it went. What waits or is held is never forgotten.
    #[schemars(extend("x-kubernetes-validations" = rules::span("2160h", "87600h")))]
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
    /// The largest request, before and after decompression.
    #[schemars(extend("x-kubernetes-validations" = rules::size("1Mi", "512Mi")))]
    pub max_request_bytes: ByteSize,
    /// Callers inside the cluster: the ServiceAccounts that may hand messages in, and the sources they may send. A caller
    /// shows a token for the audience imarchive.dev/NAMESPACE.
    #[schemars(length(max = 64))]
    pub clients: Vec<IngestClient>,
    /// Callers outside the cluster: a Secret with a token for each. The key is the caller's name, and the one source that it
    /// may send; the value is the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_secret_ref: Option<ObjectRef>,
    /// The certificate that callers see. When unset: one by the archiver's own CA, whose certificate is in the ConfigMap
    /// archiver-ca, key ca.crt.
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
    /// The namespace of the ServiceAccount. When unset: the Archiver's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = rules::namespace_name()))]
    pub namespace: Option<String>,
    /// The name of the ServiceAccount.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub service_account: String,
    /// The chat systems whose messages it may hand in, as the messages' field source names them.
    #[schemars(with = "Vec<Source>", length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub sources: Vec<String>,
}

/// The certificate that callers see.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngestTls {
    /// The Secret, of type kubernetes.io/tls and in this namespace. Until it is there nothing is taken; what was taken is
    /// delivered all the same.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub secret_name: String,
}

/// The Service in front of the archiver.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// How the Service archiver is reached. ClusterIP: from inside the cluster. NodePort: on a port of every node.
    /// LoadBalancer: through a load balancer.
    #[serde(rename = "type")]
    pub type_: ServiceType,
    /// Annotations for the Service, such as those that a load balancer reads.
    #[schemars(with = "BTreeMap<String, AnnotationValue>")]
    #[schemars(extend("maxProperties" = 32, "x-kubernetes-validations" = rules::annotations()))]
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
    /// The object's name. It is in the same namespace.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,
}

/// What is observed of an archiver.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiverStatus {
    /// The metadata.generation that this status speaks of; -1 before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: messages are taken. And while it is so, Reconciling (time is needed) or Stalled (a person is needed).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::list_schema")]
    pub conditions: Vec<Condition>,
    /// The default endpoint: that of users whom no UserAssignment names. While there is none, their messages are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub default_endpoint: Option<String>,
    /// The books: every message in exactly one state, and acknowledged = delivered + waiting + held + excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<MessageCounts>,
    /// How many users are archived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<UserCounts>,
    /// Since when messages cannot be made durable, so that their senders are answered 503; absent while they can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_durable_since: Option<Time>,
}

/// Messages by state. acknowledged = delivered + waiting + held + excluded at any moment.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageCounts {
    /// Messages that were taken, durably, since the spool began.
    pub acknowledged: i64,
    /// Messages that every archive they are for has taken.
    pub delivered: i64,
    /// Messages on their way: in an open window, in a batch that is not delivered yet, or unrouted.
    pub waiting: i64,
    /// Messages that need a person: their batch was refused or failed for too long, or their endpoint was deleted. They are
    /// kept.
    pub held: i64,
    /// Messages of which nobody is archived. That they were handed in is kept, their content is not.
    pub excluded: i64,
    /// Waiting messages whose users belong to no endpoint: there is no default, or an assignment names one that does not
    /// exist. They are kept, and sent once there is one.
    pub unrouted: i64,
}

/// Users by how they are known.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UserCounts {
    /// Users that a UserAssignment names.
    pub assigned: i64,
    /// Users in a message of the last 72 hours. Absent until the archiver has counted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active72h: Option<i64>,
}
