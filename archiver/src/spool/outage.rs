//! An endpoint's outage, persisted: how often it was tried, with what result, and for how long by its [clock].
//!
//! The record is kept by name, so that its numbers only grow. An outage belongs to one UID: when another endpoint has
//! taken the name, it is over, whether or not anybody saw the name being gone. What the operator published of the same
//! endpoint restores a record that is behind it, by the numbers of outage and attempt and never by time: an archiver that
//! lost its volume goes on at the rung where it was.

use std::sync::Arc;

use imarchive_crds::{
    PastOutage, Retry, RetryLogRow, RetryStatus,
    ladder::{self, Clock, Moment, Outage},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    backlog::{backlog, open_messages},
    clock,
    columns::{from_json, json, time_if_any},
};

/// What the spool knows of an endpoint's failures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The number of the outage, counted over the endpoint's life: of the one that runs, or else of the next.
    pub number: i64,
    /// The outage that runs.
    pub outage: Option<Outage>,
    /// Its failed attempts.
    pub log: Vec<RetryLogRow>,
    /// The outage before.
    pub last: Option<PastOutage>,
    /// How long the endpoint was in outages.
    pub clock: Clock,
}

/// What becomes of the record beside the attempts themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// What was published of its outage, by nobody who marked it.
    pub published: Option<Arc<RetryStatus>>,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Its ladder.
    pub retry: Retry,
}

impl Record {
    /// The record as it should be, by what is known; `None`: as it is.
    pub fn caught_up(&self, known: &Known, uid: &str, moment: Moment) -> Option<Self> {
        let restored = known.published.as_ref().and_then(|published| self.restored(published, &known.retry, uid));
        let record = restored.as_ref().unwrap_or(self);
        // Persisted, so that a process that starts again and again does not wait for a rung of the future again and again.
        let outage = record.outage.as_ref().map(|outage| outage.by(moment.now));
        let clock = match (&outage, record.clock.runs_since) {
            (Some(_), Some(_)) if known.suspended => record.clock.stopped(moment),
            (Some(_), None) if !known.suspended => record.clock.started(moment.now),
            _ => record.clock,
        };
        match (&outage, clock) == (&record.outage, record.clock) {
            true => restored,
            false => Some(Self { outage, clock, ..record.clone() }),
        }
    }

    /// The record with what was `published`, if it is behind that.
    fn restored(&self, published: &RetryStatus, retry: &Retry, uid: &str) -> Option<Self> {
        let outage = match (&published.first_failure_at, &published.last_attempt_at) {
            (Some(Time(first_failure_at)), Some(Time(last_attempt_at))) => {
                u32::try_from(published.attempt).ok().filter(|attempts| *attempts > 0).map(|attempts| Outage {
                    attempts,
                    first_failure_at: *first_failure_at,
                    last_attempt_at: *last_attempt_at,
                })
            }
            _ => None,
        };
        let rung = |outage: &Option<Outage>| outage.as_ref().map_or(0, |outage| outage.attempts);
        if (self.number, rung(&self.outage)) >= (published.outage, rung(&outage)) {
            return None;
        }
        let reading = self.clock.reading;
        let clock = match &outage {
            Some(outage) => Clock {
                reading,
                most: reading + ladder::delay(retry, outage.attempts, uid),
                runs_since: Some(outage.last_attempt_at),
            },
            None => Clock { runs_since: None, ..self.clock },
        };
        let log = if outage.is_some() { published.log.clone() } else { Vec::new() };
        Some(Self { number: published.outage, outage, log, last: published.last.clone(), clock })
    }

    /// The record after the end of its outage, if one runs; `last`: what is told of it.
    fn ended(&self, last: Option<PastOutage>) -> Self {
        let number = self.number + i64::from(self.outage.is_some());
        Self { number, last, clock: Clock { runs_since: None, ..self.clock }, ..Self::default() }
    }
}

/// The record of `endpoint`, as the endpoint with this UID has it.
pub fn read(connection: &Connection, endpoint: &str, uid: &str) -> rusqlite::Result<Record> {
    let (record, of) = stored(connection, endpoint)?;
    Ok(match of {
        Some(of) if of != uid => record.ended(None),
        _ => record,
    })
}

