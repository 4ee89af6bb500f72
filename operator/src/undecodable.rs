//! Objects that cannot be read: the schema lets more through than the types do, an address that is none for example.
//!
//! They are left as they are, and say so. What was published before, such as `accepted`, stays: delivery goes on by it.

use std::time::Duration;

use imarchive_crds::ConditionType;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api,
    core::{ApiResource, DynamicObject, error_boundary::InvalidObject},
    runtime::controller::Action,
};
use serde_json::{Value, json};

use crate::{
    api::{Kind, bounded},
    context::Context,
    error::Error,
    status::{ConditionReason, Conditions, Foreign, Progress, quoted, transitions, without},
};

/// Nothing changes until the object does; this is for the case that it was missed.
const AGAIN: Duration = Duration::from_secs(600);

/// Says on the object that it cannot be read, and why.
pub async fn publish<K: Kind>(context: &Context, invalid: &InvalidObject, foreign: Foreign) -> Result<Action, Error> {
    if invalid.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let kind = K::kind(&());
    let name = invalid.metadata.name.clone().unwrap_or_default();
    let namespace = invalid.metadata.namespace.clone().unwrap_or_default();
    context.shared.metrics.errors.with_label_values(&[&*kind, "Undecodable"]).inc();

    let api: Api<DynamicObject> =
        Api::namespaced_with(context.shared.kube.client(), &namespace, &ApiResource::erase::<K>(&()));
    let call = format!("get {kind} {namespace}/{name}");
    let Some(object) = bounded(call, api.get_opt(&name)).await? else { return Ok(Action::await_change()) };
    if object.metadata.generation != invalid.metadata.generation {
        // What is wrong with the spec of before says nothing about this one, which its watch brings.
        return Ok(Action::requeue(AGAIN));
    }
    let stored = object.data.get("status").cloned().unwrap_or_else(|| json!({}));
    let marked = status(&stored, object.metadata.generation, &invalid.error, context.now());
    let (before, after) = (conditions(&stored), conditions(&marked));
    if json!(before) == json!(after) {
        return Ok(Action::requeue(AGAIN));
    }
    tracing::warn!(%kind, namespace, name, error = invalid.error, "an object cannot be read, and is left alone");
    context.shared.kube.apply_dynamic_status(&api, &object, &without(marked, foreign)).await?;
    let mut about = kube::Resource::object_ref(&object, &ApiResource::erase::<K>(&()));
    about.resource_version.clone_from(&object.metadata.resource_version);
    for event in transitions(&before, &after) {
        context.shared.kube.tell(&event, &about).await;
    }
    Ok(Action::requeue(AGAIN))
}

fn conditions(status: &Value) -> Vec<Condition> {
    status.get("conditions").and_then(|conditions| serde_json::from_value(conditions.clone()).ok()).unwrap_or_default()
}

/// The status of an object that cannot be read for `error`: the one that is `stored`, and that.
pub fn status(stored: &Value, generation: Option<i64>, error: &str, now: Timestamp) -> Value {
    let reason = ConditionReason::Invalid;
    let message = reason.with(format!("The object cannot be read: {}.", quoted(error)));
    let mut list = Conditions::beside(&conditions(stored), generation, now);
    list.set(ConditionType::Ready, false, reason.clone(), message.clone());
    list.progress(Progress::Stalled { reason, message });
    let mut status = stored.clone();
    status["observedGeneration"] = json!(generation);
    status["conditions"] = json!(list.into_list());
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn an_object_that_cannot_be_read_is_stalled_once() {
        let first = status(&json!({"host": "x"}), Some(1), "no address", at(1));
        let types: Vec<_> = conditions(&first).into_iter().map(|condition| condition.type_).collect();
        assert_eq!((types, &first["host"]), (vec!["Ready".to_owned(), "Stalled".to_owned()], &json!("x")));
        assert_eq!(status(&first, Some(1), "no address", at(2)), first);
    }
}
