//! Several commands in one flight, and mails in chunks: where the server offers it, and never otherwise.

#[path = "support/archive.rs"]
mod archive;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/scripted.rs"]
mod scripted;

use archive::{HOST, PORT, address, envelope, open};
use archiver::smtp::{Envelope, SendFailure, Session};
use certificates::Authority;
use imarchive_crds::{Reason, Stage};
use scripted::{Act, Host, Listener, Step};

const MAIL: &[u8] = b"Subject: x\r\n\r\n.hello\r\n";
const PIPELINING: &str = "250-PIPELINING\r\n";
const CHUNKING: &str = "250-CHUNKING\r\n";
const BOTH: &str = "250-PIPELINING\r\n250-CHUNKING\r\n";

fn host(extensions: &'static str, acts: &[(Step, Act)]) -> (Host, Authority) {
    let authority = Authority::new("test CA");
    let listener = Listener::start_tls(&authority.issue(HOST)).offering(extensions);
    let listener = acts.iter().fold(listener, |listener, (step, act)| listener.at(*step, act.clone()));
    (Host::new(PORT, listener), authority)
}

/// A session in which a mail was taken.
async fn warm(host: &Host, authority: &Authority) -> Session {
    let mut session = open(host, authority).await.expect("opened");
    session.send(&envelope(), b"warm\r\n").await.expect("taken");
    session
}

fn two() -> Envelope {
    Envelope { recipients: vec![address("a@x.example"), address("b@x.example")], ..envelope() }
}

fn refused() -> (Step, Act) {
    (Step::Rcpt, Act::Say("550 5.1.1 no such user\r\n"))
}

/// The first word of each command of the mails, and how often the server waited for more meanwhile.
async fn words(extensions: &'static str, envelope: &Envelope, mail: &[u8]) -> (String, usize) {
    let (host, authority) = host(extensions, &[]);
    let mut session = warm(&host, &authority).await;
    let (waited, said) = (host.waits(), host.commands().len());
    session.send(envelope, mail).await.expect("sent");
    assert_eq!(host.mails()[1..], [mail]);
    let words: Vec<String> =
        host.commands()[said..].iter().map(|line| line.split(' ').next().expect("a word").to_owned()).collect();
    (words.join(" "), host.waits() - waited)
}

#[tokio::test]
async fn a_mail_takes_as_few_round_trips_as_the_server_allows() {
    // The server begins to wait once more after its last answer.
    for (extensions, recipients, said, round_trips) in [
        ("", envelope(), "MAIL RCPT DATA", 4),
        (PIPELINING, envelope(), "MAIL RCPT DATA", 2),
        (CHUNKING, envelope(), "MAIL RCPT BDAT", 3),
        (BOTH, envelope(), "MAIL RCPT BDAT", 1),
        (BOTH, two(), "MAIL RCPT RCPT BDAT", 2),
        (PIPELINING, two(), "MAIL RCPT RCPT DATA", 3),
    ] {
        let (words, waits) = words(extensions, &recipients, MAIL).await;
        assert_eq!(words, said, "{extensions:?}");
        // The mail and its dot are two writes.
        let dot = usize::from(said.ends_with("DATA"));
        assert!((round_trips..=round_trips + dot).contains(&waits), "{extensions:?}: {waits}");
    }
}

#[tokio::test]
async fn a_server_that_answers_a_command_twice_is_found_out_by_the_first_mail() {
    for step in [Step::Auth, Step::Mail, Step::Rcpt] {
        let (host, authority) = host(BOTH, &[(step, Act::Early("250 2.0.0 ok\r\n"))]);
        let mut session = open(&host, &authority).await.expect("opened");
        let failure = session.send(&envelope(), MAIL).await.expect_err("an answer too many");
        assert_eq!(failure.failure().reason, Reason::ProtocolError, "{step:?}");
        assert!(host.mails().is_empty(), "{step:?}");
    }
}

#[tokio::test]
async fn a_large_mail_is_sent_in_chunks_of_a_mebibyte() {
    let mail = b"0123456789abcde\r\n".repeat(150_000);
    let (host, authority) = host(BOTH, &[]);
    let mut session = open(&host, &authority).await.expect("opened");
    session.send(&envelope(), &mail).await.expect("sent");
    assert_eq!(host.commands()[6..], ["BDAT 1048576", "BDAT 1048576", "BDAT 452848 LAST"]);
    assert_eq!(host.mails(), [mail]);
}

