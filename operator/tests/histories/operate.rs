//! The operator's reconciles over a [`World`]: the same decisions, without the network.

use std::sync::Arc;

use imarchive_crds::{
    ArchivingEndpoint, ArchivingEndpointStatus, ConditionType,
    elect::{Candidate, elect},
    is_true,
    resolve::{Assignments, Claim},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::apps::v1::StatefulSet, apimachinery::pkg::apis::meta::v1::Condition};
use kube::ResourceExt;
use operator::endpoint::verdict::Outcome;
use operator::{
    archiver::{
        election, health,
        observe::Observed as ObservedArchiver,
        publish::{self as archiver_publish, Applied},
        rollout::{self, Turn},
        stateful_set,
    },
    assignment::publish as assignment_publish,
    endpoint::{Testing, facts::Facts, observe::Observed, publish, retry, test, test::Decision, verdict::Run},
    status::reason::{ARCHIVER, ASSIGNMENT, ENDPOINT},
    undecodable,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    event::{PodState, Who},
    rules::{self, Published},
    world::{Kept, Probe, World, name, stored},
};

impl World {
    /// Reconciles one object. True when its status was written.
    pub fn reconcile(&mut self, who: Who, lost: bool) -> bool {
        match who {
            Who::Archiver => self.reconcile_archiver(lost),
            Who::Endpoint(number) => self.reconcile_endpoint(number, lost),
            Who::Assignment(number) => self.reconcile_assignment(number, lost),
        }
    }

    fn later(&self) -> Timestamp {
        self.now + SignedDuration::from_secs(77)
    }

    fn reconcile_archiver(&mut self, lost: bool) -> bool {
        let Some(kept) = &self.archiver else { return false };
        let before = kept.object.status.clone().unwrap_or_default();
        if !kept.readable {
            let after = unreadable(kept, &before, &before.conditions, ARCHIVER, self.now);
            return self.archiver.as_mut().is_some_and(|kept| put(&mut kept.object.status, after, lost));
        }
        let mut observed = self.observe_archiver(kept);
        let turn = rollout::turn(&observed, &self.workload(), || self.slot_free);
        let set = stateful_set::build(&observed, &self.workload());
        if !self.refused && turn != Turn::Waits {
            self.stateful_set = Some(set);
        }
        let refused = self.refused.then(|| "apply Service acme/archiver: exceeded quota.".to_owned());
        let applied = Applied { refused: refused.into_iter().collect(), turn };
        let health = health::health(&observed);
        let publish = |observed: &ObservedArchiver, now: Timestamp| {
            archiver_publish::status(observed, election::elect(observed), &health, &applied, now)
        };
        let after = stored(&publish(&observed, self.now));

        let published = Published {
            kind: ARCHIVER,
            before: &before.conditions,
            after: &after.conditions,
            observed_generation: after.observed_generation,
            generation: observed.archiver.metadata.generation.unwrap_or_default(),
            now: self.now,
            readable: true,
        };
        published.check();
        assert_eq!(after.default_endpoint, self.elected(before.default_endpoint.as_deref()));
        let outdated = matches!(self.pod, PodState::Outdated);
        let goes_on = self.refused || turn == Turn::Waits || outdated;
        let paused = observed.archiver.spec.paused && observed.pod.is_none();
        match published.is_ready() {
            true => assert_eq!(published.is_on_its_way(), goes_on),
            false => assert!(published.is_on_its_way() || paused, "not ready, and nobody says why"),
        }
        observed.archiver.status = Some(after.clone());
        rules::same(&json!(after), &json!(publish(&observed, self.later())));
        self.archiver.as_mut().is_some_and(|kept| put(&mut kept.object.status, after, lost))
    }

    /// Who is to be the default, when `sitting` is it.
    pub fn elected(&self, sitting: Option<&str>) -> Option<String> {
        let endpoints = || self.endpoints.iter().flatten();
        let is_sitting = |kept: &&Kept<ArchivingEndpoint>| kept.object.metadata.name.as_deref() == sitting;
        // What is wrong with its object says nothing about the archive.
        if endpoints().any(|kept| is_sitting(&kept) && !kept.readable) {
            return sitting.map(str::to_owned);
        }
        let candidates: Vec<Candidate<'_>> = endpoints()
            .filter(|kept| kept.readable)
            .map(|Kept { object, .. }| Candidate {
                name: object.metadata.name.as_deref().unwrap_or_default(),
                created_at: object.creation_timestamp().expect("it has one").0,
                accepted: object.status.as_ref().is_some_and(|status| status.accepted.is_some()),
                deleting: false,
                wants: object.spec.default,
                requested_at: object.status.as_ref().and_then(|s| s.default_requested_at.as_ref()).map(|time| time.0),
            })
            .collect();
        elect(&candidates, sitting).map(str::to_owned)
    }

