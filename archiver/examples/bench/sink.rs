//! An archive that takes every mail at once and forgets it: both sides of a comparison deliver to the same one.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// Where it is, and what it offers.
#[derive(clap::Args)]
pub struct Args {
    /// Where connections are taken.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The file that the CA of its certificate is written to, in PEM.
    #[arg(long)]
    ca: PathBuf,
    /// TLS from the first byte on, instead of STARTTLS.
    #[arg(long)]
    implicit: bool,
    /// What the EHLO offers, beside STARTTLS.
    #[arg(long, value_delimiter = ',', default_value = "PIPELINING,CHUNKING,SIZE 104857600")]
    offer: Vec<String>,
    /// A file that the mails are written to, each after a line with its length.
    #[arg(long)]
    save: Option<PathBuf>,
}

/// What was taken since the last reset, in seconds since the first connection.
#[derive(Default)]
struct Counts {
    mails: u64,
    bytes: u64,
    connections: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Message-IDs: who sends a mail twice has not delivered two.
    ids: BTreeSet<Vec<u8>>,
    save: Option<File>,
}

struct Sink {
    tls: TlsAcceptor,
    implicit: bool,
    offer: Vec<String>,
    counts: Mutex<Counts>,
}

/// Runs until standard input ends. Each line there is answered with the counts; `reset` begins them anew.
pub async fn run(args: Args) -> anyhow::Result<Value> {
    let save = args.save.as_ref().map(File::create).transpose()?;
    let sink = Arc::new(Sink {
        tls: TlsAcceptor::from(identity(&args)?),
        implicit: args.implicit,
        offer: args.offer,
        counts: Mutex::new(Counts { save, ..Counts::default() }),
    });
    let listener = TcpListener::bind(args.listen).await?;
    println!("{}", json!({"port": listener.local_addr()?.port()}));
    let asked = sink.clone();
    let asking = tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lines() {
            let mut counts = asked.counts();
            println!("{}", counts.json());
            if line.is_ok_and(|line| line == "reset") {
                *counts = Counts { save: counts.save.take(), ..Counts::default() };
            }
        }
    });
    let taking = async {
        loop {
            let (stream, _) = listener.accept().await?;
            let sink = sink.clone();
            // A client that hangs up in the middle is its own affair: what it did not end was not counted.
            tokio::spawn(async move { drop(sink.greet(stream).await) });
        }
    };
    tokio::select! {
        asked = asking => asked?,
        failed = taking => return failed,
    }
    Ok(sink.counts().json())
}

impl Counts {
    fn json(&self) -> Value {
        let seconds = match (self.first, self.last) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
            _ => 0.0,
        };
        json!({"mails": self.mails, "distinct": self.ids.len(), "bytes": self.bytes, "connections": self.connections,
               "seconds": seconds})
    }
}

impl Sink {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn greet(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        {
            let mut counts = self.counts();
            counts.connections += 1;
            counts.first.get_or_insert_with(Instant::now);
        }
        if self.implicit {
            let stream = self.tls.accept(stream).await?;
            return self.serve(Talk::new(stream), true).await;
        }
        let mut plain = Talk::new(stream);
        plain.say("220 localhost ESMTP").await?;
        loop {
            match plain.line().await?.as_str() {
                line if line.starts_with("EHLO") => plain.say("250-localhost\r\n250 STARTTLS").await?,
                "STARTTLS" => break,
                _ => plain.say("530 5.7.0 STARTTLS first").await?,
            }
        }
        plain.say("220 2.0.0 go ahead").await?;
        let stream = self.tls.accept(plain.stream.into_inner().into_inner()).await?;
        self.serve(Talk::new(stream), false).await
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, mut talk: Talk<S>, greet: bool) -> anyhow::Result<()> {
        if greet {
            talk.say("220 localhost ESMTP").await?;
        }
        let mut mail = Vec::new();
        loop {
            let line = talk.line().await?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb {
                "EHLO" => {
                    let offered: String = self.offer.iter().map(|offer| format!("\r\n250-{offer}")).collect();
                    talk.say(&format!("250-localhost{offered}\r\n250 ENHANCEDSTATUSCODES")).await?;
                }
                "DATA" => {
                    talk.say("354 go on").await?;
                    talk.data(&mut mail).await?;
                    self.taken(&mut mail)?;
                    talk.say("250 2.0.0 taken").await?;
                }
                "BDAT" => {
                    let (length, last) = rest.split_once(' ').unwrap_or((rest, ""));
                    let begun = mail.len();
                    mail.resize(begun + length.parse::<usize>().context("BDAT without a length")?, 0);
                    talk.stream.read_exact(&mut mail[begun..]).await?;
                    if last == "LAST" {
                        self.taken(&mut mail)?;
                    }
                    talk.say("250 2.0.0 taken").await?;
                }
                "QUIT" => return talk.say("221 2.0.0 goodbye").await,
                _ => talk.say("250 2.0.0 fine").await?,
            }
        }
    }

    /// Counts a mail, and empties `mail` for the next.
    fn taken(&self, mail: &mut Vec<u8>) -> anyhow::Result<()> {
        let mut counts = self.counts();
        counts.mails += 1;
        counts.bytes += mail.len() as u64;
        counts.last = Some(Instant::now());
        let mut lines = mail.split(|byte| *byte == b'\n');
        if let Some(id) = lines.find(|line| line.to_ascii_lowercase().starts_with(b"message-id:")) {
            counts.ids.insert(id.to_vec());
        }
        if let Some(save) = &mut counts.save {
            writeln!(save, "{}", mail.len())?;
            save.write_all(mail)?;
        }
        mail.clear();
        Ok(())
    }
}

/// Lines in, replies out. Replies wait while more commands are there already.
struct Talk<S> {
    stream: BufReader<BufWriter<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn new(stream: S) -> Self {
        Self { stream: BufReader::with_capacity(64 << 10, BufWriter::new(stream)) }
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        anyhow::ensure!(self.stream.read_line(&mut line).await? > 0, "hung up");
        Ok(line.trim_end().to_owned())
    }

    async fn say(&mut self, reply: &str) -> anyhow::Result<()> {
        self.stream.write_all(reply.as_bytes()).await?;
        self.stream.write_all(b"\r\n").await?;
        if self.stream.buffer().is_empty() {
            self.stream.flush().await?;
        }
        Ok(())
    }

    /// All up to the final dot, without it and without the dots that were put in front.
    async fn data(&mut self, mail: &mut Vec<u8>) -> anyhow::Result<()> {
        loop {
            let begun = mail.len();
            anyhow::ensure!(self.stream.read_until(b'\n', mail).await? > 0, "hung up");
            if &mail[begun..] == b".\r\n" {
                mail.truncate(begun);
                return Ok(());
            }
            if mail[begun..].starts_with(b"..") {
                mail.remove(begun);
            }
        }
    }
}

/// A certificate for `localhost` by a CA that is made for it.
fn identity(args: &Args) -> anyhow::Result<Arc<ServerConfig>> {
    let mut authority = CertificateParams::new([])?;
    authority.distinguished_name.push(DnType::CommonName, "bench CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    std::fs::write(&args.ca, authority.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(["localhost".to_owned()])?;
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    let certificate = leaf.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok(Arc::new(config))
}
