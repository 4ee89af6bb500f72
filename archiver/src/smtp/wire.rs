//! A connection on which SMTP is spoken, each step within its time.
//!
//! Nothing is asked while the server has something to say that nobody asked for: its next reply would be taken for the
//! answer to what is asked then, and a mail that was refused for one that was taken. Several commands may be in one flight
//! (RFC 2920): the wire counts the replies that the server owes, and reads them in their order.

use std::{collections::VecDeque, future::Future, io, time::Duration};

use futures::FutureExt;
use imarchive_crds::Reason;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};
use zeroize::Zeroizing;

use super::{
    Reply,
    failure::Fault,
    reply::{Malformed, Reader},
};

/// How much is read at once.
const READ_SIZE: usize = 4096;

/// How much is written at once.
const WRITE_SIZE: usize = 64 << 10;

/// A connection on which SMTP is spoken.
pub(super) struct Wire<S> {
    stream: S,
    unread: Reader,
    ends: Option<Instant>,
    /// Replies that came while something was written.
    heard: VecDeque<Reply>,
    /// Commands that are not answered yet, `heard` included.
    owed: usize,
    /// Something failed, or the server said goodbye.
    over: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Speaks over `stream`. Nothing waits beyond `ends`.
    pub(super) fn new(stream: S, ends: Option<Instant>) -> Self {
        Self { stream, unread: Reader::default(), ends, heard: VecDeque::new(), owed: 0, over: false }
    }

    /// From now on nothing waits beyond `ends`.
    pub(super) fn set_end(&mut self, ends: Option<Instant>) {
        self.ends = ends;
    }

    /// Whether every command got its reply, and none said goodbye: only then can another command be given.
    pub(super) fn is_in_step(&self) -> bool {
        !self.over && self.owed == 0
    }

    /// Whether something failed, or the server said goodbye.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The server was left in the middle of something: no command can be given any more.
    pub(super) fn abandon(&mut self) {
        self.over = true;
    }

    /// Gives a command, and reads the reply to it.
    pub(super) async fn command(&mut self, line: &str, patience: Duration) -> Result<Reply, Fault> {
        self.ready(&[line])?;
        self.flight(&[line], &[], patience).await?;
        self.reply(patience).await
    }

    /// Fails when `lines` cannot be said, or not now; then nothing was said.
    ///
    /// Only printable ASCII can be said: whatever is in a name or an address, it can never begin another command.
    pub(super) fn ready(&mut self, lines: &[&str]) -> Result<(), Fault> {
        if !lines.iter().all(|line| line.bytes().all(|byte| matches!(byte, b' '..=b'~'))) {
            return Err(Fault::new(Reason::InvalidConnection, "a command can only hold printable ASCII"));
        }
        self.heed()
    }

    /// Gives the commands `lines` in one flight, the last of which has `content` behind it. Who says it was
    /// [ready](Self::ready), and reads a reply to each.
    ///
    /// A server that answers everything before it has everything does not know what it says: that fails.
    pub(super) async fn flight(&mut self, lines: &[&str], content: &[u8], patience: Duration) -> Result<(), Fault> {
        self.owed += lines.len();
        let commands: usize = lines.iter().map(|line| line.len() + 2).sum();
        let (begin, rest) = content.split_at(content.len().min(WRITE_SIZE.saturating_sub(commands)));
        // Of full size from the start, so that no outgrown copy of a password stays in memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(commands + begin.len()));
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(begin);
        self.write(&bytes, patience).await?;
        for block in rest.chunks(WRITE_SIZE) {
            self.listen()?;
            self.write(block, patience).await?;
        }
        Ok(())
    }

    /// Writes `bytes` as they are.
    pub(super) async fn write(&mut self, bytes: &[u8], patience: Duration) -> Result<(), Fault> {
        // Until all is written: a caller may give up in the middle.
        let over = std::mem::replace(&mut self.over, true);
        let stream = &mut self.stream;
        let writing = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        within(self.ends, patience, writing).await??;
        self.over = over;
        Ok(())
    }

    /// The server owes a reply to what is written from now on.
    pub(super) fn expect(&mut self) {
        self.owed += 1;
    }

