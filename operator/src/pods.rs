//! What the archiver's pods and the probes' pods have in common: labels, security, roots, and why one does not start.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::batch::v1::{Job, JobCondition},
    api::core::v1::{
        Capabilities, ContainerState, ContainerStatus, DownwardAPIVolumeFile, DownwardAPIVolumeSource, KeyToPath,
        LocalObjectReference, ObjectFieldSelector, Pod, PodSecurityContext, ProjectedVolumeSource, SeccompProfile,
        SecretProjection, SecurityContext, Volume, VolumeMount, VolumeProjection,
    },
};

use crate::{settings::Workload, status::quoted};

/// On every pod of imarchive.
pub const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "imarchive");
/// Where credentials are, as `SECRET/username` and `SECRET/password`.
pub const CREDENTIALS: &str = "/etc/imarchive/credentials";
/// On a pod template: further trusted CAs.
const ROOTS_ANNOTATION: &str = "imarchive.dev/extra-roots";
const ROOTS_FOLDER: &str = "/etc/imarchive/roots";
const ROOTS_FILE: &str = "extra.pem";
const USER: i64 = 65532;

/// The labels of an object of the component `component`.
pub fn labels(component: &str) -> BTreeMap<String, String> {
    let pairs = [("app.kubernetes.io/name", component), PART_OF, ("app.kubernetes.io/managed-by", crate::MANAGER)];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// What the restricted Pod Security Standard asks of a pod.
pub fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        // A spool of millions of pages is not walked at every start.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

/// What the restricted Pod Security Standard asks of a container.
pub fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

/// The Secrets that the image is pulled with: the operator's and the Archiver's.
pub fn pull_secrets(workload: &Workload, own: &[LocalObjectReference]) -> Option<Vec<LocalObjectReference>> {
    let mut names: Vec<String> =
        workload.pull_secrets.iter().cloned().chain(own.iter().map(|secret| secret.name.clone())).collect();
    names.sort();
    names.dedup();
    let references: Vec<_> = names.into_iter().map(|name| LocalObjectReference { name }).collect();
    Some(references).filter(|references| !references.is_empty())
}

/// Parts of a pod that files come from: the volumes with their mounts, and the annotations that they show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Files {
    /// The template's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The pod's volumes.
    pub volumes: Vec<Volume>,
    /// The container's mounts.
    pub mounts: Vec<VolumeMount>,
    /// The container's arguments that name the files.
    pub arguments: Vec<String>,
}

impl Files {
    /// No files, and the arguments that come before those of files.
    pub fn with_arguments(arguments: &[&str]) -> Self {
        Self { arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(), ..Self::default() }
    }

