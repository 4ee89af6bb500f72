//! Telling what is held, and everything about one batch.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    Admin, Out, STEP,
    protocol::{Line, Outcome, Which},
};
use crate::spool::{
    deleted::ENDPOINT_DELETED,
    expire::EXPIRED,
    held::{self, Details},
    mail::{self, Stored},
};

/// Bytes of a mail in one line.
const PIECE: usize = 48 * 1024;

impl Admin {
    /// What is held, a page at a time.
    pub(super) async fn list(&self, of: Which, out: &Out) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        let chosen = self.chosen(&of, out, &mut outcome).await?;
        for some in chosen.chunks(STEP) {
            let some = some.to_vec();
            for row in self.read(move |connection| held::rows(connection, &some)).await? {
                outcome.batches += 1;
                outcome.messages += row.messages.unsigned_abs();
                if !out.say(Line::Batch(row)).await {
                    return Ok(outcome);
                }
            }
        }
        if let Which::Those { endpoint, reason } = of {
            let read = move |connection: &_| held::open(connection, endpoint.as_deref(), reason.as_deref());
            for open in self.read(read).await? {
                outcome.messages += open.messages.unsigned_abs();
                out.say(Line::Open(open)).await;
            }
        }
        Ok(outcome)
    }

    /// Everything about the batch of this name, or its mail.
    pub(super) async fn show(&self, name: &str, mail: bool, out: &Out) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        let chosen = self.chosen(&Which::Batches(vec![name.to_owned()]), out, &mut outcome).await?;
        let Some(batch) = chosen.first().copied() else { return Ok(outcome) };
        outcome.batches = 1;
        if mail {
            match self.read(move |connection| mail::read(connection, batch)).await? {
                Stored::Mail(mail) => {
                    for piece in mail.chunks(PIECE) {
                        out.say(Line::Mail(BASE64_STANDARD.encode(piece))).await;
                    }
                }
                Stored::Nothing | Stored::Sent(_) => {
                    let why = "no mail is stored: it is made before the first try, and given up once it is delivered";
                    out.refuse(&mut outcome, name.to_owned(), why).await;
                }
                Stored::Damaged(_) => {
                    let why = "its mail is not what was stored: the volume is damaged. See archiver spool fsck";
                    out.refuse(&mut outcome, name.to_owned(), why).await;
                }
            }
            return Ok(outcome);
        }
        let mut details = self.read(move |connection| held::details(connection, batch)).await?;
        details.advice = advice(&details);
        outcome.messages = details.batch.messages.unsigned_abs();
        out.say(Line::Details(Box::new(details))).await;
        Ok(outcome)
    }
}

/// What a person can do about a batch: a line for each way.
fn advice(details: &Details) -> String {
    let (batch, endpoint) = (&details.batch.batch, &details.batch.endpoint);
    let release = format!("  archiver held release {batch}");
    let reroute = format!("or give it to another endpoint:\n  archiver held reroute {batch} --to ENDPOINT");
    let reason = details.batch.reason.as_deref().unwrap_or_default();
    match details.batch.state.as_str() {
        "delivered" => {
            format!(
                "nothing: the archive took it. Once more, while it is retained:\n  archiver replay --endpoint {endpoint} --since TIME"
            )
        }
        "waiting" => {
            format!("nothing: it is tried by itself. When, and what failed so far:\n  kubectl describe aep {endpoint}")
        }
        "replaced" => {
            "nothing: other batches have its messages; their mails name it in X-IMArchive-Replaces.".to_owned()
        }
        _ if reason == ENDPOINT_DELETED => format!(
            "the endpoint {endpoint} was deleted. Once one of that name is accepted this is\nreleased by itself; {reroute}"
        ),
        _ if reason == EXPIRED => format!(
            "it waited for as long as the endpoint's spec.retry.giveUpAfter. See why, mend it,\nand let it go:\n  \
             kubectl describe aep {endpoint}\n{release}\n{reroute}"
        ),
        _ if reason.starts_with("refused") => format!(
            "the archive takes other mails and refuses this one. Look at it, ask the archive's\n\
             people with its words and the Message-ID, and let it go:\n  archiver held show {batch} --mail\n{release}\n{reroute}"
        ),
        _ if reason.starts_with("too big") => format!(
            "one message alone is more than the archive takes. Have its limit raised, and let it go:\n{release}\n{reroute}"
        ),
        _ if reason.starts_with("damaged") => {
            "what is stored is not what was handed in or sealed: the volume is at fault, and\n\
             nothing damaged is delivered. Stop the archiver, look with archiver spool fsck, and put\n\
             back a snapshot; the chat system may still have the messages above. When it can be\n\
             read again:\n"
                .to_owned()
                + &release
        }
        _ => format!("when the cause is gone, let it go:\n{release}\n{reroute}"),
    }
}
