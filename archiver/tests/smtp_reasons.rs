//! Every reason can be the verdict of a test, and is one for what it says.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/probing.rs"]
mod probing;
#[path = "support/scripted.rs"]
mod scripted;

use std::{collections::BTreeSet, fs, io, net::SocketAddr};

use archiver::smtp::{BoxStream, Dial};
use certificates::{Authority, self_signed};
use futures::future::BoxFuture;
use imarchive_crds::{ArchivingEndpoint, Reason, Stage};
use kube::CustomResourceExt;
use probing::{Files, HOST, IMPLICIT, START_TLS, verdict};
use rcgen::date_time_ymd;
use scripted::{Act, Host, Listener, Step};

/// What is between the probe and the archive.
#[derive(Clone)]
enum Network {
    /// Nobody knows the name.
    Nameless,
    /// Nobody answers.
    Silent,
    /// No route leads there.
    Torn,
    /// Nothing is wrong with it.
    Whole(Host),
}

impl Dial for Network {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        match self {
            Self::Nameless => Box::pin(async { Err(io::Error::other("Name or service not known")) }),
            Self::Whole(whole) => whole.resolve(host, port),
            Self::Silent | Self::Torn => Box::pin(async move { Ok(vec![([192, 0, 2, 1], port).into()]) }),
        }
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        match self {
            Self::Whole(host) => host.connect(address),
            Self::Silent => Box::pin(std::future::pending()),
            Self::Nameless | Self::Torn => Box::pin(async { Err(io::Error::from_raw_os_error(113)) }),
        }
    }
}

/// A fault, and what is to be said of it.
struct Case {
    reason: Reason,
    stage: Stage,
    words: &'static str,
    spec: String,
    network: Network,
}

