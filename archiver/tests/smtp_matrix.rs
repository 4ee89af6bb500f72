//! A server that at each step does each thing that a server can do wrong: every delivery ends in time and in its class,
//! nothing is lost, and nothing is sent twice but what may not have arrived, and that byte by byte.
//!
//! The table below has a letter for each cell, which the test compares with what happens.

#[path = "support/archive.rs"]
mod archive;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/scripted.rs"]
mod scripted;

use std::time::Duration;

use archive::{HOST, PORT, client, credentials, envelope, server};
use archiver::{
    classify::{Context, Verdict, classify},
    smtp::{Journal, SendFailure},
};
use certificates::Authority;
use imarchive_crds::{Server, Tls};
use scripted::{Act, Host, Listener, Step};

/// The acts, in the order of the table's columns.
fn acts() -> [Act; 10] {
    [
        Act::Reset,
        Act::Close,
        Act::Hang,
        Act::Say("450 4.0.0 not now\r\n"),
        Act::Say("550 5.0.0 never\r\n"),
        Act::Drip,
        Act::LongLine,
        Act::Endless,
        Act::Say("\0\u{1}\u{2} HTTP/1.1 400\r\n"),
        Act::Early("250 2.0.0 ok\r\n"),
    ]
}

/// Reset, close, hang, 4xx, 5xx, a byte a second, 10 MB in a line, a reply without end, garbage, a reply too many.
///
/// `E`: the endpoint's fault, and the archive does not have the mail. `T`: throttled. `B`: a refusal of this mail, `b` for
/// now. `A`: the archive may have the mail, which it gets again. `+`: it is taken. `-`: impossible, see `why`.
///
/// Each step has a row for the mail after DATA, for the mail in a chunk, and for all of it in one flight.
const TABLE: [(Step, [&str; 3]); 12] = [
    (Step::Connect, ["EEE-------", "EEE-------", ""]),
    (Step::Greeting, ["EEEEEEEEEE", "EEEEEEEEEE", ""]),
    (Step::PlainEhlo, ["EEEEEEEEEE", "EEEEEEEEEE", ""]),
    (Step::StartTls, ["EEEEEEEEEE", "EEEEEEEEEE", ""]),
    (Step::Handshake, ["EEEEEEEEEE", "EEEEEEEEEE", ""]),
    (Step::Ehlo, ["EEEEEEEEEE", "EEEEEEEEEE", ""]),
    (Step::Auth, ["EEEEEEEEEE", "EEEEEEEEEE", ""]),
    (Step::Mail, ["EEEEEEEEEE", "EEEEEEEEEE", "AAAEEAAAAA"]),
    (Step::Rcpt, ["EEETEEEEEE", "EEETEEEEEE", "AAATEAAAAA"]),
    (Step::Data, ["EEEEEEEEEE", "AAAbBAAAAA", "AAAbBAAAAA"]),
    (Step::Body, ["EEEbBEEEEE", "AAAbBAAAAA", "AAAbBAAAAA"]),
    (Step::Dot, ["AAAbBAAAA+", "AAAbBAAAA+", "AAAbBAAAA+"]),
];

/// What the server offers, and which rows hold for that. In the last case the session took a mail before.
const EXTENSIONS: [(&str, usize); 5] = [
    ("", 0),
    ("250-PIPELINING\r\n", 0),
    ("250-CHUNKING\r\n", 1),
    ("250-PIPELINING\r\n250-CHUNKING\r\n", 1),
    ("250-PIPELINING\r\n250-CHUNKING\r\n", 2),
];

const WARM: &[u8] = b"warm\r\n";

/// Longer than anything may take: what opens a session and what sends a mail have 15 and 30 minutes.
const BOUND: Duration = Duration::from_secs(50 * 60);

/// Why there is no such cell.
fn why(step: Step) -> &'static str {
    match step {
        Step::Connect => "before there is a connection a server can say nothing",
        _ => panic!("no cell is impossible at {step:?}"),
    }
}

/// Large enough to be under way for a while, where something may happen in the middle.
fn mail() -> Vec<u8> {
    b"Subject: x\r\n\r\n".iter().chain(b"0123456789abcde\r\n".repeat(10_000).iter()).copied().collect()
}

