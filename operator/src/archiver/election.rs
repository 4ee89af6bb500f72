//! Which endpoint is the default: [`imarchive_crds::elect`] over what was observed.

use imarchive_crds::elect::{self, Candidate};
use jiff::Timestamp;
use kube::ResourceExt;

use super::observe::Observed;
use crate::stores::readable;

/// The default endpoint's name.
///
/// While the sitting default cannot be read it stays: what is wrong with its object says nothing about the archive, and
/// messages must not move for it.
pub fn elect(observed: &Observed) -> Option<String> {
    let sitting = observed.archiver.status.as_ref().and_then(|status| status.default_endpoint.as_deref());
    let unreadable = |name: &&str| observed.endpoints.iter().any(|e| e.0.is_err() && e.name_any() == **name);
    if let Some(sitting) = sitting.filter(unreadable) {
        return Some(sitting.to_owned());
    }
    let candidates: Vec<Candidate<'_>> = readable(&observed.endpoints)
        .map(|endpoint| {
            let status = endpoint.status.as_ref();
            Candidate {
                name: endpoint.metadata.name.as_deref().unwrap_or_default(),
                created_at: endpoint.creation_timestamp().map_or(Timestamp::MIN, |time| time.0),
                accepted: status.is_some_and(|status| status.accepted.is_some()),
                deleting: endpoint.metadata.deletion_timestamp.is_some(),
                wants: endpoint.spec.default,
                requested_at: status.and_then(|status| status.default_requested_at.as_ref()).map(|time| time.0),
            }
        })
        .collect();
    elect::elect(&candidates, sitting).map(str::to_owned)
}