fn faults(authority: &Authority) -> Vec<Case> {
    use Reason as R;
    use Stage as S;
    let good = || Listener::start_tls(&authority.issue(HOST));
    let case = |reason, stage, words, network| Case { reason, stage, words, spec: START_TLS.to_owned(), network };
    let host = |listener| Network::Whole(Host::new(587, listener));
    let says = |step, words| host(good().at(step, Act::Say(words)));
    let shows = |identity| host(Listener::start_tls(&identity));
    let implicit = |listener| Network::Whole(Host::new(465, listener));
    let past = authority.issue_with(HOST, |params| params.not_after = date_time_ymd(2001, 1, 1));
    let future = authority.issue_with(HOST, |params| params.not_before = date_time_ymd(4000, 1, 1));
    let encrypted = Listener::implicit(&authority.issue(HOST));
    vec![
        case(R::DnsFailed, S::Resolve, "vault.archive.example: Name or service not known", Network::Nameless),
        case(R::ConnectTimeout, S::Connect, "192.0.2.1:587: no answer", Network::Silent),
        case(R::ConnectFailed, S::Connect, "192.0.2.1:587: No route to host", Network::Torn),
        case(R::ConnectRefused, S::Connect, "connection refused", Network::Whole(Host::default())),
        case(R::GreetingRejected, S::Greeting, "554 not you", says(Step::Greeting, "554 not you\r\n")),
        case(R::EhloRejected, S::Ehlo, "502 what?", says(Step::PlainEhlo, "502 what?\r\n")),
        case(R::StartTlsNotOffered, S::StartTls, "does not list STARTTLS", says(Step::PlainEhlo, "250 x\r\n")),
        case(R::StartTlsRejected, S::StartTls, "454 not now", says(Step::StartTls, "454 not now\r\n")),
        case(
            R::StartTlsInjection,
            S::StartTls,
            "plain text followed the reply to STARTTLS",
            says(Step::StartTls, "220 go ahead\r\n250 AUTH PLAIN\r\n"),
        ),
        Case {
            spec: IMPLICIT.to_owned(),
            ..case(R::StartTlsSupportUnreachable, S::StartTlsSupport, "port 587, Connect:", implicit(encrypted))
        },
        Case { spec: IMPLICIT.to_owned(), ..case(R::HandshakeFailed, S::Handshake, "is not TLS", implicit(good())) },
        case(
            R::CertificateUntrusted,
            S::Certificate,
            "the certificate is by CN=other CA, which is no trusted CA",
            shows(Authority::new("other CA").issue(HOST)),
        ),
        case(R::CertificateSelfSigned, S::Certificate, "signed with its own key", shows(self_signed(HOST, |_| {}))),
        case(R::CertificateExpired, S::Certificate, "expired at 2001-01-01T00:00:00Z", shows(past)),
        case(R::CertificateExpired, S::Certificate, "not valid before 4000-01-01T00:00:00Z, and", shows(future)),
        case(
            R::CertificateNameMismatch,
            S::Certificate,
            "is for elsewhere.example, not for vault.archive.example",
            shows(authority.issue("elsewhere.example")),
        ),
        case(R::AuthNotOffered, S::Auth, "neither AUTH PLAIN nor AUTH LOGIN", says(Step::Ehlo, "250 x\r\n")),
        case(R::AuthRejected, S::Auth, "535 5.7.8 wrong", says(Step::Auth, "535 5.7.8 wrong\r\n")),
        Case {
            spec: START_TLS.replace("{name: vault}", "{name: nowhere}"),
            ..case(R::SecretMissing, S::Auth, "the Secret nowhere does not exist", host(good()))
        },
        case(R::SenderRejected, S::Sender, "550 no", says(Step::Mail, "550 no\r\n")),
        case(R::SenderRejected, S::Recipient, "550 5.1.8 no", says(Step::Rcpt, "550 5.1.8 no\r\n")),
        case(R::RecipientRejected, S::Recipient, "550 5.1.1 no", says(Step::Rcpt, "550 5.1.1 no\r\n")),
        Case {
            spec: format!("{START_TLS}  test: {{sendMessage: true}}\n"),
            ..case(R::MessageRejected, S::Data, "554 spam", says(Step::Dot, "554 spam\r\n"))
        },
        case(
            R::ReplyTimeout,
            S::Greeting,
            "within 30 s; a port that wants tls: Implicit is silent",
            host(good().at(Step::Greeting, Act::Hang)),
        ),
        case(R::ConnectionLost, S::Sender, "the server closed the connection", host(good().at(Step::Mail, Act::Close))),
        case(R::ProtocolError, S::Greeting, "begin with a reply code", says(Step::Greeting, "* OK IMAP\r\n")),
        Case {
            spec: "\n  type: GlobalRelay\n".to_owned(),
            ..case(R::InvalidConnection, S::Resolve, "the block of type GlobalRelay is missing", Network::Torn)
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn every_fault_has_its_reason_at_its_stage_and_says_what_is_wrong() {
    let authority = Authority::new("test CA");
    for fault in faults(&authority) {
        let files = Files::new(&fault.spec, &authority);
        fs::create_dir_all(files.path("credentials/nowhere")).expect("as a Secret that does not exist is mounted");
        let report = files.probe(&fault.network).await;
        assert_eq!(verdict(&report), (Some(fault.stage), Some(fault.reason)), "{report:?}");
        let said = &report.failed_stage().expect("a stage").message;
        assert!(said.contains(fault.words), "{:?}: {said}", fault.reason);
    }
}

#[test]
fn no_reason_is_without_a_fault() {
    let authority = Authority::new("test CA");
    let reasons = faults(&authority).into_iter().map(|fault| fault.reason.to_string());
    // Of the operator: there was no probe.
    let produced: BTreeSet<String> = reasons.chain([Reason::ProbeNotRun.to_string()]).collect();
    assert_eq!(produced, vocabulary());
}

/// The reasons that the definition of an endpoint lists.
fn vocabulary() -> BTreeSet<String> {
    let definition = ArchivingEndpoint::crd();
    let schema = definition.spec.versions[0].schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let field = ["status", "test", "reason"].into_iter().try_fold(schema.expect("a schema"), |schema, field| {
        schema.properties.as_ref().and_then(|properties| properties.get(field))
    });
    let listed = field.and_then(|field| field.enum_.as_ref()).expect("an enum");
    listed.iter().filter_map(|value| value.0.as_str().map(str::to_owned)).collect()
}
