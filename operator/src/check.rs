//! `operator check`: is this cluster ready for imarchive? What `helm test` runs.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use imarchive_crds::{ArchivingEndpoint, GROUP, TEST_REQUESTED_AT};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, Config, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{MANAGER, api::bounded, context::Clock, error::Error, settings::Check};

const EXAMPLES: [(&str, &str); 3] = [
    ("archiver.yaml", include_str!("../../examples/archiver.yaml")),
    ("endpoint.yaml", include_str!("../../examples/endpoint.yaml")),
    ("assignment.yaml", include_str!("../../examples/assignment.yaml")),
];
const KINDS: [&str; 3] = ["Archiver", "ArchivingEndpoint", "UserAssignment"];
/// A probe's deadline, and the time to see that it passed.
const LONGEST_TEST: Duration = Duration::from_secs(330);
/// A Lease that nobody renews is taken within this time, if anybody is there.
const LONGEST_TERM: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_secs(1);

/// Checks one thing after the other; the first that fails is the answer.
pub async fn check(settings: Check, clock: Clock) -> anyhow::Result<()> {
    let config = Config::infer().await.context("neither a kubeconfig nor a ServiceAccount's token was found")?;
    let lease_namespace = settings.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config)?;
    served(&client).await?;
    println!("The resources of {GROUP} are served.");
    let leader = led(&client, &lease_namespace).await?;
    println!("{leader} leads.");
    examples(&client, &settings.namespace).await?;
    println!("The examples are valid.");
    if let Some(endpoint) = &settings.endpoint {
        let namespace = settings.endpoint_namespace.as_ref().unwrap_or(&settings.namespace);
        test(&client, namespace, endpoint, clock).await?;
        println!("{namespace}/{endpoint} passed its test.");
    }
    Ok(())
}

async fn served(client: &Client) -> anyhow::Result<()> {
    let version = format!("{GROUP}/v1alpha1");
    let call = format!("discovery of {version}");
    let list = bounded(call, client.list_api_group_resources(&version)).await;
    let list = match list {
        Err(Error::Gone { .. }) => bail!("the CustomResourceDefinitions are missing; install them: operator crds"),
        list => list?,
    };
    for kind in KINDS {
        if !list.resources.iter().any(|resource| resource.kind == kind) {
            bail!("{kind} is not served; install the CustomResourceDefinitions: operator crds");
        }
    }
    Ok(())
}

/// Who renews the Lease. That somebody holds it says nothing: it is renewed, or nobody leads.
async fn led(client: &Client, namespace: &str) -> anyhow::Result<String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let begin = Instant::now();
    let mut first = None;
    while begin.elapsed() < LONGEST_TERM {
        let call = format!("get Lease {namespace}/{MANAGER}");
        if let Some(lease) = bounded(call, leases.get_opt(MANAGER)).await? {
            let first = first.get_or_insert_with(|| lease.metadata.resource_version.clone());
            let holder = lease.spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty());
            if let Some(holder) = holder.filter(|_| *first != lease.metadata.resource_version) {
                return Ok(holder);
            }
        }
        sleep(POLL).await;
    }
    bail!(
        "no operator leads: the Lease {namespace}/{MANAGER} was not renewed within {} s; look at the pods of the \
         Deployment imarchive-operator",
        LONGEST_TERM.as_secs()
    )
}

async fn examples(client: &Client, namespace: &str) -> anyhow::Result<()> {
    for (file, text) in EXAMPLES {
        for document in documents(text).with_context(|| format!("{file} is no YAML"))? {
            let types = document.types.clone().ok_or_else(|| anyhow!("{file} has no kind"))?;
            let kind = GroupVersionKind::try_from(&types).with_context(|| format!("{file} has no kind"))?;
            // Secrets are shown beside what uses them; nobody here may write them.
            if kind.group != GROUP {
                continue;
            }
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind));
            let params = PostParams { dry_run: true, field_manager: Some(MANAGER.to_owned()) };
            let call = format!("dry run of {file} in {namespace}");
            match bounded(call, api.create(&params, &document)).await {
                // That there is one of this name is found out after it was found valid.
                Ok(_) | Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn documents(text: &str) -> Result<Vec<DynamicObject>, serde_yaml_ng::Error> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    let objects = documents.map(Option::<DynamicObject>::deserialize).collect::<Result<Vec<_>, _>>()?;
    Ok(objects.into_iter().flatten().collect())
}

async fn test(client: &Client, namespace: &str, name: &str, clock: Clock) -> anyhow::Result<()> {
    let endpoints: Api<ArchivingEndpoint> = Api::namespaced(client.clone(), namespace);
    let asked = clock().to_string();
    let patch = json!({"metadata": {"annotations": {TEST_REQUESTED_AT: asked}}});
    let call = format!("annotation of ArchivingEndpoint {namespace}/{name}");
    match bounded(call, endpoints.patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await {
        Err(Error::Gone { .. }) => {
            bail!("there is no ArchivingEndpoint {namespace}/{name}; correct the name of the test")
        }
        annotated => annotated?,
    };
    let begin = Instant::now();
    while begin.elapsed() < LONGEST_TEST {
        let call = format!("get ArchivingEndpoint {namespace}/{name}");
        let endpoint = match bounded(call, endpoints.get(name)).await {
            Ok(endpoint) => endpoint,
            Err(error @ (Error::Timeout { .. } | Error::Unreachable { .. })) => {
                eprintln!("{error}; asked again");
                sleep(POLL).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let status = endpoint.status.clone().unwrap_or_default();
        if status.last_handled_test_at.as_deref() == Some(&asked) {
            if status.test.as_ref().is_some_and(|test| test.passed()) {
                return Ok(());
            }
            let tested = status.conditions.iter().find(|condition| condition.type_ == "Tested");
            let why = tested.map(|tested| format!("{}: {}", tested.reason, tested.message)).unwrap_or_default();
            bail!("{namespace}/{} failed its test: {why}", endpoint.name_any());
        }
        sleep(POLL).await;
    }
    bail!("{namespace}/{name} was not tested within {} s; does the operator run?", LONGEST_TEST.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use imarchive_crds::{Archiver, UserAssignment};
    use serde::de::DeserializeOwned;

    fn read<K: DeserializeOwned>(document: &DynamicObject) {
        let value = serde_json::to_value(document).expect("JSON");
        serde_json::from_value::<K>(value).map(|_| ()).expect("an example is readable");
    }

    #[test]
    fn the_examples_are_readable_and_show_every_kind() {
        let mut kinds = Vec::new();
        for (_, text) in EXAMPLES {
            for document in documents(text).expect("YAML") {
                let kind = document.types.clone().expect("a kind").kind;
                match kind.as_str() {
                    "Archiver" => read::<Archiver>(&document),
                    "ArchivingEndpoint" => read::<ArchivingEndpoint>(&document),
                    "UserAssignment" => read::<UserAssignment>(&document),
                    _ => continue,
                }
                kinds.push(kind);
            }
        }
        assert_eq!(kinds, KINDS);
    }
}
