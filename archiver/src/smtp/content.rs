//! The mail itself, after its envelope: in chunks where the server offers CHUNKING (RFC 3030), else after DATA.
//!
//! What failed before the dot or before the last chunk began is known not to have been taken. From there on nobody knows
//! until the server has answered.

use imarchive_crds::{Reason, Stage};

use super::{
    Failure, Reply, SendFailure, Session,
    failure::{At, Fault},
    stuffing::{Blocks, final_dot, stray_line_end},
};

/// The largest chunk.
pub(super) const CHUNK: usize = 1 << 20;

/// How long a server that hung up in the middle of a mail is listened to: its reason is there already, or never comes.
pub(super) const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

/// Refuses what is no mail.
pub(super) fn check(mail: &[u8]) -> Result<(), SendFailure> {
    match stray_line_end(mail) {
        None => Ok(()),
        Some(at) => {
            let detail = format!("the mail has a CR or LF that stands alone, at byte {at}");
            Err(SendFailure::Refused(Failure::new(Stage::Data, Reason::MessageRejected, detail)))
        }
    }
}

impl Session {
    /// The mail, whose envelope was accepted.
    pub async fn data(&mut self, mail: &[u8]) -> Result<Reply, SendFailure> {
        check(mail)?;
        if self.extensions.chunking {
            return self.chunks(mail).await;
        }
        let asked = self.wire.command("DATA", self.timeouts.data).await;
        asked.at(Stage::Data, Reason::MessageRejected, Reply::is_go_on)?;
        self.body(mail).await
    }

    /// The mail after DATA, to its final dot.
    pub(super) async fn body(&mut self, mail: &[u8]) -> Result<Reply, SendFailure> {
        if let Err(fault) = self.lines(mail).await {
            return Err(self.cut_short(fault).await);
        }
        // From here on the server may have the mail, whatever goes wrong.
        self.wire.expect();
        let written = self.wire.write(final_dot(mail), self.timeouts.block).await;
        written.map_err(|fault| SendFailure::Ambiguous(fault.at(Stage::Data)))?;
        self.last_answer(Ok(())).await
    }

    /// The mail without its final dot. An answer that is there before the dot is not one to the whole mail.
    async fn lines(&mut self, mail: &[u8]) -> Result<(), Fault> {
        for block in Blocks::of(mail) {
            self.wire.heed()?;
            self.wire.write(&block, self.timeouts.block).await?;
        }
        self.wire.heed()
    }

    async fn chunks(&mut self, mail: &[u8]) -> Result<Reply, SendFailure> {
        let mut chunks: Vec<&[u8]> = mail.chunks(CHUNK).collect();
        let last = chunks.pop().unwrap_or_default();
        for chunk in chunks {
            let command = format!("BDAT {}", chunk.len());
            self.wire.ready(&[&command]).map_err(|fault| fault.at(Stage::Data))?;
            if let Err(fault) = self.wire.flight(&[&command], chunk, self.timeouts.block).await {
                return Err(self.cut_short(fault).await);
            }
            let reply = self.wire.reply(self.timeouts.block).await;
            reply.at(Stage::Data, Reason::MessageRejected, Reply::is_done).map_err(refused)?;
        }
        let command = format!("BDAT {} LAST", last.len());
        self.wire.ready(&[&command]).map_err(|fault| fault.at(Stage::Data))?;
        let written = self.wire.flight(&[&command], last, self.timeouts.block).await;
        self.last_answer(written).await
    }

    /// The answer to a mail whose end was `written`, or begun to be.
    pub(super) async fn last_answer(&mut self, written: Result<(), Fault>) -> Result<Reply, SendFailure> {
        if let Err(fault) = written {
            return Err(match self.cut_short(fault).await {
                SendFailure::Before(failure) if !failure.is_refusal() => SendFailure::Ambiguous(failure),
                refused => refused,
            });
        }
        let reply = self.wire.reply(self.timeouts.end).await;
        let reply = reply.map_err(|fault| SendFailure::Ambiguous(fault.at(Stage::Data)))?;
        self.in_transaction = false;
        match Ok(reply).at(Stage::Data, Reason::MessageRejected, Reply::is_done) {
            Ok(reply) => {
                self.sent += 1;
                Ok(reply)
            }
            Err(failure) if failure.is_refusal() => Err(SendFailure::Refused(failure)),
            Err(failure) => Err(SendFailure::Ambiguous(failure)),
        }
    }

    /// The failure of a mail that the server did not let come to its end.
    async fn cut_short(&mut self, fault: Fault) -> SendFailure {
        let said = match &fault.reply {
            Some(reply) => Some(reply.clone()),
            None => self.wire.reply(LAST_WORDS).await.ok(),
        };
        // Whatever it says, the rest of the mail was not sent, and no command can follow.
        self.wire.abandon();
        match said.filter(Reply::is_refusal) {
            Some(reply) => {
                let reason = if reply.is_goodbye() { Reason::ConnectionLost } else { Reason::MessageRejected };
                refused(Failure::refused(Stage::Data, reason, reply))
            }
            None => fault.at(Stage::Data).into(),
        }
    }
}

/// What a server said no to before it had the whole mail: to the mail, unless it said goodbye.
fn refused(failure: Failure) -> SendFailure {
    match &failure.reply {
        Some(reply) if reply.is_refusal() && !reply.is_goodbye() => SendFailure::Refused(failure),
        _ => SendFailure::Before(failure),
    }
}
