//! The connectivity test of an endpoint: every stage of a delivery, up to a mail that is not sent unless asked for.

mod mail;
mod report;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use imarchive_crds::{ArchivingEndpoint, Reason, Server, Stage, TestReport, TestResult};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use crate::smtp::{Client, Credentials, Dial, Failure, Journal, Reply, Timeouts, Trust};

/// How long a test may take. The 5 s up to a minute are for starting, and for writing the report.
const WHOLE: Duration = Duration::from_secs(55);

/// Tests an endpoint's connection.
#[derive(clap::Args, Clone, Debug)]
pub struct ProbeArgs {
    /// The ArchivingEndpoint, as YAML.
    #[arg(long, env = "IMARCHIVE_ENDPOINT", value_name = "FILE")]
    pub endpoint: PathBuf,
    /// The mounted Secret, or the directory in which it is mounted by its name.
    #[arg(long, env = "IMARCHIVE_CREDENTIALS", value_name = "DIR")]
    pub credentials: Option<PathBuf>,
    /// CAs that are trusted besides the public ones, as PEM.
    #[arg(long, env = "IMARCHIVE_EXTRA_ROOTS", value_name = "FILE")]
    pub extra_roots: Option<PathBuf>,
    /// Where the report is written, as JSON.
    #[arg(long, env = "IMARCHIVE_REPORT", value_name = "FILE")]
    pub report: PathBuf,
}

/// Runs the test and writes its report. Every verdict is a success; only arguments that cannot be used are an error.
pub async fn run(
    args: &ProbeArgs,
    dial: Arc<dyn Dial>,
    now: &(dyn Fn() -> Timestamp + Send + Sync),
) -> anyhow::Result<()> {
    let ends = Instant::now() + WHOLE;
    let yaml = fs::read(&args.endpoint).with_context(|| format!("cannot read {}", args.endpoint.display()))?;
    let endpoint: ArchivingEndpoint = serde_yaml_ng::from_slice(&yaml)
        .with_context(|| format!("{} is no ArchivingEndpoint", args.endpoint.display()))?;
    let roots =
        args.extra_roots.as_ref().map(|path| fs::read(path).with_context(|| format!("cannot read {}", path.display())));
    let trust = Trust::new(roots.transpose()?.as_deref())?;
    let client = Client::new(dial, trust, Timeouts::probe()).until(ends);

    let connection = endpoint.spec.connection().fingerprint();
    let started_at = Time(now());
    let mut journal = Journal::default();
    let tested = Probe { client: &client, endpoint: &endpoint, args, now: started_at.0 }.stages(&mut journal).await;
    if let Err(failure) = &tested {
        journal.fail(failure);
    }
    let reason = tested.err().map(|failure| failure.reason);
    let result = if reason.is_none() { TestResult::Passed } else { TestResult::Failed };
    let (stages, tls) = journal.into_parts();
    let report = TestReport { connection, started_at, finished_at: Time(now()), result, reason, stages, tls };
    // In place: a termination message is a file that is mounted alone, which cannot be replaced by another.
    fs::write(&args.report, report::json(report)?).with_context(|| format!("cannot write {}", args.report.display()))
}

struct Probe<'p> {
    client: &'p Client,
    endpoint: &'p ArchivingEndpoint,
    args: &'p ProbeArgs,
    now: Timestamp,
}

impl Probe<'_> {
    async fn stages(&self, journal: &mut Journal) -> Result<(), Failure> {
        let connection = self.endpoint.spec.connection();
        let server = Server::try_from(&connection)
            .map_err(|error| Failure::new(Stage::Resolve, Reason::InvalidConnection, error))?;
        let mail = mail::marked(&server, &connection.fingerprint(), self.now);
        let credentials = self.credentials(&server)?;
        let mut session = self.client.open(&server, credentials.as_ref(), journal).await?;

        journal.begin(Stage::Sender);
        let reply = session.mail_from(&server.from, mail.len()).await?;
        journal.pass(&reply);

        journal.begin(Stage::Recipient);
        for recipient in &server.recipients {
            session.rcpt_to(recipient).await?;
        }
        if self.endpoint.spec.test.send_message {
            journal.pass_with(&format!("{} accepted", server.recipients.len()));
            journal.begin(Stage::Data);
            let reply = session.data(&mail).await.map_err(|failure| failure.failure().clone())?;
            journal.pass(&reply);
        } else {
            session.reset().await?;
            journal.pass_with(&format!("{} accepted", server.recipients.len()));
        }

        journal.begin(Stage::Quit);
        let reply = session.quit().await?;
        journal.pass(&reply);

        if let Some(port) = server.start_tls_port {
            journal.begin(Stage::StartTlsSupport);
            self.client.prove_start_tls(&server, port).await.map_err(|failure| unproved(port, &failure))?;
            journal.pass_with(&format!("port {port}"));
        }
        Ok(())
    }

    /// The content of the Secret that the server names. Mounted alone or, as the archiver has it, among others.
    fn credentials(&self, server: &Server) -> Result<Option<Credentials>, Failure> {
        let (Some(secret), Some(directory)) = (&server.credentials, &self.args.credentials) else { return Ok(None) };
        let among_others = directory.join(secret);
        let directory = if among_others.is_dir() { &among_others } else { directory };
        Ok(Credentials::read(directory)?)
    }
}

/// On the second port only one question is asked: whether STARTTLS works there. Once the server was asked for it, what is
/// wrong has a reason of its own; before, or when it passes, the port was not reached.
fn unproved(port: u16, failure: &Failure) -> Failure {
    let asked = matches!(failure.stage, Stage::StartTls | Stage::Handshake | Stage::Certificate);
    let passes = failure.reason.heals_by_itself() || failure.reply.as_ref().is_some_and(Reply::is_transient);
    let reason = if asked && !passes { failure.reason } else { Reason::StartTlsSupportUnreachable };
    Failure::new(Stage::StartTlsSupport, reason, format!("port {port}, {}: {}", failure.stage, failure.words()))
}
