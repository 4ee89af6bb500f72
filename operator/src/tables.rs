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
        let origin: Origin = current.iter().map(|a| (a.uid(), a.metadata.generation)).collect();
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
