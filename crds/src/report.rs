//! The report of a connectivity test: what the probe writes, and what becomes `status.test`.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The steps of a session with an archive, in their order. One vocabulary for tests, deliveries, metrics and text.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
pub enum Stage {
    /// The host name becomes addresses.
    Resolve,
    /// A TCP connection is made.
    Connect,
    /// The server's first line.
    Greeting,
    /// The server's extensions, before and after TLS.
    Ehlo,
    /// The server is asked for TLS.
    StartTls,
    /// The TLS handshake.
    Handshake,
    /// The server's certificate is verified.
    Certificate,
    /// The credentials are shown.
    Auth,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// The mail itself, up to the reply after its end.
    Data,
    /// The goodbye.
    Quit,
    /// Endpoints with implicit TLS: STARTTLS is offered on the second port.
    StartTlsSupport,
}

/// Why a stage failed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema)]
pub enum Reason {
    /// The host name has no address.
    DnsFailed,
    /// Nobody answered the connection in time.
    ConnectTimeout,
    /// The port is closed.
    ConnectRefused,
    /// The network answered that the host cannot be reached.
    ConnectFailed,
    /// The server did not greet, or refused to serve.
    GreetingRejected,
    /// The server refused EHLO.
    EhloRejected,
    /// The server does not offer STARTTLS.
    StartTlsNotOffered,
    /// The server offers STARTTLS and then refuses it.
    StartTlsRejected,
    /// Bytes followed the reply to STARTTLS in plain text: an attack, or a broken server.
    StartTlsInjection,
    /// STARTTLS could not be proved on the second port.
    StartTlsSupportUnreachable,
    /// The handshake failed for a cause other than the certificate.
    HandshakeFailed,
    /// No trusted CA vouches for the certificate.
    CertificateUntrusted,
    /// The certificate vouches for itself.
    CertificateSelfSigned,
    /// The certificate is out of date, or not valid yet.
    CertificateExpired,
    /// The certificate is another host's.
    CertificateNameMismatch,
    /// The server offers no way to authenticate that the archiver knows.
    AuthNotOffered,
    /// The server refused the credentials.
    AuthRejected,
    /// The server refused the envelope sender.
    SenderRejected,
    /// The server refused a recipient.
    RecipientRejected,
    /// The server refused the mail.
    MessageRejected,
    /// The server stopped answering.
    ReplyTimeout,
    /// The server closed the connection.
    ConnectionLost,
    /// The server's answer is not SMTP.
    ProtocolError,
    /// The Secret with the credentials does not exist, or lacks username or password.
    SecretMissing,
    /// The probe did not run, or left no report.
    ProbeNotRun,
    /// The endpoint's block cannot be read.
    InvalidConnection,
}

macro_rules! named_by_variant {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    )*};
}
named_by_variant!(Stage, Reason, TestResult);

