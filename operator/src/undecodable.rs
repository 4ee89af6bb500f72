//! Objects that cannot be read: the schema lets more through than the types do, an address that is none for example.
//!
//! They are left as they are, and say so. What was published before, such as `accepted`, stays: delivery goes on by it.

use std::time::Duration;

use imarchive_crds::ConditionType;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, ResourceExt,
    core::{ApiResource, DynamicObject, error_boundary::InvalidObject},
    runtime::controller::Action,
};
use serde_json::{Value, json};

use crate::{
    api::{Kind, bounded},
    context::Context,
    error::Error,
    status::{Conditions, Foreign, Progress, transitions, without},
};

/// Nothing changes until the object does; this is for the case that it was missed.
const AGAIN: Duration = Duration::from_secs(600);

/// Says on the object that it cannot be read, and why.
pub async fn publish<K: Kind>(context: &Context, invalid: &InvalidObject, foreign: Foreign) -> Result<Action, Error> {
    let kind = K::kind(&());
    let name = invalid.metadata.name.clone().unwrap_or_default();
    let namespace = invalid.metadata.namespace.clone().unwrap_or_default();
    context.shared.metrics.errors.with_label_values(&[&*kind, "Undecodable"]).inc();

    let api: Api<DynamicObject> =
        Api::namespaced_with(context.shared.kube.client(), &namespace, &ApiResource::erase::<K>(&()));
    let call = format!("get {kind} {namespace}/{name}");
    let Some(object) = bounded(call, api.get_opt(&name)).await? else { return Ok(Action::await_change()) };
    let stored = object.data.get("status").cloned().unwrap_or_else(|| json!({}));
    let before = conditions(&stored);
    let after = marked(&before, object.metadata.generation, &invalid.error, context.now());
    let mut status = without(stored, foreign);
    status["observedGeneration"] = json!(object.metadata.generation);
    status["conditions"] = json!(after);
    if json!(before) == json!(after) {
        return Ok(Action::requeue(AGAIN));
    }
    tracing::warn!(%kind, namespace, name, error = invalid.error, "an object cannot be read, and is left alone");
    context.shared.kube.apply_dynamic_status(&api, &object, &status).await?;
    for event in transitions(&before, &after) {
        let call = format!("event of {kind} {}", object.name_any());
        let reference = kube::Resource::object_ref(&object, &ApiResource::erase::<K>(&()));
        if let Err(error) = bounded(call, context.shared.recorder.publish(&event, &reference)).await {
            tracing::debug!(%error, "an event was lost");
        }
    }
    Ok(Action::requeue(AGAIN))
}

fn conditions(status: &Value) -> Vec<Condition> {
    status.get("conditions").and_then(|conditions| serde_json::from_value(conditions.clone()).ok()).unwrap_or_default()
}

fn marked(before: &[Condition], generation: Option<i64>, error: &str, now: jiff::Timestamp) -> Vec<Condition> {
    let message =
        format!("The object cannot be read: {error}. Correct it; until then, what was published before stays.");
    let mut conditions = Conditions::over(before, generation, now);
    conditions.set(ConditionType::Ready, false, "Invalid", message.clone());
    conditions.progress(Progress::Stalled { reason: "Invalid".to_owned(), message });
    conditions.into_list()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_cannot_be_read_is_stalled_once() {
        let at = |second| jiff::Timestamp::from_second(second).expect("in range");
        let first = marked(&[], Some(1), "no address", at(1));
        assert_eq!(first.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), ["Ready", "Stalled"]);
        assert_eq!(json!(marked(&first, Some(1), "no address", at(2))), json!(first));
    }
}
