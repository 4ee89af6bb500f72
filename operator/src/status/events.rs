//! Which changes of conditions are told as events.

use imarchive_crds::{ConditionType, is_true};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};

use super::{ConditionReason, shortened};

/// The longest note that the API takes for an event.
const LONGEST_NOTE: usize = 1000;
/// What is told of, and what the operator did when it changed.
const TOLD: [(ConditionType, &str); 5] = [
    (ConditionType::Ready, "Reconcile"),
    (ConditionType::Accepted, "Accept"),
    (ConditionType::Delivering, "Deliver"),
    (ConditionType::Default, "Elect"),
    (ConditionType::Notified, "Notify"),
];
/// Why an object is on its way, when something is wrong meanwhile.
const TROUBLE: [ConditionReason; 2] = [ConditionReason::ProgressingWithRetry, ConditionReason::EndpointNotFound];

/// The events that tell of what changed between two lists of conditions.
///
/// What is new is no news while it is on its way; and of a condition that was False and still is, only another reason
/// to fail is.
pub fn transitions(before: &[Condition], after: &[Condition]) -> Vec<Event> {
    let find = |conditions: &[Condition], type_: ConditionType| {
        conditions.iter().find(|condition| condition.type_ == type_.name()).cloned()
    };
    let troubled = |condition: Condition| TROUBLE.iter().any(|reason| reason.to_string() == condition.reason);
    let failing =
        is_true(after, ConditionType::Stalled) || find(after, ConditionType::Reconciling).is_some_and(troubled);
    let mut events = Vec::new();
    for (type_, action) in TOLD {
        let Some(now) = find(after, type_) else { continue };
        let good = now.status == "True";
        let fails = match type_ {
            ConditionType::Default => false,
            // That nobody can be told is no trouble of the object's.
            ConditionType::Notified => !good,
            _ => failing,
        };
        let news = match find(before, type_) {
            Some(was) if was.status == now.status => !good && fails && was.reason != now.reason,
            // A mail that arrived tells of itself.
            Some(_) => type_ != ConditionType::Notified || fails,
            None => match type_ {
                ConditionType::Ready => good || fails,
                ConditionType::Default => good,
                ConditionType::Notified => fails,
                _ => false,
            },
        };
        let note = Some(shortened(&now.message, LONGEST_NOTE));
        // Ready often says what another condition says as well.
        let told = events.iter().any(|event: &Event| event.reason == now.reason && event.note == note);
        if news && !told {
            events.push(Event {
                type_: if good || !fails { EventType::Normal } else { EventType::Warning },
                reason: now.reason,
                note,
                action: action.to_owned(),
                secondary: None,
            });
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Conditions, Progress};
    use imarchive_crds::Reason;

    fn list(set: impl Fn(&mut Conditions)) -> Vec<Condition> {
        let mut conditions = Conditions::over(&[], Some(1), jiff::Timestamp::UNIX_EPOCH);
        set(&mut conditions);
        conditions.into_list()
    }

    fn failing(reason: Reason) -> Vec<Condition> {
        list(|conditions| {
            conditions.set(ConditionType::Ready, false, reason.into(), "x");
            conditions.progress(Progress::Stalled { reason: reason.into(), message: String::new() });
        })
    }

    #[test]
    fn an_event_tells_of_a_failure_once() {
        let (bad, worse) = (failing(Reason::DnsFailed), failing(Reason::AuthRejected));
        assert_eq!(transitions(&[], &bad).len(), 1);
        assert!(transitions(&bad, &bad).is_empty());
        let event = &transitions(&bad, &worse)[0];
        assert_eq!((event.reason.as_str(), event.action.as_str()), ("AuthRejected", "Reconcile"));
    }

    #[test]
    fn a_fresh_object_on_its_way_is_no_news_and_a_ready_one_is() {
        let fresh = list(|conditions| {
            conditions.set(ConditionType::Ready, false, ConditionReason::NotTested, "x");
            conditions.set(ConditionType::Delivering, true, ConditionReason::NoOutage, "x");
        });
        assert!(transitions(&[], &fresh).is_empty());
        let ready = list(|conditions| conditions.set(ConditionType::Ready, true, ConditionReason::TestPassed, "x"));
        assert_eq!(transitions(&fresh, &ready).len(), 1);
    }

    #[test]
    fn of_mails_to_administrators_only_a_failure_is_an_event() {
        let notified = |told: bool, reason: ConditionReason| {
            list(|conditions| conditions.set(ConditionType::Notified, told, reason.clone(), "x"))
        };
        let (told, failed) = (notified(true, ConditionReason::Told), notified(false, ConditionReason::RelayFailed));
        assert!(transitions(&[], &told).is_empty() && transitions(&failed, &told).is_empty());
        for before in [vec![], told, notified(false, ConditionReason::NoRelay)] {
            let events = transitions(&before, &failed);
            assert!(matches!(events[..], [Event { type_: EventType::Warning, .. }]), "{}", events.len());
        }
        assert!(transitions(&failed, &failed).is_empty());
    }

    #[test]
    fn messages_that_nobody_is_there_for_are_a_warning() {
        let lost = list(|conditions| {
            conditions.set(ConditionType::Ready, false, ConditionReason::EndpointNotFound, "x");
            let reason = ConditionReason::EndpointNotFound;
            conditions.progress(Progress::Reconciling { reason, message: "x".to_owned() });
        });
        assert!(matches!(transitions(&[], &lost)[0].type_, EventType::Warning));
    }
}
