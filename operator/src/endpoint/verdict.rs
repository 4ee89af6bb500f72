//! What a Job and its pods say of the test that they are.

use std::{sync::Arc, time::Duration};

use imarchive_crds::TestReport;
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStateTerminated, Pod},
};
use kube::ResourceExt;

use super::facts::{CONTAINER, Facts};
use crate::{
    pods::{self, finished},
    status::quoted,
};

/// When a probe that has not ended is given up: shortly before its Job's deadline, at which the Job controller deletes
/// the pod, and with it what is known of why.
const GIVEN_UP: Duration = Duration::from_secs(270);
/// When a Job that has made no pod is given up: what forbids its pod will not allow it a moment later.
const NO_POD: Duration = Duration::from_secs(90);
/// How much later than the Job's the pod's end may be seen: they are two watches.
const LAG: Duration = Duration::from_secs(10);

/// A Job, as far as it tests.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What it was started with.
    pub facts: Facts,
    /// When.
    pub created_at: Timestamp,
    /// How it is.
    pub outcome: Outcome,
}

/// How a run is.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It goes on.
    Underway {
        /// What it waits for.
        note: String,
        /// When to look again.
        until: Timestamp,
    },
    /// It ended with a report.
    Reported(TestReport),
    /// It ended, or never began, without one; what is known of why.
    Unreported(String),
}

/// How `job` is, whose pods are `pods`.
pub fn read(job: &Job, facts: Facts, pods: &[Arc<Pod>], now: Timestamp) -> Run {
    let created_at = job.creation_timestamp().map_or(now, |time| time.0);
    let outcome = outcome(job, &facts, pods, created_at, now);
    Run { facts, created_at, outcome }
}

fn outcome(job: &Job, facts: &Facts, pods: &[Arc<Pod>], created_at: Timestamp, now: Timestamp) -> Outcome {
    let ended = pods.iter().find_map(|pod| Some((pod, pods::state(pod, CONTAINER)?.terminated.as_ref()?)));
    if let Some((pod, terminated)) = ended {
        return match report(facts, pod, terminated) {
            Ok(report) => Outcome::Reported(report),
            Err(why) => Outcome::Unreported(why),
        };
    }
    let problem = pods.iter().find_map(|pod| pods::not_starting(pod));
    let problem = problem.map(|problem| problem.words());
    if let Some(condition) = finished(job) {
        let at = condition.last_transition_time.as_ref().map_or(created_at, |time| time.0);
        let seen = after(at, LAG);
        if now < seen {
            return Outcome::Underway { note: "The probe ended; its report is awaited.".to_owned(), until: seen };
        }
        let known = problem.or_else(|| condition.message.clone()).unwrap_or_default();
        return Outcome::Unreported(format!("The probe left no report: {known}"));
    }
    let given_up = after(created_at, if pods.is_empty() { NO_POD } else { GIVEN_UP });
    if now >= given_up {
        let why = match (problem, pods.is_empty()) {
            (Some(problem), _) => format!("The probe could not start: {problem}"),
            (None, true) => "The Job made no pod: a quota, an admission policy or the cluster forbids it".to_owned(),
            (None, false) => format!("The probe did not end within {} s", GIVEN_UP.as_secs()),
        };
        return Outcome::Unreported(why);
    }
    let note = match (problem, pods.is_empty()) {
        (Some(problem), _) => format!("The probe cannot start yet: {problem}."),
        (None, true) => "The probe's pod is awaited.".to_owned(),
        (None, false) => "The probe runs.".to_owned(),
    };
    Outcome::Underway { note, until: given_up }
}

fn report(facts: &Facts, pod: &Pod, ended: &ContainerStateTerminated) -> Result<TestReport, String> {
    // Annotations of a pod can be changed, those of a Job's template cannot: what was shown to the probe must be what
    // the operator wrote.
    if facts.shown.iter().any(|(key, value)| pod.annotations().get(key) != Some(value)) {
        return Err("The annotations of the probe's pod were changed, so that its report says nothing".to_owned());
    }
    let words = ended.message.as_deref().unwrap_or_default();
    let report: TestReport = serde_json::from_str(words).map_err(|_| {
        let reason = ended.reason.as_deref().unwrap_or("Ended");
        let words = quoted(words);
        format!("The probe ended with exit code {} ({reason}) and no report: {words}", ended.exit_code)
    })?;
    if report.connection != facts.connection {
        return Err(
            "The probe tested another connection: the operator and its image are of different versions".to_owned()
        );
    }
    Ok(report)
}