    /// Mounts the Secrets `names` as files that may be missing. One volume holds them all, so that only a new name
    /// changes the template; new content reaches a running pod.
    pub fn credentials<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let keys = |name: &str| {
            ["username", "password"]
                .map(|key| KeyToPath { key: key.to_owned(), path: format!("{name}/{key}"), mode: None })
                .to_vec()
        };
        let sources = names.into_iter().map(|name| VolumeProjection {
            secret: Some(SecretProjection { name: name.to_owned(), optional: Some(true), items: Some(keys(name)) }),
            ..VolumeProjection::default()
        });
        self.projected("credentials", CREDENTIALS, sources.collect());
        self.arguments.extend(["--credentials".to_owned(), CREDENTIALS.to_owned()]);
    }

    /// Mounts a projected volume at `folder`.
    pub fn projected(&mut self, name: &str, folder: &str, sources: Vec<VolumeProjection>) {
        self.mount(
            folder,
            Volume {
                name: name.to_owned(),
                projected: Some(ProjectedVolumeSource { sources: Some(sources), default_mode: Some(0o440) }),
                ..Volume::default()
            },
            true,
        );
    }

    /// Hands on further trusted CAs, if there are any.
    pub fn roots(&mut self, workload: &Workload) {
        let Some(roots) = &workload.extra_roots else { return };
        self.annotation("roots", ROOTS_ANNOTATION, roots.clone(), ROOTS_FOLDER, ROOTS_FILE);
        self.arguments.extend(["--extra-roots".to_owned(), format!("{ROOTS_FOLDER}/{ROOTS_FILE}")]);
    }

    /// Puts `value` into the template as an annotation and shows it to the container as a file.
    pub fn annotation(&mut self, volume: &str, annotation: &str, value: String, folder: &str, file: &str) {
        self.annotations.insert(annotation.to_owned(), value);
        let item = DownwardAPIVolumeFile {
            path: file.to_owned(),
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: format!("metadata.annotations['{annotation}']"),
            }),
            ..DownwardAPIVolumeFile::default()
        };
        self.mount(
            folder,
            Volume {
                name: volume.to_owned(),
                downward_api: Some(DownwardAPIVolumeSource { items: Some(vec![item]), default_mode: Some(0o440) }),
                ..Volume::default()
            },
            true,
        );
    }

    /// Mounts `volume` at `folder`.
    pub fn mount(&mut self, folder: &str, volume: Volume, read_only: bool) {
        self.mounts.push(VolumeMount {
            name: volume.name.clone(),
            mount_path: folder.to_owned(),
            read_only: read_only.then_some(true),
            ..VolumeMount::default()
        });
        self.volumes.push(volume);
    }
}

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Kubernetes' word for it.
    pub reason: String,
    /// Kubernetes' words about it.
    pub message: String,
}

impl Problem {
    /// Both in one line, without a full stop.
    pub fn words(&self) -> String {
        match quoted(&self.message) {
            message if message.is_empty() => self.reason.clone(),
            message => format!("{}: {message}", self.reason),
        }
    }
}

/// Whether `pod` is ready, and stays.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether no node takes `pod`.
pub fn is_unschedulable(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
}

/// Why `pod` does not start, when it is more than being on its way.
pub fn not_starting(pod: &Pod) -> Option<Problem> {
    let status = pod.status.as_ref()?;
    let scheduled = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled");
    if let Some(condition) = scheduled.filter(|condition| condition.status == "False") {
        return Some(Problem {
            reason: condition.reason.clone().unwrap_or_else(|| "Unschedulable".to_owned()),
            message: condition.message.clone().unwrap_or_default(),
        });
    }
    let waiting = status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.clone()?;
        Some(settled(Problem { reason, message: waiting.message.clone().unwrap_or_default() }))
    });
    waiting.filter(|problem| !["ContainerCreating", "PodInitializing"].contains(&problem.reason.as_str()))
}

/// While an image cannot be pulled, kubelet alternates between two ways to say so; here it is one.
fn settled(problem: Problem) -> Problem {
    if problem.reason != "ErrImagePull" && problem.reason != "ImagePullBackOff" {
        return problem;
    }
    let words = problem.message.split_once(": ErrImagePull: ").map(|(_, words)| words.to_owned());
    Problem { reason: "ImagePullBackOff".to_owned(), message: words.unwrap_or(problem.message) }
}

/// The status of the container `name` of `pod`.
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    pod.status.as_ref()?.container_statuses.iter().flatten().find(|container| container.name == name)
}

/// The state of the container `name` of `pod`.
pub fn state<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerState> {
    container(pod, name)?.state.as_ref()
}

/// The condition by which a Job is over.
pub fn finished(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn waiting(reason: &str, message: &str) -> Option<Problem> {
        let pod = json!({"metadata": {}, "status": {"containerStatuses": [{"name": "a", "image": "", "imageID": "",
            "ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}}]}});
        not_starting(&serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_told_in_one_way() {
        let first = waiting("ErrImagePull", "not found");
        let second = waiting("ImagePullBackOff", "Back-off pulling image \"x\": ErrImagePull: not found");
        assert_eq!(first, second);
    }

    #[test]
    fn being_on_its_way_is_no_problem() {
        assert_eq!(waiting("ContainerCreating", ""), None);
    }
}
