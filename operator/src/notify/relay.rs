//! The chart's relay: one connection a mail, by verified TLS, and nothing kept.
//!
//! A mail goes out as soon as one administrator can be told; an address that the relay refuses is reported, and keeps
//! nobody else from being told. The credentials are read for each mail, so that a changed Secret needs no restart.

use std::{
    error::Error as _,
    fmt, fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use imarchive_crds::{Address, Stage};
use jiff::Timestamp;
use lettre::transport::smtp::{
    self,
    authentication::{Credentials, Mechanism},
    client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters},
    commands::{Data, Mail, Rcpt},
    extension::ClientId,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{letter::Letter, mail, notifier::Sent};
use crate::status::quoted;

/// The longest that a mail may take, from the name of the relay to its word that it has it.
const LIMIT: Duration = Duration::from_secs(60);

/// How the relay speaks TLS; plain text does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RelayTls {
    /// From the first byte.
    #[value(name = "Implicit")]
    Implicit,
    /// By STARTTLS, which must be offered.
    #[value(name = "StartTLS")]
    StartTls,
}

/// The relay.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Its name, which its certificate must bear.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it speaks TLS.
    pub tls: RelayTls,
    /// The sender of the mails.
    pub from: Address,
    /// Where `username` and `password` are; without it nothing is authenticated.
    pub credentials: Option<PathBuf>,
    /// CAs that are trusted besides the public ones, as PEM.
    pub extra_roots: Option<String>,
}

/// Why a mail was not sent: nothing in it that people may not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How far it came.
    pub stage: Stage,
    /// The relay's reply code.
    pub code: Option<u16>,
    /// The relay's words, or what went wrong: on one line, with mailboxes masked.
    pub words: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{}: {code} {}", self.stage, self.words),
            None => write!(f, "{}: {}", self.stage, self.words),
        }
    }
}

impl Failure {
    fn new(stage: Stage, words: &str) -> Self {
        Self { stage, code: None, words: quoted(&masked(words)) }
    }

    fn of(stage: Stage, error: &smtp::Error) -> Self {
        let words = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        let stage = tls_stage(error).unwrap_or(stage);
        Self { code: error.status().map(u16::from), ..Self::new(stage, &words) }
    }

    /// Servers repeat the name that they refuse.
    fn without(self, name: &str) -> Self {
        if name.is_empty() { self } else { Self { words: self.words.replace(name, "***"), ..self } }
    }
}

impl Relay {
    /// Sends `letter` at `now`.
    pub async fn send(&self, letter: &Letter, now: Timestamp) -> Result<Sent, Failure> {
        let mut stage = Stage::Resolve;
        let outcome = timeout(LIMIT, self.session(letter, now, &mut stage)).await;
        outcome.unwrap_or_else(|_| Err(Failure::new(stage, &format!("it took more than {} s", LIMIT.as_secs()))))
    }

    async fn session(&self, letter: &Letter, now: Timestamp, stage: &mut Stage) -> Result<Sent, Failure> {
        let mut connection = self.connect(stage).await?;
        let failed = |stage: &Stage, error: smtp::Error| Failure::of(*stage, &error);
        if let Some((username, password)) = self.read_credentials()? {
            *stage = Stage::Auth;
            let credentials = Credentials::new(username.clone(), password);
            let answer = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
            answer.map_err(|error| failed(stage, error).without(&username))?;
        }
        *stage = Stage::Sender;
        let sender = mail::mailbox(&self.from);
        connection.command(Mail::new(sender, Vec::new())).await.map_err(|error| failed(stage, error))?;
        *stage = Stage::Recipient;
        let (mut taken, mut refused) = (Vec::new(), None);
        for address in &letter.administrators {
            let Some(mailbox) = mail::mailbox(address) else {
                refused = Some(Failure::new(*stage, "an address is no mailbox that every server can be told"));
                continue;
            };
            match connection.command(Rcpt::new(mailbox.clone(), Vec::new())).await {
                Ok(_) => taken.push(mailbox),
                Err(error) if error.status().is_some() => refused = Some(failed(stage, error)),
                Err(error) => return Err(failed(stage, error)),
            }
        }
        if let (true, Some(refused)) = (taken.is_empty(), &refused) {
            connection.abort().await;
            return Err(refused.clone());
        }
        *stage = Stage::Data;
        let message = mail::message(letter, &self.from, &taken, now).map_err(|words| Failure::new(*stage, &words))?;
        connection.command(Data).await.map_err(|error| failed(stage, error))?;
        connection.message(&message.formatted()).await.map_err(|error| failed(stage, error))?;
        // The relay has it; how it says goodbye changes nothing.
        let _ = connection.quit().await;
        Ok(Sent { refused })
    }

