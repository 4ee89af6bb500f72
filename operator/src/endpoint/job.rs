//! The probe's Job. All that it needs travels in its pod template, which nobody can change afterwards.

use imarchive_crds::{ArchivingEndpoint, ENDPOINT_LABEL};
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{Container, PodSpec, PodTemplateSpec, ResourceRequirements},
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use kube::{Resource, ResourceExt};

use super::{
    facts::{ANSWERS, CONNECTION, CONTAINER, PREVIOUS},
    observe::Observed,
    test::Plan,
};
use crate::{
    archiver::names,
    error::Error,
    pods::{self, Files},
    settings::Workload,
};

const ENDPOINT: &str = "imarchive.dev/endpoint-yaml";
const FOLDER: &str = "/etc/imarchive/endpoint";
const FILE: &str = "endpoint.yaml";
const REPORT: &str = "/dev/termination-log";
/// The probe bounds itself to 60 s; the rest is for the image.
const DEADLINE: i64 = 300;
const KEPT: i32 = 600;

/// The Job of `plan`.
pub fn build(observed: &Observed, plan: &Plan, workload: &Workload) -> Result<Job, Error> {
    let archiver = observed.archiver.as_ref().map(|archiver| &archiver.spec);
    let files = files(observed, workload)?;
    let mut labels = pods::labels(CONTAINER);
    labels.insert(ENDPOINT_LABEL.to_owned(), observed.name.clone());
    let mut annotations = files.annotations.clone();
    annotations.insert(CONNECTION.to_owned(), observed.fingerprint.clone());
    annotations.insert(PREVIOUS.to_owned(), plan.previous.clone());
    annotations.extend(plan.answers.clone().map(|answers| (ANSWERS.to_owned(), answers)));

    let pod = PodSpec {
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(names::PROBE.to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(5),
        security_context: Some(pods::pod_security()),
        image_pull_secrets: pods::pull_secrets(workload, archiver.map_or(&[], |spec| &spec.image_pull_secrets)),
        // Where the archiver runs, so that the test sees the network that the delivery will see.
        node_selector: archiver.map(|spec| spec.node_selector.clone()).filter(|selector| !selector.is_empty()),
        tolerations: archiver.map(|spec| spec.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
        affinity: archiver.and_then(|spec| spec.affinity.clone()),
        containers: vec![container(workload, &files)],
        volumes: Some(files.volumes),
        ..PodSpec::default()
    };
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(plan.name.clone()),
            namespace: Some(observed.namespace.clone()),
            labels: Some(labels.clone()),
            owner_references: observed.endpoint.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            active_deadline_seconds: Some(DEADLINE),
            ttl_seconds_after_finished: Some(KEPT),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

fn files(observed: &Observed, workload: &Workload) -> Result<Files, Error> {
    let mut files = Files::with_arguments(&["probe", "--endpoint", &format!("{FOLDER}/{FILE}")]);
    files.annotation("endpoint", ENDPOINT, yaml(&observed.endpoint)?, FOLDER, FILE);
    let secret = observed.server.as_ref().ok().and_then(|server| server.credentials.as_deref());
    files.credentials(secret);
    files.roots(workload);
    files.arguments.extend(["--report".to_owned(), REPORT.to_owned()]);
    Ok(files)
}

/// The endpoint as the probe needs it: without what others wrote on it.
fn yaml(endpoint: &ArchivingEndpoint) -> Result<String, Error> {
    let mut bare = ArchivingEndpoint::new(&endpoint.name_any(), endpoint.spec.clone());
    bare.metadata.namespace = endpoint.namespace();
    bare.metadata.uid = endpoint.uid();
    bare.metadata.generation = endpoint.metadata.generation;
    serde_yaml_ng::to_string(&bare).map_err(|error| Error::Encode {
        what: format!("ArchivingEndpoint {}", endpoint.name_any()),
        message: error.to_string(),
    })
}

fn container(workload: &Workload, files: &Files) -> Container {
    let quantities = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect())
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(workload.image.clone()),
        image_pull_policy: Some(workload.pull_policy.name().to_owned()),
        command: Some(vec!["/archiver".to_owned()]),
        args: Some(files.arguments.clone()),
        resources: Some(ResourceRequirements {
            requests: quantities(&[("cpu", "10m"), ("memory", "32Mi")]),
            limits: quantities(&[("cpu", "500m"), ("memory", "128Mi")]),
            claims: None,
        }),
        security_context: Some(pods::container_security()),
        termination_message_path: Some(REPORT.to_owned()),
        // A probe that breaks is explained by its last words.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(files.mounts.clone()),
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::facts::Facts;
    use crate::{endpoint::test::Trigger, settings::PullPolicy};
    use serde_json::json;

    #[test]
    fn a_job_says_what_it_was_started_with() {
        let observed = crate::endpoint::test::tests::observed();
        let plan = Plan {
            name: "journal-0123".to_owned(),
            trigger: Trigger::Connection,
            previous: "none".to_owned(),
            answers: Some("x".to_owned()),
        };
        let workload = Workload {
            image: "imarchive:dev".to_owned(),
            pull_policy: PullPolicy::IfNotPresent,
            pull_secrets: vec![],
            extra_roots: Some("PEM".to_owned()),
        };
        let job = build(&observed, &plan, &workload).expect("it can be written");
        let facts = Facts::of(&job).expect("it is a probe");
        assert_eq!((facts.connection, facts.previous), (observed.fingerprint, plan.previous));
        assert_eq!(facts.answers, plan.answers);
        let shown: Vec<_> = facts.shown.keys().map(String::as_str).collect();
        assert_eq!(shown, [ENDPOINT, "imarchive.dev/extra-roots"]);
        let read: ArchivingEndpoint = serde_yaml_ng::from_str(&facts.shown[ENDPOINT]).expect("an endpoint");
        assert_eq!(read.spec, observed.endpoint.spec);
        let json = serde_json::to_value(&job).expect("JSON");
        assert_eq!(json["spec"]["template"]["spec"]["automountServiceAccountToken"], json!(false));
    }
}
