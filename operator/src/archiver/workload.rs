//! What an Archiver owns, built from what was observed. Nothing here can fail.

use imarchive_crds::{ARCHIVER, Archiver, ArchivingEndpoint, ServiceType};
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{
            ConfigMap, PersistentVolumeClaim, PersistentVolumeClaimSpec, Service, ServiceAccount, ServicePort,
            ServiceSpec, VolumeResourceRequirements,
        },
        networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPort, NetworkPolicySpec},
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};
use kube::{Resource, ResourceExt};

use super::{
    names::{self, metadata},
    observe::Observed,
    stateful_set,
};
use crate::{pods, settings::Workload};

/// What an Archiver owns.
#[allow(missing_docs, reason = "the names say it")]
pub struct Owned {
    pub account: ServiceAccount,
    pub probe_account: ServiceAccount,
    pub role_binding: RoleBinding,
    pub config_map: ConfigMap,
    pub service: Service,
    pub network_policy: NetworkPolicy,
    pub claim: PersistentVolumeClaim,
    pub stateful_set: StatefulSet,
}

/// All of it.
pub fn build(observed: &Observed, workload: &Workload) -> Owned {
    let archiver = &observed.archiver;
    Owned {
        account: account(archiver),
        probe_account: probe_account(observed.namespace(), Some(archiver), &[]),
        role_binding: role_binding(archiver),
        config_map: ConfigMap { metadata: metadata(archiver, names::CA), ..ConfigMap::default() },
        service: service(archiver),
        network_policy: network_policy(archiver),
        claim: claim(archiver, observed.claim.as_deref()),
        stateful_set: stateful_set::build(observed, workload),
    }
}

/// The ServiceAccount of a namespace's probes. It goes with the Archiver; where there is none, with the last endpoint.
pub fn probe_account(namespace: &str, archiver: Option<&Archiver>, endpoints: &[&ArchivingEndpoint]) -> ServiceAccount {
    let owners: Vec<OwnerReference> = match archiver {
        Some(archiver) => archiver.controller_owner_ref(&()).into_iter().collect(),
        None => endpoints.iter().filter_map(|endpoint| endpoint.owner_ref(&())).collect(),
    };
    ServiceAccount {
        metadata: ObjectMeta {
            name: Some(names::PROBE.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(pods::labels("probe")),
            owner_references: Some(owners),
            ..ObjectMeta::default()
        },
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

fn account(archiver: &Archiver) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(archiver, ARCHIVER),
        // The archiver's own pod asks for the token; another pod that borrows the account gets none unasked.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

fn role_binding(archiver: &Archiver) -> RoleBinding {
    RoleBinding {
        metadata: metadata(archiver, ARCHIVER),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: names::CLUSTER_ROLE.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: ARCHIVER.to_owned(),
            namespace: archiver.namespace(),
            ..Subject::default()
        }]),
    }
}

fn service(archiver: &Archiver) -> Service {
    let port = |name: &str, port: i32, target: i32| ServicePort {
        name: Some(name.to_owned()),
        port,
        target_port: Some(IntOrString::Int(target)),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let asked = &archiver.spec.ingest.service;
    let mut metadata = metadata(archiver, ARCHIVER);
    metadata.annotations = Some(asked.annotations.clone()).filter(|annotations| !annotations.is_empty());
    let type_ = match asked.type_ {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(type_.to_owned()),
            selector: Some(pods::labels(ARCHIVER)),
            ports: Some(vec![port("https", 443, names::HTTPS), port("metrics", names::METRICS, names::METRICS)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Ingress only: where mail goes is the namespace's own business.
fn network_policy(archiver: &Archiver) -> NetworkPolicy {
    let port = |port: i32| NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    };
    NetworkPolicy {
        metadata: metadata(archiver, ARCHIVER),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector { match_labels: Some(pods::labels(ARCHIVER)), match_expressions: None }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: None,
                ports: Some(vec![port(names::HTTPS), port(names::METRICS)]),
            }]),
            egress: None,
        }),
    }
}

/// The claim. One that is there is adopted: what cannot be changed is left as it is, and its size only grows.
fn claim(archiver: &Archiver, existing: Option<&PersistentVolumeClaim>) -> PersistentVolumeClaim {
    let storage = &archiver.spec.storage;
    let wanted = Quantity(storage.size.to_string());
    let spec = existing.and_then(|claim| claim.spec.as_ref());
    let current = spec
        .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"))
        .filter(|current| imarchive_crds::ByteSize::parse(&current.0).is_ok_and(|c| c.bytes() > storage.size.bytes()));
    let size = current.cloned().unwrap_or(wanted);
    PersistentVolumeClaim {
        metadata: ObjectMeta { owner_references: None, ..metadata(archiver, names::CLAIM) },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: spec
                .and_then(|spec| spec.access_modes.clone())
                .or_else(|| Some(vec!["ReadWriteOnce".to_owned()])),
            storage_class_name: match spec {
                Some(spec) => spec.storage_class_name.clone(),
                None => storage.storage_class_name.clone(),
            },
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), size)].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn archiver(size: &str) -> Archiver {
        serde_json::from_value(json!({
            "apiVersion": "imarchive.dev/v1alpha1", "kind": "Archiver",
            "metadata": {"name": "archiver", "namespace": "acme", "uid": "u-1"},
            "spec": {"organization": {"name": "Acme", "domains": ["acme.example"]}, "storage": {"size": size}}
        }))
        .expect("an Archiver")
    }

    fn existing(size: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": "spool"},
            "spec": {"storageClassName": "old", "accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": size}}}
        }))
        .expect("a claim")
    }

    fn size(claim: &PersistentVolumeClaim) -> String {
        let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
        requests.expect("it asks for something")["storage"].0.clone()
    }

    #[test]
    fn the_claim_has_no_owner_and_everything_else_has_the_archiver() {
        assert_eq!(claim(&archiver("1Gi"), None).metadata.owner_references, None);
        let owners = service(&archiver("1Gi")).metadata.owner_references.expect("owned");
        assert_eq!(owners[0].uid, "u-1");
    }

    #[test]
    fn a_claim_that_is_there_is_adopted_and_only_grows() {
        let adopted = claim(&archiver("1Gi"), Some(&existing("2Gi")));
        assert_eq!(size(&adopted), "2Gi");
        let spec = adopted.spec.clone().expect("a spec");
        assert_eq!(spec.storage_class_name.as_deref(), Some("old"));
        assert_eq!(spec.access_modes, Some(vec!["ReadWriteOncePod".to_owned()]));
        assert_eq!(size(&claim(&archiver("3Gi"), Some(&existing("2Gi")))), "3Gi");
    }

    #[test]
    fn the_probes_account_goes_with_the_archiver_or_else_with_the_endpoints() {
        let endpoint: ArchivingEndpoint = serde_json::from_value(json!({
            "apiVersion": "imarchive.dev/v1alpha1", "kind": "ArchivingEndpoint",
            "metadata": {"name": "a", "namespace": "acme", "uid": "u-2"}, "spec": {"type": "SecureSMTP"}
        }))
        .expect("an endpoint");
        let owner = |account: ServiceAccount| account.metadata.owner_references.expect("owned")[0].uid.clone();
        assert_eq!(owner(probe_account("acme", Some(&archiver("1Gi")), &[&endpoint])), "u-1");
        assert_eq!(owner(probe_account("acme", None, &[&endpoint])), "u-2");
    }
}
