//! An endpoint's outage, persisted: how often it was tried, and with what result.
//!
//! The record is kept by name, so that its numbers only grow. An outage belongs to one UID: when another endpoint has
//! taken the name, it is over, whether or not anybody saw the name being gone.

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

/// The record of `endpoint`, as the endpoint with this UID has it.
pub fn read(connection: &Connection, endpoint: &str, uid: &str) -> rusqlite::Result<Record> {
    let (record, of) = stored(connection, endpoint)?;
    Ok(match of {
        Some(of) if of != uid => ended(&record),
        _ => record,
    })
}

/// The record, and the UID that its outage belongs to.
fn stored(connection: &Connection, endpoint: &str) -> rusqlite::Result<(Record, Option<String>)> {
    let sql = "SELECT number, attempts, first_failure_at, last_attempt_at, log, endpoint_uid FROM outage
               WHERE endpoint = ?1";
    let record = connection.prepare_cached(sql)?.query_row([endpoint], |row| {
        let attempts: u32 = row.get(1)?;
        let at = |column| row.get::<_, Option<i64>>(column)?.map(|at| time(column, at)).transpose();
        let outage = match (attempts, at(2)?, at(3)?) {
            (1.., Some(first_failure_at), Some(last_attempt_at)) => {
                Some(Outage { attempts, first_failure_at, last_attempt_at })
            }
            _ => None,
        };
        Ok((Record { number: row.get(0)?, outage, log: from_json(4, &row.get::<_, String>(4)?)? }, row.get(5)?))
    });
    Ok(record.optional()?.unwrap_or((Record { number: 1, ..Record::default() }, None)))
}

/// Adds a failed attempt, which ended at `now`, and answers the record with it.
pub fn failed(
    connection: &Connection,
    endpoint: &str,
    uid: &str,
    row: RetryLogRow,
    now: Timestamp,
) -> rusqlite::Result<Record> {
    let mut record = read(connection, endpoint, uid)?;
    let outage = Outage::failed(record.outage.as_ref(), now);
    record.log.push(RetryLogRow { attempt: i64::from(outage.attempts), ..row });
    if record.log.len() > FIRST + LAST {
        record.log.remove(FIRST);
    }
    record.outage = Some(outage);
    write(connection, endpoint, Some(uid), &record)?;
    Ok(record)
}

/// Ends the outage, if one runs: a delivery does, and the end of the endpoint itself. The batches keep their attempts, so that one that fails on its own
/// account comes last from now on.
pub fn end(connection: &Connection, endpoint: &str) -> rusqlite::Result<()> {
    let (record, _) = stored(connection, endpoint)?;
    if record.outage.is_none() {
        return Ok(());
    }
    write(connection, endpoint, None, &ended(&record))
}

/// The record after the end of its outage, if one runs.
fn ended(record: &Record) -> Record {
    Record { number: record.number + i64::from(record.outage.is_some()), ..Record::default() }
}

fn write(connection: &Connection, endpoint: &str, uid: Option<&str>, record: &Record) -> rusqlite::Result<()> {
    let sql =
        "INSERT OR REPLACE INTO outage (endpoint, number, attempts, first_failure_at, last_attempt_at, log, endpoint_uid)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
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
        uid,
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use imarchive_crds::Stage;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::spool::schema;

    fn spool() -> Connection {
        let connection = Connection::open_in_memory().expect("a database");
        schema::prepare(&connection).expect("a new spool").expect("of our format");
        connection
    }

    fn fail(connection: &Connection, uid: &str) -> (i64, Option<u32>) {
        let at = Timestamp::from_second(1000).expect("in range");
        let row = RetryLogRow {
            attempt: 0,
            at: Time(at),
            stage: Stage::Connect,
            reason: None,
            code: None,
            message: String::new(),
            notified_at: None,
        };
        told(failed(connection, "journal", uid, row, at).expect("written"))
    }

    fn look(connection: &Connection, uid: &str) -> (i64, Option<u32>) {
        told(read(connection, "journal", uid).expect("readable"))
    }

    /// The outage's number, and its attempts while it runs.
    fn told(record: Record) -> (i64, Option<u32>) {
        (record.number, record.outage.map(|outage| outage.attempts))
    }

    #[test]
    fn an_outage_goes_on_for_the_endpoint_that_it_began_with() {
        let connection = spool();
        fail(&connection, "first");
        assert_eq!(fail(&connection, "first"), (1, Some(2)));
        end(&connection, "journal").expect("written");
        assert_eq!(look(&connection, "first"), (2, None));
    }

    #[test]
    fn another_endpoint_of_the_name_begins_an_outage_of_its_own_with_a_higher_number() {
        let connection = spool();
        fail(&connection, "first");
        assert_eq!(look(&connection, "second"), (2, None));
        assert_eq!(fail(&connection, "second"), (2, Some(1)));
        end(&connection, "journal").expect("written");
        assert_eq!(look(&connection, "second"), (3, None));
    }
}
