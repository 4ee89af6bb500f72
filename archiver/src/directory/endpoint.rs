//! An endpoint, as the archiver needs it.

use std::{collections::BTreeSet, sync::Arc};

use imarchive_crds::{ArchivingEndpoint, Batching, Connection, Delivery, Retry, RetryStatus, Server, hex};
use kube::ResourceExt;
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::spool::outage::Known;

/// An endpoint, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// Its UID; of a person's file a hash.
    pub uid: String,
    /// What is delivered by, once a connection of it was accepted.
    pub accepted: Option<AcceptedServer>,
    /// Maintenance.
    pub suspend: bool,
    /// How messages are grouped into mails.
    pub batching: Batching,
    /// When a failed delivery is tried again.
    pub retry: Retry,
    /// How hard the archive may be pressed.
    pub delivery: Delivery,
    /// What was published of its outage: an archiver that is behind it takes it up.
    pub published: Option<Arc<RetryStatus>>,
    /// The Secrets with its credentials: that of the spec, which may not be accepted yet, and that of what is.
    pub secrets: BTreeSet<String>,
}

/// An accepted connection, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptedServer {
    /// The generation whose block this is.
    pub generation: Option<i64>,
    /// Tells connections apart.
    pub fingerprint: String,
    /// The archive.
    pub server: Server,
    /// The request for a test that was answered by one that passed: who mended something asks for one, and does not want
    /// to wait for the next rung.
    pub asked: Option<String>,
}

impl Endpoint {
    /// What the record of its outage follows, beside the attempts.
    pub fn known(&self) -> Known {
        Known { published: self.published.clone(), suspended: self.suspend, retry: self.retry.clone() }
    }

    /// What is delivered by.
    pub fn server(&self) -> Option<&Server> {
        self.accepted.as_ref().map(|accepted| &accepted.server)
    }
}

/// What `endpoint` says.
pub(super) fn parse(endpoint: &ArchivingEndpoint) -> Endpoint {
    let spec = &endpoint.spec;
    let (generation, connection): (Option<i64>, Option<Connection>) = match &endpoint.metadata.uid {
        None => (None, Some(spec.connection())),
        Some(_) => {
            let accepted = endpoint.status.as_ref().and_then(|status| status.accepted.clone());
            accepted.map_or((None, None), |accepted| (Some(accepted.generation), Some(accepted.connection)))
        }
    };
    let accepted = connection.and_then(|connection| match Server::try_from(&connection) {
        Ok(server) => {
            let fingerprint = connection.fingerprint();
            Some(AcceptedServer { generation, asked: asked(endpoint, &fingerprint), fingerprint, server })
        }
        Err(error) => {
            warn!(endpoint = endpoint.name_any(), %error, "an endpoint's block cannot be used");
            None
        }
    });
    let wanted = Server::try_from(&spec.connection()).ok().and_then(|server| server.credentials);
    let in_use = accepted.as_ref().and_then(|accepted| accepted.server.credentials.clone());
    Endpoint {
        secrets: wanted.into_iter().chain(in_use).collect(),
        name: endpoint.name_any(),
        uid: endpoint.metadata.uid.clone().unwrap_or_else(|| uid(endpoint)),
        accepted,
        suspend: spec.suspend,
        batching: spec.batching.clone(),
        retry: spec.retry.clone(),
        delivery: spec.delivery.clone(),
        published: endpoint.status.as_ref().and_then(|status| status.retry.as_ref()).map(attempts),
    }
}

/// The request that the last test answered, if that passed by this connection.
fn asked(endpoint: &ArchivingEndpoint, fingerprint: &str) -> Option<String> {
    let status = endpoint.status.as_ref()?;
    status.test.as_ref().filter(|test| test.passed() && test.connection == fingerprint)?;
    status.last_handled_test_at.clone()
}

/// What counts of an outage that was published. The rest follows from it, and a change of that is none here.
pub fn attempts(published: &RetryStatus) -> Arc<RetryStatus> {
    let mut attempts = RetryStatus { next_attempt_at: None, give_up_at: None, ..published.clone() };
    attempts.log.iter_mut().for_each(|row| row.notified_at = None);
    attempts.last.iter_mut().for_each(|last| last.notified_at = None);
    Arc::new(attempts)
}

fn uid(endpoint: &ArchivingEndpoint) -> String {
    let name = format!("ArchivingEndpoint/{}/{}", endpoint.namespace().unwrap_or_default(), endpoint.name_any());
    hex(&Sha256::digest(name)[..16])
}
