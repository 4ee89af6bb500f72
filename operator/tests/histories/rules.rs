//! What holds of every status that is published.

use imarchive_crds::{ConditionType, Reason, is_true};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use operator::status::{
    reason::{ARCHIVER, ConditionReason, ENDPOINT, KUBERNETES},
    transitions,
};
use serde_json::{Value, json};

/// A status that is published, and what was there before.
pub struct Published<'a> {
    pub kind: &'static str,
    pub before: &'a [Condition],
    pub after: &'a [Condition],
    pub observed_generation: Option<i64>,
    pub generation: i64,
    pub now: Timestamp,
    /// Whether the object can be read: of one that cannot, old conditions stay.
    pub readable: bool,
}

impl Published<'_> {
    /// Checks what holds of every kind.
    pub fn check(&self) {
        let types: Vec<&str> = self.after.iter().map(|condition| condition.type_.as_str()).collect();
        let mut once = types.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), types.len(), "a type twice: {types:?}");
        assert!(types.contains(&"Ready"), "no Ready: {types:?}");
        let progress: Vec<&Condition> = self
            .after
            .iter()
            .filter(|condition| ["Reconciling", "Stalled"].contains(&condition.type_.as_str()))
            .collect();
        assert!(progress.len() <= 1, "both Reconciling and Stalled");
        assert!(progress.iter().all(|condition| condition.status == "True"), "{progress:?}");
        assert_eq!(self.observed_generation, Some(self.generation));
        self.after.iter().for_each(|condition| self.check_condition(condition));
        assert!(transitions(self.after, self.after).is_empty(), "an event without a transition");
        for event in transitions(self.before, self.after) {
            assert!(event.note.is_some_and(|note| !note.is_empty()) && !event.action.is_empty());
        }
    }

    fn check_condition(&self, condition: &Condition) {
        let Condition { type_, reason, message, .. } = condition;
        let observed = condition.observed_generation.expect("every condition says of which generation it is");
        assert!(observed <= self.generation, "{type_} is ahead");
        assert!(observed == self.generation || !self.readable, "{type_} is behind");
        assert!(is_word(self.kind, reason), "{type_}: {reason} is not in the vocabulary of {}", self.kind);
        let capital = message.starts_with(|first: char| first.is_uppercase());
        assert!(capital && message.ends_with('.') && !message.contains('\n'), "{type_}: {message:?}");
        assert!(!message.contains("..") && !message.contains("  "), "{type_}: {message:?}");

        let before = self.before.iter().find(|before| before.type_ == *type_);
        match before.filter(|before| before.status == condition.status) {
            Some(before) => assert_eq!(condition.last_transition_time, before.last_transition_time, "{type_}"),
            None => assert_eq!(condition.last_transition_time.0, self.now, "{type_}"),
        }
    }

    pub fn is_ready(&self) -> bool {
        is_true(self.after, ConditionType::Ready)
    }

    /// Whether something goes on, or is stuck.
    pub fn is_on_its_way(&self) -> bool {
        is_true(self.after, ConditionType::Reconciling) || is_true(self.after, ConditionType::Stalled)
    }
}

fn is_word(kind: &str, word: &str) -> bool {
    let own = ConditionReason::OWN.iter().any(|own| own.to_string() == word && own.kinds().contains(&kind));
    let of_a_test = || kind == ENDPOINT && serde_json::from_value::<Reason>(json!(word)).is_ok();
    let of_a_pod = || kind == ARCHIVER && KUBERNETES.iter().any(|(known, _, _)| *known == word);
    own || of_a_test() || of_a_pod()
}

/// Checks that publishing once more, even later, changes nothing.
pub fn same(once: &Value, again: &Value) {
    assert!(operator::status::same(once.clone(), again.clone()), "published again:\n{once:#}\nbecomes\n{again:#}");
}
