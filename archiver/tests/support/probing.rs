//! Runs the probe on endpoints that are written as users write them.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use archiver::{
    probe::{ProbeArgs, run},
    smtp::Dial,
};
use imarchive_crds::{Reason, Stage, TestReport};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::certificates::Authority;

pub const HOST: &str = "vault.archive.example";

pub const START_TLS: &str = "
  type: SecureSMTP
  smtp: {host: vault.archive.example, port: 587, from: archive@acme.example, recipients: [acme@vault.archive.example],
         credentialsSecretRef: {name: vault}}
";

pub const IMPLICIT: &str = "
  type: AutonomyDRCCM
  autonomyDrcCm: {host: vault.archive.example, tls: Implicit, from: archive@acme.example,
                  recipient: acme@vault.archive.example, credentialsSecretRef: {name: vault}}
";

/// The files that a probe is given.
pub struct Files {
    directory: tempfile::TempDir,
    pub args: ProbeArgs,
}

impl Files {
    pub fn new(spec: &str, authority: &Authority) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let head = "apiVersion: imarchive.dev/v1alpha1\nkind: ArchivingEndpoint\nmetadata: {name: vault}\nspec:";
        fs::write(path("endpoint.yaml"), format!("{head}{spec}")).expect("written");
        fs::write(path("roots.pem"), authority.pem()).expect("written");
        fs::create_dir_all(path("credentials/vault")).expect("created");
        fs::write(path("credentials/vault/username"), "journal").expect("written");
        fs::write(path("credentials/vault/password"), "hunter2-hunter2\n").expect("written");
        let args = ProbeArgs {
            endpoint: path("endpoint.yaml"),
            credentials: Some(path("credentials")),
            extra_roots: Some(path("roots.pem")),
            report: path("report.json"),
        };
        Self { directory, args }
    }

    pub fn path(&self, name: &str) -> impl AsRef<Path> + use<> {
        self.directory.path().join(name)
    }

    /// Runs the probe, which ends within a minute and leaves a report that fits into a termination message.
    pub async fn probe(&self, dial: &(impl Dial + Clone + 'static)) -> TestReport {
        let began = Instant::now();
        let now: Timestamp = "2026-11-23T09:15:02Z".parse().expect("a time");
        run(&self.args, Arc::new(dial.clone()), &|| now + began.elapsed()).await.expect("a verdict");
        assert!(began.elapsed() <= Duration::from_secs(60), "{:?}", began.elapsed());
        let json = fs::read(&self.args.report).expect("a report");
        assert!(json.len() <= 4000, "{} bytes", json.len());
        serde_json::from_slice(&json).expect("a whole report")
    }
}

pub fn verdict(report: &TestReport) -> (Option<Stage>, Option<Reason>) {
    (report.failed_stage().map(|stage| stage.name), report.reason)
}
