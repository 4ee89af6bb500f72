//! Sends mails in an open session (RFC 5321 3.3).

use imarchive_crds::{Address, Reason, Stage};
use tokio::time::Instant;

use super::{
    Enhanced, Failure, Reply, SendFailure, Timeouts, Verified,
    extensions::Extensions,
    failure::{At, Fault},
    stuffing::{Blocks, final_dot, stray_line_end},
};

/// How long a server that hung up in the middle of a mail is listened to: its reason is there already, or never comes.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

/// Who a mail is from and to, as the server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where bounces go.
    pub from: Address,
    /// Where the mail goes: to all of them, or to none.
    pub recipients: Vec<Address>,
}

/// A session with a server that is trusted, and that trusts us.
pub struct Session {
    wire: Verified,
    extensions: Extensions,
    timeouts: Timeouts,
    ends: Option<Instant>,
    /// From MAIL to the reply after the dot, or to RSET. Also set while one of them is not answered.
    in_transaction: bool,
    sent: u32,
}

impl Session {
    pub(super) fn new(wire: Verified, extensions: Extensions, timeouts: Timeouts, ends: Option<Instant>) -> Self {
        Self { wire, extensions, timeouts, ends, in_transaction: false, sent: 0 }
    }

    /// Sends `mail`, whose lines end with CRLF, to every recipient or to nobody.
    pub async fn send(&mut self, envelope: &Envelope, mail: &[u8]) -> Result<Reply, SendFailure> {
        let ends = Instant::now() + self.timeouts.sending(mail.len());
        self.wire.set_end(Some(self.ends.map_or(ends, |earlier| earlier.min(ends))));
        let sent = self.transaction(envelope, mail).await;
        if self.in_transaction && self.wire.is_in_step() {
            // If this fails too the session is not usable, which is all that its user needs to know.
            let _ = self.reset().await;
        }
        self.wire.set_end(self.ends);
        sent
    }

    async fn transaction(&mut self, envelope: &Envelope, mail: &[u8]) -> Result<Reply, SendFailure> {
        if envelope.recipients.is_empty() {
            let detail = "a mail to nobody";
            return Err(Failure::new(Stage::Recipient, Reason::InvalidConnection, detail).into());
        }
        self.mail_from(&envelope.from, mail.len()).await?;
        for recipient in &envelope.recipients {
            self.rcpt_to(recipient).await?;
        }
        self.data(mail).await
    }

    /// MAIL: begins a mail of `size` bytes.
    pub async fn mail_from(&mut self, from: &Address, size: usize) -> Result<Reply, Failure> {
        let from = mailbox(from, Stage::Sender)?;
        if let Some(limit) = self.extensions.smaller_than(size as u64) {
            let words = format!("the mail has {size} bytes, and the server takes {limit}");
            let reply = Reply::new(552, Some(Enhanced::TOO_BIG), &words);
            return Err(Failure::refused(Stage::Sender, Reason::MessageRejected, reply));
        }
        let size = if self.extensions.size.is_some() { format!(" SIZE={size}") } else { String::new() };
        self.in_transaction = true;
        let asked = self.wire.command(&format!("MAIL FROM:<{from}>{size}"), self.timeouts.command).await;
        asked.at(Stage::Sender, Reason::SenderRejected, Reply::is_done).map_err(|failure| {
            let too_big = failure.reply.as_ref().is_some_and(Reply::is_too_big);
            if too_big { Failure { reason: Reason::MessageRejected, ..failure } } else { failure }
        })
    }

    /// RCPT: names one recipient.
    pub async fn rcpt_to(&mut self, to: &Address) -> Result<Reply, Failure> {
        let to = mailbox(to, Stage::Recipient)?;
        let asked = self.wire.command(&format!("RCPT TO:<{to}>"), self.timeouts.command).await;
        asked.at(Stage::Recipient, Reason::RecipientRejected, Reply::is_done).map_err(|failure| {
            // Many servers keep what they have against the sender until they know for whom the mail is.
            let about_sender = failure.reply.as_ref().is_some_and(Reply::is_about_the_sender);
            if about_sender { Failure { reason: Reason::SenderRejected, ..failure } } else { failure }
        })
    }

