//! Whether rows that say the same thing twice agree: the ledger with its index, the tallies with what they count, and each
//! endpoint's batches with one another.

use rusqlite::Connection;

use crate::spool::ledger::hash;

pub(super) fn check(connection: &Connection, faults: &mut Vec<String>) -> rusqlite::Result<()> {
    check_ledger(connection, faults)?;
    check_tallies(connection, faults)?;
    check_sequences(connection, faults)
}

fn check_ledger(connection: &Connection, faults: &mut Vec<String>) -> rusqlite::Result<()> {
    let counts = [
        (
            "entries of the ledger are not in its index",
            "SELECT count(*) FROM ledger WHERE entry <= (SELECT entry FROM ledger_mark) AND NOT EXISTS (
                 SELECT 1 FROM ledger_index AS found WHERE found.hash = ledger.hash AND found.entry = ledger.entry)",
        ),
        (
            "entries of the index are not in the ledger",
            "SELECT count(*) FROM ledger_index AS found LEFT JOIN ledger ON ledger.entry = found.entry
             WHERE ledger.hash IS NOT found.hash",
        ),
        (
            "messages are not in the ledger",
            "SELECT count(*) FROM message LEFT JOIN ledger ON entry = seq WHERE entry IS NULL OR excluded",
        ),
    ];
    for (what, sql) in counts {
        let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        if count > 0 {
            faults.push(format!("{count} {what}"));
        }
    }
    let mut statement = connection.prepare("SELECT entry, hash, source, id FROM ledger")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (entry, kept): (i64, i64) = (row.get(0)?, row.get(1)?);
        if kept != hash(row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?) {
            faults.push(format!("the ledger's entry {entry} has the hash of another message"));
        }
    }
    Ok(())
}

fn check_tallies(connection: &Connection, faults: &mut Vec<String>) -> rusqlite::Result<()> {
    let sql = "
        WITH counted (endpoint, open, open_held, batches, messages, held) AS (
            SELECT endpoint, sum(open), sum(open_held), sum(batches), sum(messages), sum(held) FROM (
                SELECT endpoint, held IS NULL AS open, held IS NOT NULL AS open_held, 0 AS batches, 0 AS messages, 0 AS held
                    FROM copy WHERE batch IS NULL
                UNION ALL SELECT endpoint, 0, 0, state = 'waiting', (state = 'waiting') * messages, state = 'held' FROM batch
            ) GROUP BY endpoint)
        SELECT endpoint FROM (
            SELECT endpoint, open, open_held, batches, messages, held FROM tally
                WHERE open <> 0 OR open_held <> 0 OR batches <> 0 OR messages <> 0 OR held <> 0
            EXCEPT SELECT * FROM counted)
        UNION SELECT endpoint FROM (
            SELECT * FROM counted
            EXCEPT SELECT endpoint, open, open_held, batches, messages, held FROM tally)";
    let mut statement = connection.prepare(sql)?;
    for endpoint in statement.query_map([], |row| row.get::<_, String>(0))? {
        faults.push(format!("what is counted for the endpoint {:?} is not what it has", endpoint?));
    }
    Ok(())
}

/// A batch that was replaced keeps its row, and with it its number: a number without a row is nobody's.
fn check_sequences(connection: &Connection, faults: &mut Vec<String>) -> rusqlite::Result<()> {
    let sql = "SELECT endpoint, sequence, digest, previous_digest FROM batch ORDER BY endpoint, sequence";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut before: Option<(String, i64, String)> = None;
    while let Some(row) = rows.next()? {
        let (endpoint, sequence): (String, i64) = (row.get(0)?, row.get(1)?);
        let previous: Option<String> = row.get(3)?;
        match before.filter(|(other, ..)| *other == endpoint) {
            Some((_, last, _)) if last + 1 != sequence => {
                faults.push(format!("{endpoint} has no batch between {last} and {sequence}"));
            }
            Some((.., digest)) if previous.as_ref() != Some(&digest) => {
                faults.push(format!("batch {endpoint}-{sequence} names another digest than that of the one before it"));
            }
            // The first that is there; those before it may be forgotten.
            _ => {}
        }
        before = Some((endpoint, sequence, row.get(2)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::samples::spool;

    fn faults(connection: &Connection) -> usize {
        let mut faults = Vec::new();
        check(connection, &mut faults).expect("readable");
        faults.len()
    }

    fn batch(connection: &Connection, sequence: i64, digest: &str, previous: Option<&str>) {
        let sql = "INSERT INTO batch (endpoint, endpoint_uid, sequence, digest, previous_digest, message_id, source,
                       conversation, members, messages, oldest_at, sealed_at)
                   VALUES ('journal', 'u', ?1, ?2, ?3, 'm', 's', '{}', '[]', 1, 0, 0)";
        connection.execute(sql, (sequence, digest, previous)).expect("written");
    }

    #[test]
    fn an_entry_that_cannot_be_found_by_its_id_is_a_fault() {
        let connection = spool();
        let sql =
            "INSERT INTO ledger (hash, source, id, digest, received_at, excluded) VALUES (?1, 's', '1', x'', 0, 1)";
        connection.execute(sql, [hash("s", "1")]).expect("entered");
        assert_eq!(faults(&connection), 0, "it is after the mark");
        connection.execute("UPDATE ledger_mark SET entry = 1", []).expect("written");
        assert_eq!(faults(&connection), 1);
        connection.execute("INSERT INTO ledger_index VALUES (?1, 1)", [hash("s", "1")]).expect("written");
        assert_eq!(faults(&connection), 0);
        connection.execute("UPDATE ledger SET id = '2'", []).expect("damaged");
        assert_eq!(faults(&connection), 1);
    }

    #[test]
    fn a_tally_that_is_not_what_it_counts_is_a_fault() {
        let connection = spool();
        connection.execute("INSERT INTO copy (message, endpoint) VALUES (1, 'journal')", []).expect("written");
        assert_eq!(faults(&connection), 0);
        connection.execute("UPDATE tally SET open = 2", []).expect("damaged");
        assert_eq!(faults(&connection), 1);
    }

    #[test]
    fn a_number_that_is_nobodys_and_a_broken_chain_are_faults() {
        let connection = spool();
        batch(&connection, 4, "d4", Some("d3"));
        batch(&connection, 5, "d5", Some("d4"));
        assert_eq!(faults(&connection), 0, "those before are forgotten");
        batch(&connection, 6, "d6", Some("other"));
        assert_eq!(faults(&connection), 1);
        batch(&connection, 8, "d8", Some("d7"));
        assert_eq!(faults(&connection), 2);
    }
}