/// What becomes of a mail, and that nothing else does.
async fn cell(
    tls: Tls,
    (extensions, row): (&'static str, usize),
    step: Step,
    act: &Act,
    authority: &Authority,
    mail: &[u8],
) -> char {
    let identity = authority.issue(HOST);
    let mut listener = match tls {
        Tls::StartTLS => Listener::start_tls(&identity),
        Tls::Implicit => Listener::implicit(&identity),
    };
    let warm = row == 2;
    let refusal = matches!(act, Act::Say(words) if words.starts_with(['4', '5']));
    if warm {
        listener = listener.at(step, Act::Usual);
        if refusal && matches!(step, Step::Mail | Step::Rcpt) {
            let nobody = Act::Say("503 5.5.1 nobody\r\n");
            listener = listener.at(Step::Dot, Act::Usual).at(Step::Dot, nobody).at(Step::Dot, Act::Usual);
        }
    }
    let host = Host::new(PORT, listener.offering(extensions).at(step, act.clone()).at(step, Act::Usual));
    let server = Server { tls, ..server() };
    let client = client(&host, authority);
    let name = format!("{:?} {extensions:?} {row} {step:?} {act:?}", server.tls);
    let attempt = async |warm: bool| -> Result<(), SendFailure> {
        let credentials = credentials();
        let mut session = client.open(&server, Some(&credentials), &mut Journal::default()).await?;
        if warm {
            session.send(&envelope(), WARM).await.expect("taken");
        }
        session.send(&envelope(), mail).await.map(drop)
    };
    let arrived = || -> Vec<Vec<u8>> { host.mails().into_iter().filter(|mail| mail != WARM).collect() };
    let began = tokio::time::Instant::now();
    let first = attempt(warm).await;
    assert!(began.elapsed() < BOUND, "{name}: {:?}", began.elapsed());
    let before = arrived().len();
    let letter = match &first {
        Ok(()) => return if before == 1 { '+' } else { '?' },
        Err(failure) => match (classify(failure, Context::default()), failure) {
            (Verdict::Ambiguous, _) => 'A',
            (Verdict::Throttle, _) => 'T',
            (Verdict::Batch { permanent: true }, _) => 'B',
            (Verdict::Batch { permanent: false }, _) => 'b',
            (Verdict::Endpoint, SendFailure::Before(_)) => 'E',
            _ => '?',
        },
    };
    attempt(false).await.unwrap_or_else(|failure| panic!("{name}: then a good server: {failure}"));
    let mails = arrived();
    assert!(mails.iter().all(|arrived| arrived == mail), "{name}: the bytes differ");
    assert_eq!(mails.len(), before + 1, "{name}");
    // What a server read to its end and refused is no mail that it took.
    assert!(before == 0 || refusal || letter == 'A', "{name}: {letter}, but it is there twice");
    letter
}

#[tokio::test(start_paused = true)]
async fn whatever_a_server_does_at_any_step_the_mail_gets_there_and_is_judged_by_the_table() {
    let (authority, mail) = (Authority::new("test CA"), mail());
    let mut wrong = String::new();
    for tls in [false, true].map(|implicit| move || if implicit { Tls::Implicit } else { Tls::StartTLS }) {
        for (extensions, row) in EXTENSIONS {
            for (step, rows) in TABLE {
                if matches!(tls(), Tls::Implicit) && matches!(step, Step::PlainEhlo | Step::StartTls) {
                    continue; // There is nothing in plain text.
                }
                let mut found = String::new();
                for (act, expected) in acts().iter().zip(rows[row].chars()) {
                    found.push(match expected {
                        '-' if !why(step).is_empty() => '-',
                        _ => cell(tls(), (extensions, row), step, act, &authority, &mail).await,
                    });
                }
                if found != rows[row] {
                    wrong += &format!("{:?} {extensions:?} {step:?}: expected {}, found {found}\n", tls(), rows[row]);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_goes_wrong_costs_nothing() {
    let authority = Authority::new("test CA");
    for act in acts() {
        let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)).at(Step::Quit, act.clone()));
        let credentials = credentials();
        let mut session = client(&host, &authority)
            .open(&server(), Some(&credentials), &mut Journal::default())
            .await
            .expect("opened");
        session.send(&envelope(), b"x\r\n").await.expect("taken");
        let began = tokio::time::Instant::now();
        let _ = session.quit().await;
        assert!(began.elapsed() <= Duration::from_secs(20), "{act:?}");
        assert_eq!(host.mails(), [b"x\r\n"], "{act:?}");
    }
}
