//! Opens a session: all stages from the host's addresses to the credentials.

use std::{net::SocketAddr, sync::Arc};

use imarchive_crds::{Reason, Server, Stage, Tls};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    BoxStream, Credentials, Dial, Failure, Journal, Reply, Session, Timeouts, Trust, Verified, auth,
    extensions::Extensions,
    failure::{At, Fault},
    trust,
    wire::{Wire, within},
};

/// The most addresses of a host that are tried.
const ADDRESSES: usize = 8;

/// Opens sessions.
#[derive(Clone)]
pub struct Client {
    dial: Arc<dyn Dial>,
    trust: Trust,
    timeouts: Timeouts,
    ends: Option<Instant>,
}

impl Client {
    /// Opens connections by `dial`, and trusts whom `trust` trusts.
    pub fn new(dial: Arc<dyn Dial>, trust: Trust, timeouts: Timeouts) -> Self {
        Self { dial, trust, timeouts, ends: None }
    }

    /// Nothing, of any session, waits beyond `ends`.
    pub fn until(self, ends: Instant) -> Self {
        Self { ends: Some(ends), ..self }
    }

    /// Opens a session with `server`. `credentials` are what was found for the Secret that the server names, if any.
    /// The journal is told of the stages that go well; a failure tells its stage itself.
    pub async fn open(
        &self,
        server: &Server,
        credentials: Option<&Credentials>,
        journal: &mut Journal,
    ) -> Result<Session, Failure> {
        self.opening(server, journal).session(credentials).await
    }

    /// Proves that STARTTLS works on another `port` of `server`, and that the certificate there is trusted.
    pub async fn prove_start_tls(&self, server: &Server, port: u16) -> Result<(), Failure> {
        let mut journal = Journal::default();
        let mut opening = self.opening(server, &mut journal);
        let stream = opening.reach(port).await?;
        let mut wire = opening.start_tls(stream).await?;
        // The proof is complete; the rest is good manners.
        if opening.ehlo(&mut wire).await.is_ok() {
            let _ = wire.command("QUIT", self.timeouts.quit).await;
        }
        Ok(())
    }

    fn opening<'o>(&'o self, server: &'o Server, journal: &'o mut Journal) -> Opening<'o> {
        let ends = Instant::now() + self.timeouts.opening;
        Opening { client: self, server, journal, ends: Some(self.ends.map_or(ends, |earlier| earlier.min(ends))) }
    }
}

/// A session on its way.
struct Opening<'o> {
    client: &'o Client,
    server: &'o Server,
    journal: &'o mut Journal,
    ends: Option<Instant>,
}