impl Reason {
    /// What the endpoint's owner can do about it, in whole sentences.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::DnsFailed => "Check the spelling of host, and that the name resolves from a pod of this namespace.",
            Self::ConnectTimeout => {
                "Check host and port, and that a firewall or NetworkPolicy lets this namespace out."
            }
            Self::ConnectRefused => "Check port, and whether the archive is down: nothing listens there.",
            Self::ConnectFailed => "Check the route from this namespace to the host.",
            Self::GreetingRejected | Self::EhloRejected => "Ask the archive whether it serves this network.",
            Self::StartTlsNotOffered => {
                "Use a port where the archive offers STARTTLS: as port, or beside tls: Implicit as startTlsPort."
            }
            Self::StartTlsRejected => "Ask the archive to mend its STARTTLS.",
            Self::StartTlsInjection => "Do not use this server: something on the way writes into the connection.",
            Self::StartTlsSupportUnreachable => "Set startTlsPort to the port where the archive offers STARTTLS.",
            Self::HandshakeFailed => {
                "Check that port and tls fit together, and that the archive speaks TLS 1.2 or newer."
            }
            Self::CertificateUntrusted => {
                "Ask the archive whether it sends its whole chain, and the cluster administrator to add a private CA to \
                 the chart's trust.extraRoots."
            }
            Self::CertificateSelfSigned => {
                "Ask the archive for a certificate by a CA; a self-signed one is never accepted."
            }
            Self::CertificateExpired => "Ask the archive to renew its certificate, and check this cluster's clock.",
            Self::CertificateNameMismatch => "Set host to a name that the certificate bears.",
            Self::AuthNotOffered => {
                "Remove credentialsSecretRef, or use a port where the archive offers AUTH PLAIN or LOGIN."
            }
            Self::AuthRejected => {
                "Correct username and password in the Secret. Accounts lock, so that it is not soon tried again: for a \
                 test at once set the annotation imarchive.dev/test-requested-at."
            }
            Self::SenderRejected => "Set from to an address that the archive accepts.",
            Self::RecipientRejected => {
                "Check the recipients with the archive; its words may also mean from, or that credentialsSecretRef is \
                 missing."
            }
            Self::MessageRejected => "Ask the archive why it refuses this mail.",
            Self::ReplyTimeout | Self::ConnectionLost => {
                "It is tried again by itself; if it lasts, check port and ask the archive."
            }
            Self::ProtocolError => "Check that host and port are those of a mail server.",
            Self::SecretMissing => "Create the Secret, of type kubernetes.io/basic-auth, with username and password.",
            Self::ProbeNotRun => {
                "See that this namespace may run the test's Job; its events say more: kubectl describe jobs -l \
                 imarchive.dev/endpoint."
            }
            Self::InvalidConnection => "Correct the endpoint's block.",
        }
    }

    /// Whether time alone can heal it.
    pub const fn heals_by_itself(self) -> bool {
        matches!(
            self,
            Self::DnsFailed
                | Self::ConnectTimeout
                | Self::ConnectRefused
                | Self::ConnectFailed
                | Self::GreetingRejected
                | Self::StartTlsSupportUnreachable
                | Self::ReplyTimeout
                | Self::ConnectionLost
                | Self::ProbeNotRun
        )
    }
}

/// A verdict.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum TestResult {
    /// Every stage passed.
    Passed,
    /// A stage failed.
    Failed,
}

/// One stage of a test.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Which stage.
    pub name: Stage,
    /// How it ended.
    pub result: TestResult,
    /// The server's reply code, when it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The server's words, shortened and with mailboxes masked, or what went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub message: String,
    /// How long it took, in milliseconds.
    pub millis: i64,
}

/// What TLS agreed on.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsReport {
    /// The protocol version.
    #[schemars(length(max = 64))]
    pub version: String,
    /// The cipher suite.
    #[schemars(length(max = 128))]
    pub cipher: String,
    /// Who issued the server's certificate.
    #[schemars(length(max = 4096))]
    pub issuer: String,
    /// When the server's certificate expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}

/// A connectivity test, from its start to its verdict.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestReport {
    /// Tells which connection was tested: a fingerprint of the type's block.
    #[schemars(length(max = 64))]
    pub connection: String,
    /// When the test began.
    pub started_at: Time,
    /// When it ended.
    pub finished_at: Time,
    /// The verdict.
    pub result: TestResult,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The stages in their order, up to the one that failed.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub stages: Vec<StageReport>,
    /// What TLS agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsReport>,
}

impl TestReport {
    /// A report of a test that could not begin.
    pub fn not_run(connection: String, reason: Reason, at: jiff::Timestamp) -> Self {
        let result = TestResult::Failed;
        Self {
            connection,
            started_at: Time(at),
            finished_at: Time(at),
            result,
            reason: Some(reason),
            stages: Vec::new(),
            tls: None,
        }
    }

    /// Whether every stage passed.
    pub fn passed(&self) -> bool {
        self.result == TestResult::Passed
    }

    /// The stage that failed.
    pub fn failed_stage(&self) -> Option<&StageReport> {
        self.stages.iter().find(|stage| stage.result == TestResult::Failed)
    }
}