    /// DATA, and the mail to its final dot.
    pub async fn data(&mut self, mail: &[u8]) -> Result<Reply, SendFailure> {
        if let Some(at) = stray_line_end(mail) {
            let detail = format!("the mail has a CR or LF that stands alone, at byte {at}");
            return Err(SendFailure::Refused(Failure::new(Stage::Data, Reason::MessageRejected, detail)));
        }
        let asked = self.wire.command("DATA", self.timeouts.data).await;
        asked.at(Stage::Data, Reason::MessageRejected, Reply::is_go_on)?;
        if let Err(fault) = self.body(mail).await {
            return Err(self.cut_short(fault).await);
        }

        // From here on the server may have the mail, whatever goes wrong.
        let ambiguous = |fault: Fault| SendFailure::Ambiguous(fault.at(Stage::Data));
        self.wire.write(final_dot(mail), self.timeouts.block).await.map_err(ambiguous)?;
        let reply = self.wire.reply(self.timeouts.end).await.map_err(ambiguous)?;
        self.in_transaction = false;
        match Ok(reply).at(Stage::Data, Reason::MessageRejected, Reply::is_done) {
            Ok(reply) => {
                self.sent += 1;
                Ok(reply)
            }
            Err(failure) if failure.reason == Reason::ProtocolError => Err(SendFailure::Ambiguous(failure)),
            Err(failure) => Err(SendFailure::Refused(failure)),
        }
    }

    /// The mail without its final dot. An answer that is there before the dot is not one to the whole mail.
    async fn body(&mut self, mail: &[u8]) -> Result<(), Fault> {
        for block in Blocks::of(mail) {
            self.wire.heed()?;
            self.wire.write(&block, self.timeouts.block).await?;
        }
        self.wire.heed()
    }

    /// The failure of a mail that the server did not let come to its end.
    async fn cut_short(&mut self, fault: Fault) -> SendFailure {
        let said = match &fault.reply {
            Some(reply) => Some(reply.clone()),
            None => self.wire.reply(LAST_WORDS).await.ok(),
        };
        // Whatever it says, the rest of the mail was not sent, and no command can follow.
        self.wire.abandon();
        match said.filter(|reply| reply.is_transient() || reply.is_permanent()) {
            Some(reply) if reply.is_goodbye() => Failure::refused(Stage::Data, Reason::ConnectionLost, reply).into(),
            Some(reply) => SendFailure::Refused(Failure::refused(Stage::Data, Reason::MessageRejected, reply)),
            None => fault.at(Stage::Data).into(),
        }
    }

    /// RSET: gives a mail up that was begun.
    pub async fn reset(&mut self) -> Result<Reply, Failure> {
        let asked = self.wire.command("RSET", self.timeouts.command).await;
        let reply = asked.at(Stage::Recipient, Reason::ProtocolError, Reply::is_done)?;
        self.in_transaction = false;
        Ok(reply)
    }

    /// QUIT: says goodbye.
    pub async fn quit(mut self) -> Result<Reply, Failure> {
        let asked = self.wire.command("QUIT", self.timeouts.quit).await;
        let reply = asked.at(Stage::Quit, Reason::ProtocolError, Reply::is_done)?;
        self.wire.close(self.timeouts.quit).await;
        Ok(reply)
    }

    /// How many mails the server took in this session.
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// Whether another mail can be sent in this session. Once false it stays so.
    pub fn is_usable(&self) -> bool {
        self.wire.is_in_step() && !self.in_transaction
    }
}

/// The address as a command can hold it.
fn mailbox(address: &Address, stage: Stage) -> Result<&str, Failure> {
    match address.is_mailbox() {
        true => Ok(address.as_str()),
        false => Err(Failure::new(stage, Reason::InvalidConnection, "this address is no RFC 5321 mailbox")),
    }
}
