//! What is known of the cluster: one store for each kind, filled by one watch, read by every reconcile.

use std::sync::Arc;

use imarchive_crds::{ARCHIVER, Archiver, ArchivingEndpoint, UserAssignment};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    batch::v1::Job,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{
    Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::reflector::{
        ObjectRef, Store,
        store::{Writer, WriterDropped},
    },
};

/// Of objects that only their version matters of.
pub type Meta<K> = PartialObjectMeta<K>;
/// An object that people write, which may be unreadable without stopping the watch.
pub type Guarded<K> = DeserializeGuard<K>;

macro_rules! stores {
    ($($field:ident: $kind:ty),* $(,)?) => {
        /// One store for each kind.
        #[derive(Clone)]
        #[allow(missing_docs, reason = "the names say it")]
        pub struct Stores {
            $(pub $field: Store<$kind>),*
        }

        /// The writing ends of [`Stores`].
        #[derive(Default)]
        #[allow(missing_docs, reason = "the names say it")]
        pub struct Writers {
            $(pub $field: Writer<$kind>),*
        }

        impl Writers {
            /// The reading ends.
            pub fn stores(&self) -> Stores {
                Stores { $($field: self.$field.as_reader()),* }
            }
        }

        impl Stores {
            /// Waits until everything was listed once. Before that nothing may be decided: what is not seen yet would
            /// be taken for what is not there.
            pub async fn filled(&self) -> Result<(), WriterDropped> {
                $(self.$field.wait_until_ready().await?;)*
                Ok(())
            }
        }
    };
}

stores! {
    archivers: Guarded<Archiver>,
    endpoints: Guarded<ArchivingEndpoint>,
    assignments: Guarded<UserAssignment>,
    jobs: Job,
    pods: Pod,
    stateful_sets: StatefulSet,
    claims: PersistentVolumeClaim,
    archiver_accounts: Meta<ServiceAccount>,
    probe_accounts: Meta<ServiceAccount>,
    services: Meta<Service>,
    config_maps: Meta<ConfigMap>,
    network_policies: Meta<NetworkPolicy>,
    role_bindings: Meta<RoleBinding>,
}

impl Stores {
    /// The Archiver of a namespace, when it can be read.
    pub fn archiver(&self, namespace: &str) -> Option<Archiver> {
        let guarded = self.archivers.get(&ObjectRef::new(ARCHIVER).within(namespace))?;
        guarded.0.clone().ok()
    }

    /// Whether the namespace has an Archiver, readable or not.
    pub fn has_archiver(&self, namespace: &str) -> bool {
        self.archivers.get(&ObjectRef::new(ARCHIVER).within(namespace)).is_some()
    }

    /// The endpoints of a namespace, readable or not, by name.
    pub fn endpoints(&self, namespace: &str) -> Vec<Arc<Guarded<ArchivingEndpoint>>> {
        within(&self.endpoints, namespace)
    }

    /// The assignments of a namespace, readable or not, by name.
    pub fn assignments(&self, namespace: &str) -> Vec<Arc<Guarded<UserAssignment>>> {
        within(&self.assignments, namespace)
    }

    /// The pods that `owner`, by its UID, controls.
    pub fn pods_of(&self, namespace: &str, owner: &str) -> Vec<Arc<Pod>> {
        let here = |pod: &Pod| pod.metadata.namespace.as_deref() == Some(namespace);
        let mut pods = self.pods.state_filter(|pod| here(pod) && controlled_by(pod, owner));
        pods.sort_by_key(|pod| pod.name_any());
        pods
    }

    /// The pod of an archiver's StatefulSet.
    pub fn pod_of(&self, set: &StatefulSet) -> Option<Arc<Pod>> {
        let namespace = set.meta().namespace.as_deref().unwrap_or_default();
        let pod = self.pods.get(&ObjectRef::new(&format!("{ARCHIVER}-0")).within(namespace))?;
        set.meta().uid.as_deref().is_some_and(|uid| controlled_by(&*pod, uid)).then_some(pod)
    }
}

/// Those objects of a store that can be read.
pub fn readable<K>(objects: &[Arc<Guarded<K>>]) -> impl Iterator<Item = &K> {
    objects.iter().filter_map(|object| object.0.as_ref().ok())
}

/// Whether the controller of `object` is the one with the UID `owner`. Labels anybody may set; a UID nobody can guess
/// before there is the object.
pub fn controlled_by<K: Resource>(object: &K, owner: &str) -> bool {
    object.owner_references().iter().any(|reference| reference.controller == Some(true) && reference.uid == owner)
}

fn within<K>(store: &Store<K>, namespace: &str) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut objects = store.state_filter(|object| object.meta().namespace.as_deref() == Some(namespace));
    objects.sort_by(|a, b| a.meta().name.cmp(&b.meta().name));
    objects
}
