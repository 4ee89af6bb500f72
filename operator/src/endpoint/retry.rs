//! The outage, as the archivers' rows have it.

use imarchive_crds::{ArchiverRow, RetryStatus};

/// What is published of the rows' attempts, when `stored` was published before.
///
/// A row that is behind what was published, by outage and then by attempt, is an archiver with an old spool, which takes
/// up what was published; so that is kept. A row without attempts has no outage.
pub fn fold(rows: &[ArchiverRow], stored: Option<&RetryStatus>) -> Option<RetryStatus> {
    let order = |retry: &RetryStatus| (retry.outage, retry.attempt);
    let newest = rows.iter().filter_map(|row| row.attempts.as_ref()).max_by_key(|retry| order(retry))?;
    let newer = stored.filter(|stored| order(stored) > order(newest)).unwrap_or(newest);
    Some(newer.clone())
}

/// Whether it is an outage.
pub fn is_outage(retry: Option<&RetryStatus>) -> bool {
    retry.is_some_and(|retry| retry.attempt > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(outage: i64, attempt: i64) -> RetryStatus {
        RetryStatus { outage, attempt, ..RetryStatus::default() }
    }

    fn row(attempts: Option<RetryStatus>) -> ArchiverRow {
        let row = serde_json::json!({"name": "archiver-0", "attempts": attempts});
        serde_json::from_value(row).expect("a row")
    }

    #[test]
    fn the_row_that_is_ahead_is_published() {
        assert_eq!(fold(&[row(Some(retry(2, 1)))], Some(&retry(1, 9))), Some(retry(2, 1)));
    }

    #[test]
    fn a_row_that_is_behind_takes_nothing_back() {
        assert_eq!(fold(&[row(Some(retry(1, 1)))], Some(&retry(1, 9))), Some(retry(1, 9)));
    }

    #[test]
    fn a_row_without_attempts_ends_the_outage() {
        assert_eq!(fold(&[row(None)], Some(&retry(1, 9))), None);
        assert!(!is_outage(None));
    }
}
