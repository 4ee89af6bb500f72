//! A namespace as the API server has it, and what happens there.

use std::{collections::BTreeSet, sync::Arc};

use imarchive_crds::{
    Address, Archiver, ArchivingEndpoint, Reason, TEST_REQUESTED_AT, TestReport, TestResult, UserAssignment,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::core::{DeserializeGuard, error_boundary::InvalidObject};
use operator::{
    endpoint::verdict::{Outcome, Run},
    settings::{PullPolicy, Workload},
    slots::Slots,
    stores::Guarded,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    event::{ArchiverEvent, AssignmentEvent, EndpointEvent, Event, MANY, PodState, ProbeEnd, Row},
    mails::Mails,
};

/// An object of one of the three kinds.
pub struct Kept<K> {
    pub object: K,
    /// Whether the operator can read it.
    pub readable: bool,
}

/// A probe.
pub struct Probe {
    pub name: String,
    pub run: Run,
}

pub struct World {
    pub now: Timestamp,
    pub archiver: Option<Kept<Archiver>>,
    pub endpoints: [Option<Kept<ArchivingEndpoint>>; MANY],
    pub assignments: [Option<Kept<UserAssignment>>; MANY],
    /// Of each endpoint.
    pub probes: [Vec<Probe>; MANY],
    /// Of each endpoint: what its administrators are to be told, and were.
    pub mails: [Mails; MANY],
    /// The connections of each endpoint, by fingerprint, that passed a test.
    pub passed: [BTreeSet<String>; MANY],
    pub pod: PodState,
    pub refused: bool,
    pub slot_free: bool,
    pub quota: bool,
    pub image: u32,
    pub stateful_set: Option<StatefulSet>,
    pub slots: Slots,
    count: u64,
}

impl World {
    /// An Archiver, two endpoints and an assignment, all new.
    pub fn new() -> Self {
        let mut world = Self {
            now: Timestamp::from_second(1_000_000).expect("in range"),
            archiver: None,
            endpoints: Default::default(),
            assignments: Default::default(),
            probes: Default::default(),
            mails: Default::default(),
            passed: Default::default(),
            pod: PodState::Ready,
            refused: false,
            slot_free: true,
            quota: false,
            image: 1,
            stateful_set: None,
            slots: Slots::new(2),
            count: 0,
        };
        world.happens(&Event::Archiver(ArchiverEvent::Comes));
        world.happens(&Event::Endpoint(0, EndpointEvent::Comes));
        world.happens(&Event::Endpoint(1, EndpointEvent::Comes));
        world.happens(&Event::Assignment(0, AssignmentEvent::Comes));
        world
    }

    pub fn workload(&self) -> Workload {
        Workload {
            image: format!("imarchive:{}", self.image),
            pull_policy: PullPolicy::IfNotPresent,
            pull_secrets: vec![],
            extra_roots: None,
        }
    }

    pub fn happens(&mut self, event: &Event) {
        match event {
            Event::SecondsPass(seconds) => self.now += SignedDuration::from_secs(*seconds),
            Event::Restart => (self.slots, self.mails) = (Slots::new(2), Default::default()),
            Event::Quota(quota) => self.quota = *quota,
            Event::Archiver(event) => self.happens_to_archiver(event),
            Event::Endpoint(number, event) => self.happens_to_endpoint(*number, event),
            Event::Assignment(number, event) => self.happens_to_assignment(*number, event),
        }
    }

    /// A fresh object, as the API server gives it out.
    fn fresh<K: DeserializeOwned>(&mut self, kind: &str, name: &str, spec: Value) -> Option<Kept<K>> {
        self.count += 1;
        let object = json!({
            "apiVersion": "imarchive.dev/v1alpha1", "kind": kind, "spec": spec,
            "metadata": {"name": name, "namespace": "acme", "uid": format!("u-{}", self.count), "generation": 1,
                "creationTimestamp": self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()},
        });
        Some(Kept { object: serde_json::from_value(object).expect("an object"), readable: true })
    }

    fn happens_to_archiver(&mut self, event: &ArchiverEvent) {
        let (image, now) = (&mut self.image, self.now);
        match (event, &mut self.archiver) {
            (ArchiverEvent::Comes, None) => {
                let spec = json!({"organization": {"name": "Acme", "domains": ["acme.example"]}});
                self.archiver = self.fresh("Archiver", "archiver", spec);
            }
            (ArchiverEvent::Goes, _) => {
                (self.archiver, self.stateful_set, self.pod) = (None, None, PodState::Missing);
            }
            (ArchiverEvent::Pod(pod), _) => self.pod = *pod,
            (ArchiverEvent::Refused(refused), _) => self.refused = *refused,
            (ArchiverEvent::Upgrade, _) => *image += 1,
            (ArchiverEvent::SlotFree(free), _) => self.slot_free = *free,
            (ArchiverEvent::Edited, Some(kept)) => {
                kept.object.spec.organization.name = format!("Acme {now}");
                edited(&mut kept.object);
            }
            (ArchiverEvent::Paused(paused), Some(kept)) if kept.object.spec.paused != *paused => {
                kept.object.spec.paused = *paused;
                edited(&mut kept.object);
            }
            (ArchiverEvent::Administered(administered), Some(kept)) => {
                let somebody = Address::parse("compliance@acme.example").expect("an address");
                kept.object.spec.organization.administrators = administered.then_some(somebody).into_iter().collect();
                edited(&mut kept.object);
            }
            (ArchiverEvent::Readable(readable), Some(kept)) => kept.turns(*readable),
            _ => {}
        }
    }

    fn happens_to_endpoint(&mut self, number: usize, event: &EndpointEvent) {
        let now = self.now;
        match (event, &mut self.endpoints[number]) {
            (EndpointEvent::Comes, None) => {
                let spec = json!({"type": "SecureSMTP", "smtp": block(0), "test": {"interval": "1h"}});
                self.endpoints[number] = self.fresh("ArchivingEndpoint", &name(number), spec);
            }
            (EndpointEvent::Goes, _) => {
                self.endpoints[number] = None;
                self.mails[number] = Mails::default();
                self.probes[number].clear();
                self.passed[number].clear();
            }
            (EndpointEvent::Probe(end), Some(_)) => self.probe_ends(number, *end),
            (EndpointEvent::Readable(readable), Some(kept)) => kept.turns(*readable),
            (EndpointEvent::Annotated(value), Some(kept)) => {
                let annotations = kept.object.metadata.annotations.get_or_insert_default();
                annotations.insert(TEST_REQUESTED_AT.to_owned(), value.to_string());
            }
            (EndpointEvent::Mailed(taken), _) => self.mails[number].mailed(*taken, now),
            (EndpointEvent::Row(row), Some(kept)) if self.archiver.is_some() => {
                let status = kept.object.status.get_or_insert_default();
                status.archivers = vec![serde_json::from_value(row_of(*row, now)).expect("a row")];
            }
            (change, Some(kept)) => {
                let before = kept.object.spec.clone();
                let spec = &mut kept.object.spec;
                match change {
                    EndpointEvent::Block(block_number) => {
                        spec.smtp = serde_json::from_value(block(*block_number)).expect("a block");
                    }
                    EndpointEvent::Edited => spec.delivery.max_connections = spec.delivery.max_connections % 9 + 1,
                    EndpointEvent::Default(default) => spec.default = *default,
                    EndpointEvent::Suspended(suspended) => spec.suspend = *suspended,
                    _ => {}
                }
                if *spec != before {
                    edited(&mut kept.object);
                }
            }
            _ => {}
        }
    }

    /// The oldest probe of an endpoint ends, a second later.
    fn probe_ends(&mut self, number: usize, end: ProbeEnd) {
        let running = |probe: &&mut Probe| matches!(probe.run.outcome, Outcome::Underway { .. });
        let Some(Probe { run, .. }) = self.probes[number].iter_mut().find(running) else { return };
        self.now = self.now.max(run.created_at) + SignedDuration::from_secs(1);
        let report = |reason: Option<Reason>, code: Option<i32>| TestReport {
            connection: run.facts.connection.clone(),
            started_at: run.created_at.into(),
            finished_at: self.now.into(),
            result: if reason.is_some() { TestResult::Failed } else { TestResult::Passed },
            reason,
            stages: serde_json::from_value(match reason {
                Some(_) => {
                    json!([{"name": "Recipient", "result": "Failed", "code": code, "message": "no", "millis": 1}])
                }
                None => json!([]),
            })
            .expect("stages"),
            tls: None,
        };
        run.outcome = match end {
            ProbeEnd::Passes => {
                self.passed[number].insert(run.facts.connection.clone());
                Outcome::Reported(report(None, None))
            }
            ProbeEnd::Fails(reason, code) => Outcome::Reported(report(Some(reason), code)),
            ProbeEnd::Breaks => Outcome::Unreported("The probe did not end within 270 s".to_owned()),
        };
    }

    fn happens_to_assignment(&mut self, number: usize, event: &AssignmentEvent) {
        match (event, &mut self.assignments[number]) {
            (AssignmentEvent::Comes, None) => {
                let spec = json!({"endpointRef": {"name": name(0)}, "users": ["u0@acme.example"]});
                self.assignments[number] = self.fresh("UserAssignment", &format!("assignment-{number}"), spec);
            }
            (AssignmentEvent::Goes, _) => self.assignments[number] = None,
            (AssignmentEvent::Readable(readable), Some(kept)) => kept.turns(*readable),
            (AssignmentEvent::Names(endpoint, users), Some(kept)) => {
                let users: Vec<String> = users.iter().map(|user| format!("u{user}@acme.example")).collect();
                let spec = json!({"endpointRef": {"name": name(*endpoint)}, "users": users});
                kept.object.spec = serde_json::from_value(spec).expect("a spec");
                edited(&mut kept.object);
            }
            _ => {}
        }
    }

    /// The archiver's pod, when there is one.
    pub fn pod(&self) -> Option<Arc<Pod>> {
        let conditions =
            |type_: &str, status: &str| json!({"conditions": [{"type": type_, "status": status, "reason": type_}]});
        let container = |state: Value| {
            json!({"containerStatuses": [{"name": "archiver", "image": "", "imageID": "", "ready": false,
                "restartCount": 1, "state": state}]})
        };
        let status = match self.pod {
            PodState::Missing => return None,
            PodState::Starting | PodState::Terminating => json!({}),
            PodState::Ready | PodState::Outdated => conditions("Ready", "True"),
            PodState::Unschedulable => json!({"conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/1 nodes are available: no room."}]}),
            PodState::Waiting(reason) => container(json!({"waiting": {"reason": reason, "message": "as it is"}})),
            PodState::Exited(code) => container(json!({"terminated": {"exitCode": code, "message": "first\nlast\n"}})),
        };
        let revision = if matches!(self.pod, PodState::Outdated) { "before" } else { "now" };
        let mut metadata = json!({"name": "archiver-0", "labels": {"controller-revision-hash": revision}});
        if matches!(self.pod, PodState::Terminating) {
            metadata["deletionTimestamp"] = json!("1970-01-01T00:00:00Z");
        }
        let pod = json!({"metadata": metadata, "status": status});
        Some(Arc::new(serde_json::from_value(pod).expect("a pod")))
    }

    /// The endpoints as their store has them.
    pub fn guarded(&self) -> Vec<Arc<Guarded<ArchivingEndpoint>>> {
        let invalid = |kept: &Kept<ArchivingEndpoint>| InvalidObject {
            error: "no address".to_owned(),
            metadata: kept.object.metadata.clone(),
        };
        let guard = |kept: &Kept<ArchivingEndpoint>| match kept.readable {
            true => DeserializeGuard(Ok(kept.object.clone())),
            false => DeserializeGuard(Err(invalid(kept))),
        };
        self.endpoints.iter().flatten().map(|kept| Arc::new(guard(kept))).collect()
    }
}

