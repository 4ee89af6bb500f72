//! An archive as tests want it: its block, its credentials and a client that trusts its CA.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::{sync::Arc, time::Duration};

use archiver::smtp::{Client, Credentials, Envelope, Failure, Journal, SendFailure, Session, Timeouts, Trust};
use imarchive_crds::{Address, Domain, FromHeader, Server, Tls};
use tokio::time::Instant;

use crate::{certificates::Authority, scripted::Host};

pub const HOST: &str = "journal.archive.example";
pub const PORT: u16 = 587;

pub fn server() -> Server {
    Server {
        host: Domain::parse(HOST).expect("a domain"),
        port: PORT,
        tls: Tls::StartTLS,
        start_tls_port: None,
        from: address("archive@acme.example"),
        from_header: FromHeader::Participant,
        recipients: vec![address("acme@journal.archive.example")],
        credentials: Some("journal".to_owned()),
        message_type: None,
    }
}

pub fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

pub fn credentials() -> Credentials {
    Credentials::new("journal", "hunter2-hunter2")
}

pub fn envelope() -> Envelope {
    let Server { from, recipients, .. } = server();
    Envelope { from, recipients }
}

pub fn client(host: &Host, authority: &Authority) -> Client {
    let trust = Trust::new(Some(authority.pem().as_bytes())).expect("a root");
    Client::new(Arc::new(host.clone()), trust, Timeouts::delivery())
}

/// Opens a session as deliveries do.
pub async fn open(host: &Host, authority: &Authority) -> Result<Session, Failure> {
    client(host, authority).open(&server(), Some(&credentials()), &mut Journal::default()).await
}

/// Opens a session, sends a mail, and tells how long it took until that had succeeded or failed.
pub async fn deliver(host: &Host, authority: &Authority, mail: &[u8]) -> (Result<Session, SendFailure>, Duration) {
    let began = Instant::now();
    let sent = async {
        let mut session = open(host, authority).await?;
        session.send(&envelope(), mail).await?;
        Ok(session)
    };
    (sent.await, began.elapsed())
}
