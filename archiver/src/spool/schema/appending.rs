//! The fourth format: what a message costs is appended, and what is asked for often is not counted anew.

use rusqlite::{Connection, params};

use crate::{
    message::ConversationKind,
    spool::{books::UNROUTED, group::Group, ledger},
};

/// The fourth format. Earlier programs know neither its ledger nor what is kept of a copy: they may not open it.
const APPENDING: &str = "
    -- One row for every acknowledged message; outlives its content. `entry` is also the message's `seq`. Excluded: by
    -- policy, and never stored.
    ALTER TABLE ledger RENAME TO ledger_by_id;
    CREATE TABLE ledger (
        entry INTEGER PRIMARY KEY,
        hash INTEGER NOT NULL,
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        digest BLOB NOT NULL,
        received_at INTEGER NOT NULL,
        excluded INTEGER NOT NULL
    ) STRICT;
    -- The entries up to the mark, by the hash of source and id.
    CREATE TABLE ledger_index (
        hash INTEGER NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (hash, entry)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ledger_mark (entry INTEGER NOT NULL) STRICT;

    -- What windows are made of, beside the copy: a start must not read the messages. `whole` and `sender` are what they
    -- group by; the columns room, thread and sender of a message are of earlier formats.
    ALTER TABLE copy ADD COLUMN whole INTEGER;
    ALTER TABLE copy ADD COLUMN sender INTEGER;
    ALTER TABLE copy ADD COLUMN bytes INTEGER;
    ALTER TABLE copy ADD COLUMN received_at INTEGER;

    -- The totals of what was forgotten: rows that the ledger once had.
    ALTER TABLE books ADD COLUMN unrouted INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE books ADD COLUMN forgotten_delivered INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE books ADD COLUMN forgotten_excluded INTEGER NOT NULL DEFAULT 0;

    -- When a delivered batch's messages were dropped, and when its part of the ledger.
    ALTER TABLE batch ADD COLUMN dropped_at INTEGER;
    ALTER TABLE batch ADD COLUMN forgotten_at INTEGER;
";

/// The indexes and totals of the fourth format, made once its rows are there.
const TALLIES: &str = "
    DROP TABLE ledger_by_id;
    DROP INDEX copy_open;
    CREATE INDEX copy_open ON copy (endpoint, message, held, whole, sender, bytes, received_at) WHERE batch IS NULL;
    CREATE INDEX ledger_excluded ON ledger (received_at) WHERE excluded;
    CREATE INDEX batch_oldest ON batch (endpoint, oldest_at) WHERE state = 'waiting';
    CREATE INDEX batch_kept ON batch (delivered_at) WHERE state = 'delivered' AND dropped_at IS NULL;
    CREATE INDEX batch_dropped ON batch (delivered_at) WHERE dropped_at IS NOT NULL AND forgotten_at IS NULL;

    -- What each endpoint has to do, kept by every change of a row, so that nobody has to count a million of them.
    CREATE TABLE tally (
        endpoint TEXT PRIMARY KEY,
        open INTEGER NOT NULL DEFAULT 0,
        open_held INTEGER NOT NULL DEFAULT 0,
        batches INTEGER NOT NULL DEFAULT 0,
        messages INTEGER NOT NULL DEFAULT 0,
        held INTEGER NOT NULL DEFAULT 0,
        last_delivered_at INTEGER
    ) STRICT, WITHOUT ROWID;
    INSERT INTO tally (endpoint, open, open_held)
        SELECT endpoint, count(*) - count(held), count(held) FROM copy WHERE batch IS NULL GROUP BY endpoint;
    INSERT INTO tally (endpoint, batches, messages, held, last_delivered_at)
        SELECT endpoint, coalesce(sum(state = 'waiting'), 0), coalesce(sum(messages) FILTER (WHERE state = 'waiting'), 0),
               coalesce(sum(state = 'held'), 0), max(delivered_at)
        FROM batch WHERE true GROUP BY endpoint
        ON CONFLICT (endpoint) DO UPDATE SET batches = excluded.batches, messages = excluded.messages,
            held = excluded.held, last_delivered_at = excluded.last_delivered_at;
    CREATE TRIGGER copy_added AFTER INSERT ON copy WHEN new.batch IS NULL BEGIN
        INSERT INTO tally (endpoint, open, open_held) VALUES (new.endpoint, new.held IS NULL, new.held IS NOT NULL)
            ON CONFLICT (endpoint) DO UPDATE SET open = open + excluded.open, open_held = open_held + excluded.open_held;
    END;
    CREATE TRIGGER copy_changed AFTER UPDATE OF batch, held ON copy BEGIN
        UPDATE tally SET
            open = open + (new.batch IS NULL AND new.held IS NULL) - (old.batch IS NULL AND old.held IS NULL),
            open_held = open_held + (new.batch IS NULL AND new.held IS NOT NULL)
                      - (old.batch IS NULL AND old.held IS NOT NULL)
            WHERE endpoint = new.endpoint;
    END;
    CREATE TRIGGER copy_removed AFTER DELETE ON copy WHEN old.batch IS NULL BEGIN
        UPDATE tally SET open = open - (old.held IS NULL), open_held = open_held - (old.held IS NOT NULL)
            WHERE endpoint = old.endpoint;
    END;
    CREATE TRIGGER batch_added AFTER INSERT ON batch BEGIN
        INSERT INTO tally (endpoint, batches, messages, held, last_delivered_at)
            VALUES (new.endpoint, new.state = 'waiting', (new.state = 'waiting') * new.messages, new.state = 'held',
                    new.delivered_at)
            ON CONFLICT (endpoint) DO UPDATE SET batches = batches + excluded.batches,
                messages = messages + excluded.messages, held = held + excluded.held;
    END;
    CREATE TRIGGER batch_changed AFTER UPDATE OF state, messages, delivered_at ON batch BEGIN
        UPDATE tally SET
            batches = batches + (new.state = 'waiting') - (old.state = 'waiting'),
            messages = messages + (new.state = 'waiting') * new.messages - (old.state = 'waiting') * old.messages,
            held = held + (new.state = 'held') - (old.state = 'held'),
            last_delivered_at = coalesce(max(last_delivered_at, new.delivered_at), last_delivered_at, new.delivered_at)
            WHERE endpoint = new.endpoint;
    END;
    CREATE TRIGGER batch_removed AFTER DELETE ON batch BEGIN
        UPDATE tally SET batches = batches - (old.state = 'waiting'),
            messages = messages - (old.state = 'waiting') * old.messages, held = held - (old.state = 'held')
            WHERE endpoint = old.endpoint;
    END;
    UPDATE format SET version = 4, needs = 4;
";

/// Brings the tables of the third format to the fourth.
pub(super) fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(APPENDING)?;
    append_ledger(connection)?;
    describe_copies(connection)?;
    connection.execute_batch(TALLIES)?;
    connection.execute(&format!("UPDATE books SET unrouted = ({UNROUTED})"), []).map(drop)
}