impl Opening<'_> {
    async fn session(&mut self, credentials: Option<&Credentials>) -> Result<Session, Failure> {
        let server = self.server;
        let stream = self.reach(server.port).await?;
        let mut wire = match server.tls {
            Tls::StartTLS => self.start_tls(stream).await?,
            Tls::Implicit => {
                let mut wire = self.handshake(stream).await?;
                self.greeting(&mut wire).await?;
                wire
            }
        };
        // What was offered in plain text does not count (RFC 3207 4.2).
        let extensions = self.ehlo(&mut wire).await?;
        if let Some(secret) = &server.credentials {
            self.auth(&mut wire, &extensions, secret, credentials).await?;
        }
        wire.set_end(self.client.ends);
        Ok(Session::new(wire, extensions, self.client.timeouts.clone(), self.client.ends))
    }

    /// A connection to the first address that takes one.
    async fn reach(&mut self, port: u16) -> Result<BoxStream, Failure> {
        let Client { dial, timeouts, .. } = self.client;
        let host = self.server.host.as_str();
        self.journal.begin(Stage::Resolve);
        let failed = |detail: String| Failure::new(Stage::Resolve, Reason::DnsFailed, detail);
        let mut addresses = within(self.ends, timeouts.resolve, dial.resolve(host, port))
            .await
            .map_err(|_| failed(format!("{host} was not resolved in time")))?
            .map_err(|error| failed(format!("{host}: {error}")))?;
        addresses.truncate(ADDRESSES);
        if addresses.is_empty() {
            return Err(failed(format!("{host} has no address")));
        }
        self.journal.pass_with(&list(addresses.iter().map(SocketAddr::ip)));

        self.journal.begin(Stage::Connect);
        let mut faults: Vec<(SocketAddr, Fault)> = Vec::new();
        for address in addresses {
            match within(self.ends, timeouts.connect, dial.connect(address)).await {
                Ok(Ok(stream)) => {
                    self.journal.pass_with(&address.to_string());
                    return Ok(stream);
                }
                Ok(Err(error)) => faults.push((address, refusal(error))),
                Err(_) => faults.push((address, Fault::new(Reason::ConnectTimeout, "no answer"))),
            }
        }
        // A host that refuses says more than one that is silent, and that more than a network without a route to it.
        let telling = [Reason::ConnectRefused, Reason::ConnectTimeout, Reason::ConnectFailed];
        let reason = telling.into_iter().find(|reason| faults.iter().any(|(_, fault)| fault.reason == *reason));
        let detail = list(faults.iter().map(|(address, fault)| format!("{address}: {}", fault.detail)));
        Err(Failure::new(Stage::Connect, reason.unwrap_or(Reason::ConnectFailed), detail))
    }

    /// From the greeting in plain text to a verified wire.
    async fn start_tls(&mut self, stream: BoxStream) -> Result<Verified, Failure> {
        let mut wire = Wire::new(stream, self.ends);
        self.greeting(&mut wire).await.map_err(too_quiet)?;
        let offered = self.ehlo(&mut wire).await?;
        self.journal.begin(Stage::StartTls);
        if !offered.start_tls {
            let detail = "the server's reply to EHLO does not list STARTTLS";
            return Err(Failure::new(Stage::StartTls, Reason::StartTlsNotOffered, detail));
        }
        let patience = self.client.timeouts.command;
        let asked = wire.command("STARTTLS", patience).await;
        let reply = asked.at(Stage::StartTls, Reason::StartTlsRejected, Reply::is_done)?;
        // A server waits for the handshake now. Whatever came in plain text is not from it, or not meant well; it must
        // never be taken for an answer given under TLS.
        if matches!(wire.has_unread(), Ok(true)) {
            let detail = "plain text followed the reply to STARTTLS";
            return Err(Failure::new(Stage::StartTls, Reason::StartTlsInjection, detail));
        }
        self.journal.pass(&reply);
        self.handshake(wire.into_stream()).await
    }

    async fn handshake(&mut self, stream: BoxStream) -> Result<Verified, Failure> {
        let Client { trust, timeouts, .. } = self.client;
        let host = self.server.host.as_str();
        self.journal.begin(Stage::Handshake);
        let handshake = within(self.ends, timeouts.handshake, trust.handshake(stream, host)).await;
        let stream = handshake.map_err(|fault| fault.at(Stage::Handshake))??;
        let report = trust::report(&stream);
        self.journal.pass_with(&format!("{} {}", report.version, report.cipher));
        self.journal.begin(Stage::Certificate);
        self.journal.pass_with(&report.issuer);
        self.journal.encrypted(report);
        Ok(Wire::new(stream, self.ends))
    }

    async fn greeting<S: AsyncRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>) -> Result<(), Failure> {
        self.journal.begin(Stage::Greeting);
        let greeting = wire.reply(self.client.timeouts.greeting).await;
        let reply = greeting.at(Stage::Greeting, Reason::GreetingRejected, Reply::is_done)?;
        self.journal.pass(&reply);
        Ok(())
    }

    async fn ehlo<S: AsyncRead + AsyncWrite + Unpin>(&mut self, wire: &mut Wire<S>) -> Result<Extensions, Failure> {
        self.journal.begin(Stage::Ehlo);
        // A pod has no name that anybody could look up, and strict servers want one (RFC 5321 4.1.4): the sender's domain.
        let command = format!("EHLO {}", self.server.from.domain());
        let answer = wire.command(&command, self.client.timeouts.command).await;
        let reply = answer.at(Stage::Ehlo, Reason::EhloRejected, Reply::is_done)?;
        self.journal.pass(&reply);
        Ok(Extensions::of(&reply))
    }

    async fn auth(
        &mut self,
        wire: &mut Verified,
        offered: &Extensions,
        secret: &str,
        credentials: Option<&Credentials>,
    ) -> Result<(), Failure> {
        self.journal.begin(Stage::Auth);
        let credentials = credentials.ok_or_else(|| {
            let detail = format!("the Secret {secret} does not exist, or lacks username or password");
            Failure::new(Stage::Auth, Reason::SecretMissing, detail)
        })?;
        let reply = auth::authenticate(wire, offered, credentials, self.client.timeouts.command).await?;
        self.journal.pass(&reply);
        Ok(())
    }
}

fn refusal(error: std::io::Error) -> Fault {
    let reason = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
        std::io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::ConnectFailed,
    };
    // Without the number of the error, which says nothing more.
    let words = error.to_string();
    Fault::new(reason, words.split(" (os error ").next().unwrap_or_default())
}

/// Who expects TLS from the first byte waits for it, and so do both sides.
fn too_quiet(failure: Failure) -> Failure {
    match failure.reason {
        Reason::ReplyTimeout => Failure {
            detail: format!("{}; a port that wants tls: Implicit is silent like this", failure.detail),
            ..failure
        },
        _ => failure,
    }
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
