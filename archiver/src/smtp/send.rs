//! Sends mails in an open session (RFC 5321 3.3), in as few round trips as the server allows.
//!
//! Where the server offers PIPELINING (RFC 2920), the envelope is one flight. A mail to one recipient goes with it: as one
//! chunk (RFC 3030) from a session's second mail on, or up to DATA. To several, the envelope is answered first: the mail is for all of them or for nobody.

use imarchive_crds::{Address, Reason, Stage};
use tokio::time::Instant;

use super::{
    Enhanced, Failure, Reply, SendFailure, Timeouts, Verified,
    content::{CHUNK, LAST_WORDS, check},
    extensions::Extensions,
    failure::{At, Fault},
};

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
    pub(super) wire: Verified,
    pub(super) extensions: Extensions,
    pub(super) timeouts: Timeouts,
    ends: Option<Instant>,
    /// From MAIL to the reply to the mail, or to RSET. Also set while one of them is not answered.
    pub(super) in_transaction: bool,
    pub(super) sent: u32,
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
        check(mail)?;
        let mail_from = self.mail_command(&envelope.from, mail.len())?;
        let commands = envelope.recipients.iter().map(rcpt_command).collect::<Result<Vec<_>, _>>()?;
        if commands.is_empty() {
            let detail = "a mail to nobody";
            return Err(Failure::new(Stage::Recipient, Reason::InvalidConnection, detail).into());
        }
        let mut flight: Vec<&str> = std::iter::once(&mail_from).chain(&commands).map(String::as_str).collect();
        let Extensions { pipelining, chunking, .. } = self.extensions;
        match (pipelining, commands.len()) {
            (false, _) => {
                self.begin(&mail_from).await?;
                for command in &commands {
                    self.add(command).await?;
                }
                self.data(mail).await
            }
            // The first mail of a session shows that the server answers each command once: of one that does not, an answer
            // too many would be taken for that to the mail.
            (true, 1) if chunking && mail.len() <= CHUNK && self.sent > 0 => {
                let last = format!("BDAT {} LAST", mail.len());
                flight.push(&last);
                self.at_once(&flight, mail).await
            }
            (true, 1) if !chunking => {
                flight.push("DATA");
                self.up_to_data(&flight, mail).await
            }
            (true, recipients) => {
                self.fly(&flight).await?;
                self.answers(recipients, false).await?;
                self.data(mail).await
            }
        }
    }

    /// MAIL, RCPT and the mail in one flight. From its first byte the server may have the mail, until it says no.
    async fn at_once(&mut self, flight: &[&str], mail: &[u8]) -> Result<Reply, SendFailure> {
        self.wire.ready(flight).map_err(|fault| fault.at(Stage::Sender))?;
        self.in_transaction = true;
        let written = self.wire.flight(flight, mail, self.timeouts.block).await;
        let hurried = written.is_err();
        match (self.answers(1, hurried).await, written) {
            (Ok(()), written) => self.last_answer(written).await,
            (Err(refusal), _) if refusal.is_refusal() && self.wire.is_over() && !hurried => Err(refusal.into()),
            (Err(refusal), _) if refusal.is_refusal() => {
                let patience = if hurried { LAST_WORDS } else { self.timeouts.end };
                match self.wire.reply(patience).await {
                    // It takes a mail that is for nobody: whoever understands that cannot rely on it.
                    Ok(reply) if !reply.is_refusal() => {
                        self.wire.abandon();
                        Err(SendFailure::Ambiguous(refusal))
                    }
                    _ => Err(refusal.into()),
                }
            }
            (Err(silence), Ok(())) => Err(SendFailure::Ambiguous(silence)),
            (Err(silence), Err(fault)) => Err(SendFailure::Ambiguous(fault.at(silence.stage))),
        }
    }

    /// MAIL, RCPT and DATA in one flight; the mail when all three were accepted.
    async fn up_to_data(&mut self, flight: &[&str], mail: &[u8]) -> Result<Reply, SendFailure> {
        self.fly(flight).await?;
        if let Err(failure) = self.answers(1, false).await {
            // A server that goes on would take whatever is said now for a mail: not a word more.
            if !self.wire.is_over()
                && !matches!(self.wire.reply(self.timeouts.data).await, Ok(reply) if reply.is_refusal())
            {
                self.wire.abandon();
            }
            return Err(failure.into());
        }
        let asked = self.wire.reply(self.timeouts.data).await;
        asked.at(Stage::Data, Reason::MessageRejected, Reply::is_go_on)?;
        self.body(mail).await
    }

    async fn fly(&mut self, flight: &[&str]) -> Result<(), Failure> {
        self.wire.ready(flight).map_err(|fault| fault.at(Stage::Sender))?;
        self.in_transaction = true;
        self.wire.flight(flight, &[], self.timeouts.block).await.map_err(|fault| fault.at(Stage::Sender))
    }

    /// The answers to MAIL and to each RCPT. The first that is none counts; those after a refusal are heard all the same.
    async fn answers(&mut self, recipients: usize, hurried: bool) -> Result<(), Failure> {
        let patience = if hurried { LAST_WORDS } else { self.timeouts.command };
        let mut answers = Ok(());
        for place in 0..=recipients {
            let asked = self.wire.reply(patience).await;
            let answer = if place == 0 { sender(asked) } else { recipient(asked) };
            if let Err(failure) = answer {
                let go_on = failure.is_refusal() && !failure.reply.as_ref().is_some_and(Reply::is_goodbye);
                answers = answers.and(Err(failure));
                if !go_on {
                    self.wire.abandon();
                    break;
                }
            }
        }
        answers
    }

    /// MAIL: begins a mail of `size` bytes.
    pub async fn mail_from(&mut self, from: &Address, size: usize) -> Result<Reply, Failure> {
        let command = self.mail_command(from, size)?;
        self.begin(&command).await
    }

    async fn begin(&mut self, command: &str) -> Result<Reply, Failure> {
        self.in_transaction = true;
        sender(self.wire.command(command, self.timeouts.command).await)
    }

    fn mail_command(&self, from: &Address, size: usize) -> Result<String, Failure> {
        let from = mailbox(from, Stage::Sender)?;
        if let Some(limit) = self.extensions.smaller_than(size as u64) {
            let words = format!("the mail has {size} bytes, and the server takes {limit}");
            let reply = Reply::new(552, Some(Enhanced::TOO_BIG), &words);
            return Err(Failure::refused(Stage::Sender, Reason::MessageRejected, reply));
        }
        let size = if self.extensions.size.is_some() { format!(" SIZE={size}") } else { String::new() };
        Ok(format!("MAIL FROM:<{from}>{size}"))
    }

    /// RCPT: names one recipient.
    pub async fn rcpt_to(&mut self, to: &Address) -> Result<Reply, Failure> {
        self.add(&rcpt_command(to)?).await
    }

    async fn add(&mut self, command: &str) -> Result<Reply, Failure> {
        recipient(self.wire.command(command, self.timeouts.command).await)
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

/// What became of MAIL.
fn sender(asked: Result<Reply, Fault>) -> Result<Reply, Failure> {
    asked.at(Stage::Sender, Reason::SenderRejected, Reply::is_done).map_err(|failure| {
        let too_big = failure.reply.as_ref().is_some_and(Reply::is_too_big);
        if too_big { Failure { reason: Reason::MessageRejected, ..failure } } else { failure }
    })
}

/// What became of RCPT.
fn recipient(asked: Result<Reply, Fault>) -> Result<Reply, Failure> {
    asked.at(Stage::Recipient, Reason::RecipientRejected, Reply::is_done).map_err(|failure| {
        // Many servers keep what they have against the sender until they know for whom the mail is.
        let about_sender = failure.reply.as_ref().is_some_and(Reply::is_about_the_sender);
        if about_sender { Failure { reason: Reason::SenderRejected, ..failure } } else { failure }
    })
}

fn rcpt_command(to: &Address) -> Result<String, Failure> {
    Ok(format!("RCPT TO:<{}>", mailbox(to, Stage::Recipient)?))
}

/// The address as a command can hold it.
fn mailbox(address: &Address, stage: Stage) -> Result<&str, Failure> {
    match address.is_mailbox() {
        true => Ok(address.as_str()),
        false => Err(Failure::new(stage, Reason::InvalidConnection, "this address is no RFC 5321 mailbox")),
    }
}
