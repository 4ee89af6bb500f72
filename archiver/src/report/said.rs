//! What was said last, so that it is not said again to those who heard it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use tokio::time::timeout;

use crate::{
    directory::{Endpoint, Resources},
    metrics::Metrics,
};

/// For one request to the API server.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was said last.
#[derive(Default)]
pub(super) struct Said {
    /// What was applied, by object: the same again is not sent.
    applied: BTreeMap<String, Value>,
    /// The endpoints that Prometheus is told of.
    endpoints: BTreeSet<String>,
}

impl Said {
    /// Another endpoint that takes a name has heard nothing yet.
    pub(super) fn forget_the_gone(&mut self, resources: &Resources, metrics: &Metrics) {
        let there: BTreeSet<String> = resources.endpoints.values().map(object).collect();
        self.applied.retain(|object, _| !object.starts_with(ENDPOINT) || there.contains(object));
        self.endpoints
            .iter()
            .filter(|name| !resources.endpoints.contains_key(*name))
            .for_each(|name| metrics.gone(name));
        self.endpoints = resources.endpoints.keys().cloned().collect();
    }

    /// Applies `body`, which is what is to be said of `object`.
    pub(super) async fn unless_said<F: Future<Output = kube::Result<()>>>(
        &mut self,
        object: &str,
        body: Value,
        apply: impl FnOnce(Value) -> F,
    ) -> anyhow::Result<()> {
        if self.applied.get(object) == Some(&body) {
            return Ok(());
        }
        match heard(object, apply(body.clone())).await? {
            true => self.applied.insert(object.to_owned(), body),
            false => self.applied.remove(object),
        };
        Ok(())
    }
}

/// Waits for what is applied to `object`; false when it was deleted meanwhile, so that there is nobody to report to.
pub(super) async fn heard(object: &str, applied: impl Future<Output = kube::Result<()>>) -> anyhow::Result<bool> {
    match timeout(PATIENCE, applied).await {
        Ok(Ok(())) => Ok(true),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(false),
        Ok(Err(error)) => anyhow::bail!("{object}: {error}"),
        Err(_) => anyhow::bail!("{object}: the API server does not answer"),
    }
}

/// What the names of endpoints begin with.
const ENDPOINT: &str = "endpoint ";

/// The name of an endpoint here.
pub(super) fn object(endpoint: &Endpoint) -> String {
    format!("{ENDPOINT}{} ({})", endpoint.name, endpoint.uid)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    /// The resources, with an endpoint `journal` of this UID.
    fn journal(uid: &str) -> Resources {
        let yaml = format!(
            "{{apiVersion: imarchive.dev/v1alpha1, kind: ArchivingEndpoint, metadata: {{name: journal, uid: {uid}}},
              spec: {{type: SecureSMTP, smtp: {{host: a.example, from: a@acme.example, recipients: [b@a.example]}}}}}}"
        );
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("journal.yaml"), yaml).expect("written");
        crate::directory::Directory::new(folder.path(), false).read().expect("readable").expect("new")
    }

    #[tokio::test]
    async fn the_same_is_said_again_only_to_another_endpoint_of_the_name() {
        let (mut said, metrics, heard) = (Said::default(), Metrics::new().expect("metrics"), AtomicU32::new(0));
        for (uid, times) in [("first", 1), ("first", 1), ("second", 2)] {
            let resources = journal(uid);
            said.forget_the_gone(&resources, &metrics);
            let apply = |_| async {
                heard.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            let name = object(&resources.endpoints["journal"]);
            said.unless_said(&name, json!({"pendingBatches": 1}), apply).await.expect("said");
            assert_eq!(heard.load(Ordering::Relaxed), times);
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_is_gone_is_no_failure_and_in_no_metric() {
        let (mut said, metrics) = (Said::default(), Metrics::new().expect("metrics"));
        let resources = journal("first");
        said.forget_the_gone(&resources, &metrics);
        metrics.backlog("journal", 3, Some(Timestamp::UNIX_EPOCH), 1);
        let gone = |_| async {
            let mut status = kube::core::Status::failure("not found", "NotFound");
            status.code = 404;
            Err(kube::Error::Api(Box::new(status)))
        };
        said.unless_said(&object(&resources.endpoints["journal"]), json!({}), gone).await.expect("nobody to tell");
        said.forget_the_gone(&Resources::default(), &metrics);
        assert!(!String::from_utf8(metrics.text().expect("text")).expect("text").contains("journal"));
    }
}
