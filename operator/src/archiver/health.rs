//! How an Archiver's pod is, in one word and one sentence.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt;

use super::{names, observe::Observed};
use crate::{pods, status::shortened};

/// How the pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes messages.
    pub ready: bool,
    /// What time, or a person, is needed for.
    pub needs: Needs,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// What is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Time: it goes as it should.
    Time,
    /// Time, and luck: it failed and is tried again.
    Retries,
    /// A person.
    Person,
}

/// How the observed pod is.
pub fn health(observed: &Observed) -> Health {
    let say = |ready: bool, needs: Needs, reason: &str, message: String| Health {
        ready,
        needs,
        reason: reason.to_owned(),
        message,
    };
    let wait = |reason: &str, message: String| say(false, Needs::Time, reason, message);
    let pod = match (&observed.pod, observed.archiver.spec.paused) {
        (None, true) => {
            let message = "paused: nothing is taken and nothing delivered; the spool is kept".to_owned();
            return say(false, Needs::Nothing, "CommandedOutOfService", message);
        }
        (Some(_), true) => {
            return wait("CommandedOutOfService", "paused: the pod ends what it is doing".to_owned());
        }
        (None, false) => {
            let message = "the StatefulSet has made no pod yet; if it lasts: kubectl describe statefulset archiver";
            return wait("PodMissing", message.to_owned());
        }
        (Some(pod), false) => pod,
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return wait("PodTerminating", "the pod ends what it is doing; its successor follows".to_owned());
    }
    if is_ready(pod) {
        return match is_current(observed, pod) {
            true => say(true, Needs::Nothing, "PodReady", "messages are taken".to_owned()),
            false => say(true, Needs::Time, "RollingOut", "the pod is about to be replaced by its new form".to_owned()),
        };
    }
    if let Some(crash) = crash(pod) {
        return crash;
    }
    if let Some(problem) = pods::not_starting(pod) {
        let needs = match problem.reason.as_str() {
            "InvalidImageName" | "CreateContainerConfigError" | "ErrImageNeverPull" => Needs::Person,
            _ => Needs::Retries,
        };
        return say(false, needs, &problem.reason, problem.message);
    }
    wait("PodNotReady", "the pod starts, or is not ready; if it lasts: kubectl logs archiver-0".to_owned())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_current(observed: &Observed, pod: &Pod) -> bool {
    let wanted = observed.stateful_set.as_ref().and_then(|set| set.status.as_ref()?.update_revision.as_deref());
    wanted.is_none() || pod.labels().get("controller-revision-hash").map(String::as_str) == wanted
}

/// The last crash, when the container is down for it.
fn crash(pod: &Pod) -> Option<Health> {
    let container = pods::container(pod, names::CONTAINER)?;
    let state = container.state.as_ref();
    if state.is_some_and(|state| state.running.is_some()) {
        return None;
    }
    let now = state.and_then(|state| state.terminated.as_ref());
    let before = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended: &ContainerStateTerminated = now.or(before)?;
    let words = ended.message.as_deref().map(str::trim).unwrap_or_default();
    let words = shortened(words.lines().next_back().unwrap_or_default(), 400);
    let (needs, reason, meaning) = match ended.exit_code {
        0 => return None,
        2 => (Needs::Person, "UsageRefused", "the archiver does not know its arguments: operator and image differ"),
        3 => (Needs::Person, "SpoolUnusable", "the spool is unusable, or was written by a newer version"),
        4 => (Needs::Retries, "CommitFailed", "the disk failed while messages were written; it recovers at its start"),
        _ if ended.reason.as_deref() == Some("OOMKilled") => {
            (Needs::Person, "OOMKilled", "the archiver needs more memory than resources.limits gives it")
        }
        _ => (Needs::Retries, "Crashed", "the archiver ended unexpectedly"),
    };
    let message = format!("{meaning} (exit code {}, {} restarts): {words}", ended.exit_code, container.restart_count);
    Some(Health { ready: false, needs, reason: reason.to_owned(), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn observed(paused: bool, status: Option<Value>) -> Observed {
        let pod = status.map(|status| {
            let pod = json!({"metadata": {"name": "archiver-0"}, "status": status});
            std::sync::Arc::new(serde_json::from_value(pod).expect("a pod"))
        });
        Observed {
            archiver: serde_json::from_value(json!({
                "apiVersion": "imarchive.dev/v1alpha1", "kind": "Archiver",
                "metadata": {"name": "archiver", "namespace": "acme"},
                "spec": {"organization": {"name": "Acme", "domains": ["acme.example"]}, "paused": paused}
            }))
            .expect("an Archiver"),
            endpoints: vec![],
            unreadable: [].into(),
            assigned: 0,
            claim: None,
            stateful_set: None,
            pod,
        }
    }

    fn verdict(status: Value) -> (bool, Needs, String) {
        let health = health(&observed(false, Some(status)));
        (health.ready, health.needs, health.reason)
    }

    fn container(state: Value, last: Value) -> Value {
        json!({"containerStatuses": [{"name": "archiver", "image": "", "imageID": "", "ready": false,
            "restartCount": 3, "state": state, "lastState": last}]})
    }

    #[test]
    fn a_paused_archiver_is_out_of_service_and_needs_nothing() {
        let health = health(&observed(true, None));
        assert_eq!((health.needs, health.reason.as_str()), (Needs::Nothing, "CommandedOutOfService"));
    }

    #[test]
    fn a_ready_pod_is_ready() {
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(verdict(ready), (true, Needs::Nothing, "PodReady".to_owned()));
    }

    #[test]
    fn exit_code_3_needs_a_person() {
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let ended = json!({"terminated": {"exitCode": 3, "message": "first\nspool.db: schema 9 is newer\n"}});
        let health = health(&observed(false, Some(container(waiting, ended))));
        assert_eq!((health.needs, health.reason.as_str()), (Needs::Person, "SpoolUnusable"));
        assert!(health.message.ends_with("schema 9 is newer"), "{}", health.message);
    }

    #[test]
    fn an_image_that_cannot_be_pulled_and_a_node_that_is_missing_are_named() {
        let pull = container(json!({"waiting": {"reason": "ImagePullBackOff", "message": "x"}}), json!({}));
        assert_eq!(verdict(pull), (false, Needs::Retries, "ImagePullBackOff".to_owned()));
        let nowhere = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
        assert_eq!(verdict(nowhere), (false, Needs::Retries, "Unschedulable".to_owned()));
    }
}
