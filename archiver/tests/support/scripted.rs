//! A mail server in memory that does as it is told, well or badly, at each step; and remembers what it was told.

#![allow(dead_code, reason = "each test uses what it needs")]

#[path = "scripted/near.rs"]
mod near;
#[path = "scripted/peer.rs"]
mod peer;

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use archiver::smtp::{BoxStream, Dial};
use futures::future::BoxFuture;
use near::Near;
use peer::Peer;

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
            let peer = Peer::new(far, reset, listener, self.clone());
            tokio::spawn(peer.serve());
            Ok(Box::new(near) as BoxStream)
        })
    }
}
