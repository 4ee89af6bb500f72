//! The books: how many messages are in which state.
//!
//! Every acknowledged message is in exactly one state, and `acknowledged = delivered + waiting + held + excluded` at
//! any moment. A message copied to several endpoints counts once, in the worst state of its copies.

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

/// The state of a message or of one of its copies, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Policy says that it is not archived.
    Excluded,
    /// Taken by the archive.
    Delivered,
    /// On its way.
    Waiting,
    /// In need of a person.
    Held,
}

impl State {
    /// The name in the spool, in metrics and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Excluded => "excluded",
            Self::Delivered => "delivered",
            Self::Waiting => "waiting",
            Self::Held => "held",
        }
    }

    /// From the name in the spool. An unknown one is a newer program's or a damaged row's: a person must look.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "delivered" => Self::Delivered,
            "waiting" => Self::Waiting,
            _ => Self::Held,
        }
    }
}

/// The name of a copy's state: its batch's, or while it is in none its own.
pub(super) const COPY_STATE: &str = "coalesce(batch.state, CASE WHEN copy.held IS NULL THEN 'waiting' ELSE 'held' END)";

/// Counts the waiting messages that no endpoint is known for. One with another copy that is held is not waiting.
pub(super) const UNROUTED: &str = "SELECT count(*) FROM copy WHERE batch IS NULL AND endpoint = '' AND NOT EXISTS (
    SELECT 1 FROM copy AS other LEFT JOIN batch ON batch.id = other.batch WHERE other.message = copy.message
    AND (other.held IS NOT NULL OR batch.state NOT IN ('waiting', 'delivered')))";

/// Messages by state; as an argument, by how many each changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Taken, durably.
    pub acknowledged: i64,
    /// Taken by every archive they are for.
    pub delivered: i64,
    /// On their way.
    pub waiting: i64,
    /// In need of a person.
    pub held: i64,
    /// Not archived, by policy.
    pub excluded: i64,
    /// Those of the waiting that no endpoint is known for.
    pub unrouted: i64,
    /// Those of the held whose rows cannot be read.
    pub damaged: i64,
}

impl Books {
    /// Whether every acknowledged message is accounted for.
    pub fn balance(&self) -> bool {
        self.acknowledged == self.delivered + self.waiting + self.held + self.excluded
    }

    /// The totals as the spool keeps them.
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT acknowledged, delivered, waiting, held, excluded, unrouted FROM books";
        connection.prepare_cached(sql)?.query_row([], |row| {
            Ok(Self {
                acknowledged: row.get(0)?,
                delivered: row.get(1)?,
                waiting: row.get(2)?,
                held: row.get(3)?,
                excluded: row.get(4)?,
                unrouted: row.get(5)?,
                damaged: 0,
            })
        })
    }

    /// Adds these changes to the totals.
    pub(super) fn add(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql =
            "UPDATE books SET acknowledged = acknowledged + ?1, delivered = delivered + ?2, waiting = waiting + ?3,
                   held = held + ?4, excluded = excluded + ?5, unrouted = unrouted + ?6";
        let row = (self.acknowledged, self.delivered, self.waiting, self.held, self.excluded, self.unrouted);
        connection.prepare_cached(sql)?.execute(row).map(drop)
    }

    pub(super) fn count(&mut self, state: State, by: i64) {
        match state {
            State::Excluded => self.excluded += by,
            State::Delivered => self.delivered += by,
            State::Waiting => self.waiting += by,
            State::Held => self.held += by,
        }
    }
}

/// The state of the stored message `seq`: the worst of its copies'.
pub(super) fn state_of(connection: &Connection, seq: i64) -> rusqlite::Result<State> {
    Ok(standing(connection, seq)?.0)
}

/// The state of a message, and whether it waits for an endpoint that is not known.
fn standing(connection: &Connection, seq: i64) -> rusqlite::Result<(State, bool)> {
    let sql = format!(
        "SELECT {COPY_STATE}, copy.endpoint = '' AND copy.batch IS NULL
         FROM copy LEFT JOIN batch ON batch.id = copy.batch WHERE copy.message = ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut copies = statement.query([seq])?;
    let (mut worst, mut nowhere) = (State::Delivered, false);
    while let Some(copy) = copies.next()? {
        worst = worst.max(State::named(copy.get_ref(0)?.as_str()?));
        nowhere |= copy.get::<_, bool>(1)?;
    }
    Ok((worst, nowhere && worst == State::Waiting))
}

/// Makes `change`, which concerns the messages `members`, and moves each in the totals from its state before to its
/// state after.
pub(super) fn settle(
    connection: &Connection,
    members: &[i64],
    change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let standings =
        |connection| members.iter().map(|seq| standing(connection, *seq)).collect::<rusqlite::Result<Vec<_>>>();
    let before = standings(connection)?;
    change(connection)?;
    let mut moved = Books::default();
    for (before, after) in before.into_iter().zip(standings(connection)?) {
        for ((state, unrouted), by) in [(before, -1), (after, 1)] {
            moved.count(state, by);
            moved.unrouted += i64::from(unrouted) * by;
        }
    }
    match moved == Books::default() {
        true => Ok(()),
        false => moved.add(connection),
    }
}

/// The totals counted anew from the rows, and from what is left of those that were forgotten: what [`Books::read`] must
/// equal.
pub(super) fn recount(connection: &Connection) -> rusqlite::Result<Books> {
    let sql = "SELECT forgotten_delivered, forgotten_excluded FROM books";
    let mut books = connection.query_row(sql, [], |row| {
        let (delivered, excluded) = (row.get(0)?, row.get(1)?);
        Ok(Books { acknowledged: delivered + excluded, delivered, excluded, ..Books::default() })
    })?;
    let mut statement = connection.prepare("SELECT entry, excluded FROM ledger")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        books.acknowledged += 1;
        if row.get(1)? {
            books.excluded += 1;
            continue;
        }
        let seq: i64 = row.get(0)?;
        let copied = "SELECT 1 FROM copy WHERE message = ?1 LIMIT 1";
        let state = match connection.prepare_cached(copied)?.query_row([seq], |_| Ok(())).optional()? {
            Some(()) => state_of(connection, seq)?,
            // A message that goes nowhere is one that a person must look at.
            None => {
                books.damaged += 1;
                State::Held
            }
        };
        books.count(state, 1);
    }
    books.unrouted = connection.query_row(UNROUTED, [], |row| row.get(0))?;
    Ok(books)
}