    fn observe_archiver(&self, kept: &Kept<imarchive_crds::Archiver>) -> ObservedArchiver {
        let with_status = |set: &StatefulSet| {
            let status = json!({"replicas": 1, "observedGeneration": 1, "updateRevision": "now"});
            let status = serde_json::from_value(status).expect("a status");
            Arc::new(StatefulSet { status, ..set.clone() })
        };
        ObservedArchiver {
            archiver: kept.object.clone(),
            endpoints: self.guarded(),
            assigned: self.table().len(),
            account: None,
            claim: None,
            stateful_set: self.stateful_set.as_ref().map(with_status),
            pod: self.stateful_set.as_ref().and_then(|_| self.pod()),
        }
    }

    fn reconcile_endpoint(&mut self, number: usize, lost: bool) -> bool {
        let Some(kept) = &mut self.endpoints[number] else { return false };
        let before = kept.object.status.clone().unwrap_or_default();
        if !kept.readable {
            let after = unreadable(kept, &before, &before.conditions, ENDPOINT, self.now);
            return put(&mut kept.object.status, after, lost);
        }
        if self.archiver.is_none() && !before.archivers.is_empty() {
            kept.object.status.get_or_insert_default().archivers.clear();
            return true;
        }
        let mut observed = self.observe_endpoint(number);
        let testing = self.carry_out(number, &observed);
        let after: ArchivingEndpointStatus = stored(&publish::status(&observed, &testing, self.now));
        self.mails[number].published(&observed, &after);
        check_notes(&before, &after);

        let generation = observed.endpoint.metadata.generation.unwrap_or_default();
        let published = Published {
            kind: ENDPOINT,
            before: &before.conditions,
            after: &after.conditions,
            observed_generation: after.observed_generation,
            generation,
            now: self.now,
            readable: true,
        };
        published.check();
        let outage = retry::is_outage(after.retry.as_ref()) && !observed.endpoint.spec.suspend;
        match published.is_ready() {
            true => assert_eq!(published.is_on_its_way(), outage),
            false => assert!(published.is_on_its_way(), "not ready, and nobody says why"),
        }
        if after.accepted != before.accepted {
            let accepted = after.accepted.as_ref().expect("what was accepted is never taken back");
            assert_eq!(accepted.connection, observed.connection);
            assert!(self.passed[number].contains(&accepted.connection.fingerprint()), "it never passed");
        }
        assert_eq!(after.default, Some(is_true(&after.conditions, ConditionType::Default)));
        let retest = before.test.as_ref().is_some_and(|test| test.connection == observed.fingerprint);
        if retest && matches!(testing, Testing::Underway(_)) {
            rules::same(&json!(publish::status(&observed, &Testing::Idle, self.now)), &json!(after));
        }
        if observed.has_archiver && observed.archiver.is_none() {
            assert_eq!(
                after.default,
                Some(before.default == Some(true)),
                "an Archiver that cannot be read elects nobody"
            );
        }
        observed.status = after.clone();
        rules::same(&json!(after), &json!(publish::status(&observed, &testing, self.later())));
        // What the end of a test was published by is not looked at again.
        observed.runs.retain(|run| run.facts.follow(&observed.fingerprint, after.test.as_ref()));
        if let Decision::Idle { .. } = test::decide(&observed, self.now) {
            rules::same(&json!(after), &json!(publish::status(&observed, &Testing::Idle, self.later())));
        }
        self.endpoints[number].as_mut().is_some_and(|kept| put(&mut kept.object.status, after, lost))
    }

    fn observe_endpoint(&self, number: usize) -> Observed {
        let alone = Observed::alone(&self.endpoints[number].as_ref().expect("it is there").object);
        let follow = |run: &Facts| run.follow(&alone.fingerprint, alone.status.test.as_ref());
        let runs = self.probes[number].iter().map(|probe| probe.run.clone());
        Observed {
            runs: runs.filter(|run| follow(&run.facts)).collect(),
            archiver: self.archiver.as_ref().filter(|kept| kept.readable).map(|kept| kept.object.clone()),
            has_archiver: self.archiver.is_some(),
            notices: self.mails[number].notices(),
            users: self.table().users_of(&name(number)),
            ..alone
        }
    }

