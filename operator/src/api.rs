//! Every call to the API server that writes, each bounded in time, and the memory of what was applied.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, PoisonError},
};

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::{DynamicObject, NamespaceResourceScope},
    runtime::reflector::{ObjectRef, Store},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    MANAGER,
    error::{Error, TIMEOUT},
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
    applied: Mutex<HashMap<String, Applied>>,
}

/// An object as it was applied: what was asked for, and which version that became.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Applied {
    digest: Vec<u8>,
    version: Option<String>,
}

impl Kube {
    /// Over `client`.
    pub fn new(client: Client) -> Self {
        Self { client, applied: Mutex::default() }
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
        if wanted.version.is_some() && self.memory().get(&key) == Some(&wanted) {
            return Ok(());
        }
        let written = self.apply(object).await?;
        self.memory().insert(key, Applied { version: written.resource_version(), ..wanted });
        Ok(())
    }

    /// Applies `object` with force: what the operator sets, it owns.
    pub async fn apply<K: Kind>(&self, object: &K) -> Result<K, Error> {
        let api = self.api::<K>(object);
        let params = PatchParams::apply(MANAGER).force();
        bounded(call("apply", object), api.patch(&object.name_any(), &params, &Patch::Apply(object))).await
    }

    /// Creates `object`; false when there is one of that name.
    pub async fn create<K: Kind>(&self, object: &K) -> Result<bool, Error> {
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match bounded(call("create", object), self.api::<K>(object).create(&params, object)).await {
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
        bounded(call("status of", object), api.patch_status(&name, &params, &Patch::Apply(&body))).await.map(|_: K| ())
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
        bounded(format!("status of {name}"), api.patch_status(&name, &params, &Patch::Apply(&body))).await.map(|_| ())
    }

    /// Merges `patch` into the status of `object`, decided on just this version of it.
    pub async fn merge_status<K: Kind>(&self, object: &K, patch: &Value) -> Result<(), Error> {
        let name = object.name_any();
        let body = json!({"metadata": {"resourceVersion": object.resource_version()}, "status": patch});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api::<K>(object);
        bounded(call("status of", object), api.patch_status(&name, &params, &Patch::Merge(&body))).await.map(|_: K| ())
    }

    /// For calls of other shapes.
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
