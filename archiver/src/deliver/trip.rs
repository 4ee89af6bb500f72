//! A trip: one mail to the archive, in a session that is there or in a new one.

use std::{path::Path, sync::Arc};

use imarchive_crds::{Reason, Stage};

use super::{Office, stock::Ready};
use crate::{
    classify::{Context, Verdict, classify},
    directory::AcceptedServer,
    smtp::{Credentials, Envelope, Failure, Journal, SendFailure, Session},
};

/// Mails in one session: some archives close longer ones.
const MAILS_A_SESSION: u32 = 100;

/// A session between two trips.
pub(super) struct Kept {
    session: Session,
    fingerprint: String,
    /// The smallest mail that was taken in it.
    smallest: usize,
}

impl Kept {
    /// Whether another mail can go to `accepted` in it.
    pub(super) fn serves(&self, accepted: &AcceptedServer) -> bool {
        self.fingerprint == accepted.fingerprint && self.session.is_usable() && self.session.sent() < MAILS_A_SESSION
    }

    /// Says goodbye. All mails of the session are answered for; how it ends is of no consequence.
    pub(super) async fn close(self) {
        if self.session.is_usable() {
            let _ = self.session.quit().await;
        }
    }
}

/// How a trip ended.
pub(super) struct Back {
    pub(super) batch: i64,
    pub(super) session: Option<Kept>,
    /// The archive's words, or what failed and what is known beside.
    pub(super) outcome: Result<String, (SendFailure, Context)>,
    /// The archive may have the mail, although it was not heard to take it.
    pub(super) maybe: bool,
}

/// Sends a mail; twice when the session had grown old.
pub(super) async fn trip(office: Office, accepted: Arc<AcceptedServer>, ready: Ready, kept: Option<Kept>) -> Back {
    let mut back = Back { batch: ready.batch, session: None, outcome: Ok(String::new()), maybe: false };
    let mut kept = kept;
    loop {
        let (session, outcome) = send(&office, &accepted, &ready.mail, kept.take()).await;
        back.maybe |= matches!(&outcome, Err((SendFailure::Ambiguous(_), _)));
        let stale = matches!(&outcome, Err((failure, context)) if classify(failure, *context) == Verdict::Stale);
        if !stale {
            back.session = session;
            back.outcome = outcome;
            return back;
        }
    }
}

async fn send(
    office: &Office,
    accepted: &AcceptedServer,
    mail: &[u8],
    kept: Option<Kept>,
) -> (Option<Kept>, Result<String, (SendFailure, Context)>) {
    let mut kept = match kept {
        Some(kept) => kept,
        None => match open(office, accepted).await {
            Ok(session) => Kept { session, fingerprint: accepted.fingerprint.clone(), smallest: usize::MAX },
            Err(failure) => return (None, Err((failure.into(), Context::default()))),
        },
    };
    let context = Context {
        reused: kept.session.sent() > 0,
        smaller_mail_taken: kept.smallest < mail.len(),
        ..Context::default()
    };
    let server = &accepted.server;
    let envelope = Envelope { from: server.from.clone(), recipients: server.recipients.clone() };
    let sent = kept.session.send(&envelope, mail).await;
    if sent.is_ok() {
        kept.smallest = kept.smallest.min(mail.len());
    }
    let outcome = sent.map(|reply| reply.to_string()).map_err(|failure| (failure, context));
    (Some(kept), outcome)
}

async fn open(office: &Office, accepted: &AcceptedServer) -> Result<Session, Failure> {
    let credentials = credentials(&office.credentials, accepted.server.credentials.as_deref())?;
    office.client.open(&accepted.server, credentials.as_ref(), &mut Journal::default()).await
}

/// The content of the Secret that a server names, as it is mounted now.
pub(super) fn credentials(folder: &Path, secret: Option<&str>) -> Result<Option<Credentials>, Failure> {
    let Some(secret) = secret else { return Ok(None) };
    let missing = |detail: String| Failure::new(Stage::Auth, Reason::SecretMissing, detail);
    match Credentials::read(&folder.join(secret)) {
        Ok(Some(credentials)) => Ok(Some(credentials)),
        Ok(None) => Err(missing(format!("the Secret {secret} does not exist, or lacks username or password"))),
        Err(error) => Err(missing(format!("the Secret {secret} cannot be used: {error}"))),
    }
}
