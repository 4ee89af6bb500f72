//! The outage clock of each endpoint, kept beside its outage: how long it was in outages, over its life. Each batch is stamped
//! with its reading when it is due.

use std::time::Duration;

use imarchive_crds::ladder::Clock;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::columns::time_if_any;

/// The clock of `endpoint`.
pub fn read(connection: &Connection, endpoint: &str) -> rusqlite::Result<Clock> {
    let sql = "SELECT reading, most, runs_since FROM clock WHERE endpoint = ?1";
    let clock = connection.prepare_cached(sql)?.query_row([endpoint], |row| {
        let runs_since = time_if_any(row, 2)?;
        Ok(Clock { reading: duration(row.get(0)?), most: duration(row.get(1)?), runs_since })
    });
    Ok(clock.optional()?.unwrap_or_default())
}

/// Sets the clock of `endpoint`.
pub(super) fn set(connection: &Connection, endpoint: &str, clock: &Clock) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO clock (endpoint, reading, most, runs_since) VALUES (?1, ?2, ?3, ?4)";
    let runs_since = clock.runs_since.map(Timestamp::as_millisecond);
    connection.prepare_cached(sql)?.execute((endpoint, millis(clock.reading), millis(clock.most), runs_since)).map(drop)
}

/// The stamp of a batch of `endpoint` that is due at `now`.
pub(super) fn stamp(connection: &Connection, endpoint: &str, now: Timestamp) -> rusqlite::Result<i64> {
    Ok(millis(read(connection, endpoint)?.due(now)))
}

/// The earliest stamp of a batch that waits for `endpoint`.
pub fn first_due(connection: &Connection, endpoint: &str) -> rusqlite::Result<Option<Duration>> {
    let sql = "SELECT min(stamp) FROM batch WHERE endpoint = ?1 AND state = 'waiting'";
    let stamp: Option<i64> = connection.prepare_cached(sql)?.query_row([endpoint], |row| row.get(0))?;
    Ok(stamp.map(duration))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
