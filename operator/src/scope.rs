//! One watched namespace, or all of them: a watch for each kind fills a store, and each change asks for reconciles.
//!
//! What is read is as little as the operator's rights allow it to be: of the kinds that others use too, only objects of
//! the names that the operator itself gives, by field selector.

use std::{collections::HashMap, fmt::Debug, sync::Arc};

use futures::{StreamExt, channel::mpsc, pin_mut};
use imarchive_crds::{ARCHIVER, Archiver, ArchivingEndpoint, ENDPOINT_LABEL, UserAssignment};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store, store::Writer},
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::{
    archiver::names,
    pods::PART_OF,
    progress::Progress,
    queue::{Change, Queues},
    stores::{Guarded, Stores, Writers},
};

/// The receiving ends of [`Queues`].
pub struct Asked {
    /// Archivers.
    pub archivers: mpsc::UnboundedReceiver<ObjectRef<Guarded<Archiver>>>,
    /// Endpoints.
    pub endpoints: mpsc::UnboundedReceiver<ObjectRef<Guarded<ArchivingEndpoint>>>,
    /// Assignments.
    pub assignments: mpsc::UnboundedReceiver<ObjectRef<Guarded<UserAssignment>>>,
}

/// Starts the watches of `namespace`, or of all, as tasks of `tasks`. They end only with the process. What they tell, and
/// where anybody else may ask for reconciles.
pub fn start(
    client: &Client,
    namespace: Option<&str>,
    progress: &Progress,
    tasks: &mut JoinSet<()>,
) -> (Arc<Stores>, Queues, Asked) {
    let writers = Writers::default();
    let stores = Arc::new(writers.stores());
    let (archivers, asked_archivers) = mpsc::unbounded();
    let (endpoints, asked_endpoints) = mpsc::unbounded();
    let (assignments, asked_assignments) = mpsc::unbounded();
    let queues = Queues { progress: progress.clone(), archivers, endpoints, assignments };

    let everything = watcher::Config::default;
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let scope = Scope { client, namespace, stores: &stores, queues: &queues };
    scope.watch(tasks, writers.archivers, everything(), Queues::archiver);
    scope.watch(tasks, writers.endpoints, everything(), Queues::endpoint);
    scope.watch(tasks, writers.assignments, everything(), Queues::assignment);
    scope.watch(tasks, writers.jobs, everything().labels(ENDPOINT_LABEL), |queues, _, change| {
        queues.pod_or_job(change);
    });
    let ours = format!("{}={}", PART_OF.0, PART_OF.1);
    scope.watch(tasks, writers.pods, everything().labels(&ours), |queues, _, change| queues.pod_or_job(change));
    scope.watch(tasks, writers.stateful_sets, named(ARCHIVER), |queues, _, change| queues.owned(change));
    scope.watch(tasks, writers.claims, named(names::CLAIM), |queues, _, change| queues.owned(change));
    scope.watch(tasks, writers.archiver_accounts, named(ARCHIVER), |queues, _, change| queues.owned(change));
    scope.watch(tasks, writers.probe_accounts, named(names::PROBE), |queues, _, change| queues.owned(change));
    scope.watch(tasks, writers.services, named(ARCHIVER), |queues, _, change| queues.owned(change));
    scope.watch(tasks, writers.config_maps, named(names::CA), |queues, _, change| queues.owned(change));
    scope.watch(tasks, writers.network_policies, named(ARCHIVER), |queues, _, change| queues.owned(change));
    scope.watch(tasks, writers.role_bindings, named(ARCHIVER), |queues, _, change| queues.owned(change));
    let asked = Asked { archivers: asked_archivers, endpoints: asked_endpoints, assignments: asked_assignments };
    (stores, queues, asked)
}

struct Scope<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    stores: &'a Arc<Stores>,
    queues: &'a Queues,
}

impl Scope<'_> {
    fn watch<K>(
        &self,
        tasks: &mut JoinSet<()>,
        writer: Writer<K>,
        config: watcher::Config,
        ask: impl Fn(&Queues, &Stores, &Change<K>) + Send + Sync + 'static,
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + Clone
            + Debug
            + Send
            + Sync
            + 'static,
    {
        let api = match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let (stores, queues) = (Arc::clone(self.stores), self.queues.clone());
        tasks.spawn(fill(api, config, writer, move |change| ask(&queues, &stores, &change)));
    }
}

async fn fill<K>(api: Api<K>, config: watcher::Config, mut writer: Writer<K>, changed: impl Fn(Change<K>))
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let store = writer.as_reader();
    let events = watcher(api, config).default_backoff();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => absorb(&mut writer, &store, event.modify(strip), &changed),
            Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "a watch failed, and is begun anew"),
        }
    }
}

/// What is of no use here, and often larger than the rest.
fn strip<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

/// Takes `event` into the store first, and tells of the change then: who is told reads the store.
fn absorb<K>(writer: &mut Writer<K>, store: &Store<K>, event: Event<K>, changed: &impl Fn(Change<K>))
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    match &event {
        Event::Apply(object) => {
            let reference = ObjectRef::from_obj(object);
            let before = store.get(&reference);
            writer.apply_watcher_event(&event);
            if let Some(after) = store.get(&reference) {
                changed(Change::Is(after, before));
            }
        }
        Event::Delete(object) => {
            writer.apply_watcher_event(&event);
            changed(Change::Gone(Arc::new(object.clone())));
        }
        Event::Init | Event::InitApply(_) => writer.apply_watcher_event(&event),
        Event::InitDone => {
            let mut before: HashMap<_, _> =
                store.state().into_iter().map(|object| (ObjectRef::from_obj(&*object), object)).collect();
            writer.apply_watcher_event(&event);
            for after in store.state() {
                let same = before.remove(&ObjectRef::from_obj(&*after));
                changed(Change::Is(after, same));
            }
            before.into_values().for_each(|object| changed(Change::Gone(object)));
        }
    }
}
