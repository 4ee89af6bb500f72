//! What is said in a session: credentials, envelopes and mails, one after the other.

#[path = "support/archive.rs"]
mod archive;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/scripted.rs"]
mod scripted;

use std::time::Duration;

use archive::{HOST, PORT, address, client, deliver, envelope, open, server};
use archiver::{
    classify::{Context, Verdict, classify},
    smtp::{Credentials, Envelope, Journal, SendFailure},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use certificates::Authority;
use imarchive_crds::{Reason, Server, Stage};
use proptest::prelude::*;
use scripted::{Act, Heard, Host, Listener, Step};

const MAIL: &[u8] = b"Subject: x\r\n\r\nhello\r\n";
const EHLO: &str = "EHLO acme.example";

/// A host whose server does `act` at `step`, and the CA that vouches for it.
fn host(step: Step, act: Act) -> (Host, Authority) {
    let authority = Authority::new("test CA");
    (Host::new(PORT, Listener::start_tls(&authority.issue(HOST)).at(step, act)), authority)
}

#[tokio::test]
async fn credentials_are_shown_after_tls_only_and_by_plain() {
    let (host, authority) = host(Step::Quit, Act::Usual);
    open(&host, &authority).await.expect("opened").quit().await.expect("goodbye");
    let secret = BASE64_STANDARD.encode("\0journal\0hunter2-hunter2");
    let plain = |line: &str| Heard::Plain(line.to_owned());
    let encrypted = |line: &str| Heard::Encrypted(line.to_owned());
    let auth = format!("AUTH PLAIN {secret}");
    assert_eq!(host.heard(), [plain(EHLO), plain("STARTTLS"), encrypted(EHLO), encrypted(&auth), encrypted("QUIT")]);
}

#[tokio::test]
async fn a_delivery_can_be_a_task_of_its_own() {
    let (host, authority) = host(Step::Quit, Act::Usual);
    let task = tokio::spawn(async move { deliver(&host, &authority, MAIL).await.0.is_ok() });
    assert!(task.await.expect("no panic"));
}

#[tokio::test]
async fn login_is_for_servers_that_know_nothing_else() {
    let (host, authority) = host(Step::Ehlo, Act::Say("250-mx\r\n250 AUTH CRAM-MD5 LOGIN\r\n"));
    open(&host, &authority).await.expect("opened");
    let [user, password] = ["journal", "hunter2-hunter2"].map(|text| BASE64_STANDARD.encode(text));
    assert_eq!(host.commands()[3..], ["AUTH LOGIN".to_owned(), user, password]);
}

#[tokio::test]
async fn a_password_too_long_for_a_command_line_is_sent_on_its_own() {
    let (host, authority) = host(Step::Quit, Act::Usual);
    let password = "p".repeat(500);
    let credentials = Credentials::new("journal", &password);
    let opened = client(&host, &authority).open(&server(), Some(&credentials), &mut Journal::default()).await;
    opened.expect("opened");
    assert_eq!(
        host.commands()[3..],
        ["AUTH PLAIN".to_owned(), BASE64_STANDARD.encode(format!("\0journal\0{password}"))]
    );
}

#[tokio::test]
async fn what_was_offered_before_tls_does_not_count() {
    let authority = Authority::new("test CA");
    let listener = Listener::start_tls(&authority.issue(HOST))
        .at(Step::PlainEhlo, Act::Say("250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"))
        .at(Step::Ehlo, Act::Say("250 mx\r\n"));
    let host = Host::new(PORT, listener);
    let failure = open(&host, &authority).await.err().expect("no AUTH");
    assert_eq!((failure.stage, failure.reason), (Stage::Auth, Reason::AuthNotOffered));
    assert_eq!(host.commands(), [EHLO, "STARTTLS", EHLO]);
}

#[tokio::test]
async fn an_endpoint_that_names_no_secret_does_not_authenticate() {
    let (host, authority) = host(Step::Quit, Act::Usual);
    let server = Server { credentials: None, ..server() };
    client(&host, &authority).open(&server, None, &mut Journal::default()).await.expect("opened");
    assert_eq!(host.commands(), [EHLO, "STARTTLS", EHLO]);
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_missing() {
    let (host, authority) = host(Step::Quit, Act::Usual);
    let failure =
        client(&host, &authority).open(&server(), None, &mut Journal::default()).await.err().expect("no Secret");
    assert_eq!((failure.stage, failure.reason), (Stage::Auth, Reason::SecretMissing));
}

#[tokio::test]
async fn a_server_that_repeats_the_credentials_is_not_quoted() {
    // What the client sends by PLAIN, the password, and the user.
    let words = "535 5.7.8 AGpvdXJuYWwAaHVudGVyMi1odW50ZXIy hunter2-hunter2 is wrong for journal\r\n";
    let (host, authority) = host(Step::Auth, Act::Say(words));
    let failure = open(&host, &authority).await.err().expect("refused");
    assert_eq!(failure.words(), "535 5.7.8 *** *** is wrong for ***");
    assert!(!format!("{failure:?}").contains("hunter2"));
}

#[tokio::test]
async fn the_size_is_told_to_servers_that_ask_for_it() {
    let (host, authority) = host(Step::Ehlo, Act::Say("250-mx\r\n250-SIZE\r\n250 AUTH PLAIN\r\n"));
    deliver(&host, &authority, MAIL).await.0.expect("sent");
    let envelope = ["MAIL FROM:<archive@acme.example> SIZE=21", "RCPT TO:<acme@journal.archive.example>", "DATA"];
    assert_eq!(host.commands()[4..], envelope);
}

#[tokio::test]
async fn a_mail_larger_than_the_server_says_it_takes_is_not_even_begun() {
    let (host, authority) = host(Step::Ehlo, Act::Say("250-mx\r\n250-SIZE 20\r\n250 AUTH PLAIN\r\n"));
    let mut session = open(&host, &authority).await.expect("opened");
    let failure = session.send(&envelope(), MAIL).await.expect_err("too big");
    assert_eq!(failure.failure().words(), "552 5.3.4 the mail has 21 bytes, and the server takes 20");
    assert_eq!(classify(&failure, Context::default()), Verdict::TooBig);
    session.send(&envelope(), b"hello\r\n").await.expect("small enough");
    assert_eq!(host.mails(), [b"hello\r\n"]);
}

#[tokio::test]
async fn one_refused_recipient_is_enough_to_send_to_nobody() {
    let authority = Authority::new("test CA");
    let listener = Listener::start_tls(&authority.issue(HOST))
        .at(Step::Rcpt, Act::Usual)
        .at(Step::Rcpt, Act::Say("550 5.1.1 no such user\r\n"))
        .at(Step::Rcpt, Act::Usual);
    let host = Host::new(PORT, listener);
    let mut session = open(&host, &authority).await.expect("opened");
    let both = Envelope { recipients: vec![address("a@x.example"), address("b@x.example")], ..envelope() };
    let failure = session.send(&both, MAIL).await.expect_err("refused");
    assert_eq!((failure.failure().stage, failure.failure().reason), (Stage::Recipient, Reason::RecipientRejected));
    assert_eq!(host.commands().last().map(String::as_str), Some("RSET"));
    assert!(session.is_usable());
    session.send(&both, MAIL).await.expect("sent");
    assert_eq!((host.mails().len(), session.sent()), (1, 1));
}

#[tokio::test]
async fn a_session_sends_one_mail_after_the_other() {
    let authority = Authority::new("test CA");
    let listener = Listener::start_tls(&authority.issue(HOST))
        .at(Step::Dot, Act::Usual)
        .at(Step::Dot, Act::Say("554 5.7.1 not this one\r\n"))
        .at(Step::Dot, Act::Usual);
    let host = Host::new(PORT, listener);
    let mut session = open(&host, &authority).await.expect("opened");
    let reply = session.send(&envelope(), b"1\r\n").await.expect("sent");
    assert_eq!(reply.to_string(), "250 2.0.0 taken as 17");
    session.send(&envelope(), b"2\r\n").await.expect_err("refused");
    session.send(&envelope(), b"3\r\n").await.expect("sent");
    assert_eq!((session.sent(), session.is_usable()), (2, true));
    assert_eq!(host.mails(), [b"1\r\n", b"2\r\n", b"3\r\n"]);
    assert!(!host.commands().iter().any(|command| command == "RSET"), "nothing was left to reset");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_grew_old_is_stale() {
    let authority = Authority::new("test CA");
    for act in [Act::Say("250 2.0.0 taken\r\n421 4.4.2 idle for too long\r\n"), Act::Goodbye("250 2.0.0 taken\r\n")] {
        let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)).at(Step::Dot, act));
        let mut session = open(&host, &authority).await.expect("opened");
        session.send(&envelope(), MAIL).await.expect("sent");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let failure = session.send(&envelope(), MAIL).await.expect_err("stale");
        assert_eq!(failure.failure().reason, Reason::ConnectionLost);
        assert_eq!(classify(&failure, Context { reused: true, ..Context::default() }), Verdict::Stale);
        assert!(!session.is_usable());
        assert_eq!(host.mails().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_left_in_the_middle_is_not_used_again() {
    for step in [Step::Mail, Step::Rcpt, Step::Data, Step::Body, Step::Dot] {
        let (host, authority) = host(step, Act::Hang);
        let mut session = open(&host, &authority).await.expect("opened");
        let mail = b"0123456789abcde\r\n".repeat(1 << 12);
        let left = tokio::time::timeout(Duration::from_secs(1), session.send(&envelope(), &mail)).await;
        assert!(left.is_err() && !session.is_usable(), "{step:?}");
    }
}

#[tokio::test]
async fn a_goodbye_ends_a_session() {
    for step in [Step::Mail, Step::Rcpt, Step::Data, Step::Dot] {
        let (host, authority) = host(step, Act::Say("421 4.3.2 bye\r\n"));
        let mut session = open(&host, &authority).await.expect("opened");
        session.send(&envelope(), MAIL).await.expect_err("refused");
        assert!(!session.is_usable(), "{step:?}");
    }
}

#[tokio::test]
async fn a_stray_line_end_is_never_sent() {
    for mail in [&b"a\n.\r\nMAIL FROM:<>\r\n"[..], b"a\r.\r\n", b"a\r\n.\n"] {
        let (host, authority) = host(Step::Quit, Act::Usual);
        let (sent, _) = deliver(&host, &authority, mail).await;
        assert!(matches!(sent, Err(SendFailure::Refused(_))));
        assert!(host.commands().iter().all(|command| !command.starts_with("MAIL")), "it is not even begun");
    }
}

#[tokio::test]
async fn no_address_can_begin_another_command() {
    let (host, authority) = host(Step::Quit, Act::Usual);
    let mut session = open(&host, &authority).await.expect("opened");
    let before = host.heard().len();
    for name in [r"\9@irc.example", "a>b@irc.example", "zoë@irc.example"] {
        let from = Envelope { from: address(name), ..envelope() };
        let failure = session.send(&from, MAIL).await.expect_err("refused");
        assert_eq!((failure.failure().stage, failure.failure().reason), (Stage::Sender, Reason::InvalidConnection));
    }
    assert_eq!(host.heard().len(), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_mail_arrives_as_it_was_sent(lines in prop::collection::vec("[.]{0,3}[ -~]{0,70}", 0..2000)) {
        let mail = lines.iter().fold(String::new(), |mail, line| mail + line + "\r\n");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (host, authority) = host(Step::Quit, Act::Usual);
            let (sent, _) = deliver(&host, &authority, mail.as_bytes()).await;
            sent.expect("sent").quit().await.expect("nothing is left to be said");
            assert_eq!(host.mails(), [mail.as_bytes()]);
        });
    }
}
