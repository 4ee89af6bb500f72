//! Where a message went: the answer to `GET /v1/messages/SOURCE/ID`.

use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;

use super::{
    books::{COPY_STATE, State, state_of},
    columns::time_if_any,
    group::Threads,
    ledger::find,
    open::threads,
};

/// What the spool knows of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Whereabouts {
    /// The worst state of its copies.
    pub state: State,
    /// When it was taken.
    pub received_at: Timestamp,
    /// Its copies.
    pub copies: Vec<CopyState>,
    /// Why it is excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'static str>,
}

/// A copy of a message for an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyState {
    /// The endpoint; none while it is unrouted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Its state.
    pub state: State,
    /// While it waits in no batch: what windows group its message by.
    #[serde(skip)]
    pub open: Option<Threads>,
    /// The batch that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// While its window is open: when that ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ends_at: Option<Timestamp>,
    /// When the archive took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
    /// The archive's words when it took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Why it is not delivered yet; of a held one, what a person must look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Looks up a message by its source and id. `None`: it was never acknowledged, or is forgotten since.
pub fn lookup(connection: &Connection, source: &str, id: &str) -> rusqlite::Result<Option<Whereabouts>> {
    let Some(entered) = find(connection, source, id)? else { return Ok(None) };
    let received_at = entered.received_at;
    if entered.excluded {
        let policy = Some("none of its people is archived");
        return Ok(Some(Whereabouts { state: State::Excluded, received_at, copies: Vec::new(), policy }));
    }
    let (state, copies) = (state_of(connection, entered.entry)?, copies(connection, entered.entry)?);
    Ok(Some(Whereabouts { state, received_at, copies, policy: None }))
}

fn copies(connection: &Connection, seq: i64) -> rusqlite::Result<Vec<CopyState>> {
    let sql = format!(
        "SELECT copy.endpoint, {COPY_STATE}, batch.sequence, batch.delivered_at, batch.reply,
                coalesce(batch.reason, copy.held), copy.whole, copy.sender
         FROM copy LEFT JOIN batch ON batch.id = copy.batch
         WHERE copy.message = ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let copies = statement.query_map([seq], |row| {
        let endpoint: String = row.get(0)?;
        let sequence: Option<i64> = row.get(2)?;
        let state = State::named(&row.get::<_, String>(1)?);
        Ok(CopyState {
            state,
            batch: sequence.map(|sequence| format!("{endpoint}-{sequence}")),
            open: (sequence.is_none() && state == State::Waiting).then(|| threads(row, 6)).transpose()?,
            window_ends_at: None,
            delivered_at: time_if_any(row, 3)?,
            reply: row.get(4)?,
            reason: row.get(5)?,
            endpoint: Some(endpoint).filter(|name| !name.is_empty()),
        })
    })?;
    copies.collect()
}
