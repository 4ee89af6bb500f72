//! Publishing: the operator's part of a status, written only when it differs, with events on transitions.

mod events;
pub mod reason;

use imarchive_crds::{ConditionType, condition, set_condition};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{ResourceExt, runtime::events::Event};
use serde::Serialize;
use serde_json::Value;

use crate::{api::Kind, context::Context, error::Error};
pub use events::transitions;
pub use reason::ConditionReason;

/// What others write into a status, as paths: the operator's apply must not hold it, or it would own it.
pub type Foreign = &'static [&'static [&'static str]];

/// How much of others' words is quoted.
const LONGEST_QUOTE: usize = 900;

/// Makes the status of `object` say `desired`, except for what is `foreign`. True when it was written.
pub async fn write<K: Kind, S: Serialize>(
    context: &Context,
    object: &K,
    stored: Option<&S>,
    desired: &S,
    conditions: impl Fn(&S) -> &[Condition],
    foreign: Foreign,
) -> Result<bool, Error> {
    let own = |status: &S| {
        let encoded = serde_json::to_value(status);
        let error = |error: serde_json::Error| Error::Encode {
            what: format!("the status of {} {}", K::kind(&()), object.name_any()),
            message: error.to_string(),
        };
        encoded.map(|status| without(status, foreign)).map_err(error)
    };
    let wanted = own(desired)?;
    if let Some(stored) = stored
        && same(own(stored)?, wanted.clone())
    {
        return Ok(false);
    }
    context.shared.kube.apply_status(object, &wanted).await?;
    let before = stored.map(&conditions).unwrap_or_default();
    for event in transitions(before, conditions(desired)) {
        publish(context, object, &event).await;
    }
    Ok(true)
}

/// Tells whoever runs `kubectl describe`. An event is a courtesy: a reconcile does not fail for it.
pub async fn publish<K: Kind>(context: &Context, object: &K, event: &Event) {
    let mut about = object.object_ref(&());
    // Two events of the same reason but about different versions are two: the second one's note is another.
    about.resource_version = object.resource_version();
    context.shared.kube.tell(event, &about).await;
}

/// `status` without what is `foreign`.
pub fn without(mut status: Value, foreign: Foreign) -> Value {
    for path in foreign {
        let Some((last, parents)) = path.split_last() else { continue };
        let parent = parents.iter().try_fold(&mut status, |value, key| value.get_mut(*key));
        if let Some(Value::Object(parent)) = parent {
            parent.remove(*last);
        }
    }
    status
}

/// Whether two statuses say the same. The order of conditions means nothing.
pub fn same(one: Value, other: Value) -> bool {
    let sorted = |mut status: Value| {
        if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
            conditions.sort_by_key(|condition| condition.get("type").map(Value::to_string));
        }
        status
    };
    sorted(one) == sorted(other)
}

/// The first `most` bytes of `text`, whole characters.
pub fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most.saturating_sub(3)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}...", &text[..end])
}

/// Somebody else's words, to be quoted inside a sentence: one line, not too long, and without the full stop, which is set
/// by whoever goes on.
pub fn quoted(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shortened(line.trim_end_matches(['.', ' ']), LONGEST_QUOTE)
}

/// The conditions of an object under construction, over those that are stored.
pub struct Conditions {
    list: Vec<Condition>,
    stored: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

/// So many of these, in words.
pub fn counted(count: i64, what: &str) -> String {
    match (count, what) {
        (1, _) => format!("1 {what}"),
        (_, "batch") => format!("{count} batches"),
        (_, _) => format!("{count} {what}s"),
    }
}

/// A time as statuses have it, to the second.
pub fn second(time: &Time) -> String {
    time.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What an object is on its way to, or stuck at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is to be done.
    Settled,
    /// It goes on without a person.
    Reconciling {
        /// Why.
        reason: ConditionReason,
        /// What happens now.
        message: String,
    },
    /// A person is needed.
    Stalled {
        /// Why.
        reason: ConditionReason,
        /// What to do.
        message: String,
    },
}

impl Conditions {
    /// Over `stored`, which keep their transition times while their status does not change. What is not set anew goes.
    pub fn over(stored: &[Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { list: Vec::new(), stored: stored.to_vec(), generation, now }
    }

    /// Those that are stored stay as they are, apart from what is set.
    pub fn beside(stored: &[Condition], generation: Option<i64>, now: Timestamp) -> Self {
        let ends = [ConditionType::Reconciling, ConditionType::Stalled].map(ConditionType::name);
        let list = stored.iter().filter(|condition| !ends.contains(&condition.type_.as_str())).cloned().collect();
        Self { list, ..Self::over(stored, generation, now) }
    }

    /// Sets a condition that is True or False.
    pub fn set(&mut self, type_: ConditionType, status: bool, reason: ConditionReason, message: impl Into<String>) {
        self.put(condition(type_, status, &reason.to_string(), message, self.generation, self.now));
    }

    /// Sets a condition of which nothing is known yet.
    pub fn unknown(&mut self, type_: ConditionType, reason: ConditionReason, message: impl Into<String>) {
        let mut unknown = condition(type_, false, &reason.to_string(), message, self.generation, self.now);
        unknown.status = "Unknown".to_owned();
        self.put(unknown);
    }

    /// Sets Reconciling or Stalled, never both, and neither when there is nothing to do.
    pub fn progress(&mut self, progress: Progress) {
        match progress {
            Progress::Settled => {}
            Progress::Reconciling { reason, message } => self.set(ConditionType::Reconciling, true, reason, message),
            Progress::Stalled { reason, message } => self.set(ConditionType::Stalled, true, reason, message),
        }
    }

    /// The list.
    pub fn into_list(self) -> Vec<Condition> {
        self.list
    }

    fn put(&mut self, mut new: Condition) {
        let same = |old: &&Condition| old.type_ == new.type_ && old.status == new.status;
        if let Some(old) = self.stored.iter().find(same) {
            new.last_transition_time = old.last_transition_time.clone();
        }
        set_condition(&mut self.list, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn what_others_write_is_left_out() {
        let status = json!({"users": {"assigned": 1, "active72h": 2}, "messages": {}, "host": "x"});
        let own = without(status, &[&["messages"], &["users", "active72h"], &["nothing", "here"]]);
        assert_eq!(own, json!({"users": {"assigned": 1}, "host": "x"}));
    }

    #[test]
    fn a_condition_that_is_not_set_any_more_goes() {
        let mut first = Conditions::over(&[], Some(1), at(1));
        first.set(ConditionType::Ready, false, ConditionReason::PodMissing, "x");
        let message = "x".to_owned();
        first.progress(Progress::Reconciling { reason: ConditionReason::Progressing, message: message.clone() });
        let mut second = Conditions::over(&first.into_list(), Some(1), at(2));
        second.set(ConditionType::Ready, false, ConditionReason::PodMissing, "x");
        second.progress(Progress::Stalled { reason: ConditionReason::ApplyRefused, message });
        let types = |list: &[Condition]| list.iter().map(|c| c.type_.clone()).collect::<Vec<_>>();
        let second = second.into_list();
        assert_eq!(types(&second), ["Ready", "Stalled"]);
        assert_eq!(second[0].last_transition_time.0, at(1));
        assert_eq!(types(&Conditions::beside(&second, Some(2), at(3)).into_list()), ["Ready"]);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("äöü", 6), "äöü");
        assert_eq!(shortened("äöüß", 7), "äö...");
    }

    #[test]
    fn what_is_quoted_is_one_line_without_its_full_stop() {
        assert_eq!(quoted(" 0/1 nodes:\n  none\tfits. "), "0/1 nodes: none fits");
    }
}
