//! What a probe's Job says of itself, in its pod template's annotations: which test it is, and which one it succeeds.

use std::collections::BTreeMap;

use imarchive_crds::TestReport;
use k8s_openapi::api::batch::v1::Job;

/// The probe's container.
pub const CONTAINER: &str = "probe";
pub(super) const CONNECTION: &str = "imarchive.dev/connection";
pub(super) const PREVIOUS: &str = "imarchive.dev/previous-test";
pub(super) const ANSWERS: &str = imarchive_crds::TEST_REQUESTED_AT;

/// What a probe was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The fingerprint of the connection.
    pub connection: String,
    /// The test that it succeeds.
    pub previous: String,
    /// The request that it answers.
    pub answers: Option<String>,
    /// What its pod is shown as files.
    pub shown: BTreeMap<String, String>,
}

impl Facts {
    /// Of `job`, when it is a probe.
    pub fn of(job: &Job) -> Option<Self> {
        let annotations = job.spec.as_ref()?.template.metadata.as_ref()?.annotations.as_ref()?;
        let mut shown = annotations.clone();
        let connection = shown.remove(CONNECTION)?;
        let previous = shown.remove(PREVIOUS)?;
        let answers = shown.remove(ANSWERS);
        Some(Self { connection, previous, answers, shown })
    }

    /// Whether it is of the test of `connection` that follows the test that was published last. No other counts.
    pub fn follow(&self, connection: &str, published: Option<&TestReport>) -> bool {
        self.connection == connection && self.previous == marker(published)
    }
}

/// What tells a published test from those before it.
pub fn marker(test: Option<&TestReport>) -> String {
    match test {
        None => "none".to_owned(),
        Some(test) => {
            format!("{}-{}-{}", test.connection, test.started_at.0.as_second(), test.finished_at.0.as_second())
        }
    }
}
