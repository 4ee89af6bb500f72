//! Which reconciles a change asks for.

use std::sync::Arc;

use futures::channel::mpsc::UnboundedSender;
use imarchive_crds::{ARCHIVER, Archiver, ArchivingEndpoint, ENDPOINT_LABEL, UserAssignment};
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use tokio::time::Instant;

use crate::{
    progress::Progress,
    stores::{Guarded, Stores},
};

/// What a watch saw: an object before, and after.
pub enum Change<K> {
    /// It is there now, and was, perhaps, before.
    Is(Arc<K>, Option<Arc<K>>),
    /// It is gone.
    Gone(Arc<K>),
}

impl<K: Resource<DynamicType = ()>> Change<K> {
    /// The object, as last seen.
    pub fn object(&self) -> &K {
        match self {
            Self::Is(object, _) | Self::Gone(object) => object,
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> String {
        self.object().namespace().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.object().name_any()
    }

    /// Whether there was none before, or is none now, or it is another of the same name.
    pub fn came_or_went(&self) -> bool {
        match self {
            Self::Is(after, Some(before)) => after.uid() != before.uid(),
            Self::Is(_, None) | Self::Gone(_) => true,
        }
    }

    /// Whether its spec changed.
    pub fn generation_changed(&self) -> bool {
        match self {
            Self::Is(after, Some(before)) => after.meta().generation != before.meta().generation,
            Self::Is(_, None) | Self::Gone(_) => true,
        }
    }
}

impl<K: Resource<DynamicType = ()>> Change<Guarded<K>> {
    /// Whether `part` of the object is another than before; of what cannot be read it is `None`.
    pub fn differs<P: PartialEq>(&self, part: impl Fn(&K) -> P) -> bool {
        let of = |object: &Guarded<K>| object.0.as_ref().ok().map(&part);
        match self {
            Self::Is(after, Some(before)) => of(after) != of(before),
            Self::Is(_, None) | Self::Gone(_) => true,
        }
    }
}

/// Where reconciles are asked for.
#[derive(Clone)]
pub struct Queues {
    /// Told of each.
    pub progress: Progress,
    /// Of Archivers.
    pub archivers: UnboundedSender<ObjectRef<Guarded<Archiver>>>,
    /// Of endpoints.
    pub endpoints: UnboundedSender<ObjectRef<Guarded<ArchivingEndpoint>>>,
    /// Of assignments.
    pub assignments: UnboundedSender<ObjectRef<Guarded<UserAssignment>>>,
}

impl Queues {
    /// An Archiver changed. Its endpoints mirror the default that it names, and lend its settings to their probes; its
    /// books, which change every moment, are nothing to them.
    pub fn archiver(&self, stores: &Stores, change: &Change<Guarded<Archiver>>) {
        let namespace = change.namespace();
        self.ask_archiver(&namespace);
        let default = |archiver: &Archiver| archiver.status.as_ref().and_then(|s| s.default_endpoint.clone());
        if change.came_or_went() || change.generation_changed() || change.differs(default) {
            self.ask_endpoints(stores, &namespace);
        }
    }

    /// An endpoint changed: the election and the Secrets to mount, and, when it came or went, the assignments that name
    /// it.
    pub fn endpoint(&self, stores: &Stores, change: &Change<Guarded<ArchivingEndpoint>>) {
        let namespace = change.namespace();
        self.ask_endpoint(&namespace, &change.name());
        let elected_by = |endpoint: &ArchivingEndpoint| {
            let (status, deleted_at) = (endpoint.status.as_ref(), endpoint.metadata.deletion_timestamp.clone());
            let requested_at = status.and_then(|status| status.default_requested_at.clone());
            (deleted_at, status.and_then(|status| status.accepted.clone()), requested_at)
        };
        if change.came_or_went() || change.generation_changed() || change.differs(elected_by) {
            self.ask_archiver(&namespace);
        }
        if change.came_or_went() {
            self.ask_assignments(stores, &namespace);
        }
    }

    /// An assignment changed: what it names may be another's now, and endpoints and Archiver count users.
    pub fn assignment(&self, stores: &Stores, change: &Change<Guarded<UserAssignment>>) {
        let namespace = change.namespace();
        if change.came_or_went() || change.generation_changed() {
            self.ask_assignments(stores, &namespace);
            self.ask_endpoints(stores, &namespace);
            self.ask_archiver(&namespace);
        } else {
            self.ask_assignment(&namespace, &change.name());
        }
    }

    /// A Job or a pod changed: the endpoint that it tests, or the Archiver that it is of.
    pub fn pod_or_job<K: Resource<DynamicType = ()>>(&self, change: &Change<K>) {
        let namespace = change.namespace();
        match change.object().labels().get(ENDPOINT_LABEL) {
            Some(endpoint) => self.ask_endpoint(&namespace, endpoint),
            None => self.ask_archiver(&namespace),
        }
    }

    /// Something that the Archiver of a namespace owns changed.
    pub fn owned<K: Resource<DynamicType = ()>>(&self, change: &Change<K>) {
        self.ask_archiver(&change.namespace());
    }

    fn ask_archiver(&self, namespace: &str) {
        self.ask(&self.archivers, namespace, ARCHIVER);
    }

    /// Asks for the reconcile of an endpoint.
    pub fn ask_endpoint(&self, namespace: &str, name: &str) {
        self.ask(&self.endpoints, namespace, name);
    }

    fn ask_assignment(&self, namespace: &str, name: &str) {
        self.ask(&self.assignments, namespace, name);
    }

    fn ask_endpoints(&self, stores: &Stores, namespace: &str) {
        for endpoint in stores.endpoints(namespace) {
            self.ask_endpoint(namespace, &name(&endpoint));
        }
    }

    fn ask_assignments(&self, stores: &Stores, namespace: &str) {
        for assignment in stores.assignments(namespace) {
            self.ask_assignment(namespace, &name(&assignment));
        }
    }

    fn ask<K>(&self, queue: &UnboundedSender<ObjectRef<Guarded<K>>>, namespace: &str, name: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        // A closed queue means that the operator stops.
        if queue.unbounded_send(ObjectRef::new(name).within(namespace)).is_ok() {
            self.progress.asked(&K::kind(&()), Instant::now());
        }
    }
}

fn name<K: Resource>(object: &Arc<K>) -> String {
    object.name_any()
}
