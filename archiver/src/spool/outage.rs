//! An endpoint's outage, persisted: how often it was tried, and with what result.

use imarchive_crds::{RetryLogRow, ladder::Outage};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::batch::{from_json, time};

/// Rows of the log that are kept: the first 20 and the last 80 of an outage.
const FIRST: usize = 20;
const LAST: usize = 80;

/// What the spool knows of an endpoint's failures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The number of the outage, counted over the endpoint's life: of the one that runs, or else of the next.
    pub number: i64,
    /// The outage that runs.
    pub outage: Option<Outage>,
    /// Its failed attempts.
    pub log: Vec<RetryLogRow>,
}

/// Reads the record of `endpoint`.
pub fn read(connection: &Connection, endpoint: &str) -> rusqlite::Result<Record> {
    let sql = "SELECT number, attempts, first_failure_at, last_attempt_at, log FROM outage WHERE endpoint = ?1";
    let record = connection.prepare_cached(sql)?.query_row([endpoint], |row| {
        let attempts: u32 = row.get(1)?;
        let at = |column| row.get::<_, Option<i64>>(column)?.map(|at| time(column, at)).transpose();
        let outage = match (attempts, at(2)?, at(3)?) {
            (1.., Some(first_failure_at), Some(last_attempt_at)) => {
                Some(Outage { attempts, first_failure_at, last_attempt_at })
            }
            _ => None,
        };
        Ok(Record { number: row.get(0)?, outage, log: from_json(4, &row.get::<_, String>(4)?)? })
    });
    Ok(record.optional()?.unwrap_or(Record { number: 1, ..Record::default() }))
}

/// Adds a failed attempt, which ended at `now`, and answers the record with it.
pub fn failed(connection: &Connection, endpoint: &str, row: RetryLogRow, now: Timestamp) -> rusqlite::Result<Record> {
    let mut record = read(connection, endpoint)?;
    let outage = Outage::failed(record.outage.as_ref(), now);
    record.log.push(RetryLogRow { attempt: i64::from(outage.attempts), ..row });
    if record.log.len() > FIRST + LAST {
        record.log.remove(FIRST);
    }
    record.outage = Some(outage);
    write(connection, endpoint, &record)?;
    Ok(record)
}

/// Ends the outage, if one runs: only a delivery does. The batches keep their attempts, so that one that fails on its own
/// account comes last from now on.
pub fn end(connection: &Connection, endpoint: &str) -> rusqlite::Result<()> {
    let record = read(connection, endpoint)?;
    if record.outage.is_none() {
        return Ok(());
    }
    write(connection, endpoint, &Record { number: record.number + 1, ..Record::default() })
}

fn write(connection: &Connection, endpoint: &str, record: &Record) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO outage (endpoint, number, attempts, first_failure_at, last_attempt_at, log)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let outage = record.outage.as_ref();
    let log =
        serde_json::to_string(&record.log).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection.prepare_cached(sql)?.execute(params![
        endpoint,
        record.number,
        outage.map_or(0, |outage| outage.attempts),
        outage.map(|outage| outage.first_failure_at.as_millisecond()),
        outage.map(|outage| outage.last_attempt_at.as_millisecond()),
        log,
    ])?;
    Ok(())
}
