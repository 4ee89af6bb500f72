//! Whose turn it is after an upgrade. A new version, or new roots, replace every archiver's pod; only a few at once, so
//! that one that cannot run is found out while all others still do.
//!
//! What an archiver was given last stands on its StatefulSet, so that nothing is forgotten by a restart.

use std::collections::BTreeMap;

use imarchive_crds::hex;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use super::{names, observe::Observed};
use crate::{
    pods,
    settings::Workload,
    slots::{REPLACEMENTS, Seen},
    status::ConditionReason,
    stores::Stores,
};

/// On a StatefulSet: tells what the operator gave it from what it gives now.
const GIVEN: &str = "imarchive.dev/given";

/// Whether the StatefulSet may be applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is replaced that others are given too.
    #[default]
    Free,
    /// It is replaced, whatever others do: there is nothing to lose.
    AtOnce,
    /// It is replaced when a slot is free.
    WithASlot,
    /// It waits for one.
    Waits,
}

/// How far a StatefulSet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was given something else than is given now.
    Behind,
    /// It was given what is given now, and its pod is not ready for a cause that may be just that.
    Rolling,
    /// It was given what is given now, and is none the worse for it.
    Settled,
}

/// What the operator gives every archiver.
pub struct Given {
    image: String,
    hash: String,
}

impl Given {
    /// Of `workload`.
    pub fn of(workload: &Workload) -> Self {
        let mut hash = Sha256::new();
        hash.update(workload.pull_policy.name());
        for part in workload.pull_secrets.iter().chain(&workload.extra_roots).chain([&workload.image]) {
            hash.update([0]);
            hash.update(part);
        }
        Self { image: workload.image.clone(), hash: hex(&hash.finalize()[..8]) }
    }

    /// What goes onto a StatefulSet that is given it.
    pub fn mark(&self) -> BTreeMap<String, String> {
        [(GIVEN.to_owned(), self.hash.clone())].into()
    }
}

/// How far `set` is, whose pod is `pod`, when `now` is given.
pub fn standing(set: &StatefulSet, pod: Option<&Pod>, now: &Given) -> Standing {
    let current = match set.annotations().get(GIVEN) {
        Some(hash) => *hash == now.hash,
        // Of a version that did not mark it.
        None => image(set) == Some(now.image.as_str()),
    };
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas) != Some(0);
    match (current, wanted) {
        (false, _) => Standing::Behind,
        (true, true) if !pod.is_some_and(|pod| pods::is_unschedulable(pod) || is_through(set, pod)) => {
            Standing::Rolling
        }
        _ => Standing::Settled,
    }
}

fn image(set: &StatefulSet) -> Option<&str> {
    let pod = set.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.iter().find(|container| container.name == names::CONTAINER)?.image.as_deref()
}

/// Whether `pod` is ready, and is the one that `set` asks for.
fn is_through(set: &StatefulSet, pod: &Pod) -> bool {
    let status = set.status.as_ref();
    let noticed = status.and_then(|status| status.observed_generation) >= set.metadata.generation;
    let revision = status.and_then(|status| status.update_revision.as_ref());
    noticed && pods::is_ready(pod) && pod.labels().get("controller-revision-hash") == revision
}

/// Whether it is the turn of what was observed; `claim` claims a slot.
pub fn turn(observed: &Observed, workload: &Workload, claim: impl FnOnce() -> bool) -> Turn {
    let (pod, now) = (observed.pod.as_deref(), Given::of(workload));
    let behind = |set: &StatefulSet| standing(set, pod, &now) == Standing::Behind;
    if !observed.stateful_set.as_deref().is_some_and(behind) {
        return Turn::Free;
    }
    // This is also how a version that cannot run is followed by one that can.
    let nothing_to_lose = observed.archiver.spec.paused || !pod.is_some_and(pods::is_ready);
    match nothing_to_lose {
        true => Turn::AtOnce,
        false if claim() => Turn::WithASlot,
        false => Turn::Waits,
    }
}

/// The archivers of `scopes` that were given `workload`, by namespace: whether they are still being replaced.
pub fn seen(scopes: &[impl AsRef<Stores>], workload: &Workload) -> Seen {
    let now = Given::of(workload);
    let sets = scopes.iter().flat_map(|scope| {
        let stores = scope.as_ref();
        stores.stateful_sets.state().into_iter().map(|set| (stores.pod_of(&set), set))
    });
    sets.filter_map(|(pod, set)| {
        let going_on = match standing(&set, pod.as_deref(), &now) {
            Standing::Behind => return None,
            Standing::Rolling => true,
            Standing::Settled => false,
        };
        Some((set.namespace()?, going_on))
    })
    .collect()
}

/// What an archiver waits for that waits for its turn.
pub fn waits() -> String {
    ConditionReason::UpgradePending.with(format!(
        "A new version is installed. The pod, and what was changed of it, waits until fewer than {REPLACEMENTS} archivers of \
         the cluster are being replaced."
    ))
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