/// Enters the rows of the earlier ledger into the newer one.
fn append_ledger(connection: &Connection) -> rusqlite::Result<()> {
    // What was stored keeps its number; what was not comes after it.
    let sql = "SELECT source, id, digest, received_at, message FROM ledger_by_id ORDER BY message IS NULL, message";
    let mut earlier = connection.prepare(sql)?;
    let mut rows = earlier.query([])?;
    let sql = "INSERT INTO ledger (entry, hash, source, id, digest, received_at, excluded)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut enter = connection.prepare(sql)?;
    while let Some(row) = rows.next()? {
        let (source, id): (String, String) = (row.get(0)?, row.get(1)?);
        let (digest, received_at, message): (Vec<u8>, i64, Option<i64>) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let hash = ledger::hash(&source, &id);
        enter.execute(params![message, hash, source, id, digest, received_at, message.is_none()])?;
    }
    connection.execute_batch(
        "INSERT INTO ledger_index (hash, entry) SELECT hash, entry FROM ledger ORDER BY hash, entry;
         INSERT INTO ledger_mark SELECT coalesce(max(entry), 0) FROM ledger;",
    )
}

/// Writes beside the copies in no batch what windows are made of.
fn describe_copies(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT seq, message.bytes, message.received_at, source, message.room, message.thread, message.sender
               FROM message JOIN copy ON copy.message = seq WHERE batch IS NULL";
    let mut open = connection.prepare(sql)?;
    let mut rows = open.query([])?;
    let sql = "UPDATE copy SET bytes = ?2, received_at = ?3, whole = ?4, sender = ?5 WHERE message = ?1";
    let mut describe = connection.prepare(sql)?;
    while let Some(row) = rows.next()? {
        let group = Group {
            source: row.get(3)?,
            kind: if row.get(4)? { ConversationKind::Room } else { ConversationKind::Direct },
            thread: row.get(5)?,
            sender: row.get(6)?,
        };
        let (seq, bytes, received_at): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let threads = group.threads();
        describe.execute((seq, bytes, received_at, threads.whole, threads.sender))?;
    }
    Ok(())
}
