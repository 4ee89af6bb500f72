//! What an assignment's status says.

use std::collections::BTreeSet;

use imarchive_crds::{ConditionType, UserAssignment, UserAssignmentStatus, resolve::Assignments};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::status::{ConditionReason, Conditions, Progress};

/// How many conflicts are listed.
const SHOWN: usize = 100;

/// The status, when `table` is whom the namespace's assignments hold, and `resolved` whether the endpoint exists.
pub fn status(
    assignment: &UserAssignment,
    table: &Assignments,
    resolved: bool,
    now: Timestamp,
) -> UserAssignmentStatus {
    let stored = assignment.status.clone().unwrap_or_default();
    let generation = assignment.metadata.generation;
    let users: BTreeSet<_> = assignment.spec.users.iter().cloned().collect();
    let users: Vec<_> = users.into_iter().collect();
    let mut conflicts = table.conflicts(&assignment.name_any(), &users);
    let held = users.len().saturating_sub(conflicts.len());
    let endpoint = &assignment.spec.endpoint_ref.name;

    let mut conditions = Conditions::over(&stored.conditions, generation, now);
    let conflict = conflicts.first().map(|first| {
        ConditionReason::Conflict.with(format!(
            "Older assignments, such as {}, hold {} of {}; status.conflicts names them.",
            first.held_by,
            conflicts.len(),
            counted(users.len())
        ))
    });
    let missing = ConditionReason::EndpointNotFound.with(format!(
        "There is no ArchivingEndpoint {endpoint} in this namespace: messages of these users are kept, unrouted, until \
         there is."
    ));
    let held_here = format!("All are held here: {}.", counted(held));
    match &conflict {
        None => conditions.set(ConditionType::Accepted, true, ConditionReason::UsersHeld, held_here.clone()),
        Some(message) => {
            conditions.set(ConditionType::Accepted, false, ConditionReason::Conflict, message.clone());
        }
    }
    let (found, sentence) = match resolved {
        true => (ConditionReason::EndpointFound, format!("The ArchivingEndpoint {endpoint} exists.")),
        false => (ConditionReason::EndpointNotFound, missing.clone()),
    };
    conditions.set(ConditionType::EndpointResolved, resolved, found, sentence);
    match (resolved, conflict) {
        (true, None) => {
            let message = format!("Messages of {} go to {endpoint}.", counted(held));
            conditions.set(ConditionType::Ready, true, ConditionReason::Assigned, message);
        }
        (_, Some(message)) => {
            let reason = ConditionReason::Conflict;
            conditions.set(ConditionType::Ready, false, reason.clone(), message.clone());
            conditions.progress(Progress::Stalled { reason, message });
        }
        (false, None) => {
            let reason = ConditionReason::EndpointNotFound;
            conditions.set(ConditionType::Ready, false, reason.clone(), missing.clone());
            conditions.progress(Progress::Reconciling { reason, message: missing });
        }
    }
    conflicts.truncate(SHOWN);
    UserAssignmentStatus {
        observed_generation: generation,
        conditions: conditions.into_list(),
        users: i64::try_from(held).ok(),
        conflicts,
    }
}

fn counted(users: usize) -> String {
    match users {
        1 => "1 user".to_owned(),
        _ => format!("{users} users"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imarchive_crds::{Address, is_true, resolve::Claim};
    use serde_json::json;

    fn assignment(name: &str, users: &[String]) -> UserAssignment {
        serde_json::from_value(json!({
            "apiVersion": "imarchive.dev/v1alpha1", "kind": "UserAssignment",
            "metadata": {"name": name, "namespace": "acme", "generation": 2},
            "spec": {"endpointRef": {"name": "journal"}, "users": users}
        }))
        .expect("an assignment")
    }

    fn users(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("u{number}@acme.example")).collect()
    }

    fn table(assignments: &[&UserAssignment]) -> Assignments {
        Assignments::resolve(assignments.iter().enumerate().map(|(second, assignment)| Claim {
            name: assignment.metadata.name.as_deref().unwrap_or_default(),
            created_at: at(second as i64),
            endpoint: "journal",
            users: &assignment.spec.users,
        }))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn an_assignment_without_conflict_whose_endpoint_exists_is_ready() {
        let only = assignment("only", &users(3));
        let status = status(&only, &table(&[&only]), true, at(9));
        assert!(is_true(&status.conditions, ConditionType::Ready));
        assert_eq!((status.users, status.conditions.len()), (Some(3), 3));
    }

    #[test]
    fn the_loser_of_150_users_lists_100_of_them_and_counts_the_rest() {
        let (old, young) = (assignment("old", &users(150)), assignment("young", &users(200)));
        let status = status(&young, &table(&[&old, &young]), true, at(9));
        assert_eq!((status.users, status.conflicts.len()), (Some(50), 100));
        assert!(!is_true(&status.conditions, ConditionType::Accepted));
        assert!(is_true(&status.conditions, ConditionType::Stalled));
    }

    #[test]
    fn without_its_endpoint_it_waits() {
        let only = assignment("only", &users(1));
        let status = status(&only, &table(&[&only]), false, at(9));
        assert!(is_true(&status.conditions, ConditionType::Accepted));
        assert!(is_true(&status.conditions, ConditionType::Reconciling));
        assert!(!is_true(&status.conditions, ConditionType::Ready));
    }

    #[test]
    fn one_user_in_two_spellings_is_one_user() {
        let only = assignment("only", &["A@acme.example".to_owned(), "a@ACME.example".to_owned()]);
        assert_eq!(only.spec.users[0], Address::parse("a@acme.example").expect("valid"));
        assert_eq!(status(&only, &table(&[&only]), true, at(9)).users, Some(1));
    }
}