#[tokio::test]
async fn what_was_offered_in_plain_text_is_not_used() {
    let offer = Act::Say("250-mx\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
    let (host, authority) = host("", &[(Step::PlainEhlo, offer)]);
    let mut session = open(&host, &authority).await.expect("opened");
    session.send(&envelope(), MAIL).await.expect("sent");
    assert_eq!(host.commands().last().map(String::as_str), Some("DATA"));
}

#[tokio::test]
async fn a_refused_recipient_refuses_the_mail_that_flies_with_it() {
    let acts = [
        (Step::Rcpt, Act::Usual),
        refused(),
        (Step::Rcpt, Act::Usual),
        (Step::Dot, Act::Usual),
        (Step::Dot, Act::Say("503 5.5.1 nobody\r\n")),
        (Step::Dot, Act::Usual),
    ];
    let (host, authority) = host(BOTH, &acts);
    let mut session = warm(&host, &authority).await;
    let failure = session.send(&envelope(), MAIL).await.expect_err("refused");
    assert!(matches!(failure, SendFailure::Before(_)), "{failure}");
    assert_eq!((failure.failure().stage, failure.failure().reason), (Stage::Recipient, Reason::RecipientRejected));
    assert_eq!(host.commands().last().map(String::as_str), Some("RSET"));
    session.send(&envelope(), MAIL).await.expect("sent");
    assert_eq!(session.sent(), 2);
}

#[tokio::test]
async fn a_mail_taken_for_nobody_may_be_with_the_archive() {
    let (host, authority) = host(BOTH, &[(Step::Rcpt, Act::Usual), refused()]);
    let mut session = warm(&host, &authority).await;
    let failure = session.send(&envelope(), MAIL).await.expect_err("strange");
    assert!(matches!(failure, SendFailure::Ambiguous(_)), "{failure}");
    assert!(!session.is_usable());
}

#[tokio::test]
async fn a_server_that_wants_a_mail_for_nobody_does_not_get_it() {
    let (host, authority) = host(PIPELINING, &[refused()]);
    let mut session = open(&host, &authority).await.expect("opened");
    let failure = session.send(&envelope(), MAIL).await.expect_err("refused");
    assert_eq!((failure.failure().stage, failure.failure().code()), (Stage::Recipient, Some(550)));
    assert!(!session.is_usable(), "it waits for a mail");
    drop(session);
    assert!(host.mails().is_empty());
    assert_eq!(host.commands().last().map(String::as_str), Some("DATA"));
}

#[tokio::test]
async fn of_several_recipients_one_refused_is_enough_to_send_to_nobody() {
    for extensions in [BOTH, PIPELINING] {
        let (host, authority) = host(extensions, &[(Step::Rcpt, Act::Usual), refused(), (Step::Rcpt, Act::Usual)]);
        let mut session = open(&host, &authority).await.expect("opened");
        let failure = session.send(&two(), MAIL).await.expect_err("refused");
        assert!(matches!(failure, SendFailure::Before(_)), "{failure}");
        assert_eq!(host.commands().last().map(String::as_str), Some("RSET"));
        session.send(&two(), MAIL).await.expect("sent");
        assert_eq!(host.mails(), [MAIL]);
    }
}

#[tokio::test]
async fn an_answer_before_the_mail_was_there_does_not_count() {
    let mail = b"0123456789abcde\r\n".repeat(40_000);
    for (words, may_have_it) in [("250 2.0.0 taken\r\n", true), ("554 5.7.1 no\r\n", false)] {
        let (host, authority) = host(BOTH, &[(Step::Data, Act::Usual), (Step::Data, Act::Say(words))]);
        let mut session = warm(&host, &authority).await;
        let failure = session.send(&envelope(), &mail).await.expect_err("too early");
        assert_eq!(matches!(failure, SendFailure::Ambiguous(_)), may_have_it, "{failure}");
        assert!(!session.is_usable());
    }
}