/// The record, and the UID that its outage belongs to.
fn stored(connection: &Connection, endpoint: &str) -> rusqlite::Result<(Record, Option<String>)> {
    let clock = clock::read(connection, endpoint)?;
    let sql = "SELECT number, attempts, first_failure_at, last_attempt_at, log, endpoint_uid, last FROM outage
               WHERE endpoint = ?1";
    let record = connection.prepare_cached(sql)?.query_row([endpoint], |row| {
        let attempts: u32 = row.get(1)?;
        let outage = match (attempts, time_if_any(row, 2)?, time_if_any(row, 3)?) {
            (1.., Some(first_failure_at), Some(last_attempt_at)) => {
                Some(Outage { attempts, first_failure_at, last_attempt_at })
            }
            _ => None,
        };
        let log = from_json(4, &row.get::<_, String>(4)?)?;
        let last = row.get::<_, Option<String>>(6)?.map(|last| from_json(6, &last)).transpose()?;
        Ok((Record { number: row.get(0)?, outage, log, last, clock }, row.get(5)?))
    });
    Ok(record.optional()?.unwrap_or((Record { number: 1, clock, ..Record::default() }, None)))
}

/// Adds a failed attempt, which ended at `moment`, and answers the record with it.
pub fn failed(
    connection: &Connection,
    endpoint: &str,
    uid: &str,
    retry: &Retry,
    row: RetryLogRow,
    moment: Moment,
) -> rusqlite::Result<Record> {
    let mut record = read(connection, endpoint, uid)?;
    let outage = Outage::failed(record.outage.as_ref(), moment.now);
    record.log.push(RetryLogRow { attempt: i64::from(outage.attempts), ..row });
    record.log = RetryStatus::kept(record.log);
    record.clock = record.clock.failed(moment, ladder::delay(retry, outage.attempts, uid));
    record.outage = Some(outage);
    write(connection, endpoint, Some(uid), &record)?;
    Ok(record)
}

/// Takes up what is known beside the attempts, and answers the record with it.
pub fn catch_up(
    connection: &Connection,
    endpoint: &str,
    uid: &str,
    known: &Known,
    moment: Moment,
) -> rusqlite::Result<Record> {
    let record = read(connection, endpoint, uid)?;
    let Some(record) = record.caught_up(known, uid, moment) else { return Ok(record) };
    write(connection, endpoint, Some(uid), &record)?;
    Ok(record)
}

/// A delivery ends the outage, if one runs: what is told of it. To be called before the delivery is noted, which has
/// waited for it, too. The batches keep their attempts, so that one that fails on its own account comes last from now on.
pub fn recovered(
    connection: &Connection,
    endpoint: &str,
    uid: &str,
    moment: Moment,
) -> rusqlite::Result<Option<PastOutage>> {
    let record = read(connection, endpoint, uid)?;
    let Some(outage) = &record.outage else {
        // One of another UID is over as well.
        end_of_another(connection, endpoint, uid)?;
        return Ok(None);
    };
    let messages = backlog(connection, endpoint)?.messages + open_messages(connection, endpoint)?.messages;
    let past = PastOutage {
        outage: record.number,
        attempts: i64::from(outage.attempts),
        first_failure_at: Time(outage.first_failure_at),
        ended_at: Time(moment.now),
        messages,
        notified_at: None,
    };
    let clock = record.clock.stopped(moment);
    let ended = Record { clock, ..record.ended(Some(past.clone())) };
    write(connection, endpoint, Some(uid), &ended)?;
    Ok(Some(past))
}

fn end_of_another(connection: &Connection, endpoint: &str, uid: &str) -> rusqlite::Result<()> {
    match stored(connection, endpoint)? {
        (record, Some(of)) if record.outage.is_some() && of != uid => {
            write(connection, endpoint, Some(uid), &record.ended(None))
        }
        _ => Ok(()),
    }
}

/// Ends the outage of an endpoint that is gone, if one runs: nobody is told how long it was.
pub fn end(connection: &Connection, endpoint: &str) -> rusqlite::Result<()> {
    let (record, _) = stored(connection, endpoint)?;
    if record.outage.is_none() {
        return Ok(());
    }
    write(connection, endpoint, None, &record.ended(None))
}

fn write(connection: &Connection, endpoint: &str, uid: Option<&str>, record: &Record) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO outage (endpoint, number, attempts, first_failure_at, last_attempt_at, log,
                                              endpoint_uid, last)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let outage = record.outage.as_ref();
    connection.prepare_cached(sql)?.execute(params![
        endpoint,
        record.number,
        outage.map_or(0, |outage| outage.attempts),
        outage.map(|outage| outage.first_failure_at.as_millisecond()),
        outage.map(|outage| outage.last_attempt_at.as_millisecond()),
        json(&record.log)?,
        uid,
        record.last.as_ref().map(json).transpose()?,
    ])?;
    clock::set(connection, endpoint, &record.clock)
}

#[cfg(test)]
mod tests;
