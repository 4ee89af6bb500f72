//! What becomes of a mail when the server, at any step, answers badly or not at all.

#[path = "support/archive.rs"]
mod archive;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/scripted.rs"]
mod scripted;

use std::time::Duration;

use archive::{HOST, PORT, deliver};
use archiver::smtp::SendFailure;
use certificates::Authority;
use imarchive_crds::{Reason, Stage};
use scripted::{Act, Host, Listener, Step};

const MAIL: &[u8] = b"Subject: x\r\n\r\nhello\r\n";

/// A step, the stage that it belongs to, the reason when it is refused, and how long it may take.
const STEPS: [(Step, Stage, Reason, u64); 10] = [
    (Step::Greeting, Stage::Greeting, Reason::GreetingRejected, 300),
    (Step::PlainEhlo, Stage::Ehlo, Reason::EhloRejected, 300),
    (Step::StartTls, Stage::StartTls, Reason::StartTlsRejected, 300),
    (Step::Handshake, Stage::Handshake, Reason::HandshakeFailed, 120),
    (Step::Ehlo, Stage::Ehlo, Reason::EhloRejected, 300),
    (Step::Auth, Stage::Auth, Reason::AuthRejected, 300),
    (Step::Mail, Stage::Sender, Reason::SenderRejected, 300),
    (Step::Rcpt, Stage::Recipient, Reason::RecipientRejected, 300),
    (Step::Data, Stage::Data, Reason::MessageRejected, 120),
    (Step::Dot, Stage::Data, Reason::MessageRejected, 600),
];

struct Outcome {
    failure: SendFailure,
    took: Duration,
    host: Host,
}

impl Outcome {
    fn stage_and_reason(&self) -> (Stage, Reason) {
        (self.failure.failure().stage, self.failure.failure().reason)
    }
}

async fn fail(step: Step, act: Act) -> Outcome {
    let authority = Authority::new("test CA");
    let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)).at(step, act));
    let (sent, took) = deliver(&host, &authority, MAIL).await;
    Outcome { failure: sent.err().expect("a failure"), took, host }
}

