//! What a scripted server does on a connection.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use archiver::smtp::BoxStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

use super::{Act, Heard, Host, Listener, Step};

/// A server's side of a connection.
pub struct Peer {
    stream: BoxStream,
    reset: Arc<AtomicBool>,
    unread: Vec<u8>,
    /// Of the mail that comes in chunks.
    chunks: Vec<u8>,
    encrypted: bool,
    listener: Listener,
    host: Host,
}

/// The connection is over.
pub struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.host.open.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Peer {
    pub fn new(stream: DuplexStream, reset: Arc<AtomicBool>, listener: Listener, host: Host) -> Self {
        Self {
            stream: Box::new(stream),
            reset,
            unread: Vec::new(),
            chunks: Vec::new(),
            encrypted: false,
            listener,
            host,
        }
    }

    pub async fn serve(mut self) {
        let _ = self.session().await;
    }

    async fn session(&mut self) -> Result<(), Over> {
        if self.listener.implicit {
            self.handshake().await?;
        }
        self.act(Step::Greeting).await?;
        loop {
            let line = self.command().await?;
            match line.split(' ').next().unwrap_or_default() {
                "EHLO" if self.encrypted => self.act(Step::Ehlo).await?,
                "EHLO" => self.act(Step::PlainEhlo).await?,
                "STARTTLS" => {
                    self.act(Step::StartTls).await?;
                    self.handshake().await?;
                }
                "AUTH" => self.auth(&line).await?,
                "MAIL" => self.act(Step::Mail).await?,
                "RCPT" => self.act(Step::Rcpt).await?,
                "DATA" => self.data().await?,
                "BDAT" => self.chunk(&line).await?,
                "RSET" => self.act(Step::Rset).await?,
                "QUIT" => {
                    self.act(Step::Quit).await?;
                    return Err(Over);
                }
                _ => self.say("500 5.5.1 what?\r\n").await?,
            }
        }
    }

    async fn handshake(&mut self) -> Result<(), Over> {
        self.act(Step::Handshake).await?;
        let (unused, _) = tokio::io::duplex(1);
        let stream = std::mem::replace(&mut self.stream, Box::new(unused));
        let acceptor = TlsAcceptor::from(self.listener.identity.server_config());
        self.stream = Box::new(acceptor.accept(stream).await?);
        self.encrypted = true;
        Ok(())
    }

    async fn auth(&mut self, line: &str) -> Result<(), Over> {
        let questions = match line {
            "AUTH LOGIN" => vec!["334 VXNlcm5hbWU6\r\n", "334 UGFzc3dvcmQ6\r\n"],
            "AUTH PLAIN" => vec!["334 \r\n"],
            _ => vec![],
        };
        for question in questions {
            self.say(question).await?;
            self.command().await?;
        }
        self.act(Step::Auth).await
    }

    async fn data(&mut self) -> Result<(), Over> {
        let refused = matches!(self.listener.peek(Step::Data), Act::Say(reply) if !reply.starts_with("354"));
        self.act(Step::Data).await?;
        if refused {
            return Ok(());
        }
        self.act(Step::Body).await?;
        let mut mail = Vec::new();
        loop {
            match self.line().await? {
                line if line == b".\r\n" => break,
                line => mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line)),
            }
        }
        self.note(Heard::Mail(mail));
        self.act(Step::Dot).await
    }

    /// A chunk of a mail, which follows its command.
    async fn chunk(&mut self, line: &str) -> Result<(), Over> {
        let size: usize = line.split(' ').nth(1).and_then(|size| size.parse().ok()).expect("a size");
        let refused = match self.listener.peek(Step::Data) {
            Act::Usual => {
                self.listener.take(Step::Data);
                false
            }
            _ => {
                self.act(Step::Data).await?;
                true
            }
        };
        let half = size / 2;
        self.octets(half).await?;
        self.act(Step::Body).await?;
        self.octets(size - half).await?;
        if refused {
            self.chunks.clear();
            return Ok(());
        }
        if !line.ends_with(" LAST") {
            return self.act(Step::Chunk).await;
        }
        let mail = std::mem::take(&mut self.chunks);
        self.note(Heard::Mail(mail));
        self.act(Step::Dot).await
    }

    async fn octets(&mut self, count: usize) -> Result<(), Over> {
        while self.unread.len() < count {
            self.more().await?;
        }
        self.chunks.extend(self.unread.drain(..count));
        Ok(())
    }

    async fn act(&mut self, step: Step) -> Result<(), Over> {
        let act = self.listener.take(step);
        let usual = match step {
            Step::Ehlo => usual(step).replace("250 ", &format!("{}250 ", self.listener.extensions)),
            _ => usual(step).to_owned(),
        };
        match act {
            Act::Usual => self.say(&usual).await,
            Act::Late(wait) => {
                tokio::time::sleep(wait).await;
                self.say(&usual).await
            }
            Act::Early(words) => self.say(&format!("{words}{usual}")).await,
            Act::Reset => {
                self.reset.store(true, Ordering::SeqCst);
                Err(Over)
            }
            Act::Say(words) => self.say(words).await,
            Act::Goodbye(words) => {
                self.say(words).await?;
                Err(Over)
            }
            Act::SayInTwo(first, second) => {
                self.say(first).await?;
                tokio::task::yield_now().await;
                self.say(second).await
            }
            Act::Hang => std::future::pending().await,
            Act::Close => Err(Over),
            Act::Endless => loop {
                self.say("250-and more\r\n").await?;
            },
            Act::LongLine => {
                let piece = "2".repeat(1 << 10);
                for _ in 0..10 << 10 {
                    self.say(&piece).await?;
                }
                std::future::pending().await
            }
            Act::Drip => {
                self.say("250-").await?;
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    self.say("a").await?;
                }
            }
            Act::ReadSlowly(count, wait) => {
                let mut bytes = vec![0; count];
                loop {
                    tokio::time::sleep(wait).await;
                    if self.stream.read(&mut bytes).await? == 0 {
                        return Err(Over);
                    }
                }
            }
        }
    }

    async fn say(&mut self, words: &str) -> Result<(), Over> {
        self.stream.write_all(words.as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    async fn command(&mut self) -> Result<String, Over> {
        let line = String::from_utf8_lossy(&self.line().await?).trim_end_matches("\r\n").to_owned();
        self.note(if self.encrypted { Heard::Encrypted(line.clone()) } else { Heard::Plain(line.clone()) });
        Ok(line)
    }

    /// A line with its CRLF.
    async fn line(&mut self) -> Result<Vec<u8>, Over> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                return Ok(self.unread.drain(..end + 2).collect());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Over> {
        self.host.waits.fetch_add(1, Ordering::SeqCst);
        // All that is there, so that one wait is one round trip.
        self.unread.reserve(64 << 10);
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(Over),
            _ => Ok(()),
        }
    }

    fn note(&self, heard: Heard) {
        self.host.heard.lock().expect("no panic").push(heard);
    }
}

fn usual(step: Step) -> &'static str {
    match step {
        Step::Greeting => "220 archive.example ESMTP\r\n",
        Step::PlainEhlo => "250-archive.example\r\n250-SIZE 10000000\r\n250 STARTTLS\r\n",
        Step::StartTls => "220 2.0.0 go ahead\r\n",
        Step::Connect | Step::Handshake | Step::Body => "",
        Step::Ehlo => "250-archive.example\r\n250-SIZE 10000000\r\n250-AUTH PLAIN LOGIN\r\n250 ENHANCEDSTATUSCODES\r\n",
        Step::Auth => "235 2.7.0 welcome\r\n",
        Step::Mail => "250 2.1.0 sender ok\r\n",
        Step::Rcpt => "250 2.1.5 recipient ok\r\n",
        Step::Data => "354 go ahead\r\n",
        Step::Chunk => "250 2.0.0 octets taken\r\n",
        Step::Dot => "250 2.0.0 taken as 17\r\n",
        Step::Rset => "250 2.0.0 forgotten\r\n",
        Step::Quit => "221 2.0.0 bye\r\n",
    }
}
