//! The connectivity test: its stages, its verdicts, its report and its bounds.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/probing.rs"]
mod probing;
#[path = "support/scripted.rs"]
mod scripted;

use std::{fs, sync::Arc, time::Duration};

use archiver::probe::run;
use certificates::{Authority, self_signed};
use imarchive_crds::{Reason, Stage, TestReport};
use jiff::Timestamp;
use probing::{Files, HOST, IMPLICIT, START_TLS, verdict};
use scripted::{Act, Host, Listener, Step};

fn names(report: &TestReport) -> Vec<Stage> {
    report.stages.iter().map(|stage| stage.name).collect()
}

#[tokio::test]
async fn a_good_server_passes_every_stage_and_gets_no_mail() {
    use Stage::{Auth, Certificate, Connect, Ehlo, Greeting, Handshake, Quit, Recipient, Resolve, Sender, StartTls};
    let authority = Authority::new("test CA");
    let host = Host::new(587, Listener::start_tls(&authority.issue(HOST)));
    let report = Files::new(START_TLS, &authority).probe(&host).await;
    assert!(report.passed(), "{report:?}");
    let expected =
        [Resolve, Connect, Greeting, Ehlo, StartTls, Handshake, Certificate, Ehlo, Auth, Sender, Recipient, Quit];
    assert_eq!(names(&report), expected);
    assert_eq!(report.tls.map(|tls| tls.issuer).as_deref(), Some("CN=test CA"));
    assert_eq!(report.connection.len(), 16);
    let said = host.commands();
    assert_eq!(said[said.len() - 4].split(' ').next(), Some("MAIL"));
    assert_eq!(said[said.len() - 2..], ["RSET", "QUIT"]);
    assert!(host.mails().is_empty());
}

#[tokio::test]
async fn a_marked_mail_is_sent_when_asked_for() {
    let authority = Authority::new("test CA");
    let host = Host::new(587, Listener::start_tls(&authority.issue(HOST)));
    let report = Files::new(&format!("{START_TLS}  test: {{sendMessage: true}}\n"), &authority).probe(&host).await;
    assert!(report.passed(), "{report:?}");
    assert!(names(&report).ends_with(&[Stage::Recipient, Stage::Data, Stage::Quit]));
    let mails = host.mails();
    let mail = String::from_utf8(mails[0].clone()).expect("ASCII");
    assert_eq!(mails.len(), 1);
    assert!(mail.contains(&format!("\r\nX-IMArchive-Test: {}\r\n", report.connection)), "{mail}");
}

