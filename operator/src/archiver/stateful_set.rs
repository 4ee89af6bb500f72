//! The StatefulSet of an Archiver. Only arguments, volumes and the downward API configure its pod.

use imarchive_crds::ARCHIVER;
use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec},
        core::v1::{
            Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, ObjectFieldSelector,
            PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, Probe, SecretProjection, SecretVolumeSource,
            Volume, VolumeProjection,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::{
    names::{self, metadata},
    observe::Observed,
    rollout,
};
use crate::{
    pods::{self, Files},
    settings::Workload,
};

const SPOOL: &str = "/var/lib/imarchive";
const TOKENS: &str = "/etc/imarchive/tokens";
const TLS: &str = "/etc/imarchive/tls";
/// On the pod template: the UID of the ServiceAccount whose token it has.
const ACCOUNT: &str = "imarchive.dev/service-account-uid";
/// Deliveries that are under way get to their reply.
const GRACE: i64 = 60;

/// The StatefulSet.
pub fn build(observed: &Observed, workload: &Workload) -> StatefulSet {
    let spec = &observed.archiver.spec;
    let files = files(observed, workload);
    let mut annotations = files.annotations.clone();
    // A token is bound to the account's UID: one that was made anew locks the pod of before out.
    annotations.extend(observed.account.iter().map(|uid| (ACCOUNT.to_owned(), uid.clone())));
    let template_metadata = ObjectMeta {
        labels: Some(pods::labels(ARCHIVER)),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        ..ObjectMeta::default()
    };
    let pod = PodSpec {
        service_account_name: Some(ARCHIVER.to_owned()),
        automount_service_account_token: Some(true),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE),
        security_context: Some(pods::pod_security()),
        image_pull_secrets: pods::pull_secrets(workload, &spec.image_pull_secrets),
        node_selector: Some(spec.node_selector.clone()).filter(|selector| !selector.is_empty()),
        tolerations: Some(spec.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
        affinity: spec.affinity.clone(),
        containers: vec![container(observed, workload, &files)],
        volumes: Some(files.volumes),
        ..PodSpec::default()
    };
    StatefulSet {
        metadata: ObjectMeta {
            annotations: Some(rollout::Given::of(workload).mark()),
            ..metadata(&observed.archiver, ARCHIVER)
        },
        spec: Some(StatefulSetSpec {
            replicas: Some(if spec.paused { 0 } else { 1 }),
            service_name: Some(ARCHIVER.to_owned()),
            // A pod that never became ready must not keep its successor from replacing it.
            pod_management_policy: Some("Parallel".to_owned()),
            selector: LabelSelector { match_labels: Some(pods::labels(ARCHIVER)), match_expressions: None },
            template: PodTemplateSpec { metadata: Some(template_metadata), spec: Some(pod) },
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn files(observed: &Observed, workload: &Workload) -> Files {
    let ingest = &observed.archiver.spec.ingest;
    let mut files = Files::with_arguments(&["run", "--spool", SPOOL]);
    let claim = PersistentVolumeClaimVolumeSource { claim_name: names::CLAIM.to_owned(), read_only: None };
    let spool = Volume { name: "spool".to_owned(), persistent_volume_claim: Some(claim), ..Volume::default() };
    files.mount(SPOOL, spool, false);
    files.credentials(observed.credentials().iter().map(String::as_str));
    let tokens = ingest.tokens_secret_ref.iter().map(|secret| VolumeProjection {
        secret: Some(SecretProjection { name: secret.name.clone(), optional: Some(true), items: None }),
        ..VolumeProjection::default()
    });
    files.projected("tokens", TOKENS, tokens.collect());
    files.arguments.extend(["--tokens".to_owned(), TOKENS.to_owned()]);
    files.arguments.extend(["--listen".to_owned(), format!("0.0.0.0:{}", names::HTTPS)]);
    files.arguments.extend(["--metrics".to_owned(), format!("0.0.0.0:{}", names::METRICS)]);
    files.roots(workload);
    if let Some(tls) = &ingest.tls {
        let secret = SecretVolumeSource {
            secret_name: Some(tls.secret_name.clone()),
            default_mode: Some(0o440),
            // Without it nothing is ingested, and still everything is delivered.
            optional: Some(true),
            items: None,
        };
        files.mount(TLS, Volume { name: "tls".to_owned(), secret: Some(secret), ..Volume::default() }, true);
        files.arguments.extend(["--tls-certificate".to_owned(), format!("{TLS}/tls.crt")]);
        files.arguments.extend(["--tls-key".to_owned(), format!("{TLS}/tls.key")]);
    }
    files
}

fn container(observed: &Observed, workload: &Workload, files: &Files) -> Container {
    let downward = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let port = |name: &str, port: i32| ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let probe = |path: &str, period: i32, failures: i32| Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(names::METRICS),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    };
    Container {
        name: names::CONTAINER.to_owned(),
        image: Some(workload.image.clone()),
        image_pull_policy: Some(workload.pull_policy.name().to_owned()),
        command: Some(vec!["/archiver".to_owned()]),
        args: Some(files.arguments.clone()),
        env: Some(vec![downward("POD_NAME", "metadata.name"), downward("POD_NAMESPACE", "metadata.namespace")]),
        ports: Some(vec![port("https", names::HTTPS), port("metrics", names::METRICS)]),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        // Patient: a restart never makes a slow disk faster.
        liveness_probe: Some(probe("/livez", 10, 6)),
        resources: observed.archiver.spec.resources.clone(),
        security_context: Some(pods::container_security()),
        // What is known of a crash, for the status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(files.mounts.clone()),
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::PullPolicy;
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn observed(spec: Value, endpoints: &[(&str, &str)]) -> Observed {
        let mut archiver = json!({
            "apiVersion": "imarchive.dev/v1alpha1", "kind": "Archiver",
            "metadata": {"name": "archiver", "namespace": "acme", "uid": "u-1"},
            "spec": {"organization": {"name": "Acme", "domains": ["acme.example"]}}
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            archiver["spec"][key] = value.clone();
        }
        let endpoint = |(name, secret): &(&str, &str)| {
            let endpoint = serde_json::from_value(json!({
                "apiVersion": "imarchive.dev/v1alpha1", "kind": "ArchivingEndpoint",
                "metadata": {"name": name, "namespace": "acme"},
                "spec": {"type": "SecureSMTP", "smtp": {"host": "a.example", "from": "a@b.example",
                    "recipients": ["c@d.example"], "credentialsSecretRef": {"name": secret}}}
            }));
            Arc::new(DeserializeGuard(Ok(endpoint.expect("an endpoint"))))
        };
        Observed {
            archiver: serde_json::from_value(archiver).expect("an Archiver"),
            endpoints: endpoints.iter().map(endpoint).collect(),
            assigned: 0,
            account: None,
            claim: None,
            stateful_set: None,
            pod: None,
        }
    }

    fn workload(roots: Option<&str>) -> Workload {
        Workload {
            image: "imarchive:dev".to_owned(),
            pull_policy: PullPolicy::IfNotPresent,
            pull_secrets: vec![],
            extra_roots: roots.map(str::to_owned),
        }
    }

    fn json_of(observed: &Observed, roots: Option<&str>) -> Value {
        serde_json::to_value(build(observed, &workload(roots))).expect("JSON")
    }

    #[test]
    fn the_order_and_number_of_endpoints_with_the_same_secrets_change_nothing() {
        let one = observed(json!({}), &[("a", "x"), ("b", "y")]);
        let other = observed(json!({}), &[("b", "x"), ("a", "y"), ("c", "x")]);
        assert_eq!(json_of(&one, None), json_of(&other, None));
    }

    #[test]
    fn a_paused_archiver_keeps_its_set_and_has_no_pod() {
        assert_eq!(json_of(&observed(json!({"paused": true}), &[]), None)["spec"]["replicas"], 0);
    }

    #[test]
    fn an_account_that_was_made_anew_rolls_the_pod() {
        let with = |uid: &str| Observed { account: Some(uid.to_owned()), ..observed(json!({}), &[]) };
        let template = |uid: &str| json_of(&with(uid), None)["spec"]["template"].clone();
        assert_eq!(template("u-1"), template("u-1"));
        assert_ne!(template("u-1"), template("u-2"));
    }

    #[test]
    fn roots_travel_as_an_annotation_that_is_shown_as_a_file() {
        let set = json_of(&observed(json!({}), &[]), Some("PEM"));
        let template = &set["spec"]["template"];
        assert_eq!(template["metadata"]["annotations"]["imarchive.dev/extra-roots"], "PEM");
        let arguments = template["spec"]["containers"][0]["args"].to_string();
        assert!(arguments.contains(r#""--extra-roots","/etc/imarchive/roots/extra.pem""#), "{arguments}");
    }

    #[test]
    fn no_environment_but_the_downward_api() {
        let set = json_of(&observed(json!({}), &[]), None);
        let environment = set["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("a list").clone();
        assert!(environment.iter().all(|variable| variable.get("value").is_none()), "{environment:?}");
    }
}
