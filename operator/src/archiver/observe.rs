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
    stores::{Guarded, readable},
};

/// An Archiver and what surrounds it.
pub struct Observed {
    /// The Archiver.
    pub archiver: Archiver,
    /// The namespace's endpoints, readable or not, by name.
    pub endpoints: Vec<Arc<Guarded<ArchivingEndpoint>>>,
    /// How many users assignments name.
    pub assigned: usize,
    /// The UID of the pod's ServiceAccount.
    pub account: Option<String>,
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
        let servers = readable(&self.endpoints).flat_map(|endpoint| {
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
    let stateful_set = stores.stateful_sets.get(&ObjectRef::new(ARCHIVER).within(&namespace));
    Observed {
        archiver: archiver.clone(),
        endpoints: stores.endpoints(&namespace),
        assigned: context.shared.tables.of(stores, &namespace).len(),
        account: stores.archiver_accounts.get(&ObjectRef::new(ARCHIVER).within(&namespace)).and_then(|a| a.uid()),
        claim: stores.claims.get(&ObjectRef::new(names::CLAIM).within(&namespace)),
        pod: stateful_set.as_ref().and_then(|set| stores.pod_of(set)),
        stateful_set,
    }
}