#[tokio::test]
async fn implicit_tls_needs_start_tls_on_the_second_port() {
    let authority = Authority::new("test CA");
    let identity = authority.issue(HOST);
    let files = Files::new(IMPLICIT, &authority);
    let alone = Host::new(465, Listener::implicit(&identity));

    let report = files.probe(&alone.clone().and(587, Listener::start_tls(&identity))).await;
    assert!(report.passed(), "{report:?}");
    assert_eq!(names(&report).last(), Some(&Stage::StartTlsSupport));

    let without = Listener::start_tls(&identity).at(Step::PlainEhlo, Act::Say("250 vault.archive.example\r\n"));
    let report = files.probe(&alone.clone().and(587, without)).await;
    assert_eq!(verdict(&report), (Some(Stage::StartTlsSupport), Some(Reason::StartTlsNotOffered)));

    let refusing = Listener::start_tls(&identity).at(Step::StartTls, Act::Say("454 4.7.0 not now\r\n"));
    let hanging = Listener::start_tls(&identity).at(Step::PlainEhlo, Act::Hang);
    for host in [alone.clone(), alone.clone().and(587, refusing)] {
        let report = files.probe(&host).await;
        assert_eq!(verdict(&report), (Some(Stage::StartTlsSupport), Some(Reason::StartTlsSupportUnreachable)));
    }
    let untrusted = Listener::start_tls(&self_signed(HOST, |_| {}));
    let report = files.probe(&alone.clone().and(587, untrusted)).await;
    assert_eq!(verdict(&report), (Some(Stage::StartTlsSupport), Some(Reason::CertificateSelfSigned)));
    tokio::time::pause();
    let report = files.probe(&alone.and(587, hanging)).await;
    assert_eq!(verdict(&report), (Some(Stage::StartTlsSupport), Some(Reason::StartTlsSupportUnreachable)));
    assert_eq!(report.failed_stage().map(|stage| stage.millis / 1000), Some(20));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_fails_its_stage_within_a_minute() {
    let authority = Authority::new("test CA");
    let identity = authority.issue(HOST);
    for (step, stage) in [
        (Step::Greeting, Stage::Greeting),
        (Step::PlainEhlo, Stage::Ehlo),
        (Step::StartTls, Stage::StartTls),
        (Step::Handshake, Stage::Handshake),
        (Step::Ehlo, Stage::Ehlo),
        (Step::Auth, Stage::Auth),
        (Step::Mail, Stage::Sender),
        (Step::Rcpt, Stage::Recipient),
        (Step::Data, Stage::Data),
        (Step::Body, Stage::Data),
        (Step::Dot, Stage::Data),
        (Step::Quit, Stage::Quit),
    ] {
        let spec = format!("{START_TLS}  test: {{sendMessage: true}}\n");
        let host = Host::new(587, Listener::start_tls(&identity).at(step, Act::Hang));
        let report = Files::new(&spec, &authority).probe(&host).await;
        assert_eq!(verdict(&report), (Some(stage), Some(Reason::ReplyTimeout)), "{step:?}");
        assert_eq!(names(&report).last(), Some(&stage), "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_late_at_every_step_is_left_within_a_minute() {
    let authority = Authority::new("test CA");
    let late = Act::Late(Duration::from_secs(19));
    let listener = [Step::Greeting, Step::PlainEhlo, Step::Mail, Step::Rcpt, Step::Rset, Step::Quit]
        .into_iter()
        .fold(Listener::start_tls(&authority.issue(HOST)), |listener, step| listener.at(step, late.clone()));
    let report = Files::new(START_TLS, &authority).probe(&Host::new(587, listener)).await;
    assert_eq!(verdict(&report), (Some(Stage::Sender), Some(Reason::ReplyTimeout)));
    let took = report.finished_at.0.duration_since(report.started_at.0);
    assert_eq!(took.as_secs(), 55);
}

#[tokio::test]
async fn a_secret_without_a_password_is_missing() {
    let authority = Authority::new("test CA");
    let host = Host::new(587, Listener::start_tls(&authority.issue(HOST)));
    let files = Files::new(START_TLS, &authority);
    fs::remove_file(files.path("credentials/vault/password")).expect("removed");
    let report = files.probe(&host).await;
    assert_eq!(verdict(&report), (Some(Stage::Auth), Some(Reason::SecretMissing)));
}

#[tokio::test]
async fn a_secret_may_be_mounted_alone() {
    let authority = Authority::new("test CA");
    let host = Host::new(587, Listener::start_tls(&authority.issue(HOST)));
    let mut files = Files::new(START_TLS, &authority);
    files.args.credentials = Some(files.path("credentials/vault").as_ref().to_owned());
    assert!(files.probe(&host).await.passed());
}

#[tokio::test]
async fn a_block_that_describes_no_archive_is_a_verdict() {
    let authority = Authority::new("test CA");
    let report = Files::new("\n  type: GlobalRelay\n", &authority).probe(&Host::default()).await;
    assert_eq!(report.reason, Some(Reason::InvalidConnection));
    assert_eq!(
        report.failed_stage().map(|stage| stage.message.as_str()),
        Some("the block of type GlobalRelay is missing")
    );
}

#[tokio::test]
async fn arguments_that_cannot_be_used_are_no_verdict() {
    let authority = Authority::new("test CA");
    let host: Arc<Host> = Arc::default();
    let now = || Timestamp::UNIX_EPOCH;
    let mut files = Files::new("\n  type: Pigeon\n", &authority);
    assert!(run(&files.args, host.clone(), &now).await.is_err());
    files = Files::new(START_TLS, &authority);
    fs::write(files.path("roots.pem"), "no PEM").expect("written");
    assert!(run(&files.args, host.clone(), &now).await.is_err());
    files.args.endpoint = files.path("nowhere").as_ref().to_owned();
    assert!(run(&files.args, host, &now).await.is_err());
}