fn after(time: Timestamp, delay: Duration) -> Timestamp {
    time.checked_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const REPORT: &str = r#"{"connection":"c1","startedAt":"1970-01-01T00:00:02Z","finishedAt":"1970-01-01T00:00:03Z","result":"Passed","stages":[]}"#;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn facts() -> Facts {
        Facts {
            connection: "c1".to_owned(),
            previous: "none".to_owned(),
            answers: None,
            shown: [("imarchive.dev/extra-roots".to_owned(), "PEM".to_owned())].into(),
        }
    }

    fn outcome_of(job: Value, pod: Option<Value>, now: i64) -> Outcome {
        let job = json!({"metadata": {"name": "a-1", "creationTimestamp": "1970-01-01T00:00:00Z"}, "status": job});
        let pods: Vec<Arc<Pod>> =
            pod.into_iter().map(|pod| Arc::new(serde_json::from_value(pod).expect("a pod"))).collect();
        read(&serde_json::from_value(job).expect("a Job"), facts(), &pods, at(now)).outcome
    }

    fn pod(state: Value, roots: &str) -> Value {
        json!({"metadata": {"name": "a-1-x", "annotations": {"imarchive.dev/extra-roots": roots}},
            "status": {"containerStatuses": [
                {"name": "probe", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]}})
    }

    fn terminated(message: &str) -> Value {
        json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": message}})
    }

    fn unreported(outcome: &Outcome) -> &str {
        match outcome {
            Outcome::Unreported(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_termination_message_is_the_report() {
        let outcome = outcome_of(json!({}), Some(pod(terminated(REPORT), "PEM")), 5);
        assert!(matches!(outcome, Outcome::Reported(report) if report.passed()));
    }

    #[test]
    fn a_report_of_another_connection_says_nothing() {
        let other = REPORT.replace("c1", "c2");
        let outcome = outcome_of(json!({}), Some(pod(terminated(&other), "PEM")), 5);
        assert!(unreported(&outcome).contains("another connection"));
    }

    #[test]
    fn a_report_by_a_pod_whose_roots_were_exchanged_says_nothing() {
        let outcome = outcome_of(json!({}), Some(pod(terminated(REPORT), "OTHER")), 5);
        assert!(unreported(&outcome).contains("annotations"));
    }

    #[test]
    fn an_unreadable_report_is_quoted() {
        let outcome = outcome_of(json!({}), Some(pod(terminated("panicked at"), "PEM")), 5);
        assert!(unreported(&outcome).contains("panicked at"));
    }

    #[test]
    fn a_pod_that_cannot_start_is_given_up_before_the_deadline_takes_it_away() {
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
        let early = outcome_of(json!({}), Some(pod(waiting.clone(), "PEM")), 100);
        assert!(matches!(&early, Outcome::Underway { note, .. } if note.contains("no such image")), "{early:?}");
        let late = outcome_of(json!({}), Some(pod(waiting, "PEM")), 270);
        assert!(unreported(&late).contains("ImagePullBackOff: no such image"));
    }

    #[test]
    fn a_job_whose_pod_is_forbidden_is_given_up_sooner() {
        assert!(matches!(outcome_of(json!({}), None, 89), Outcome::Underway { .. }));
        assert!(unreported(&outcome_of(json!({}), None, 90)).contains("made no pod"));
    }

    #[test]
    fn a_job_that_is_over_waits_a_moment_for_its_pods_report() {
        let over = json!({"conditions": [{"type": "Failed", "status": "True", "message": "Job was active too long",
            "lastTransitionTime": "1970-01-01T00:00:20Z"}]});
        assert!(matches!(outcome_of(over.clone(), None, 21), Outcome::Underway { .. }));
        assert!(unreported(&outcome_of(over, None, 31)).contains("active too long"));
    }
}
