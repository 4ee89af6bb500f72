//! How an Archiver's pod is, in one word and one sentence.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt;

use super::{names, observe::Observed};
use crate::{
    pods,
    status::{ConditionReason, quoted, second},
};

/// How the pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes messages.
    pub ready: bool,
    /// What time, or a person, is needed for.
    pub needs: Needs,
    /// One word.
    pub reason: ConditionReason,
    /// What happened, and what to do.
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

impl Health {
    fn of(ready: bool, needs: Needs, reason: ConditionReason) -> Self {
        Self { ready, needs, message: reason.sentence(), reason }
    }

    fn down(needs: Needs, reason: ConditionReason, sentence: String) -> Self {
        Self { ready: false, needs, message: reason.with(sentence), reason }
    }
}

/// How the observed pod is.
pub fn health(observed: &Observed) -> Health {
    let wait = |reason: ConditionReason| Health::of(false, Needs::Time, reason);
    let pod = match (&observed.pod, observed.archiver.spec.paused) {
        (None, true) => return Health::of(false, Needs::Nothing, ConditionReason::CommandedOutOfService),
        (Some(_), true) => return wait(ConditionReason::CommandedOutOfService),
        (None, false) => return wait(ConditionReason::PodMissing),
        (Some(pod), false) => pod,
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return wait(ConditionReason::PodTerminating);
    }
    if pods::is_ready(pod) {
        if let Some(not_durable) = not_durable(observed) {
            return not_durable;
        }
        return match is_current(observed, pod) {
            true => Health::of(true, Needs::Nothing, ConditionReason::PodReady),
            false => Health::of(true, Needs::Time, ConditionReason::RollingOut),
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
        let sentence = format!("The pod does not run: {}.", problem.words());
        return Health::down(needs, ConditionReason::of_kubernetes(&problem.reason), sentence);
    }
    wait(ConditionReason::PodNotReady)
}

/// By the word of the pod, which is the one that knows.
fn not_durable(observed: &Observed) -> Option<Health> {
    let since = observed.archiver.status.as_ref()?.not_durable_since.as_ref()?;
    let since = second(since);
    let reason = ConditionReason::NotDurable;
    Some(Health::down(Needs::Person, reason.clone(), format!("Since {since} nothing is taken. {}", reason.meaning())))
}

fn is_current(observed: &Observed, pod: &Pod) -> bool {
    let wanted = observed.stateful_set.as_ref().and_then(|set| set.status.as_ref()?.update_revision.as_deref());
    wanted.is_none() || pod.labels().get("controller-revision-hash").map(String::as_str) == wanted
}

/// The last crash, when the container is down for it.
fn crash(pod: &Pod) -> Option<Health> {
    let container = pods::container(pod, names::CONTAINER)?;
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref()?.reason.as_deref());
    // What else it waits for keeps it from starting, whatever ended it before.
    if state.is_some_and(|state| state.running.is_some()) || waiting.is_some_and(|why| why != "CrashLoopBackOff") {
        return None;
    }
    let now = state.and_then(|state| state.terminated.as_ref());
    let before = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended: &ContainerStateTerminated = now.or(before)?;
    let (needs, reason) = match ended.exit_code {
        0 => return None,
        2 => (Needs::Person, ConditionReason::UsageRefused),
        3 => (Needs::Person, ConditionReason::SpoolUnusable),
        4 => (Needs::Retries, ConditionReason::CommitFailed),
        _ if ended.reason.as_deref() == Some("OOMKilled") => (Needs::Person, ConditionReason::OOMKilled),
        _ => (Needs::Retries, ConditionReason::Crashed),
    };
    let words = ended.message.as_deref().and_then(|words| words.trim().lines().next_back()).unwrap_or_default();
    let words = match quoted(words) {
        words if words.is_empty() => String::new(),
        words => format!(" Its last words: {words}."),
    };
    let (meaning, code, restarts) = (reason.meaning(), ended.exit_code, container.restart_count);
    Some(Health::down(needs, reason, format!("{meaning} Exit code {code}, {restarts} restarts.{words}")))
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
            assigned: 0,
            account: None,
            claim: None,
            stateful_set: None,
            pod,
        }
    }

    fn verdict(status: Value) -> (bool, Needs, String) {
        let health = health(&observed(false, Some(status)));
        (health.ready, health.needs, health.reason.to_string())
    }

    fn container(state: Value, last: Value) -> Value {
        json!({"containerStatuses": [{"name": "archiver", "image": "", "imageID": "", "ready": false,
            "restartCount": 3, "state": state, "lastState": last}]})
    }

    #[test]
    fn a_paused_archiver_is_out_of_service_and_needs_nothing() {
        let health = health(&observed(true, None));
        assert_eq!((health.needs, health.reason), (Needs::Nothing, ConditionReason::CommandedOutOfService));
    }

    #[test]
    fn a_ready_pod_is_ready() {
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(verdict(ready), (true, Needs::Nothing, "PodReady".to_owned()));
    }

    #[test]
    fn a_pod_that_cannot_make_messages_durable_needs_a_person_and_says_since_when() {
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let mut observed = observed(false, Some(ready));
        let status = json!({"notDurableSince": "2026-11-23T09:00:00Z"});
        observed.archiver.status = Some(serde_json::from_value(status).expect("a status"));
        let health = health(&observed);
        assert_eq!((health.ready, health.needs, health.reason), (false, Needs::Person, ConditionReason::NotDurable));
        assert!(health.message.starts_with("Since 2026-11-23T09:00:00Z nothing is taken. "), "{}", health.message);
        assert!(health.message.contains("Grow spec.storage.size"), "{}", health.message);
    }

    #[test]
    fn exit_code_3_needs_a_person() {
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let ended = json!({"terminated": {"exitCode": 3, "message": "first\nspool.db: schema 9 is newer\n"}});
        let health = health(&observed(false, Some(container(waiting, ended))));
        assert_eq!((health.needs, health.reason), (Needs::Person, ConditionReason::SpoolUnusable));
        assert!(health.message.contains(": spool.db: schema 9 is newer. "), "{}", health.message);
    }

    #[test]
    fn a_crash_of_before_is_not_why_a_pod_lacks_a_secret_now() {
        let waiting = json!({"waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}});
        let ended = json!({"terminated": {"exitCode": 1, "message": "killed"}});
        let expected = (false, Needs::Person, "CreateContainerConfigError".to_owned());
        assert_eq!(verdict(container(waiting, ended)), expected);
    }

    #[test]
    fn an_image_that_cannot_be_pulled_and_a_node_that_is_missing_are_named() {
        let pull = container(json!({"waiting": {"reason": "ImagePullBackOff", "message": "x"}}), json!({}));
        assert_eq!(verdict(pull), (false, Needs::Retries, "ImagePullBackOff".to_owned()));
        let nowhere = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
        assert_eq!(verdict(nowhere), (false, Needs::Retries, "Unschedulable".to_owned()));
    }
}
