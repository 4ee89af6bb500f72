//! The operator's part: folds the archiver's rows into what is published, and tells the administrators of each retry.
//!
//! It remembers nothing but what it published, as the real one does.

use std::collections::BTreeMap;

use ::operator::endpoint::retry::fold;
use archiver::{
    directory::Endpoint,
    report,
    spool::{Spool, backlog, clock, outage},
};
use imarchive_crds::{ArchiverRow, RetryStatus, ladder::Moment};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::history::{History, What};

/// The statuses, and what stands in them.
#[derive(Default)]
pub struct Operator {
    pub away: bool,
    /// `status.retry` of each endpoint.
    pub published: BTreeMap<usize, RetryStatus>,
    /// The archiver's record, as it was seen last: outage, and attempts while it runs.
    seen: BTreeMap<usize, (i64, i64)>,
}

impl Operator {
    /// The archiver's volume is another one: it goes on from what was published.
    pub fn forget_archiver(&mut self) {
        self.seen = self.published.iter().map(|(endpoint, retry)| (*endpoint, (retry.outage, retry.attempt))).collect();
    }

    /// Reads each endpoint's row, notes what changed in it, and folds it. Answers whether anything new is published.
    pub async fn look(&mut self, spool: &Spool, endpoints: &[Endpoint], history: &History, now: Timestamp) -> bool {
        let of: Vec<Endpoint> = endpoints.to_vec();
        let rows =
            spool.read(move |connection| of.iter().map(|endpoint| row(connection, endpoint, now)).collect()).await;
        let rows: Vec<ArchiverRow> = rows.expect("readable");
        let mut changed = false;
        for (endpoint, row) in rows.iter().enumerate() {
            let attempts = row.attempts.clone().unwrap_or_default();
            self.watch(endpoint, &attempts, history);
            if !self.away {
                changed |= self.fold(endpoint, row, history, now);
            }
        }
        changed
    }

    /// What an observer of the archiver sees: each failure, and each end.
    fn watch(&mut self, endpoint: usize, attempts: &RetryStatus, history: &History) {
        let is = (attempts.outage, attempts.attempt);
        let was = self.seen.get(&endpoint).copied().unwrap_or((is.0, 0));
        if is < was {
            // It has not taken up yet what was published.
            return;
        }
        self.seen.insert(endpoint, is);
        if was.0 < is.0 && was.1 > 0 {
            history.note(What::Recovered { endpoint, outage: was.0 });
        }
        if is != was && is.1 > 0 {
            let last = attempts.log.last();
            let stage = last.map(|row| row.stage.to_string()).unwrap_or_default();
            let reason = last.and_then(|row| row.reason).map(|reason| reason.to_string()).unwrap_or_default();
            history.note(What::Failed { endpoint, outage: is.0, attempt: is.1, stage, reason });
        }
    }

    /// Publishes what the row says, and tells the administrators what they were not told yet.
    fn fold(&mut self, endpoint: usize, row: &ArchiverRow, history: &History, now: Timestamp) -> bool {
        let stored = self.published.get(&endpoint);
        let Some(mut folded) = fold(std::slice::from_ref(row), stored) else { return false };
        for row in folded.log.iter_mut().filter(|row| row.notified_at.is_none()) {
            history.note(What::Notified { endpoint, outage: folded.outage, attempt: row.attempt });
            row.notified_at = Some(Time(now));
        }
        if stored == Some(&folded) {
            return false;
        }
        history.note(What::Published { endpoint, outage: folded.outage, attempt: folded.attempt });
        self.published.insert(endpoint, folded);
        true
    }
}

fn row(connection: &rusqlite::Connection, endpoint: &Endpoint, now: Timestamp) -> rusqlite::Result<ArchiverRow> {
    let record = outage::read(connection, &endpoint.name, &endpoint.uid)?;
    let moment = Moment { now, elapsed: None };
    let record = record.caught_up(&endpoint.known(), &endpoint.uid, moment).unwrap_or(record);
    let first_due = clock::first_due(connection, &endpoint.name)?;
    let attempts = report::attempts(endpoint, &record, first_due, now);
    let backlog = backlog::backlog(connection, &endpoint.name)?;
    let open = backlog::open_messages(connection, &endpoint.name)?;
    Ok(report::row("archiver-0", endpoint, &backlog, &open, attempts, None))
}