#[tokio::test(start_paused = true)]
async fn a_good_server_gets_the_mail() {
    let authority = Authority::new("test CA");
    let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)));
    let (sent, took) = deliver(&host, &authority, MAIL).await;
    let session = sent.expect("sent");
    assert_eq!((session.sent(), session.is_usable(), took), (1, true, Duration::ZERO));
    assert_eq!(host.mails(), [MAIL]);
    session.quit().await.expect("goodbye");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_left_in_time() {
    for (step, stage, _, seconds) in STEPS {
        let outcome = fail(step, Act::Hang).await;
        assert_eq!(outcome.stage_and_reason(), (stage, Reason::ReplyTimeout), "{step:?}");
        assert_eq!(outcome.took.as_secs(), seconds, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_up_is_a_lost_connection() {
    for (step, stage, _, _) in STEPS {
        let outcome = fail(step, Act::Close).await;
        assert_eq!(outcome.stage_and_reason(), (stage, Reason::ConnectionLost), "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_the_reason_of_its_step_and_the_servers_words() {
    for (step, stage, reason, _) in STEPS.into_iter().filter(|(step, ..)| *step != Step::Handshake) {
        for (words, code) in
            [("450 4.0.0 not now, <alice@acme.example>\r\n", 450), ("550-5.0.0 not\r\n550 5.0.0 ever\r\n", 550)]
        {
            let outcome = fail(step, Act::Say(words)).await;
            assert_eq!(outcome.stage_and_reason(), (stage, reason), "{step:?}");
            assert_eq!(outcome.failure.failure().code(), Some(code), "{step:?}");
            let shown = if code == 450 { "450 4.0.0 not now, <***@acme.example>" } else { "550 5.0.0 not ever" };
            assert_eq!(outcome.failure.failure().words(), shown, "{step:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_is_a_lost_connection_but_as_a_greeting_a_refusal() {
    for (step, stage, _, _) in STEPS.into_iter().filter(|(step, ..)| *step != Step::Handshake) {
        let outcome = fail(step, Act::Goodbye("421 4.3.2 shutting down\r\n")).await;
        let reason = if step == Step::Greeting { Reason::GreetingRejected } else { Reason::ConnectionLost };
        assert_eq!(outcome.stage_and_reason(), (stage, reason), "{step:?}");
        assert_eq!(outcome.failure.failure().code(), Some(421), "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_smtp_is_a_protocol_error() {
    for (step, stage, _, _) in STEPS.into_iter().filter(|(step, ..)| *step != Step::Handshake) {
        for act in [Act::Say("HTTP/1.1 400 Bad Request\r\n"), Act::Say("\0\r\n"), Act::Endless, Act::LongLine] {
            let outcome = fail(step, act.clone()).await;
            assert_eq!(outcome.stage_and_reason(), (stage, Reason::ProtocolError), "{step:?} {act:?}");
            assert_eq!(outcome.took, Duration::ZERO, "{step:?} {act:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_answers_something_else_is_a_protocol_error() {
    for (step, stage, _, _) in STEPS.into_iter().filter(|(step, ..)| *step != Step::Handshake) {
        let words = if step == Step::Data { "250 ok\r\n" } else { "354 go ahead\r\n" };
        let outcome = fail(step, Act::Say(words)).await;
        assert_eq!(outcome.stage_and_reason(), (stage, Reason::ProtocolError), "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_drips_ends_with_the_patience_for_all_of_it() {
    for (step, stage, _, seconds) in STEPS.into_iter().filter(|(step, ..)| *step != Step::Handshake) {
        let outcome = fail(step, Act::Drip).await;
        assert_eq!(outcome.stage_and_reason(), (stage, Reason::ReplyTimeout), "{step:?}");
        assert_eq!(outcome.took.as_secs(), seconds, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_late_at_every_step_is_left_when_opening_takes_too_long() {
    let late = Act::Late(Duration::from_secs(299));
    let authority = Authority::new("test CA");
    let listener = [Step::Greeting, Step::PlainEhlo, Step::StartTls, Step::Ehlo]
        .into_iter()
        .fold(Listener::start_tls(&authority.issue(HOST)), |listener, step| listener.at(step, late.clone()));
    let (sent, took) = deliver(&Host::new(PORT, listener), &authority, MAIL).await;
    let failure = sent.err().expect("too late");
    assert_eq!((failure.failure().stage, failure.failure().reason), (Stage::Ehlo, Reason::ReplyTimeout));
    assert_eq!(took, Duration::from_secs(15 * 60));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reads_too_slowly_is_left_when_sending_takes_too_long() {
    let authority = Authority::new("test CA");
    // Each block arrives in time, but there are many.
    let slow = Act::ReadSlowly(16 << 10, Duration::from_secs(40));
    let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)).at(Step::Body, slow));
    let mail = b"0123456789abcde\r\n".repeat(1 << 18);
    let (sent, took) = deliver(&host, &authority, &mail).await;
    let failure = sent.err().expect("too slow");
    assert!(matches!(failure, SendFailure::Before(_)), "{failure}");
    assert_eq!(failure.failure().reason, Reason::ReplyTimeout);
    let allowed = 30 * 60 + mail.len() as u64 / (16 << 10);
    assert!((allowed..allowed + 2).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_reading_is_left_after_the_patience_for_a_block() {
    let authority = Authority::new("test CA");
    let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)).at(Step::Body, Act::Hang));
    let (sent, took) = deliver(&host, &authority, &b"0123456789abcde\r\n".repeat(1 << 16)).await;
    let failure = sent.err().expect("stuck");
    assert_eq!((failure.failure().stage, failure.failure().reason), (Stage::Data, Reason::ReplyTimeout));
    assert!((180..=182).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_after_the_dot_nobody_knows() {
    for act in [Act::Hang, Act::Close, Act::Say("what?\r\n"), Act::Say("354 go on\r\n"), Act::Endless, Act::Drip] {
        let outcome = fail(Step::Dot, act.clone()).await;
        assert!(matches!(outcome.failure, SendFailure::Ambiguous(_)), "{act:?}: {}", outcome.failure);
        assert_eq!(outcome.host.mails(), [MAIL], "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_the_dot_is_a_refusal_of_the_mail() {
    for words in ["450 4.0.0 not now\r\n", "554 5.7.1 never\r\n", "421 4.3.2 bye\r\n"] {
        let outcome = fail(Step::Dot, Act::Say(words)).await;
        assert!(matches!(outcome.failure, SendFailure::Refused(_)), "{}", outcome.failure);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_before_the_dot_leaves_the_server_without_the_mail() {
    for (step, ..) in STEPS.into_iter().filter(|(step, ..)| *step != Step::Dot) {
        for act in [Act::Hang, Act::Close, Act::Say("450 no\r\n"), Act::Say("550 no\r\n"), Act::Say("?\r\n")] {
            let outcome = fail(step, act.clone()).await;
            assert!(matches!(outcome.failure, SendFailure::Before(_)), "{step:?} {act:?}: {}", outcome.failure);
            assert!(outcome.host.mails().is_empty(), "{step:?} {act:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_the_mail_that_comes_before_the_mail_is_no_success() {
    let outcome = fail(Step::Data, Act::Say("354 go ahead\r\n250 2.0.0 taken\r\n")).await;
    assert_eq!(outcome.stage_and_reason(), (Stage::Data, Reason::ProtocolError));
    assert!(outcome.host.mails().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_too_many_never_counts_for_the_next_command() {
    for (step, stage) in [(Step::Mail, Stage::Recipient), (Step::Rcpt, Stage::Data), (Step::Auth, Stage::Sender)] {
        let outcome = fail(step, Act::Say("250 2.0.0 ok\r\n250 2.0.0 ok\r\n")).await;
        assert_eq!(outcome.stage_and_reason(), (stage, Reason::ProtocolError), "{step:?}");
        assert!(outcome.host.mails().is_empty(), "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_in_the_middle_of_a_mail_is_heard() {
    let authority = Authority::new("test CA");
    let listener = Listener::start_tls(&authority.issue(HOST)).at(Step::Body, Act::Goodbye("552 5.3.4 too big\r\n"));
    for size in [1, 1 << 16] {
        let host = Host::new(PORT, listener.clone());
        let (sent, _) = deliver(&host, &authority, &b"0123456789abcde\r\n".repeat(size)).await;
        let Err(SendFailure::Refused(failure)) = sent else { panic!("a refusal") };
        assert_eq!((failure.reason, failure.code()), (Reason::MessageRejected, Some(552)), "{size}");
    }
}
