//! An archive whose certificate is not trusted receives no credential and no byte of mail.

#[path = "support/archive.rs"]
mod archive;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/scripted.rs"]
mod scripted;

use archive::{HOST, PORT, client, credentials, deliver, server};
use archiver::smtp::{Client, Failure, InvalidRoots, Journal, Timeouts, Trust};
use certificates::{Authority, Identity, self_signed, self_signed_in_the_name_of};
use imarchive_crds::{Reason, Server, Stage, Tls};
use rcgen::{BasicConstraints, IsCa, date_time_ymd};
use scripted::{Act, Heard, Host, Listener, Step};

/// Shows `identity` to a client that trusts `roots`, by STARTTLS and by implicit TLS.
async fn distrusted(identity: &Identity, roots: &str) -> Failure {
    let [by_start_tls, by_implicit] = [Tls::StartTLS, Tls::Implicit].map(async |tls| {
        let listener = match tls {
            Tls::StartTLS => Listener::start_tls(identity),
            Tls::Implicit => Listener::implicit(identity),
        };
        let host = Host::new(PORT, listener);
        let trust = Trust::new(Some(roots.as_bytes())).expect("roots");
        let client = Client::new(std::sync::Arc::new(host.clone()), trust, Timeouts::delivery());
        let opened = client.open(&Server { tls, ..server() }, Some(&credentials()), &mut Journal::default()).await;
        let allowed = match tls {
            Tls::StartTLS => vec![Heard::Plain("EHLO acme.example".to_owned()), Heard::Plain("STARTTLS".to_owned())],
            Tls::Implicit => vec![],
        };
        assert_eq!(host.heard(), allowed);
        opened.err().expect("distrust")
    });
    let failure = by_start_tls.await;
    assert_eq!(by_implicit.await, failure);
    assert_eq!(failure.stage, Stage::Certificate, "{failure}");
    failure
}

#[tokio::test]
async fn a_certificate_of_an_extra_root_is_trusted() {
    let authority = Authority::new("test CA");
    let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)));
    deliver(&host, &authority, b"x\r\n").await.0.expect("trusted");
}

#[tokio::test]
async fn a_chain_to_an_extra_root_is_trusted() {
    let root = Authority::new("test CA");
    let between = Authority::below(&root, "test CA below");
    let host = Host::new(PORT, Listener::start_tls(&between.issue(HOST).with(&between)));
    deliver(&host, &root, b"x\r\n").await.0.expect("trusted");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_ca_is_untrusted() {
    let failure = distrusted(&Authority::new("other CA").issue(HOST), &Authority::new("test CA").pem()).await;
    assert_eq!(failure.reason, Reason::CertificateUntrusted);
    assert_eq!(failure.words(), "the certificate is by CN=other CA, which is no trusted CA");
}

#[tokio::test]
async fn a_certificate_of_a_ca_with_a_trusted_name_is_untrusted() {
    let failure = distrusted(&Authority::new("test CA").issue(HOST), &Authority::new("test CA").pem()).await;
    assert_eq!(failure.reason, Reason::CertificateUntrusted);
}

#[tokio::test]
async fn without_extra_roots_only_public_cas_are_trusted() {
    let failure = distrusted(&Authority::new("test CA").issue(HOST), " \n").await;
    assert_eq!(failure.reason, Reason::CertificateUntrusted);
}

#[tokio::test]
async fn a_leaf_that_is_listed_does_not_vouch_for_itself() {
    let identity = Authority::new("other CA").issue(HOST);
    assert_eq!(distrusted(&identity, identity.pem()).await.reason, Reason::CertificateUntrusted);
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused_even_when_listed_as_root() {
    let other_root = Authority::new("test CA").pem();
    let authority = |params: &mut rcgen::CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let old = |params: &mut rcgen::CertificateParams| params.not_after = date_time_ymd(2001, 1, 1);
    for identity in [
        self_signed(HOST, |_| {}),
        self_signed(HOST, authority),
        self_signed(HOST, old),
        self_signed("elsewhere.example", |_| {}),
        self_signed_in_the_name_of("test CA", HOST),
    ] {
        assert_eq!(distrusted(&identity, &other_root).await.reason, Reason::CertificateSelfSigned);
        assert_eq!(distrusted(&identity, identity.pem()).await.reason, Reason::CertificateSelfSigned);
    }
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    let authority = Authority::new("test CA");
    let past = authority.issue_with(HOST, |params| params.not_after = date_time_ymd(2001, 1, 1));
    let future = authority.issue_with(HOST, |params| params.not_before = date_time_ymd(4000, 1, 1));
    for identity in [past, future] {
        assert_eq!(distrusted(&identity, &authority.pem()).await.reason, Reason::CertificateExpired);
    }
}

#[tokio::test]
async fn a_certificate_of_another_host_is_refused() {
    let authority = Authority::new("test CA");
    let failure = distrusted(&authority.issue("elsewhere.example"), &authority.pem()).await;
    assert_eq!(failure.reason, Reason::CertificateNameMismatch);
    assert!(failure.words().contains("elsewhere.example"), "{failure}");
}

#[tokio::test]
async fn plain_text_after_the_reply_to_start_tls_is_an_injection() {
    let authority = Authority::new("test CA");
    for act in [
        Act::Say("220 go ahead\r\n250-AUTH PLAIN\r\n250 SIZE 1\r\n"),
        Act::Say("220 go ahead\r\n2"),
        Act::Say("220 go ahead\r\n421 bye\r\n"),
    ] {
        let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)).at(Step::StartTls, act));
        let failure = deliver(&host, &authority, b"x\r\n").await.0.err().expect("refused");
        assert_eq!(failure.failure().reason, Reason::StartTlsInjection, "{failure}");
        assert_eq!(host.commands(), ["EHLO acme.example", "STARTTLS"]);
    }
}