    /// Reads the next reply.
    pub(super) async fn reply(&mut self, patience: Duration) -> Result<Reply, Fault> {
        let over = std::mem::replace(&mut self.over, true);
        let reply = match self.heard.pop_front() {
            Some(reply) => reply,
            None => self.next(patience).await?,
        };
        self.owed = self.owed.saturating_sub(1);
        self.over = over || reply.is_goodbye();
        Ok(reply)
    }

    async fn next(&mut self, patience: Duration) -> Result<Reply, Fault> {
        let Self { stream, unread, .. } = self;
        let reading = async {
            let mut bytes = [0; READ_SIZE];
            loop {
                if let Some(reply) = unread.next()? {
                    return Ok(reply);
                }
                match stream.read(&mut bytes).await? {
                    0 => return Err(Fault::closed()),
                    count => unread.push(&bytes[..count]),
                }
            }
        };
        within(self.ends, patience, reading).await?
    }

    /// Hears what the server says to the first commands of a flight whose end is not written yet. Does not wait.
    fn listen(&mut self) -> Result<(), Fault> {
        while self.has_unread()? {
            match self.unread.next()? {
                Some(reply) => self.heard.push_back(reply),
                None if !self.read_now()? => break,
                None => {}
            }
            if self.heard.len() >= self.owed {
                return Err(Fault::new(Reason::ProtocolError, "the server answered before it had the whole mail"));
            }
        }
        Ok(())
    }

    /// Fails when the server hung up, or spoke without being asked. Does not wait.
    pub(super) fn heed(&mut self) -> Result<(), Fault> {
        let over = std::mem::replace(&mut self.over, true);
        if !self.has_unread()? {
            self.over = over;
            return Ok(());
        }
        let reply = self.unread.next()?;
        let reason = match &reply {
            Some(reply) if reply.is_goodbye() => Reason::ConnectionLost,
            _ => Reason::ProtocolError,
        };
        Err(Fault { reason, reply, detail: "the server spoke without being asked".to_owned() })
    }

    /// Whether bytes came after the last reply. Does not wait.
    pub(super) fn has_unread(&mut self) -> Result<bool, Fault> {
        Ok(!self.unread.is_empty() || self.read_now()?)
    }

    /// Whether there was something to read.
    fn read_now(&mut self) -> Result<bool, Fault> {
        let mut bytes = [0; READ_SIZE];
        match self.stream.read(&mut bytes).now_or_never() {
            None => Ok(false),
            Some(Ok(0)) => Err(Fault::closed()),
            Some(read) => {
                self.unread.push(&bytes[..read?]);
                Ok(true)
            }
        }
    }

    /// Ends the connection in order, for which nobody waits long.
    pub(super) async fn close(mut self, patience: Duration) {
        let _ = within(self.ends, patience, self.stream.shutdown()).await;
    }

    /// The connection, for TLS to take it over.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }
}

/// Runs `work` for as long as patience lasts, and not beyond `ends`.
pub(super) async fn within<T>(
    ends: Option<Instant>,
    patience: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Fault> {
    let began = Instant::now();
    let until = ends.map_or(began + patience, |ends| ends.min(began + patience));
    timeout_at(until, work).await.map_err(|_| {
        let waited = until.saturating_duration_since(began).as_secs();
        Fault::new(Reason::ReplyTimeout, format!("the server did not answer within {waited} s"))
    })
}

impl Fault {
    fn closed() -> Self {
        Self::new(Reason::ConnectionLost, "the server closed the connection")
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::closed(),
            _ => Self::new(Reason::ConnectionLost, format!("the connection was lost: {error}")),
        }
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::new(Reason::ProtocolError, malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_printable_ascii_is_not_said() {
        let (near, mut far) = tokio::io::duplex(100);
        let mut wire = Wire::new(near, None);
        for line in ["EHLO x\r\nMAIL FROM:<>", "EHLO x\n", "EHLO büro.example", "EHLO \0"] {
            let fault = wire.command(line, Duration::from_secs(1)).await.expect_err("refused");
            assert_eq!(fault.reason, Reason::InvalidConnection);
        }
        drop(wire);
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.expect("the end");
        assert!(heard.is_empty());
    }
}
