//! What a mail to the administrators is about: decided from what is observed, and from nothing else.

use imarchive_crds::{Address, ArchivingEndpointStatus, PastOutage, RetryLogRow, RetryStatus, hex};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::News;
use crate::endpoint::observe::Observed;

/// All that a mail is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// Whom it is for.
    pub administrators: Vec<Address>,
    /// The organization's name.
    pub organization: String,
    /// The namespace of the endpoint.
    pub namespace: String,
    /// Its name.
    pub endpoint: String,
    /// Its UID.
    pub uid: String,
    /// Its server and port.
    pub host: Option<String>,
    /// What it tells.
    pub matter: Matter,
    /// How many messages wait for the endpoint.
    pub waiting: i64,
    /// When the oldest of them was taken.
    pub oldest_at: Option<Timestamp>,
    /// How many batches need a person.
    pub held: i64,
    /// Those of them that waited for too long.
    pub expired: i64,
    /// How long a batch may wait, as the spec has it.
    pub give_up_after: String,
    /// Whether no attempts are made, as the spec asks for.
    pub suspended: bool,
}

/// What a letter tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Matter {
    /// Deliveries fail.
    Failed {
        /// The outage.
        retry: Box<RetryStatus>,
        /// The attempts that nobody was told of, the latest last.
        rows: Vec<RetryLogRow>,
        /// The latest of them.
        latest: RetryLogRow,
    },
    /// Deliveries succeed again.
    Ended(PastOutage),
}

/// What the administrators are to be told, when `status` is about to be published. First things first: the end of the
/// outage before, then the attempts of the present one.
pub fn due(observed: &Observed, status: &ArchivingEndpointStatus) -> Option<Letter> {
    let organization = &observed.archiver.as_ref()?.spec.organization;
    if organization.administrators.is_empty() {
        return None;
    }
    let matter = Matter::of(status.retry.as_ref()?)?;
    let rows = &status.archivers;
    Some(Letter {
        administrators: organization.administrators.clone(),
        organization: organization.name.clone(),
        namespace: observed.namespace.clone(),
        endpoint: observed.name.clone(),
        uid: observed.uid.clone(),
        host: status.host.clone(),
        matter,
        waiting: rows.iter().map(|row| row.pending_messages).sum(),
        oldest_at: rows.iter().filter_map(|row| row.oldest_pending_at.as_ref()).map(|time| time.0).min(),
        held: rows.iter().map(|row| row.held_batches).sum(),
        expired: rows.iter().map(|row| row.expired_batches).sum(),
        give_up_after: observed.endpoint.spec.retry.give_up_after.to_string(),
        suspended: observed.endpoint.spec.suspend,
    })
}

impl Matter {
    /// What is news in `retry`.
    pub fn of(retry: &RetryStatus) -> Option<Self> {
        if let Some(last) = retry.last.as_ref().filter(|last| last.notified_at.is_none()) {
            return Some(Self::Ended(last.clone()));
        }
        let rows: Vec<RetryLogRow> = retry.log.iter().filter(|row| row.notified_at.is_none()).cloned().collect();
        let latest = rows.last()?.clone();
        Some(Self::Failed { retry: Box::new(retry.clone()), rows, latest })
    }
}

impl Letter {
    /// What is told once it is sent.
    pub fn news(&self) -> Vec<News> {
        match &self.matter {
            Matter::Ended(past) => vec![News::End { outage: past.outage }],
            Matter::Failed { retry, rows, .. } => {
                rows.iter().map(|row| News::Attempt { outage: retry.outage, attempt: row.attempt }).collect()
            }
        }
    }

    /// What tells this letter from others: the same for the same news, whoever sends it, and however often.
    pub fn id(&self) -> String {
        self.hash(&format!("{:?}", self.news()))
    }

    /// The same for all letters of one outage.
    pub fn thread(&self) -> String {
        let outage = match &self.matter {
            Matter::Ended(past) => past.outage,
            Matter::Failed { retry, .. } => retry.outage,
        };
        self.hash(&format!("outage {outage}"))
    }

    fn hash(&self, what: &str) -> String {
        hex(&Sha256::digest(format!("{} {what}", self.uid))[..16])
    }
}

#[cfg(test)]
#[path = "letter_tests.rs"]
pub(super) mod tests;
