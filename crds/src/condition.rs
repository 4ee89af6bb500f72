//! The conditions of all three resources, kept by the rules of kstatus.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{Schema, SchemaGenerator, json_schema};

/// Every condition type that imarchive writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// The object does what its spec says.
    Ready,
    /// On its way, without a person; present only while true.
    Reconciling,
    /// In need of a person; present only while true.
    Stalled,
    /// Endpoint: the last test of this connection passed.
    Tested,
    /// Endpoint: delivery uses this connection. Assignment: every user is held here.
    Accepted,
    /// Endpoint: not suspended, and no outage.
    Delivering,
    /// Endpoint: users named nowhere belong to it.
    Default,
    /// Endpoint: the administrators were mailed about each failed attempt, and about the end of the outage. Absent until there
    /// is something to tell.
    Notified,
    /// Assignment: the endpoint exists.
    EndpointResolved,
}

impl ConditionType {
    /// The name in the resource.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Tested => "Tested",
            Self::Accepted => "Accepted",
            Self::Delivering => "Delivering",
            Self::Default => "Default",
            Self::Notified => "Notified",
            Self::EndpointResolved => "EndpointResolved",
        }
    }
}

/// A condition, not yet placed among those before it: its transition time is still `now`.
pub fn condition(
    type_: ConditionType,
    status: bool,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
    now: jiff::Timestamp,
) -> Condition {
    Condition {
        type_: type_.name().to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: Time(now),
    }
}

/// Puts `new` among `conditions`, keeping the transition time of an unchanged status.
pub fn set_condition(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.iter_mut().find(|old| old.type_ == new.type_) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time.clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

/// Whether `conditions` has `type_` with status True.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    conditions.iter().any(|condition| condition.type_ == type_.name() && condition.status == "True")
}

/// Of a status' conditions: a map by type, with the bounds that Kubernetes gives its own.
pub(crate) fn list_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One statement about the object.",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "What it speaks of."},
                "status": {
                    "type": "string", "enum": ["True", "False", "Unknown"],
                    "description": "Whether it holds; Unknown while nothing is known."
                },
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "Why, in one word."},
                "message": {
                    "type": "string", "maxLength": 32768,
                    "description": "Why, in sentences: what happened, and what to do."
                },
                "observedGeneration": {
                    "type": "integer", "format": "int64",
                    "description": "The metadata.generation that it was found for; older than that, it is out of date."
                },
                "lastTransitionTime": {
                    "type": "string", "format": "date-time", "description": "When its status last changed."
                }
            }
        }
    })
}