#[tokio::test]
async fn plain_text_that_comes_later_is_never_an_answer() {
    let authority = Authority::new("test CA");
    let act = Act::SayInTwo("220 go ahead\r\n", "250-x\r\n250 AUTH PLAIN\r\n");
    let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)).at(Step::StartTls, act));
    let failure = deliver(&host, &authority, b"x\r\n").await.0.err().expect("refused");
    let reason = failure.failure().reason;
    assert!(matches!(reason, Reason::StartTlsInjection | Reason::HandshakeFailed), "{failure}");
    assert_eq!(host.commands(), ["EHLO acme.example", "STARTTLS"]);
}

#[tokio::test]
async fn a_server_without_start_tls_gets_nothing() {
    let authority = Authority::new("test CA");
    let act = Act::Say("250-archive.example\r\n250 AUTH PLAIN LOGIN\r\n");
    let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)).at(Step::PlainEhlo, act));
    let failure = deliver(&host, &authority, b"x\r\n").await.0.err().expect("refused");
    assert_eq!((failure.failure().stage, failure.failure().reason), (Stage::StartTls, Reason::StartTlsNotOffered));
    assert_eq!(host.commands(), ["EHLO acme.example"]);
}

#[tokio::test]
async fn plain_text_where_tls_is_expected_is_a_failed_handshake() {
    let authority = Authority::new("test CA");
    let host = Host::new(PORT, Listener::start_tls(&authority.issue(HOST)));
    let server = Server { tls: Tls::Implicit, ..server() };
    let opened = client(&host, &authority).open(&server, Some(&credentials()), &mut Journal::default()).await;
    let failure = opened.err().expect("no TLS");
    assert_eq!((failure.stage, failure.reason), (Stage::Handshake, Reason::HandshakeFailed));
}

#[tokio::test]
async fn tls_is_reported_with_its_certificate() {
    let authority = Authority::new("test CA");
    let identity = authority.issue_with(HOST, |params| params.not_after = date_time_ymd(2040, 1, 2));
    let host = Host::new(PORT, Listener::start_tls(&identity));
    let mut journal = Journal::default();
    client(&host, &authority).open(&server(), Some(&credentials()), &mut journal).await.expect("trusted");
    let (stages, tls) = journal.into_parts();
    let names: Vec<Stage> = stages.iter().map(|stage| stage.name).collect();
    use Stage::{Auth, Certificate, Connect, Ehlo, Greeting, Handshake, Resolve, StartTls};
    assert_eq!(names, [Resolve, Connect, Greeting, Ehlo, StartTls, Handshake, Certificate, Ehlo, Auth]);
    let tls = tls.expect("encrypted");
    assert_eq!((tls.version.as_str(), tls.issuer.as_str()), ("TLSv1.3", "CN=test CA"));
    assert!(tls.cipher.starts_with("TLS_"), "{}", tls.cipher);
    assert_eq!(tls.not_after.map(|time| time.0.to_string()).as_deref(), Some("2040-01-02T00:00:00Z"));
}

#[test]
fn roots_that_are_none_are_refused() {
    assert!(matches!(Trust::new(Some(b"no certificate")), Err(InvalidRoots::Empty)));
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Trust::new(Some(broken)), Err(InvalidRoots::Root { number: 1, .. })));
    let cut = b"-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(matches!(Trust::new(Some(cut)), Err(InvalidRoots::Pem(_))));
    assert!(Trust::new(None).is_ok());
}
