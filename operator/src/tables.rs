//! Who is assigned where, by namespace: resolved once for each change, however many objects ask.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use imarchive_crds::{
    UserAssignment,
    resolve::{Assignments, Claim},
};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::stores::{Stores, readable};

/// What a table was made of: UID and generation of each assignment.
type Origin = Vec<(Option<String>, Option<i64>)>;

/// The tables of all namespaces.
#[derive(Debug, Default)]
pub struct Tables(Mutex<HashMap<String, (Origin, Arc<Assignments>)>>);

impl Tables {
    /// The table of a namespace, as its assignments are now.
    pub fn of(&self, stores: &Stores, namespace: &str) -> Arc<Assignments> {
        let assignments = stores.assignments(namespace);
        let current: Vec<&UserAssignment> =
            readable(&assignments).filter(|a| a.metadata.deletion_timestamp.is_none()).collect();
        self.made_of(namespace, &current)
    }

    fn made_of(&self, namespace: &str, current: &[&UserAssignment]) -> Arc<Assignments> {
        let origin: Origin = current.iter().map(|a| (a.uid(), a.metadata.generation)).collect();
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if origin.is_empty() {
            // Of a namespace that is gone nothing is kept.
            tables.remove(namespace);
            return Arc::default();
        }
        match tables.get(namespace) {
            Some((made_of, table)) if *made_of == origin => Arc::clone(table),
            _ => {
                let table = Arc::new(Assignments::resolve(current.iter().copied().map(claim)));
                tables.insert(namespace.to_owned(), (origin, Arc::clone(&table)));
                table
            }
        }
    }
}

fn claim(assignment: &UserAssignment) -> Claim<'_> {
    Claim {
        name: assignment.metadata.name.as_deref().unwrap_or_default(),
        created_at: assignment.creation_timestamp().map_or(Timestamp::MIN, |time| time.0),
        endpoint: &assignment.spec.endpoint_ref.name,
        users: &assignment.spec.users,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn assignment(uid: &str, generation: i64, users: &[&str]) -> UserAssignment {
        serde_json::from_value(json!({
            "apiVersion": "imarchive.dev/v1alpha1", "kind": "UserAssignment",
            "metadata": {"name": uid, "namespace": "acme", "uid": uid, "generation": generation},
            "spec": {"endpointRef": {"name": "journal"}, "users": users}
        }))
        .expect("an assignment")
    }

    #[test]
    fn a_table_is_made_once_for_each_change() {
        let tables = Tables::default();
        let one = assignment("a", 1, &["x@acme.example"]);
        let first = tables.made_of("acme", &[&one]);
        assert!(Arc::ptr_eq(&first, &tables.made_of("acme", &[&one])));
        let edited = assignment("a", 2, &["x@acme.example", "y@acme.example"]);
        assert_eq!(tables.made_of("acme", &[&edited]).users_of("journal"), 2);
    }

    #[test]
    fn of_a_namespace_without_assignments_nothing_is_kept() {
        let tables = Tables::default();
        tables.made_of("acme", &[&assignment("a", 1, &["x@acme.example"])]);
        assert!(tables.made_of("acme", &[]).is_empty());
        assert!(tables.0.lock().expect("nobody panicked").is_empty());
    }
}
