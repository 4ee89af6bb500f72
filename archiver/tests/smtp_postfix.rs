//! The client and the probe against a real Postfix: `e2e/mail`. Needs root, which that does.

use std::{
    env, fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use archiver::{
    probe::{ProbeArgs, run},
    smtp::{BoxStream, Client, Credentials, Dial, Envelope, Journal, SendFailure, Tcp, Timeouts, Trust},
};
use futures::future::BoxFuture;
use imarchive_crds::{ArchivingEndpoint, Reason, Server, Stage, TestReport};
use serde_json::{Value, json};

/// Every name is this machine, as long as it is a test's.
struct Local;

impl Dial for Local {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        match host.ends_with(".archive.example") {
            true => Box::pin(async move { Ok(vec![(Ipv4Addr::LOCALHOST, port).into()]) }),
            false => Tcp.resolve(host, port),
        }
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Tcp.connect(address)
    }
}

/// The mail servers, which end with the test.
struct Mail {
    directory: tempfile::TempDir,
    json: Value,
}

impl Mail {
    fn up() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        run_mail(&["up"], &directory.path().join("mail"));
        let json = fs::read(directory.path().join("mail/mail.json")).expect("mail.json");
        Self { directory, json: serde_json::from_slice(&json).expect("JSON") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn port(&self, service: &str) -> u64 {
        self.json["services"][service]["port"].as_u64().expect("a port")
    }

    fn password(&self, login: &str) -> &str {
        let logins = self.json["submissionLogins"].as_array().expect("logins");
        let login = logins.iter().find(|known| known["username"] == login).expect("a login");
        login["password"].as_str().expect("a password")
    }

    /// Whether the mailbox holds a mail that is `mail` below what the servers put on top.
    fn holds(&self, mailbox: &str, mail: &[u8]) -> bool {
        let kept = String::from_utf8_lossy(mail).replace("\r\n", "\n");
        let new = self.path(&format!("mail/mailboxes/{mailbox}/Maildir/new"));
        let Ok(files) = fs::read_dir(new) else { return false };
        files.flatten().any(|file| fs::read(file.path()).is_ok_and(|bytes| bytes.ends_with(kept.as_bytes())))
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        run_mail(&["down"], &self.path("mail"));
    }
}

fn run_mail(arguments: &[&str], directory: &Path) {
    // Of the run, not of the build: a shared target folder may hold this test as built for another checkout.
    let script = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo runs this")).join("../e2e/mail");
    let done = Command::new(script).args(arguments).arg(directory).status().expect("e2e/mail");
    assert!(done.success(), "e2e/mail {arguments:?}: {done}");
}

/// What is tried: an endpoint at one of the services, and what should come of it.
struct Case {
    what: &'static str,
    block: Value,
    password: String,
    roots: String,
    expected: Result<(), (Stage, Reason)>,
}

impl Case {
    fn endpoint(&self) -> ArchivingEndpoint {
        let spec = json!({"type": "SecureSMTP", "smtp": self.block});
        let endpoint = json!({"apiVersion": "imarchive.dev/v1alpha1", "kind": "ArchivingEndpoint",
            "metadata": {"name": "test"}, "spec": spec});
        serde_json::from_value(endpoint).expect("an endpoint")
    }

    /// Sends `mail` as deliveries do.
    async fn deliver(&self, mail: &[u8]) -> Result<(), SendFailure> {
        let server = Server::try_from(&self.endpoint().spec.connection()).expect("a server");
        let trust = Trust::new(Some(self.roots.as_bytes())).expect("roots");
        let client = Client::new(Arc::new(Local), trust, Timeouts::delivery());
        let credentials = Credentials::new("journal", &self.password);
        let mut session = client.open(&server, Some(&credentials), &mut Journal::default()).await?;
        let envelope = Envelope { from: server.from, recipients: server.recipients };
        session.send(&envelope, mail).await?;
        session.send(&envelope, mail).await.expect("a second one in the same session");
        assert_eq!(session.sent(), 2);
        session.quit().await.expect("goodbye");
        Ok(())
    }