impl<K: kube::Resource> Kept<K> {
    /// Becomes readable or not, by another spec.
    fn turns(&mut self, readable: bool) {
        if self.readable != readable {
            self.readable = readable;
            edited(&mut self.object);
        }
    }
}

pub fn name(number: usize) -> String {
    format!("endpoint-{number}")
}

/// What the API server makes of it.
pub fn stored<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_value(json!(value)).expect("what is written can be read")
}

fn edited<K: kube::Resource>(object: &mut K) {
    let generation = &mut object.meta_mut().generation;
    *generation = generation.map(|generation| generation + 1);
}

fn block(number: u8) -> Value {
    let recipients = if number == 3 { json!([]) } else { json!(["archive@archive.example"]) };
    json!({"host": "archive.example", "port": 587 + i32::from(number), "from": "a@acme.example",
        "recipients": recipients, "credentialsSecretRef": {"name": "journal"}})
}

fn row_of(row: Row, now: Timestamp) -> Value {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    match row {
        Row::Idle => json!({"name": "archiver-0", "pendingMessages": 1}),
        Row::CredentialsChanged => json!({"name": "archiver-0", "credentialsChangedAt": now}),
        Row::Outage { outage, attempt, why } => {
            let log =
                json!([{"attempt": attempt, "at": now, "stage": "Connect", "reason": why, "message": "it is away"}]);
            let last = json!({"outage": outage - 1, "attempts": 2, "firstFailureAt": "1970-01-01T00:00:00Z",
                "endedAt": "1970-01-01T00:01:00Z", "messages": 3});
            json!({"name": "archiver-0", "heldBatches": attempt, "expiredBatches": attempt / 2, "attempts": {
                "outage": outage, "attempt": attempt, "nextAttemptAt": now,
                "log": if attempt > 0 { log } else { json!([]) },
                "last": if outage > 1 { last } else { Value::Null }}})
        }
    }
}
