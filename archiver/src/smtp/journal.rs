//! What happened in a session, stage by stage.

use imarchive_crds::{Stage, StageReport, TestResult, TlsReport};
use tokio::time::Instant;

use super::{Failure, Reply, words};

/// The stages of a session as a test reports them. Deliveries keep one too, and throw it away.
#[derive(Debug, Default)]
pub struct Journal {
    stages: Vec<StageReport>,
    tls: Option<TlsReport>,
    current: Option<(Stage, Instant)>,
}

impl Journal {
    /// A stage begins.
    pub fn begin(&mut self, stage: Stage) {
        self.current = Some((stage, Instant::now()));
    }

    /// The stage went well, and the server said so.
    pub fn pass(&mut self, reply: &Reply) {
        self.end(TestResult::Passed, Some(reply.code()), words::fit(&reply.to_string()));
    }

    /// The stage went well, and this is what came of it.
    pub fn pass_with(&mut self, what: &str) {
        self.end(TestResult::Passed, None, words::fit(what));
    }

    /// The stage failed. When the failure is of a later stage than the one that began, that one went well: a handshake
    /// that ends with the certificate is the example.
    pub fn fail(&mut self, failure: &Failure) {
        if self.current.is_none_or(|(stage, _)| stage != failure.stage) {
            self.end(TestResult::Passed, None, String::new());
            self.begin(failure.stage);
        }
        self.end(TestResult::Failed, failure.code(), failure.words());
    }

    /// What TLS agreed on.
    pub fn encrypted(&mut self, tls: TlsReport) {
        self.tls = Some(tls);
    }

    /// The stages in their order, and what TLS agreed on.
    pub fn into_parts(self) -> (Vec<StageReport>, Option<TlsReport>) {
        (self.stages, self.tls)
    }

    fn end(&mut self, result: TestResult, code: Option<u16>, message: String) {
        if let Some((name, began)) = self.current.take() {
            let millis = began.elapsed().as_millis().try_into().unwrap_or(i64::MAX);
            self.stages.push(StageReport { name, result, code: code.map(i32::from), message, millis });
        }
    }
}
