//! The outage, folded from the archivers' rows into what is published.
//!
//! Nothing goes back: of two views of an endpoint the one that is ahead counts, by the number of the outage and then of the
//! attempt, never by time. A row that is behind is a stale read, or an archiver that lost its volume and takes up what was
//! published; a row without attempts says nothing, and neither does a row that is gone. What ends an outage is an archiver
//! that is at the next one.
//!
//! What the archiver's log no longer has is kept, up to a bound, and so is when the administrators were mailed, which only
//! the operator knows.

use std::collections::BTreeMap;

use imarchive_crds::{ArchiverRow, PastOutage, RetryLogRow, RetryStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::notify::{News, Told};

/// What is published of the rows' attempts, when `stored` was published before.
pub fn fold(rows: &[ArchiverRow], stored: Option<&RetryStatus>) -> Option<RetryStatus> {
    let said = || rows.iter().filter_map(|row| row.attempts.as_ref());
    let order = |retry: &RetryStatus| (retry.outage, retry.attempt);
    // Of two that are equal a row, which knows of a ladder that was changed meanwhile.
    let newest = stored.into_iter().chain(said()).max_by_key(|retry| order(retry))?;
    Some(RetryStatus { log: log(newest, stored, said()), last: last(stored, said()), ..newest.clone() })
}

/// Every attempt that anybody knows of the outage that `newest` is in.
fn log<'a>(
    newest: &RetryStatus,
    stored: Option<&RetryStatus>,
    said: impl Iterator<Item = &'a RetryStatus>,
) -> Vec<RetryLogRow> {
    let current = |retry: &&RetryStatus| retry.outage == newest.outage && retry.attempt > 0;
    let published = stored.filter(current).into_iter().flat_map(|retry| &retry.log);
    let mut rows: BTreeMap<i64, RetryLogRow> = published.map(|row| (row.attempt, row.clone())).collect();
    for row in said.filter(current).flat_map(|retry| &retry.log) {
        let notified_at = rows.get(&row.attempt).and_then(|row| row.notified_at.clone());
        rows.insert(row.attempt, RetryLogRow { notified_at, ..row.clone() });
    }
    RetryStatus::kept(rows.into_values().collect())
}

/// The latest outage that is over.
fn last<'a>(stored: Option<&RetryStatus>, said: impl Iterator<Item = &'a RetryStatus>) -> Option<PastOutage> {
    let published = stored.and_then(|stored| stored.last.as_ref());
    let said = said.filter_map(|retry| retry.last.as_ref());
    let last = published.into_iter().chain(said).max_by_key(|past| (past.outage, past.attempts, past.ended_at.0))?;
    let same = published.filter(|published| published.outage == last.outage);
    let notified_at = same.and_then(|published| published.notified_at.clone());
    Some(PastOutage { notified_at, ..last.clone() })
}

/// Notes in `retry` what the administrators were mailed of.
pub fn note(retry: &mut RetryStatus, told: &Told) {
    let time = |news: News| told.get(&news).map(|at| Time(*at));
    for row in retry.log.iter_mut().filter(|row| row.notified_at.is_none()) {
        row.notified_at = time(News::Attempt { outage: retry.outage, attempt: row.attempt });
    }
    if let Some(last) = retry.last.as_mut().filter(|last| last.notified_at.is_none()) {
        last.notified_at = time(News::End { outage: last.outage });
    }
}

/// Whether it is an outage.
pub fn is_outage(retry: Option<&RetryStatus>) -> bool {
    retry.is_some_and(|retry| retry.attempt > 0)
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