    async fn probe(&self, directory: &Path) -> TestReport {
        fs::create_dir_all(directory.join("journal")).expect("created");
        let write = |name: &str, content: &str| fs::write(directory.join(name), content).expect("written");
        write("endpoint.yaml", &serde_yaml_ng::to_string(&self.endpoint()).expect("YAML"));
        write("roots.pem", &self.roots);
        write("journal/username", "journal");
        write("journal/password", &self.password);
        let args = ProbeArgs {
            endpoint: directory.join("endpoint.yaml"),
            credentials: Some(directory.to_owned()),
            extra_roots: Some(directory.join("roots.pem")),
            report: directory.join("report.json"),
        };
        run(&args, Arc::new(Local), &jiff::Timestamp::now).await.expect("a verdict");
        serde_json::from_slice(&fs::read(&args.report).expect("a report")).expect("JSON")
    }
}

fn cases(mail: &Mail) -> Vec<Case> {
    use Reason::{
        AuthNotOffered, AuthRejected, CertificateExpired, CertificateNameMismatch, CertificateSelfSigned,
        CertificateUntrusted, ConnectRefused, ConnectionLost, DnsFailed, EhloRejected, GreetingRejected,
        HandshakeFailed, RecipientRejected, SenderRejected, StartTlsNotOffered, StartTlsSupportUnreachable,
    };
    let read = |key: &str| fs::read_to_string(mail.json[key].as_str().expect("a path")).expect("a certificate");
    let good = |service: &str| {
        let host = mail.json["services"][service]["host"].as_str().expect("a host");
        let mut block = json!({"host": host, "port": mail.port(service), "from": "archive@acme.example",
            "recipients": ["acme-journal@journal.archive.example"], "credentialsSecretRef": {"name": "journal"}});
        if mail.json["services"][service]["tls"] == "Implicit" {
            block["tls"] = json!("Implicit");
            block["startTlsPort"] = json!(mail.port("submission"));
        }
        block
    };
    let but = |service: &str, key: &str, value: Value| {
        let mut block = good(service);
        block[key] = value;
        block
    };
    let from = |name: &str| but("choosy", "from", json!(format!("{name}@acme.example")));
    let case = |what, block, expected| Case {
        what,
        block,
        password: mail.password("journal").to_owned(),
        roots: read("ca"),
        expected,
    };
    let unknown = json!(["acme-journal@journal.archive.example", "nobody@journal.archive.example"]);
    vec![
        case("mail is taken over STARTTLS", good("submission"), Ok(())),
        case("mail is taken over implicit TLS", good("smtps"), Ok(())),
        case("mail is taken without a password", but("relay", "credentialsSecretRef", Value::Null), Ok(())),
        Case {
            password: "wrong".to_owned(),
            ..case("a wrong password is rejected", good("submission"), Err((Stage::Auth, AuthRejected)))
        },
        case("a password is not for port 25", good("relay"), Err((Stage::Auth, AuthNotOffered))),
        case(
            "an unknown recipient is rejected",
            but("submission", "recipients", unknown),
            Err((Stage::Recipient, RecipientRejected)),
        ),
        case("a CA of its own is untrusted", good("untrusted"), Err((Stage::Certificate, CertificateUntrusted))),
        case("a self-signed certificate is one", good("selfsigned"), Err((Stage::Certificate, CertificateSelfSigned))),
        Case {
            roots: read("selfSigned"),
            ..case("also when listed as root", good("selfsigned"), Err((Stage::Certificate, CertificateSelfSigned)))
        },
        case(
            "a name that the certificate does not bear is another's",
            but("submission", "host", json!("other.archive.example")),
            Err((Stage::Certificate, CertificateNameMismatch)),
        ),
        case("a closed port refuses", but("submission", "port", json!(1)), Err((Stage::Connect, ConnectRefused))),
        case(
            "an unknown name is not found",
            but("submission", "host", json!("nowhere.invalid")),
            Err((Stage::Resolve, DnsFailed)),
        ),
        case(
            "plain text is no TLS",
            but("smtps", "port", json!(mail.port("submission"))),
            Err((Stage::Handshake, HandshakeFailed)),
        ),
        case(
            "implicit TLS is not enough",
            but("smtps", "startTlsPort", json!(1)),
            Err((Stage::StartTlsSupport, StartTlsSupportUnreachable)),
        ),
        case(
            "nor is a second port without STARTTLS",
            but("smtps", "startTlsPort", json!(mail.port("plain"))),
            Err((Stage::StartTlsSupport, StartTlsNotOffered)),
        ),
        case("an old certificate is expired", good("expired"), Err((Stage::Certificate, CertificateExpired))),
        case("without STARTTLS nothing is said", good("plain"), Err((Stage::StartTls, StartTlsNotOffered))),
        case("a greeting can be a refusal", good("closed"), Err((Stage::Greeting, GreetingRejected))),
        case("so can the answer to EHLO", good("aloof"), Err((Stage::Ehlo, EhloRejected))),
        case("an unwelcome sender is told at once", from("unwelcome"), Err((Stage::Sender, SenderRejected))),
        case("or later", from("too-early"), Err((Stage::Sender, SenderRejected))),
        case("or is hung up on", from("too-late"), Err((Stage::Sender, ConnectionLost))),
    ]
}

/// 8 MB of lines that all begin with dots.
fn large_mail() -> Vec<u8> {
    let lines = (0..200_000).map(|number| format!("{}{number} {}\r\n", ".".repeat(1 + number % 3), "x".repeat(32)));
    ["Subject: large\r\n\r\n".to_owned()].into_iter().chain(lines).collect::<String>().into_bytes()
}

#[tokio::test]
async fn a_real_server_and_we_agree() {
    let mail = Mail::up();
    for case in cases(&mail) {
        let report = case.probe(&mail.path("probe")).await;
        let verdict = report.failed_stage().map_or(Ok(()), |stage| Err((stage.name, report.reason.expect("a reason"))));
        assert_eq!(verdict, case.expected, "probe: {}: {report:?}", case.what);

        let text = format!("Subject: test\r\n\r\n{}\r\n.\r\n..\r\n", case.what);
        let sent =
            case.deliver(text.as_bytes()).await.map_err(|failure| (failure.failure().stage, failure.failure().reason));
        match case.expected {
            // Deliveries only use the first port.
            Err((Stage::StartTlsSupport, _)) => assert_eq!(sent, Ok(()), "delivery: {}", case.what),
            expected => assert_eq!(sent, expected, "delivery: {}", case.what),
        }
        assert!(sent.is_err() || arrives(&mail, text.as_bytes()).await, "{}", case.what);
    }
    let large = large_mail();
    cases(&mail)[0].deliver(&large).await.expect("sent");
    assert!(arrives(&mail, &large).await, "a large mail arrives as it was sent");
}

async fn arrives(mail: &Mail, text: &[u8]) -> bool {
    for _ in 0..200 {
        if mail.holds("acme-journal@journal.archive.example", text) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
