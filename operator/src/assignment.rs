//! The UserAssignment: whom it holds, whom an older one holds, and whether its endpoint exists.

pub mod publish;

use std::{sync::Arc, time::Duration};

use imarchive_crds::UserAssignment;
use kube::{ResourceExt, runtime::controller::Action, runtime::reflector::ObjectRef};

use crate::{
    context::Context,
    error::Error,
    status::{self, Foreign},
    stores::Guarded,
    undecodable,
};

/// Nobody else writes into the status.
const FOREIGN: Foreign = &[];
/// Changes are told by watches; this is for one that was missed.
const AGAIN: Duration = Duration::from_secs(1800);

/// Brings the status of an assignment to what the assignments and endpoints of its namespace make of it.
pub async fn reconcile(object: Arc<Guarded<UserAssignment>>, context: Arc<Context>) -> Result<Action, Error> {
    let assignment = match &object.0 {
        Ok(assignment) if assignment.metadata.deletion_timestamp.is_some() => return Ok(Action::await_change()),
        Ok(assignment) => assignment,
        Err(invalid) => return undecodable::publish::<UserAssignment>(&context, invalid, FOREIGN).await,
    };
    let namespace = assignment.namespace().unwrap_or_default();
    let table = context.shared.tables.of(&context.stores, &namespace);
    let endpoint = ObjectRef::new(&assignment.spec.endpoint_ref.name).within(&namespace);
    let resolved = context.stores.endpoints.get(&endpoint).is_some();
    let status = publish::status(assignment, &table, resolved, context.now());
    status::write(&context, assignment, assignment.status.as_ref(), &status, |status| &status.conditions, FOREIGN)
        .await?;
    Ok(Action::requeue(AGAIN))
}
