//! Publishing: the operator's part of a status, written only when it differs, with events on transitions.

use imarchive_crds::{ConditionType, condition, is_true, set_condition};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    ResourceExt,
    runtime::events::{Event, EventType},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    api::{Kind, bounded},
    context::Context,
    error::Error,
};

/// What others write into a status, as paths: the operator's apply must not hold it, or it would own it.
pub type Foreign = &'static [&'static [&'static str]];

/// Reconciling: it goes as it should.
pub const PROGRESSING: &str = "Progressing";
/// Reconciling: it failed, and is tried again.
pub const RETRYING: &str = "ProgressingWithRetry";
/// The longest note that the API takes for an event.
const LONGEST_NOTE: usize = 1000;

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
        && comparable(own(stored)?) == comparable(wanted.clone())
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
    let call = format!("event of {} {}", K::kind(&()), object.name_any());
    let reference = object.object_ref(&());
    if let Err(error) = bounded(call, context.shared.recorder.publish(event, &reference)).await {
        tracing::debug!(%error, "an event was lost");
    }
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

/// The order of conditions means nothing.
fn comparable(mut status: Value) -> Value {
    if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
        conditions.sort_by_key(|condition| condition.get("type").map(Value::to_string));
    }
    status
}

/// The events that tell of what changed between two lists of conditions.
///
/// What is new is no news while it is on its way; and of a condition that was False and still is, only another reason
/// to fail is.
pub fn transitions(before: &[Condition], after: &[Condition]) -> Vec<Event> {
    let told = [ConditionType::Ready, ConditionType::Accepted, ConditionType::Delivering, ConditionType::Default];
    let find =
        |conditions: &[Condition], type_: ConditionType| conditions.iter().find(|c| c.type_ == type_.name()).cloned();
    let failing = is_true(after, ConditionType::Stalled)
        || find(after, ConditionType::Reconciling).is_some_and(|condition| condition.reason == RETRYING);
    let mut events = Vec::new();
    for type_ in told {
        let Some(now) = find(after, type_) else { continue };
        let (good, fails) = (now.status == "True", failing && type_ != ConditionType::Default);
        let news = match find(before, type_) {
            Some(was) if was.status == now.status => !good && fails && was.reason != now.reason,
            Some(_) => true,
            None => (good && type_ != ConditionType::Delivering) || (type_ == ConditionType::Ready && fails),
        };
        if news {
            events.push(Event {
                type_: if good || !fails { EventType::Normal } else { EventType::Warning },
                reason: now.reason,
                note: Some(shortened(&now.message, LONGEST_NOTE)),
                action: type_.name().to_owned(),
                secondary: None,
            });
        }
    }
    events
}

/// The first `most` bytes of `text`, whole characters.
pub fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most.saturating_sub(3)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}...", &text[..end])
}

/// The conditions of an object under construction, over those that are stored.
pub struct Conditions {
    list: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

/// What an object is on its way to, or stuck at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is to be done.
    Settled,
    /// It goes on without a person.
    Reconciling {
        /// Why.
        reason: String,
        /// What happens now.
        message: String,
    },
    /// A person is needed.
    Stalled {
        /// Why.
        reason: String,
        /// What to do.
        message: String,
    },
}

impl Conditions {
    /// Over `stored`, which keep their transition times while their status does not change.
    pub fn over(stored: &[Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { list: stored.to_vec(), generation, now }
    }

    /// Sets a condition that is True or False.
    pub fn set(&mut self, type_: ConditionType, status: bool, reason: &str, message: impl Into<String>) {
        set_condition(&mut self.list, condition(type_, status, reason, message, self.generation, self.now));
    }

    /// Sets a condition of which nothing is known yet.
    pub fn unknown(&mut self, type_: ConditionType, reason: &str, message: impl Into<String>) {
        let mut unknown = condition(type_, false, reason, message, self.generation, self.now);
        unknown.status = "Unknown".to_owned();
        set_condition(&mut self.list, unknown);
    }

    /// Sets Reconciling or Stalled, never both, and neither when there is nothing to do.
    pub fn progress(&mut self, progress: Progress) {
        let (keep, reason, message) = match progress {
            Progress::Settled => (None, String::new(), String::new()),
            Progress::Reconciling { reason, message } => (Some(ConditionType::Reconciling), reason, message),
            Progress::Stalled { reason, message } => (Some(ConditionType::Stalled), reason, message),
        };
        let gone = |type_: ConditionType| keep != Some(type_);
        self.list.retain(|condition| {
            !(condition.type_ == ConditionType::Reconciling.name() && gone(ConditionType::Reconciling)
                || condition.type_ == ConditionType::Stalled.name() && gone(ConditionType::Stalled))
        });
        if let Some(type_) = keep {
            self.set(type_, true, &reason, message);
        }
    }

    /// The list.
    pub fn into_list(self) -> Vec<Condition> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn list(set: impl Fn(&mut Conditions)) -> Vec<Condition> {
        let mut conditions = Conditions::over(&[], Some(1), at(1));
        set(&mut conditions);
        conditions.into_list()
    }

    #[test]
    fn what_others_write_is_left_out() {
        let status = json!({"users": {"assigned": 1, "active72h": 2}, "messages": {}, "host": "x"});
        let own = without(status, &[&["messages"], &["users", "active72h"], &["nothing", "here"]]);
        assert_eq!(own, json!({"users": {"assigned": 1}, "host": "x"}));
    }

    #[test]
    fn reconciling_and_stalled_never_stand_together() {
        let mut conditions = Conditions::over(&[], Some(1), at(1));
        let (reason, message) = (String::from("A"), String::from("a"));
        conditions.progress(Progress::Reconciling { reason: reason.clone(), message: message.clone() });
        conditions.progress(Progress::Stalled { reason, message });
        assert_eq!(conditions.list.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), ["Stalled"]);
        conditions.progress(Progress::Settled);
        assert!(conditions.list.is_empty());
    }

    fn failing(reason: &str) -> Vec<Condition> {
        list(|conditions| {
            conditions.set(ConditionType::Ready, false, reason, "x");
            conditions.progress(Progress::Stalled { reason: reason.to_owned(), message: String::new() });
        })
    }

    #[test]
    fn an_event_tells_of_a_failure_once() {
        let (bad, worse) = (failing("DnsFailed"), failing("AuthRejected"));
        assert_eq!(transitions(&[], &bad).len(), 1);
        assert!(transitions(&bad, &bad).is_empty());
        assert_eq!(transitions(&bad, &worse)[0].reason, "AuthRejected");
    }

    #[test]
    fn a_fresh_object_on_its_way_is_no_news_and_a_ready_one_is() {
        let fresh = list(|conditions| {
            conditions.set(ConditionType::Ready, false, "NotTested", "x");
            conditions.set(ConditionType::Delivering, true, "NoOutage", "x");
        });
        assert!(transitions(&[], &fresh).is_empty());
        let ready = list(|conditions| conditions.set(ConditionType::Ready, true, "TestPassed", "x"));
        assert_eq!(transitions(&fresh, &ready).len(), 1);
    }

    #[test]
    fn long_notes_are_cut_between_characters() {
        assert_eq!(shortened("äöü", 6), "äöü");
        assert_eq!(shortened("äöüß", 7), "äö...");
    }
}
