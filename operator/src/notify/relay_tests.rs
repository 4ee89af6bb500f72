//! The relay's session, as far as it goes in plain text; the rest is proved against Postfix.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::notify::letter::tests::{end, letter_of};

/// What comes of a session with a server that says these lines, each but the first after it was told something.
async fn session<const N: usize>(lines: [&'static str; N]) -> Failure {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        for line in lines {
            stream.write_all(line.as_bytes()).await.expect("it listens");
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    relay(port).send(&letter_of(end()).expect("a letter"), Timestamp::UNIX_EPOCH).await.expect_err("it fails")
}

fn relay(port: u16) -> Relay {
    Relay {
        host: "127.0.0.1".to_owned(),
        port,
        tls: RelayTls::StartTls,
        from: Address::parse("imarchive@ops.example").expect("an address"),
        credentials: None,
        extra_roots: None,
    }
}

#[tokio::test]
async fn without_starttls_nothing_is_said() {
    let failure = session(["220 hello\r\n", "250-hello\r\n250 SIZE 1000\r\n", "221 bye\r\n"]).await;
    assert_eq!(failure.to_string(), "StartTls: the relay does not offer STARTTLS, and is told nothing without");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_relays_words_with_mailboxes_masked() {
    let failure = session(["554 5.7.1 go away, <eve.b@acme.example>!\r\n"]).await;
    assert_eq!(failure.to_string(), "Greeting: 554 5.7.1 go away, ***@acme.example>!");
}

#[tokio::test]
async fn what_follows_the_answer_to_starttls_is_never_taken_for_the_relays_words() {
    let injected = "220 go\r\n250-hello\r\n250 AUTH PLAIN\r\n";
    let failure = session(["220 hello\r\n", "250-hello\r\n250 STARTTLS\r\n", injected]).await;
    assert_eq!(failure.stage, Stage::Handshake, "{failure}");
}

#[tokio::test]
async fn a_closed_port_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let failure = relay(port).send(&letter_of(end()).expect("a letter"), Timestamp::UNIX_EPOCH).await;
    assert!(failure.expect_err("nobody is there").to_string().starts_with("Connect: Connection refused"));
}

#[test]
fn a_secret_that_is_missing_is_named_by_the_value_that_names_it() {
    let relay = Relay { credentials: Some("/nowhere".into()), ..relay(1) };
    let failure = relay.read_credentials().expect_err("there are none").to_string();
    assert_eq!(failure, "Auth: the Secret notify.secretName does not exist, or has no username");
}