    fn carry_out(&mut self, number: usize, observed: &Observed) -> Testing {
        let plan = match test::decide(observed, self.now) {
            Decision::Idle { .. } => return Testing::Idle,
            Decision::Invalid(why) => return Testing::Invalid(why),
            Decision::Underway { note, .. } => return Testing::Underway(note),
            Decision::Ended(ended) => {
                assert_ne!(observed.status.test.as_ref(), Some(&ended.report), "it was published before");
                return Testing::Ended(ended);
            }
            Decision::Start(plan) => plan,
        };
        let probes = || self.probes.iter().flatten();
        let seen = probes().map(|Probe { name, run }| (name.clone(), matches!(run.outcome, Outcome::Underway { .. })));
        if !self.slots.claim(&seen.collect(), &plan.name, self.now) {
            return Testing::Underway("Waits for one of the 2 tests that may run at once.".to_owned());
        }
        if self.quota {
            self.slots.release(&plan.name);
            return Testing::Ended(Box::new(test::refused(observed, &plan, "exceeded quota.", self.now)));
        }
        if !probes().any(|probe| probe.name == plan.name) {
            let connection = observed.fingerprint.clone();
            let facts = Facts { connection, previous: plan.previous, answers: plan.answers, shown: [].into() };
            let outcome = Outcome::Underway { note: "The probe runs.".to_owned(), until: self.later() };
            let run = Run { facts, created_at: self.now, outcome };
            self.probes[number].push(Probe { name: plan.name, run });
        }
        Testing::Underway("The test was started.".to_owned())
    }

    fn reconcile_assignment(&mut self, number: usize, lost: bool) -> bool {
        let table = self.table();
        let names: Vec<String> = self.guarded().iter().map(|endpoint| endpoint.name_any()).collect();
        let Some(kept) = &mut self.assignments[number] else { return false };
        let before = kept.object.status.clone().unwrap_or_default();
        if !kept.readable {
            let after = unreadable(kept, &before, &before.conditions, ASSIGNMENT, self.now);
            return put(&mut kept.object.status, after, lost);
        }
        let resolved = names.contains(&kept.object.spec.endpoint_ref.name);
        let after = stored(&assignment_publish::status(&kept.object, &table, resolved, self.now));
        let published = Published {
            kind: ASSIGNMENT,
            before: &before.conditions,
            after: &after.conditions,
            observed_generation: after.observed_generation,
            generation: kept.object.metadata.generation.unwrap_or_default(),
            now: self.now,
            readable: true,
        };
        published.check();
        assert_eq!(published.is_ready(), !published.is_on_its_way());
        let mut again = kept.object.clone();
        again.status = Some(after.clone());
        let later = self.now + SignedDuration::from_secs(77);
        rules::same(&json!(after), &json!(assignment_publish::status(&again, &table, resolved, later)));
        put(&mut kept.object.status, after, lost)
    }

    /// Who is assigned where.
    pub fn table(&self) -> Assignments {
        let readable = self.assignments.iter().flatten().filter(|kept| kept.readable);
        Assignments::resolve(readable.map(|Kept { object, .. }| Claim {
            name: object.metadata.name.as_deref().unwrap_or_default(),
            created_at: object.creation_timestamp().expect("it has one").0,
            endpoint: &object.spec.endpoint_ref.name,
            users: &object.spec.users,
        }))
    }
}

/// What the status says that the administrators were told, it goes on saying while it speaks of it.
fn check_notes(before: &ArchivingEndpointStatus, after: &ArchivingEndpointStatus) {
    let (Some(before), Some(after)) = (&before.retry, &after.retry) else {
        assert_eq!(before.retry, None, "an outage is not forgotten");
        return;
    };
    assert!((after.outage, after.attempt) >= (before.outage, before.attempt), "an outage does not go back");
    for row in before.log.iter().filter(|row| before.outage == after.outage && row.notified_at.is_some()) {
        let kept = after.log.iter().find(|kept| kept.attempt == row.attempt).expect("its attempts are few");
        assert_eq!(kept.notified_at, row.notified_at);
    }
}

/// The status of an object that cannot be read.
fn unreadable<K: kube::Resource, S: Serialize + serde::de::DeserializeOwned>(
    kept: &Kept<K>,
    before: &S,
    conditions: &[Condition],
    kind: &'static str,
    now: Timestamp,
) -> S {
    let generation = kept.object.meta().generation;
    let after = undecodable::status(&json!(before), generation, "no address", now);
    let list: Vec<_> = serde_json::from_value(after["conditions"].clone()).expect("conditions");
    let published = Published {
        kind,
        before: conditions,
        after: &list,
        observed_generation: after["observedGeneration"].as_i64(),
        generation: generation.unwrap_or_default(),
        now,
        readable: false,
    };
    published.check();
    assert!(!published.is_ready() && published.is_on_its_way());
    let own = ["Ready", "Reconciling", "Stalled"];
    let others =
        |list: &[Condition]| list.iter().filter(|c| !own.contains(&c.type_.as_str())).cloned().collect::<Vec<_>>();
    assert_eq!(others(&list), others(conditions), "what was published before stays");
    rules::same(&after, &undecodable::status(&after, generation, "no address", now + SignedDuration::from_secs(77)));
    serde_json::from_value(after).expect("a status")
}

/// Stores a status, unless the write is lost. True when it differs.
fn put<S: Serialize>(place: &mut Option<S>, status: S, lost: bool) -> bool {
    let differs = place.as_ref().is_none_or(|place| !operator::status::same(json!(place), json!(status)));
    if !lost {
        *place = Some(status);
    }
    differs
}
