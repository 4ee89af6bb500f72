//! Archives in memory: real SMTP over real TLS, which do to each mail what the plan says, and note what they got.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use archiver::smtp::{BoxStream, Client, Dial, Timeouts, Trust};
use futures::future::{BoxFuture, pending};
use mail_parser::MessageParser;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    history::{Fate, History, Mail, What},
    plan::{Plan, Trouble, Verdict},
};

/// What takes long to make, and is the same for all seeds.
#[derive(Clone)]
pub struct Keys {
    trust: Trust,
    acceptor: TlsAcceptor,
}

impl Keys {
    /// A CA, and a certificate of it for every archive.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = (0..3).map(host).collect();
        let leaf = CertificateParams::new(names).expect("parameters").signed_by(&key, &issuer).expect("a certificate");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("a certificate that fits its key");
        let trust = Trust::new(Some(root.pem().as_bytes())).expect("a root");
        Self { trust, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

/// The host of an endpoint's archive.
pub fn host(endpoint: usize) -> String {
    format!("journal{endpoint}.archive.example")
}

/// The archives of a simulation; clones share them.
#[derive(Clone)]
pub struct Archives(Arc<Shared>);

struct Shared {
    keys: Keys,
    plan: Arc<Plan>,
    history: Arc<History>,
    /// Which volume the archiver runs on.
    generation: AtomicU32,
    /// How often an archiver began or was killed: who connected before that is gone.
    epoch: AtomicU32,
    /// How often each batch came.
    times: Mutex<HashMap<(u32, usize, i64), u32>>,
    /// Kills the archiver.
    kill: mpsc::UnboundedSender<()>,
}

impl Archives {
    pub fn new(keys: Keys, plan: Arc<Plan>, history: Arc<History>, kill: mpsc::UnboundedSender<()>) -> Self {
        Self(Arc::new(Shared {
            keys,
            plan,
            history,
            generation: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            times: Mutex::default(),
            kill,
        }))
    }

    /// What the archiver opens sessions by.
    pub fn client(&self, generation: u32) -> Client {
        self.0.generation.store(generation, Ordering::SeqCst);
        self.killed();
        Client::new(Arc::new(self.clone()), self.0.keys.trust.clone(), Timeouts::delivery())
    }

    /// The archiver that ran is gone.
    pub fn killed(&self) {
        self.0.epoch.fetch_add(1, Ordering::SeqCst);
    }
}

impl Dial for Archives {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let endpoint = host.bytes().find(u8::is_ascii_digit).map_or(0, |digit| digit - b'0');
        Box::pin(async move { Ok(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, endpoint)), port)]) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            let IpAddr::V4(ip) = address.ip() else { return Err(io::ErrorKind::ConnectionRefused.into()) };
            let endpoint = usize::from(ip.octets()[3]);
            let Shared { plan, history, .. } = &*self.0;
            history.note(What::Dialed { endpoint });
            let trouble = plan.trouble_at(endpoint, history.now());
            match trouble {
                Some(Trouble::Refuses) => return Err(io::ErrorKind::ConnectionRefused.into()),
                Some(Trouble::Silent) => pending().await,
                _ => {}
            }
            let (near, far) = tokio::io::duplex(64 << 10);
            let (generation, epoch) = (self.0.generation.load(Ordering::SeqCst), self.0.epoch.load(Ordering::SeqCst));
            let (stream, shared) = (Box::new(far), self.0.clone());
            let peer = Peer { stream, unread: vec![], endpoint, trouble, generation, epoch, shared };
            tokio::spawn(async move { peer.serve().await.ok() });
            Ok(Box::new(near) as BoxStream)
        })
    }
}

/// A server's side of a connection.
struct Peer {
    stream: BoxStream,
    unread: Vec<u8>,
    endpoint: usize,
    /// As it was when the connection was made.
    trouble: Option<Trouble>,
    generation: u32,
    epoch: u32,
    shared: Arc<Shared>,
}

