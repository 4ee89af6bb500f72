//! A mail server in memory that does as it is told, well or badly, at each step; and remembers what it was told.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use archiver::smtp::{BoxStream, Dial};
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_rustls::TlsAcceptor;

use crate::certificates::Identity;

/// Where a server can be told to do something else than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Before there is a connection: acts that say something are done as usual.
    Connect,
    Greeting,
    PlainEhlo,
    StartTls,
    Handshake,
    Ehlo,
    Auth,
    Mail,
    Rcpt,
    /// DATA; or BDAT, before its content is read, where a good server says nothing.
    Data,
    /// After 354, before anything of the mail is read; or after BDAT, when half of it is.
    Body,
    /// The answer to a chunk that is not the last.
    Chunk,
    /// The answer to the whole mail.
    Dot,
    Rset,
    Quit,
}

/// What it does there.
#[derive(Clone, Debug)]
pub enum Act {
    /// What a good server does.
    Usual,
    /// Waits, then does what a good server does.
    Late(Duration),
    /// Says this, line ends included.
    Say(&'static str),
    /// Says this and hangs up.
    Goodbye(&'static str),
    /// Says this in two pieces, so that the second comes alone.
    SayInTwo(&'static str, &'static str),
    /// Never does anything again.
    Hang,
    /// Says this, then does what a good server does.
    Early(&'static str),
    /// Hangs up.
    Close,
    /// The connection is reset: what was written is lost, and so is what was not read yet.
    Reset,
    /// Goes on saying that it will go on.
    Endless,
    /// Says 10 MB without a line end.
    LongLine,
    /// A byte of a reply that never ends, each second.
    Drip,
    /// Reads this many bytes, waits, and so on; for [`Step::Body`].
    ReadSlowly(usize, Duration),
}

/// A port with a server behind it.
#[derive(Clone)]
pub struct Listener {
    implicit: bool,
    identity: Identity,
    /// What EHLO says under TLS, beside the usual.
    extensions: &'static str,
    /// Shared by all connections: an act is done once, whichever connection comes to its step.
    acts: Arc<Mutex<HashMap<Step, VecDeque<Act>>>>,
}

impl Listener {
    /// A good server that offers STARTTLS.
    pub fn start_tls(identity: &Identity) -> Self {
        Self { implicit: false, identity: identity.clone(), extensions: "", acts: Arc::default() }
    }

    /// A good server with implicit TLS.
    pub fn implicit(identity: &Identity) -> Self {
        Self { implicit: true, ..Self::start_tls(identity) }
    }

    /// Offers these lines too: `250-PIPELINING\r\n250-CHUNKING\r\n`.
    pub fn offering(self, extensions: &'static str) -> Self {
        Self { extensions, ..self }
    }

    /// The next time it does `act` at `step`; after the last one that was given, always.
    pub fn at(self, step: Step, act: Act) -> Self {
        self.acts.lock().expect("no panic").entry(step).or_default().push_back(act);
        self
    }

    /// From now on it does `act` at `step`.
    pub fn now(&self, step: Step, act: Act) {
        self.acts.lock().expect("no panic").insert(step, [act].into());
    }

    fn peek(&self, step: Step) -> Act {
        let acts = self.acts.lock().expect("no panic");
        acts.get(&step).and_then(|acts| acts.front()).cloned().unwrap_or(Act::Usual)
    }

    fn take(&self, step: Step) -> Act {
        let act = self.peek(step);
        if let Some(acts) = self.acts.lock().expect("no panic").get_mut(&step).filter(|acts| acts.len() > 1) {
            acts.pop_front();
        }
        act
    }
}

/// What a server heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Plain(String),
    Encrypted(String),
    Mail(Vec<u8>),
}

/// A host, whose name does not matter, with servers on its ports.
#[derive(Clone, Default)]
pub struct Host {
    listeners: HashMap<u16, Listener>,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// Connections: now, and the most at once.
    open: Arc<(AtomicUsize, AtomicUsize)>,
    /// How often a client had to wait for an answer.
    waits: Arc<AtomicUsize>,
}

impl Host {
    pub fn new(port: u16, listener: Listener) -> Self {
        Self::default().and(port, listener)
    }

    pub fn and(mut self, port: u16, listener: Listener) -> Self {
        self.listeners.insert(port, listener);
        self
    }

    /// The connections that are open.
    pub fn connections(&self) -> usize {
        self.open.0.load(Ordering::SeqCst)
    }

    /// The most connections that were open at once.
    pub fn most_connections(&self) -> usize {
        self.open.1.load(Ordering::SeqCst)
    }

    /// How often the servers had read all that there was, and waited for more.
    pub fn waits(&self) -> usize {
        self.waits.load(Ordering::SeqCst)
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no panic").clone()
    }

    /// The command lines, encrypted or not.
    pub fn commands(&self) -> Vec<String> {
        let line = |heard| match heard {
            Heard::Plain(line) | Heard::Encrypted(line) => Some(line),
            Heard::Mail(_) => None,
        };
        self.heard().into_iter().filter_map(line).collect()
    }

    /// The mails as they were before they were dot-stuffed.
    pub fn mails(&self) -> Vec<Vec<u8>> {
        let mail = |heard| if let Heard::Mail(mail) = heard { Some(mail) } else { None };
        self.heard().into_iter().filter_map(mail).collect()
    }
}

impl Dial for Host {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), port)]) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            let listener = self.listeners.get(&address.port()).ok_or(io::ErrorKind::ConnectionRefused)?.clone();
            match listener.take(Step::Connect) {
                Act::Close => return Err(io::ErrorKind::ConnectionRefused.into()),
                Act::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
                Act::Hang => std::future::pending().await,
                _ => {}
            }
            let (near, far) = tokio::io::duplex(16 << 10);
            let reset = Arc::new(AtomicBool::new(false));
            let near = Near { stream: near, reset: reset.clone() };
            let now = self.open.0.fetch_add(1, Ordering::SeqCst) + 1;
            self.open.1.fetch_max(now, Ordering::SeqCst);
            let peer = Peer {
                stream: Box::new(far),
                reset,
                open: self.open.clone(),
                waits: self.waits.clone(),
                unread: Vec::new(),
                chunks: Vec::new(),
                encrypted: false,
                listener,
                heard: self.heard.clone(),
            };
            tokio::spawn(peer.serve());
            Ok(Box::new(near) as BoxStream)
        })
    }
}

/// The client's side of a connection, which the server can reset.
struct Near {
    stream: DuplexStream,
    reset: Arc<AtomicBool>,
}

impl Near {
    fn whole(&self) -> io::Result<()> {
        match self.reset.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Near {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Near {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A server's side of a connection.
struct Peer {
    stream: BoxStream,
    reset: Arc<AtomicBool>,
    open: Arc<(AtomicUsize, AtomicUsize)>,
    waits: Arc<AtomicUsize>,
    unread: Vec<u8>,
    /// Of the mail that comes in chunks.
    chunks: Vec<u8>,
    encrypted: bool,
    listener: Listener,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// The connection is over.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.open.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Peer {
    async fn serve(mut self) {
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
        self.waits.fetch_add(1, Ordering::SeqCst);
        // All that is there, so that one wait is one round trip.
        self.unread.reserve(64 << 10);
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(Over),
            _ => Ok(()),
        }
    }

    fn note(&self, heard: Heard) {
        self.heard.lock().expect("no panic").push(heard);
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
