//! Whose turn it is after an upgrade.

use imarchive_crds::Archiver;
use serde_json::{Value, json};

use super::*;
use crate::{archiver::stateful_set, settings::PullPolicy, slots::Slots};

fn workload(image: &str) -> Workload {
    Workload { image: image.to_owned(), pull_policy: PullPolicy::IfNotPresent, pull_secrets: vec![], extra_roots: None }
}

fn given(image: &str) -> Given {
    Given::of(&workload(image))
}

fn archiver(paused: bool) -> Observed {
    let archiver: Archiver = serde_json::from_value(json!({
        "apiVersion": "imarchive.dev/v1alpha1", "kind": "Archiver",
        "metadata": {"name": "archiver", "namespace": "acme", "uid": "u-1"},
        "spec": {"organization": {"name": "Acme", "domains": ["acme.example"]}, "paused": paused}
    }))
    .expect("an Archiver");
    Observed { archiver, endpoints: vec![], assigned: 0, account: None, claim: None, stateful_set: None, pod: None }
}

/// The StatefulSet as it was applied with `image`, when its controller made the revision `r` of it.
fn set(image: &str, paused: bool) -> StatefulSet {
    let mut set = stateful_set::build(&archiver(paused), &workload(image));
    set.metadata.generation = Some(2);
    let status = json!({"replicas": 1, "observedGeneration": 2, "updateRevision": "r"});
    set.status = serde_json::from_value(status).expect("a status");
    set
}

fn pod(revision: &str, status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "archiver-0", "labels": {"controller-revision-hash": revision}}, "status": status
    }))
    .expect("a pod")
}

fn ready(revision: &str) -> Pod {
    pod(revision, json!({"conditions": [{"type": "Ready", "status": "True"}]}))
}

fn down(revision: &str) -> Pod {
    pod(revision, json!({"conditions": [{"type": "Ready", "status": "False"}]}))
}

fn turn_of(paused: bool, given: &str, pod: Option<Pod>, free: bool) -> Turn {
    let mut observed = archiver(paused);
    observed.stateful_set = Some(set(given, false).into());
    observed.pod = pod.map(Into::into);
    turn(&observed, &workload("new"), || free)
}

#[test]
fn what_was_given_the_same_needs_no_slot() {
    assert_eq!(turn_of(false, "new", Some(ready("r")), false), Turn::Free);
    assert_eq!(turn(&archiver(false), &workload("new"), || false), Turn::Free, "there is no StatefulSet yet");
}

#[test]
fn a_pod_that_takes_messages_is_replaced_when_a_slot_is_free() {
    assert_eq!(turn_of(false, "old", Some(ready("r")), true), Turn::WithASlot);
    assert_eq!(turn_of(false, "old", Some(ready("r")), false), Turn::Waits);
}

#[test]
fn what_has_nothing_to_lose_waits_for_nobody() {
    assert_eq!(turn_of(true, "old", Some(ready("r")), false), Turn::AtOnce);
    assert_eq!(turn_of(false, "broken", Some(down("r")), false), Turn::AtOnce);
    assert_eq!(turn_of(false, "old", None, false), Turn::AtOnce);
}

#[test]
fn it_goes_on_until_the_pod_that_is_asked_for_is_ready() {
    let standing = |pod: Option<&Pod>| standing(&set("new", false), pod, &given("new"));
    assert_eq!(standing(None), Standing::Rolling);
    assert_eq!(standing(Some(&ready("before"))), Standing::Rolling);
    assert_eq!(standing(Some(&down("r"))), Standing::Rolling);
    assert_eq!(standing(Some(&ready("r"))), Standing::Settled);
}

#[test]
fn a_revision_that_is_not_made_yet_is_not_mistaken_for_the_one_before() {
    let mut set = set("new", false);
    set.metadata.generation = Some(3);
    assert_eq!(standing(&set, Some(&ready("r")), &given("new")), Standing::Rolling);
}

#[test]
fn a_pod_that_no_node_takes_and_one_that_is_not_wanted_are_not_waited_for() {
    let nowhere = pod("r", json!({"conditions": [{"type": "PodScheduled", "status": "False"}]}));
    assert_eq!(standing(&set("new", false), Some(&nowhere), &given("new")), Standing::Settled);
    assert_eq!(standing(&set("new", true), None, &given("new")), Standing::Settled);
}

#[test]
fn new_roots_are_as_much_to_be_waited_for_as_a_new_image() {
    let roots = Workload { extra_roots: Some("PEM".to_owned()), ..workload("new") };
    assert_eq!(standing(&set("new", false), Some(&ready("r")), &Given::of(&roots)), Standing::Behind);
}

#[test]
fn a_set_that_was_never_marked_is_judged_by_its_image() {
    let mut unmarked = set("new", false);
    unmarked.metadata.annotations = None;
    assert_eq!(standing(&unmarked, Some(&ready("r")), &given("new")), Standing::Settled);
    assert_eq!(standing(&unmarked, Some(&ready("r")), &given("newer")), Standing::Behind);
}

/// Archivers that were given `old` and take messages, until each is replaced; how many are replaced at once at most.
fn most_at_once(archivers: usize, seen_late: bool) -> usize {
    let (slots, new, given) = (Slots::new(REPLACEMENTS), workload("new"), given("new"));
    let now = |round: usize| jiff::Timestamp::from_second(round as i64).expect("in range");
    let mut fleet: Vec<(StatefulSet, Pod)> = (0..archivers).map(|_| (set("old", false), ready("r"))).collect();
    let mut most = 0;
    for round in 0..20 * archivers {
        // The stores of a moment ago, when they are late.
        let stale = fleet.clone();
        for number in 0..archivers {
            let view = if seen_late { &stale } else { &fleet };
            let seen: Seen = view.iter().enumerate().fold(Seen::new(), |mut seen, (number, (set, pod))| {
                match standing(set, Some(pod), &given) {
                    Standing::Behind => {}
                    standing => _ = seen.insert(number.to_string(), standing == Standing::Rolling),
                }
                seen
            });
            let mut observed = archiver(false);
            let (set_seen, pod_seen) = view[number].clone();
            (observed.stateful_set, observed.pod) = (Some(set_seen.into()), Some(pod_seen.into()));
            if turn(&observed, &new, || slots.claim(&seen, &number.to_string(), now(round))) == Turn::WithASlot {
                fleet[number] = (set("new", false), down("r"));
            }
        }
        most = most.max(fleet.iter().filter(|(_, pod)| !pods::is_ready(pod)).count());
        // The cluster makes one of them ready.
        if let Some((_, pod)) = fleet.iter_mut().find(|(_, pod)| !pods::is_ready(pod)) {
            *pod = ready("r");
        }
    }
    assert!(fleet.iter().all(|(set, pod)| standing(set, Some(pod), &given) == Standing::Settled), "all were replaced");
    most
}

#[test]
fn of_twelve_archivers_five_are_replaced_at_once_and_then_all_are() {
    assert_eq!(most_at_once(12, false), REPLACEMENTS);
    assert_eq!(most_at_once(12, true), REPLACEMENTS);
}
