//! How long each step with a server may take.

use std::time::Duration;

/// The patience for each step, and for all of them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the host's addresses.
    pub resolve: Duration,
    /// For a connection to one address.
    pub connect: Duration,
    /// For the server's first line.
    pub greeting: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the reply to EHLO, STARTTLS, AUTH, MAIL, RCPT and RSET.
    pub command: Duration,
    /// For the reply to DATA.
    pub data: Duration,
    /// For a piece of the mail to be written.
    pub block: Duration,
    /// For the reply after the final dot.
    pub end: Duration,
    /// For the reply to QUIT, which nothing depends on.
    pub quit: Duration,
    /// For all that opens a session.
    pub opening: Duration,
    /// For all that sends a mail, beside the time that its size takes.
    pub sending: Duration,
    /// The slowest that a mail may flow, in bytes a second.
    pub slowest: u64,
}

impl Timeouts {
    /// RFC 5321 4.5.3.2 where it names a step. The totals keep a server that answers each step at the last moment, or a
    /// byte at a time, from holding a batch forever.
    pub fn delivery() -> Self {
        Self {
            resolve: Duration::from_secs(30),
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            handshake: minutes(2),
            command: minutes(5),
            data: minutes(2),
            block: minutes(3),
            end: minutes(10),
            quit: Duration::from_secs(10),
            opening: minutes(15),
            sending: minutes(30),
            slowest: 16 << 10,
        }
    }

    /// Short enough for a person who waits, long enough for servers that let strangers wait before they greet.
    pub fn probe() -> Self {
        Self {
            resolve: Duration::from_secs(15),
            connect: Duration::from_secs(10),
            greeting: Duration::from_secs(30),
            handshake: Duration::from_secs(15),
            command: Duration::from_secs(20),
            data: Duration::from_secs(20),
            block: Duration::from_secs(20),
            end: Duration::from_secs(30),
            quit: Duration::from_secs(10),
            opening: Duration::from_secs(50),
            sending: Duration::from_secs(50),
            slowest: 16 << 10,
        }
    }

    /// For all that sends a mail of `bytes`.
    pub fn sending(&self, bytes: usize) -> Duration {
        self.sending + Duration::from_secs(bytes as u64 / self.slowest.max(1))
    }
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}
