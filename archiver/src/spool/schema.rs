//! The tables of the spool, with the settings that make a commit durable.
//!
//! Migrations only add. `format.version` is the number of the file's format, and `format.needs` the oldest number whose
//! programs may open the file.

use rusqlite::{Connection, OptionalExtension, config::DbConfig};
use uuid::Uuid;

use super::ledger;

mod appending;

/// The newest format that this program knows.
pub const FORMAT: i64 = 6;

/// The tables of the first format.
const TABLES: &str = "
    CREATE TABLE format (uuid TEXT NOT NULL, version INTEGER NOT NULL, needs INTEGER NOT NULL) STRICT;

    -- Appended in the order of commits, and never changed. `thread` and `sender` are what windows group by.
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY,
        received_at INTEGER NOT NULL,
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        room INTEGER NOT NULL,
        thread TEXT NOT NULL,
        sender TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        document BLOB NOT NULL
    ) STRICT;
    CREATE TABLE content (
        message INTEGER NOT NULL,
        attachment INTEGER NOT NULL,
        chunk INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY (message, attachment, chunk)
    ) STRICT, WITHOUT ROWID;

    -- One row for every acknowledged message; outlives its content. No message: excluded by policy.
    CREATE TABLE ledger (
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        digest BLOB NOT NULL,
        received_at INTEGER NOT NULL,
        message INTEGER,
        PRIMARY KEY (source, id)
    ) STRICT, WITHOUT ROWID;

    -- Where a message goes, decided when it was taken. The endpoint '' is none yet: unrouted.
    CREATE TABLE copy (
        message INTEGER NOT NULL,
        endpoint TEXT NOT NULL,
        batch INTEGER,
        PRIMARY KEY (message, endpoint)
    ) STRICT, WITHOUT ROWID;
    -- The copies that are in no batch yet: what the windows are rebuilt from at start.
    CREATE INDEX copy_open ON copy (message) WHERE batch IS NULL;

    CREATE TABLE batch (
        id INTEGER PRIMARY KEY,
        endpoint TEXT NOT NULL,
        endpoint_uid TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        digest TEXT NOT NULL,
        previous_digest TEXT,
        message_id TEXT NOT NULL,
        source TEXT NOT NULL,
        conversation TEXT NOT NULL,
        members TEXT NOT NULL,
        messages INTEGER NOT NULL,
        oldest_at INTEGER NOT NULL,
        sealed_at INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'waiting',
        attempts INTEGER NOT NULL DEFAULT 0,
        delivered_at INTEGER,
        reply TEXT,
        reason TEXT,
        UNIQUE (endpoint, sequence)
    ) STRICT;
    CREATE INDEX batch_due ON batch (endpoint, state, attempts, sequence) WHERE state <> 'delivered';
    CREATE TABLE mail (
        batch INTEGER NOT NULL,
        chunk INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY (batch, chunk)
    ) STRICT, WITHOUT ROWID;

    -- An endpoint's failures in a row, and the number of the outage they belong to.
    CREATE TABLE outage (
        endpoint TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        first_failure_at INTEGER,
        last_attempt_at INTEGER,
        log TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- The totals, kept by every transaction that moves a message, so that they survive the rows.
    CREATE TABLE books (
        acknowledged INTEGER NOT NULL,
        waiting INTEGER NOT NULL,
        delivered INTEGER NOT NULL,
        held INTEGER NOT NULL,
        excluded INTEGER NOT NULL
    ) STRICT;
    INSERT INTO books VALUES (0, 0, 0, 0, 0);
";

/// The second format. Earlier programs would count a copy that is held before it is in a batch as waiting: they may not
/// open it.
const HELD_COPIES: &str = "
    -- Why a copy is held that is in no batch; a batch has its own state and reason.
    ALTER TABLE copy ADD COLUMN held TEXT;
    CREATE INDEX copy_held ON copy (endpoint, message) WHERE held IS NOT NULL;
    -- Of the endpoint that failed: another one of its name has no part in the outage.
    ALTER TABLE outage ADD COLUMN endpoint_uid TEXT;
    UPDATE format SET version = 2, needs = 2;
";

/// The fifth format: what is known of a batch beside its endpoint. Programs of the fourth may open it: to them a batch is tried
/// whenever its endpoint is, and one that was split has no messages any more.
const TRIED_BATCHES: &str = "
    -- The ladder of a batch that was refused while others were taken: failures, and when it may be tried next.
    ALTER TABLE batch ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE batch ADD COLUMN next_at INTEGER;
    -- Whether the archive may have the mail: 0 no, 1 it is being tried, 2 yes.
    ALTER TABLE batch ADD COLUMN maybe INTEGER NOT NULL DEFAULT 0;
    -- The connection whose block the mail was rendered by, and how often it was rendered anew since.
    ALTER TABLE batch ADD COLUMN form TEXT;
    ALTER TABLE batch ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    -- SHA-256 of the stored mail.
    ALTER TABLE batch ADD COLUMN mail_digest BLOB;
    -- The batch that this one is a part of: sequence and digest. That one is in the state 'replaced'.
    ALTER TABLE batch ADD COLUMN replaces TEXT;
    UPDATE format SET version = 5;
";

/// The sixth format: how long outages last, and batches wait in them. Programs of the fourth may open it: to them no batch
/// expires, and they leave the clock where it is.
const OUTAGE_CLOCK: &str = "
    -- Milliseconds in outages, over the endpoint's life; see crds::ladder::Clock. Beside the outage, since earlier programs
    -- replace its row.
    CREATE TABLE clock (
        endpoint TEXT PRIMARY KEY,
        reading INTEGER NOT NULL,
        most INTEGER NOT NULL,
        runs_since INTEGER
    ) STRICT, WITHOUT ROWID;
    -- The clock's reading when the batch was due.
    ALTER TABLE batch ADD COLUMN stamp INTEGER;
    CREATE INDEX batch_stamp ON batch (endpoint, stamp) WHERE state = 'waiting';
    CREATE INDEX batch_expired ON batch (endpoint) WHERE state = 'held' AND reason = 'Expired';
    -- The outage before.
    ALTER TABLE outage ADD COLUMN last TEXT;
    UPDATE format SET version = 6;
";

/// Sets `connection` up for durable commits and makes the tables of a new file. Answers the spool's UUID, or the format
/// number that the file needs when this program is too old for it.
pub fn prepare(connection: &Connection) -> rusqlite::Result<Result<Uuid, i64>> {
    // Before the first table: auto_vacuum of a file cannot be changed later without rewriting it.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: an fsync of the WAL at every commit. With NORMAL a power cut could take acknowledged messages away.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The pod has no folder for temporary files; what a savepoint may have to undo stays in memory.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    // The writer looks after the WAL itself: see `upkeep`.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // One that grew long all the same gives its space back when it begins anew.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.set_prepared_statement_cache_capacity(64);
    steady(connection)?;

    let known = "SELECT count(*) FROM sqlite_schema WHERE name = 'format'";
    if connection.query_row(known, [], |row| row.get::<_, i64>(0))? == 0 {
        let make = connection.unchecked_transaction()?;
        make.execute_batch(TABLES)?;
        make.execute("INSERT INTO format VALUES (?1, 1, 1)", [Uuid::new_v4().to_string()])?;
        make.commit()?;
    }
    let change = connection.unchecked_transaction()?;
    let migrated = migrate(&change)?;
    change.commit()?;
    if migrated.is_ok() {
        ledger::attach(connection)?;
    }
    Ok(migrated)
}

/// Plans each query once. Beside partial indexes the database would plan it anew whenever other values are bound, which takes
/// several times as long as to run it.
pub(super) fn steady(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Brings the tables to the newest format, within the caller's transaction. Answers as [`prepare`] does.
pub fn migrate(connection: &Connection) -> rusqlite::Result<Result<Uuid, i64>> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let found = connection.query_row("SELECT uuid, version, needs FROM format", [], row).optional()?;
    let (uuid, version, needs) = found.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    if needs > FORMAT {
        return Ok(Err(needs));
    }
    if version < 2 {
        connection.execute_batch(HELD_COPIES)?;
    }
    if version < 4 {
        appending::migrate(connection)?;
    }
    if version < 5 {
        connection.execute_batch(TRIED_BATCHES)?;
    }
    if version < 6 {
        connection.execute_batch(OUTAGE_CLOCK)?;
    }
    Uuid::parse_str(&uuid).map(Ok).map_err(|_| rusqlite::Error::InvalidQuery)
}

/// A file of the first format, with what one of its programs wrote.
#[cfg(test)]
pub(super) fn first_format(connection: &Connection) -> Uuid {
    let uuid = Uuid::new_v4();
    connection.execute_batch(TABLES).expect("tables");
    connection.execute("INSERT INTO format VALUES (?1, 1, 1)", [uuid.to_string()]).expect("written");
    let rows = "
        INSERT INTO ledger VALUES ('s', 'b', x'01', 5, 1), ('s', 'a', x'02', 6, 2), ('s', 'c', x'03', 7, NULL);
        INSERT INTO message VALUES (1, 5, 's', 'b', 1, 'r', 'a@acme.example', 9, x'7b7d'),
                                   (2, 6, 's', 'a', 1, 'r', 'a@acme.example', 9, x'7b7d');
        INSERT INTO copy VALUES (1, 'journal', 7), (2, 'journal', NULL), (2, '', NULL);
        INSERT INTO batch (id, endpoint, endpoint_uid, sequence, digest, message_id, source, conversation, members, messages,
                           oldest_at, sealed_at)
            VALUES (7, 'journal', 'u', 1, 'd', 'm', 's', '{}', '[1]', 1, 5, 6);
        UPDATE books SET acknowledged = 3, waiting = 2, excluded = 1";
    connection.execute_batch(rows).expect("written");
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::ConversationKind,
        spool::{
            backlog::backlog,
            books::{Books, recount},
            group::Group,
            open::open_copies,
        },
    };

    #[test]
    fn a_spool_of_the_first_format_is_brought_to_the_newest_with_its_rows() {
        let connection = Connection::open_in_memory().expect("a database");
        let uuid = first_format(&connection);
        assert_eq!(prepare(&connection).expect("migrated"), Ok(uuid));
        assert_eq!(prepare(&connection).expect("the same again"), Ok(uuid));
        let format =
            connection.query_row("SELECT version, needs FROM format", [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(format.expect("readable"), (FORMAT, 4), "programs of the fourth format may open it");
        let found =
            |id| ledger::find(&connection, "s", id).expect("readable").map(|found| (found.entry, found.excluded));
        assert_eq!(["a", "b", "c", "d"].map(found), [Some((2, false)), Some((1, false)), Some((3, true)), None]);
        let group = Group {
            source: "s".into(),
            kind: ConversationKind::Room,
            thread: "r".into(),
            sender: "a@acme.example".into(),
        };
        let open = open_copies(&connection, ("", 0), 9).expect("readable");
        let open = open.iter().map(|copy| (copy.endpoint.as_deref(), copy.seq, copy.bytes, copy.threads));
        let expected = [None, Some("journal")].map(|endpoint| (endpoint, 2, 9, group.threads()));
        assert_eq!(open.collect::<Vec<_>>(), expected);
        let books = Books::read(&connection).expect("readable");
        assert_eq!((books, books.unrouted), (recount(&connection).expect("readable"), 1));
        let backlog = backlog(&connection, "journal").expect("readable");
        assert_eq!((backlog.batches, backlog.messages), (1, 1));
    }

    #[test]
    fn a_spool_of_a_newer_format_is_left_alone() {
        let connection = Connection::open_in_memory().expect("a database");
        prepare(&connection).expect("a new spool").expect("of our format");
        connection.execute("UPDATE format SET version = 9, needs = 8", []).expect("written");
        assert_eq!(prepare(&connection).expect("readable"), Err(8));
    }
}
