//! The operator's part: folds the archiver's rows into what is published, and has the administrators told of each retry.
//!
//! It remembers nothing but what it published, as the real one does, and what its notifier does.

use std::{collections::BTreeMap, sync::Arc};

use ::operator::endpoint::retry::fold;
use archiver::{
    directory::Endpoint,
    report,
    spool::{Spool, backlog, clock, outage},
};
use imarchive_crds::{ArchiverRow, RetryStatus, ladder::Moment};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::{
    history::{History, What},
    mailing::Mailing,
    plan::Plan,
};

/// The statuses, and who folds them.
pub struct Operator {
    plan: Arc<Plan>,
    history: Arc<History>,
    asks: mpsc::UnboundedSender<()>,
    /// While there is an operator.
    mailing: Option<Mailing>,
    /// `status.retry` of each endpoint.
    pub published: BTreeMap<usize, RetryStatus>,
    /// The archiver's row in its status.
    rows: BTreeMap<usize, ArchiverRow>,
    /// The archiver's record, as it was seen last: outage, and attempts while it runs.
    seen: BTreeMap<usize, (i64, i64)>,
}

impl Operator {
    /// `asks` is told when the statuses are to be folded again.
    pub fn new(plan: Arc<Plan>, history: Arc<History>, asks: mpsc::UnboundedSender<()>) -> Self {
        let (published, rows, seen) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut operator = Self { plan, history, asks, mailing: None, published, rows, seen };
        operator.turn(false);
        operator
    }

    /// Goes away, or comes back with no memory.
    pub fn turn(&mut self, away: bool) {
        if away {
            self.mailing = None;
        } else if self.mailing.is_none() {
            self.mailing = Some(Mailing::start(self.plan.clone(), self.history.clone(), self.asks.clone()));
        }
    }

    /// Whether nobody folds.
    pub fn is_away(&self) -> bool {
        self.mailing.is_none()
    }

    /// The archiver's volume is another one: it goes on from what was published.
    pub fn forget_archiver(&mut self) {
        self.seen = self.published.iter().map(|(endpoint, retry)| (*endpoint, (retry.outage, retry.attempt))).collect();
    }

    /// Takes each endpoint's row from the archiver, and notes what changed in it.
    pub async fn look(&mut self, spool: &Spool, endpoints: &[Endpoint], now: Timestamp) {
        let of: Vec<Endpoint> = endpoints.to_vec();
        let rows =
            spool.read(move |connection| of.iter().map(|endpoint| row(connection, endpoint, now)).collect()).await;
        let rows: Vec<ArchiverRow> = rows.expect("readable");
        for (endpoint, row) in rows.into_iter().enumerate() {
            self.watch(endpoint, &row.attempts.clone().unwrap_or_default());
            self.rows.insert(endpoint, row);
        }
    }

    /// What an observer of the archiver sees: each failure, and each end.
    fn watch(&mut self, endpoint: usize, attempts: &RetryStatus) {
        let is = (attempts.outage, attempts.attempt);
        let was = self.seen.get(&endpoint).copied().unwrap_or((is.0, 0));
        if is < was {
            // It has not taken up yet what was published.
            return;
        }
        self.seen.insert(endpoint, is);
        if was.0 < is.0 && was.1 > 0 {
            self.history.note(What::Recovered { endpoint, outage: was.0 });
        }
        if is != was && is.1 > 0 {
            let last = attempts.log.last();
            let stage = last.map(|row| row.stage.to_string()).unwrap_or_default();
            let reason = last.and_then(|row| row.reason).map(|reason| reason.to_string()).unwrap_or_default();
            self.history.note(What::Failed { endpoint, outage: is.0, attempt: is.1, stage, reason });
        }
    }

    /// Folds what stands in the statuses, publishes it, and hands on what is news. Answers whether anything new is
    /// published.
    pub fn reconcile(&mut self) -> bool {
        let Some(mailing) = &self.mailing else { return false };
        let mut changed = false;
        for (endpoint, row) in &self.rows {
            let stored = self.published.get(endpoint);
            let Some(mut folded) = fold(std::slice::from_ref(row), stored) else { continue };
            mailing.note(*endpoint, stored, &mut folded);
            if stored != Some(&folded) {
                let (endpoint, outage, attempt) = (*endpoint, folded.outage, folded.attempt);
                self.history.note(What::Published { endpoint, outage, attempt });
                self.published.insert(endpoint, folded.clone());
                changed = true;
            }
            mailing.tell(*endpoint, &folded);
        }
        changed
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
