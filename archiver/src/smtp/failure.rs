//! Why a session or a mail failed, in the vocabulary of tests, deliveries and statuses.

use std::fmt;

use imarchive_crds::{Reason, Stage};

use super::{reply::Reply, words};

/// A stage that failed. Its text is fit for a status: short, on one line, without people's addresses or credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {reason}: {}", self.words())]
pub struct Failure {
    /// Where it failed.
    pub stage: Stage,
    /// Why, in one word.
    pub reason: Reason,
    /// What the server said, if that is why.
    pub reply: Option<Reply>,
    /// What went wrong, if the server did not say.
    pub detail: String,
}

impl Failure {
    /// A failure that is not the server's answer.
    pub fn new(stage: Stage, reason: Reason, detail: impl fmt::Display) -> Self {
        Self { stage, reason, reply: None, detail: detail.to_string() }
    }

    /// The server's refusal.
    pub fn refused(stage: Stage, reason: Reason, reply: Reply) -> Self {
        Self { stage, reason, reply: Some(reply), detail: String::new() }
    }

    /// The server's words, or what went wrong.
    pub fn words(&self) -> String {
        match &self.reply {
            Some(reply) => words::fit(&reply.to_string()),
            None => words::fit(&self.detail),
        }
    }

    /// Whether the server said no, and it is not that nothing is known of its answer.
    pub fn is_refusal(&self) -> bool {
        self.reply.as_ref().is_some_and(Reply::is_refusal)
    }

    /// The server's reply code.
    pub fn code(&self) -> Option<u16> {
        self.reply.as_ref().map(Reply::code)
    }
}

/// A mail that was not sent, by what is known of its fate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// It failed before the final dot: the server does not have the mail.
    #[error(transparent)]
    Before(#[from] Failure),
    /// The mail itself was refused: the server answered it with 4xx or 5xx, or it is no mail.
    #[error(transparent)]
    Refused(Failure),
    /// No answer came to the whole mail: the server may have it.
    #[error("{0}; the archive may have the mail")]
    Ambiguous(Failure),
}

impl SendFailure {
    /// What failed.
    pub fn failure(&self) -> &Failure {
        match self {
            Self::Before(failure) | Self::Refused(failure) | Self::Ambiguous(failure) => failure,
        }
    }
}

/// What went wrong with a connection, before it is known in which stage.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) reply: Option<Reply>,
    pub(super) detail: String,
}

impl Fault {
    pub(super) fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        Self { reason, reply: None, detail: detail.to_string() }
    }

    pub(super) fn at(self, stage: Stage) -> Failure {
        Failure { stage, reason: self.reason, reply: self.reply, detail: self.detail }
    }
}

/// A step on the wire, put into its stage.
pub(super) trait At {
    /// The reply, if it is one that `wanted` accepts; else why not. `reason` is for a refusal.
    fn at(self, stage: Stage, reason: Reason, wanted: fn(&Reply) -> bool) -> Result<Reply, Failure>;
}

impl At for Result<Reply, Fault> {
    fn at(self, stage: Stage, reason: Reason, wanted: fn(&Reply) -> bool) -> Result<Reply, Failure> {
        let reply = self.map_err(|fault| fault.at(stage))?;
        if wanted(&reply) {
            return Ok(reply);
        }
        let reason = match reply.code() {
            // A server that greets so refuses to serve; later it says nothing about what it was asked.
            421 if stage != Stage::Greeting => Reason::ConnectionLost,
            400.. => reason,
            _ => Reason::ProtocolError,
        };
        Err(Failure::refused(stage, reason, reply))
    }
}