    async fn connect(&self, stage: &mut Stage) -> Result<AsyncSmtpConnection, Failure> {
        let addresses = lookup_host((self.host.as_str(), self.port)).await;
        let addresses: Vec<SocketAddr> = addresses.map_err(|error| Failure::new(*stage, &error.to_string()))?.collect();
        *stage = Stage::Handshake;
        let tls = self.parameters().map_err(|error| Failure::of(*stage, &error))?;
        let hello = ClientId::Domain(self.from.domain().to_owned());
        *stage = Stage::Connect;
        if self.tls == RelayTls::Implicit {
            let connected = AsyncSmtpConnection::connect_tokio1(&*addresses, None, &hello, Some(tls), None).await;
            return connected.map_err(|error| {
                let stage = if error.status().is_some() { Stage::Greeting } else { *stage };
                Failure::of(stage, &error)
            });
        }
        let stream = TcpStream::connect(&*addresses).await.map_err(|error| Failure::new(*stage, &error.to_string()))?;
        *stage = Stage::Greeting;
        let connected = AsyncSmtpConnection::connect_with_transport(Box::new(ByteByByte(stream)), &hello).await;
        let mut connection = connected.map_err(|error| Failure::of(*stage, &error))?;
        *stage = Stage::StartTls;
        if !connection.can_starttls() {
            connection.abort().await;
            return Err(Failure::new(*stage, "the relay does not offer STARTTLS, and is told nothing without"));
        }
        connection.starttls(tls, &hello).await.map_err(|error| {
            let stage = if error.status().is_some() { *stage } else { Stage::Handshake };
            Failure::of(stage, &error)
        })?;
        Ok(connection)
    }

    fn parameters(&self) -> Result<TlsParameters, smtp::Error> {
        let builder = TlsParameters::builder(self.host.clone()).certificate_store(CertificateStore::WebpkiRoots);
        match &self.extra_roots {
            None => builder.build_rustls(),
            Some(roots) => builder.add_root_certificate(Certificate::from_pem(roots.as_bytes())?).build_rustls(),
        }
    }

    /// Username and password.
    fn read_credentials(&self) -> Result<Option<(String, String)>, Failure> {
        let Some(directory) = &self.credentials else { return Ok(None) };
        let read = |name: &str| match fs::read_to_string(directory.join(name)) {
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Failure::new(
                Stage::Auth,
                &format!("the Secret notify.secretName does not exist, or has no {name}"),
            )),
            Err(error) => Err(Failure::new(Stage::Auth, &format!("{name} cannot be read: {error}"))),
        };
        Ok(Some((read("username")?, read("password")?)))
    }
}

/// `words` without the names in it that look like mailboxes; the domains stay.
fn masked(words: &str) -> String {
    let mask = |word: &str| match word.rsplit_once('@') {
        Some((_, domain)) => format!("***@{domain}"),
        None => word.to_owned(),
    };
    words.split_whitespace().map(mask).collect::<Vec<_>>().join(" ")
}

/// The stage of what went wrong in TLS, if it did.
fn tls_stage(error: &smtp::Error) -> Option<Stage> {
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match found.or_else(|| error.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => return Some(Stage::Certificate),
            Some(_) => return Some(Stage::Handshake),
            None => source = error.source(),
        }
    }
    None
}

/// Hands bytes out one by one, so that whoever reads a line holds nothing of what follows it: what somebody on the way
/// writes after the answer to STARTTLS is then a part of the handshake, and breaks it, and is never taken for the relay's
/// words.
#[derive(Debug)]
struct ByteByByte(TcpStream);

impl AsyncRead for ByteByByte {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte[..buffer.remaining().min(1)]);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut one))?;
        buffer.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteByByte {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for ByteByByte {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
