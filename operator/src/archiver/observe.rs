//! What a reconcile of an Archiver looks at: all of it from the stores.

use std::{collections::BTreeSet, sync::Arc};

use imarchive_crds::{ARCHIVER, Archiver, ArchivingEndpoint, Server};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use super::names;
use crate::{
    context::Context,
    stores::{controlled_by, readable},
};

/// An Archiver and what surrounds it.
pub struct Observed {
    /// The Archiver.
    pub archiver: Archiver,
    /// The namespace's endpoints that can be read, by name.
    pub endpoints: Vec<ArchivingEndpoint>,
    /// The names of those that cannot.
    pub unreadable: BTreeSet<String>,
    /// How many users assignments name.
    pub assigned: usize,
    /// The claim of the spool.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
    /// The StatefulSet.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// Its pod.
    pub pod: Option<Arc<Pod>>,
}

impl Observed {
    /// The Secrets that an endpoint's spec, or what it is delivered by, refers to. Sorted: nothing rolls without cause.
    pub fn credentials(&self) -> BTreeSet<String> {
        let servers = self.endpoints.iter().flat_map(|endpoint| {
            let accepted = endpoint.status.as_ref().and_then(|status| status.accepted.as_ref());
            [
                Server::try_from(&endpoint.spec.connection()).ok(),
                accepted.and_then(|a| Server::try_from(&a.connection).ok()),
            ]
        });
        servers.flatten().filter_map(|server| server.credentials).collect()
    }
}

/// Gathers it.
pub fn observe(archiver: &Archiver, context: &Context) -> Observed {
    let stores = &context.stores;
    let namespace = archiver.namespace().unwrap_or_default();
    let endpoints = stores.endpoints(&namespace);
    let stateful_set = stores.stateful_sets.get(&ObjectRef::new(ARCHIVER).within(&namespace));
    let owner = stateful_set.as_ref().and_then(|set| set.uid());
    let pod = stores.pods.get(&ObjectRef::new(&format!("{ARCHIVER}-0")).within(&namespace));
    Observed {
        archiver: archiver.clone(),
        unreadable: endpoints.iter().filter(|endpoint| endpoint.0.is_err()).map(|e| e.name_any()).collect(),
        endpoints: readable(&endpoints).cloned().collect(),
        assigned: context.shared.tables.of(stores, &namespace).len(),
        claim: stores.claims.get(&ObjectRef::new(names::CLAIM).within(&namespace)),
        pod: pod.filter(|pod| owner.is_some_and(|owner| controlled_by(&**pod, &owner))),
        stateful_set,
    }
}