impl Peer {
    async fn serve(mut self) -> io::Result<()> {
        // Long enough for all that others do at the same moment to be over.
        sleep(Duration::from_millis(5 + self.endpoint as u64)).await;
        if self.trouble == Some(Trouble::Closed) {
            return self.say("421 4.3.2 closed for the day\r\n").await;
        }
        self.say("220 archive.example ESMTP\r\n").await?;
        let mut encrypted = false;
        loop {
            let line = self.line().await?;
            let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            match verb.trim_ascii() {
                b"EHLO" if encrypted => {
                    // Some say all they can do, some little.
                    let more = if self.endpoint == 1 { "250-PIPELINING\r\n" } else { "" };
                    self.say(&format!("250-archive.example\r\n{more}250 ENHANCEDSTATUSCODES\r\n")).await?;
                }
                b"EHLO" if self.trouble == Some(Trouble::Plain) => self.say("250 archive.example\r\n").await?,
                b"EHLO" => self.say("250-archive.example\r\n250 STARTTLS\r\n").await?,
                b"STARTTLS" => {
                    self.say("220 2.0.0 go ahead\r\n").await?;
                    let (unused, _) = tokio::io::duplex(1);
                    let stream = std::mem::replace(&mut self.stream, Box::new(unused));
                    self.stream = Box::new(self.shared.keys.acceptor.clone().accept(stream).await?);
                    encrypted = true;
                }
                b"MAIL" if self.trouble == Some(Trouble::Full) => self.say("452 4.3.1 no room\r\n").await?,
                b"RCPT" if self.trouble == Some(Trouble::Busy) => self.say("450 4.2.1 busy\r\n").await?,
                b"MAIL" | b"RCPT" | b"RSET" => self.say("250 2.1.0 ok\r\n").await?,
                b"DATA" => self.data().await?,
                b"QUIT" => return self.say("221 2.0.0 bye\r\n").await,
                _ => self.say("500 5.5.1 what?\r\n").await?,
            }
        }
    }

    async fn data(&mut self) -> io::Result<()> {
        self.say("354 go ahead\r\n").await?;
        let mut bytes = Vec::new();
        loop {
            match self.line().await? {
                line if line == b".\r\n" => break,
                line => bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line)),
            }
        }
        let shared = self.shared.clone();
        let mail = read(&bytes, self.endpoint, self.generation);
        let (first, key) = (mail.messages[0], (mail.generation, mail.endpoint, mail.sequence));
        let time = {
            let mut times = shared.times.lock().expect("no panic");
            let time = times.entry(key).or_default();
            std::mem::replace(time, *time + 1)
        };
        let takes = 20 + shared.plan.dice(&format!("takes {key:?} {time}")) % 3000;
        sleep(Duration::from_millis(takes)).await;
        let verdict = match self.trouble {
            Some(Trouble::RefusesAll) => Verdict::Refuse(554),
            Some(Trouble::Mute) => Verdict::TakeUnheard { hang: true },
            _ => shared.plan.verdict(self.endpoint, first, time),
        };
        let gone = shared.epoch.load(Ordering::SeqCst) != self.epoch;
        let fate = match verdict {
            Verdict::Take | Verdict::TakeUnheard { .. } | Verdict::TakeAndKill if gone => Fate::TakenByCrash,
            Verdict::Take => Fate::Taken,
            Verdict::TakeUnheard { .. } => Fate::TakenUnheard,
            Verdict::TakeAndKill => Fate::TakenByCrash,
            Verdict::Kill => Fate::LostByCrash,
            Verdict::Refuse(code) => Fate::Refused(code),
        };
        shared.history.note(What::Arrived { mail, fate });
        match verdict {
            _ if gone => Ok(()),
            Verdict::Take => self.say("250 2.0.0 taken\r\n").await,
            Verdict::Refuse(code) => {
                let class = code / 100;
                self.say(&format!("{code} {class}.7.1 not this one\r\n")).await
            }
            Verdict::TakeUnheard { hang: false } => Err(io::ErrorKind::ConnectionReset.into()),
            Verdict::TakeUnheard { hang: true } => pending().await,
            Verdict::TakeAndKill | Verdict::Kill => {
                shared.kill.send(()).expect("the simulation goes on");
                pending().await
            }
        }
    }

    async fn say(&mut self, words: &str) -> io::Result<()> {
        self.stream.write_all(words.as_bytes()).await?;
        self.stream.flush().await
    }

    /// A line with its CRLF.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                return Ok(self.unread.drain(..end + 2).collect());
            }
            self.unread.reserve(16 << 10);
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// What a mail says of itself, by a parser that is not ours.
fn read(bytes: &[u8], endpoint: usize, generation: u32) -> Mail {
    let parsed = MessageParser::new().parse(bytes).expect("a mail");
    let header = |name: &str| parsed.header_raw(name).map(|value| value.trim().to_owned());
    let json = parsed.attachments().next().expect("transcript.json").contents();
    let transcript: serde_json::Value = serde_json::from_slice(json).expect("JSON");
    let id = |message: &serde_json::Value| message["id"].as_str().and_then(|id| id.parse().ok()).expect("one of ours");
    Mail {
        generation,
        endpoint,
        sequence: header("X-IMArchive-Sequence").and_then(|number| number.parse().ok()).expect("a sequence"),
        digest: imarchive_crds::hex(&Sha256::digest(json)),
        previous: header("X-IMArchive-Previous-Digest"),
        messages: transcript["messages"].as_array().expect("messages").iter().map(id).collect(),
        bytes: Sha256::digest(bytes).into(),
    }
}
