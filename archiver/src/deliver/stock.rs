//! Mails rendered and stored ahead of their trips, so that one commit carries many, and no session waits for one.
//!
//! A mail is stored before its first try, and every try sends the same bytes. What is in stock is bounded in number and in
//! bytes: a mail more than fits is rendered when its turn comes.

use std::sync::Arc;

use tracing::warn;

use super::Office;
use crate::{
    directory::AcceptedServer,
    offload::offload,
    render,
    spool::{
        WriteError, batch,
        earlier::earlier,
        held,
        mail::{self, Stored},
        replay, split, tries,
    },
};

/// The most mails that are made ready at once.
pub(super) const MAILS: usize = 32;
/// And their bytes, the last mail not counted.
const BYTES: usize = 8 << 20;

/// A mail that can be sent: the archive may have it from now on.
pub(super) struct Ready {
    pub(super) batch: i64,
    pub(super) mail: Arc<Vec<u8>>,
}

/// Makes the mails of `batches` ready, or those of the first of them. A damaged batch is set aside.
pub(super) async fn prepare(
    office: &Office,
    endpoint: &str,
    accepted: &Arc<AcceptedServer>,
    batches: Vec<i64>,
) -> Result<Vec<Ready>, WriteError> {
    let first = batches.first().copied().filter(|_| batches.len() > 1);
    let (mut ready, mut fresh, mut damaged, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for batch in batches {
        if bytes >= BYTES {
            break;
        }
        let mail = match stored(office, accepted, batch).await? {
            Stored::Mail(mail) => Some(Arc::new(mail)),
            lacking => {
                let mail = match (rendered(office, endpoint, accepted, batch).await, &lacking) {
                    (Some(mail), _) if lacking.admits(&mail) => Some(mail),
                    (Some(_), Stored::Sent(_)) => revised(office, endpoint, accepted, batch).await?,
                    _ => None,
                };
                let mail = mail.map(Arc::new);
                fresh.extend(mail.iter().map(|mail| (batch, mail.clone())));
                mail
            }
        };
        let Some(mail) = mail else {
            damaged.push(batch);
            continue;
        };
        bytes += mail.len();
        ready.push(Ready { batch, mail });
    }
    let tried: Vec<i64> = ready.iter().map(|ready| ready.batch).collect();
    let form = accepted.fingerprint.clone();
    let note = Arc::new(move |connection: &rusqlite::Connection| {
        for (batch, mail) in &fresh {
            mail::store(connection, *batch, mail)?;
            tries::formed(connection, *batch, &form)?;
        }
        tried.iter().try_for_each(|batch| tries::begun(connection, *batch))?;
        let reason = "damaged: what is stored is not what was sealed";
        damaged.iter().try_for_each(|batch| batch::hold(connection, *batch, reason))
    });
    let once = note.clone();
    match (office.spool.write(move |connection| Ok::<_, WriteError>(once(connection)?), |()| {}).await, first) {
        // There may be room for one of them.
        (Err(WriteError::Full), Some(first)) => {
            return Box::pin(prepare(office, endpoint, accepted, vec![first])).await;
        }
        (Err(WriteError::Full), None) => office.write(move |connection| note(connection)).await?,
        (noted, _) => noted?,
    }
    Ok(ready)
}

/// The mail as it was rendered before, unless it may and has to be rendered anew.
async fn stored(office: &Office, accepted: &AcceptedServer, batch: i64) -> Result<Stored, WriteError> {
    let form = accepted.fingerprint.clone();
    let look =
        move |connection: &_| Ok((mail::read(connection, batch)?, tries::is_stale_form(connection, batch, &form)?));
    let (mail, stale) = office.spool.read(look).await?;
    if stale {
        let (spool, form) = (office.spool.uuid(), accepted.fingerprint.clone());
        let domain = accepted.server.from.domain().to_owned();
        let forgotten = office.write(move |connection| tries::reform(connection, spool, batch, &form, &domain)).await?;
        return Ok(if forgotten { Stored::Nothing } else { mail });
    }
    Ok(mail)
}

/// The mail of a batch that is sent once more, and cannot be the bytes that the archive may have.
async fn revised(
    office: &Office,
    endpoint: &str,
    accepted: &Arc<AcceptedServer>,
    batch: i64,
) -> Result<Option<Vec<u8>>, WriteError> {
    // No digest vouches for these bytes but those of what they are made of.
    if !office.spool.read(move |connection| held::is_whole(connection, batch)).await? {
        return Ok(None);
    }
    let (spool, form) = (office.spool.uuid(), accepted.fingerprint.clone());
    let domain = accepted.server.from.domain().to_owned();
    office.write(move |connection| replay::revise(connection, spool, batch, &form, &domain)).await?;
    Ok(rendered(office, endpoint, accepted, batch).await)
}

/// `None`: the batch is damaged.
async fn rendered(office: &Office, endpoint: &str, accepted: &Arc<AcceptedServer>, id: i64) -> Option<Vec<u8>> {
    let load = move |connection: &_| {
        let sealed = batch::load(connection, id)?;
        let (replaced, earlier) = (split::replaced(connection, id)?, earlier(connection, &sealed)?);
        Ok((sealed, replaced, earlier))
    };
    let loaded = office.spool.read(load).await;
    let (sealed, replaced, earlier) =
        loaded.inspect_err(|error| warn!(batch = id, %error, "a batch cannot be read")).ok()?;
    let (name, accepted) = (endpoint.to_owned(), accepted.clone());
    let resources = office.resources.borrow().clone();
    let render = move || {
        let server = &accepted.server;
        let transcript = render::transcript(&sealed.endpoint, &sealed.source, &sealed.conversation, &sealed.messages);
        let form = render::Form {
            from: &server.from,
            from_header: server.from_header,
            message_type: server.message_type.as_deref(),
            belongs: &|user| resources.table.belongs(user, &name),
            replaces: replaced.as_ref().map(|(sequence, digest)| render::Replaces { sequence: *sequence, digest }),
            earlier: &earlier,
        };
        (transcript.digest == sealed.digest).then(|| render::mail(&sealed, &transcript, &form))
    };
    offload(render).await.ok().flatten()
}
