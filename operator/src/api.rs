//! Every call to the API server that writes: behind the fence, bounded in time, and, where there is one, on the version
//! that it was decided on. With the memory of what was applied.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::{DynamicObject, NamespaceResourceScope},
    runtime::{
        events::{Event, Recorder, Reporter},
        reflector::{ObjectRef, Store},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::{
    MANAGER,
    error::{Error, TIMEOUT},
    fence::Fence,
    metrics::Metrics,
};

/// A kind that lives in a namespace and is written by the operator.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + std::fmt::Debug
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + std::fmt::Debug
{
}

/// The API server.
pub struct Kube {
    client: Client,
    recorder: Recorder,
    fence: Fence,
    metrics: Metrics,
    applied: Mutex<HashMap<String, Applied>>,
}

/// An object as it was applied: what was asked for, and which version that became.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Applied {
    digest: Vec<u8>,
    version: Option<String>,
}

impl Kube {
    /// Over `client`, while `fence` is open.
    pub fn new(client: Client, fence: Fence, metrics: Metrics) -> Self {
        let recorder = Recorder::new(client.clone(), Reporter::from(MANAGER));
        Self { client, recorder, fence, metrics, applied: Mutex::default() }
    }

    /// Applies `object` unless it was applied already and `store` has it unchanged since. So an idle reconcile costs
    /// no call, and whoever changes an owned object sees it put right.
    pub async fn ensure<K: Kind, O>(&self, object: &K, store: &Store<O>) -> Result<(), Error>
    where
        O: Resource<DynamicType = ()> + Clone + 'static,
    {
        let key = call("", object);
        let body = serde_json::to_vec(object)
            .map_err(|error| Error::Encode { what: key.clone(), message: error.to_string() })?;
        let reference = ObjectRef::<O>::new(&object.name_any()).within(&object.namespace().unwrap_or_default());
        let seen = store.get(&reference).and_then(|stored| stored.resource_version());
        let wanted = Applied { digest: Sha256::digest(body).to_vec(), version: seen };
        let before = self.memory().get(&key).cloned();
        if wanted.version.is_some() && before.as_ref() == Some(&wanted) {
            return Ok(());
        }
        // On the version that was seen: a write that comes late must not undo what the next leader made of the object.
        let mut versioned = object.clone();
        versioned.meta_mut().resource_version.clone_from(&wanted.version);
        let written = self.apply(&versioned).await?;
        let version = written.resource_version();
        // What was asked for did not change, and still the server changed the object: somebody else had.
        if before.is_some_and(|before| before.digest == wanted.digest) && version != wanted.version {
            self.metrics.drift.with_label_values(&[&*K::kind(&())]).inc();
        }
        self.memory().insert(key, Applied { version, ..wanted });
        Ok(())
    }

    /// Applies `object` with force: what the operator sets, it owns.
    pub async fn apply<K: Kind>(&self, object: &K) -> Result<K, Error> {
        let api = self.api::<K>(object);
        let params = PatchParams::apply(MANAGER).force();
        let (name, body) = (object.name_any(), Patch::Apply(object));
        self.write(&K::kind(&()), call("apply", object), api.patch(&name, &params, &body)).await
    }

    /// Creates `object`; false when there is one of that name.
    pub async fn create<K: Kind>(&self, object: &K) -> Result<bool, Error> {
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let api = self.api::<K>(object);
        match self.write(&K::kind(&()), call("create", object), api.create(&params, object)).await {
            Ok(_) => Ok(true),
            Err(Error::Exists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Applies the operator's part of the status of `object`, decided on just this version of it.
    pub async fn apply_status<K: Kind>(&self, object: &K, status: &Value) -> Result<(), Error> {
        let name = object.name_any();
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name, "resourceVersion": object.resource_version()},
            "status": status,
        });
        let api = self.api::<K>(object);
        let params = PatchParams::apply(MANAGER).force();
        let body = Patch::Apply(&body);
        self.write(&K::kind(&()), call("status of", object), api.patch_status(&name, &params, &body)).await.map(drop)
    }

    /// Applies the operator's part of the status of an object that has no type.
    pub async fn apply_dynamic_status(
        &self,
        api: &Api<DynamicObject>,
        object: &DynamicObject,
        status: &Value,
    ) -> Result<(), Error> {
        let name = object.name_any();
        let body = json!({
            "apiVersion": object.types.as_ref().map(|types| &types.api_version),
            "kind": object.types.as_ref().map(|types| &types.kind),
            "metadata": {"name": name, "resourceVersion": object.resource_version()},
            "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        let kind = object.types.as_ref().map(|types| types.kind.as_str()).unwrap_or_default();
        let body = Patch::Apply(&body);
        self.write(kind, format!("status of {kind} {name}"), api.patch_status(&name, &params, &body)).await.map(drop)
    }

    /// Merges `patch` into the status of `object`, decided on just this version of it.
    pub async fn merge_status<K: Kind>(&self, object: &K, patch: &Value) -> Result<(), Error> {
        let name = object.name_any();
        let body = json!({"metadata": {"resourceVersion": object.resource_version()}, "status": patch});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api::<K>(object);
        let body = Patch::Merge(&body);
        self.write(&K::kind(&()), call("status of", object), api.patch_status(&name, &params, &body)).await.map(drop)
    }

    /// Tells whoever runs `kubectl describe`. A courtesy: nothing fails for it.
    pub async fn tell(&self, event: &Event, about: &ObjectReference) {
        let call = format!(
            "event of {} {}/{}",
            about.kind.as_deref().unwrap_or_default(),
            about.namespace.as_deref().unwrap_or_default(),
            about.name.as_deref().unwrap_or_default()
        );
        if let Err(error) = self.write("Event", call, self.recorder.publish(event, about)).await {
            tracing::debug!(%error, "an event was lost");
        }
    }

    /// Sends `request`, if this replica still leads.
    async fn write<T>(
        &self,
        kind: &str,
        call: String,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        if !self.fence.is_open(Instant::now()) {
            return Err(Error::NotLeading { call });
        }
        let answer = bounded(call, request).await?;
        self.metrics.writes.with_label_values(&[kind]).inc();
        Ok(answer)
    }

    /// For reads.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    fn api<K: Kind>(&self, object: &K) -> Api<K> {
        Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default())
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, HashMap<String, Applied>> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for `answer`, at most [`TIMEOUT`].
pub async fn bounded<T>(call: String, answer: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(TIMEOUT, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Error::of(call, error)),
        Err(_) => Err(Error::Timeout { call }),
    }
}

fn call<K: Kind>(verb: &str, object: &K) -> String {
    format!("{verb} {} {}/{}", K::kind(&()), object.namespace().unwrap_or_default(), object.name_any())
}
