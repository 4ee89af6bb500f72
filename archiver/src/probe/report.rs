//! Makes a report short enough for a termination message.

use imarchive_crds::{TestReport, TestResult};

/// Kubernetes keeps 4,096 bytes of a container's termination message.
const LIMIT: usize = 4000;

/// The report as JSON. What has to go first are the words of stages that went well.
pub(super) fn json(mut report: TestReport) -> serde_json::Result<Vec<u8>> {
    for (passed, failed) in [(300, 300), (100, 300), (30, 300), (0, 300), (0, 150), (0, 50)] {
        for stage in &mut report.stages {
            let limit = if stage.result == TestResult::Passed { passed } else { failed };
            shorten(&mut stage.message, limit);
        }
        if let Some(tls) = &mut report.tls {
            shorten(&mut tls.issuer, failed);
        }
        let json = serde_json::to_vec(&report)?;
        if json.len() <= LIMIT {
            return Ok(json);
        }
    }
    // More stages than there are. Without any the verdict remains.
    report.stages.clear();
    serde_json::to_vec(&report)
}

fn shorten(text: &mut String, limit: usize) {
    if let Some((end, _)) = text.char_indices().nth(limit) {
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use imarchive_crds::{Reason, Stage, StageReport};
    use jiff::Timestamp;

    use super::*;

    fn stage(name: Stage, result: TestResult, message: String) -> StageReport {
        StageReport { name, result, code: Some(550), message, millis: 60_000 }
    }

    fn report(words: &str) -> TestReport {
        let mut report =
            TestReport::not_run("0123456789abcdef".to_owned(), Reason::AuthRejected, Timestamp::UNIX_EPOCH);
        report.stages = vec![stage(Stage::Handshake, TestResult::Passed, words.repeat(300)); 13];
        report.stages.push(stage(Stage::Auth, TestResult::Failed, words.repeat(300)));
        report
    }

    #[test]
    fn a_report_fits_whatever_the_server_said() {
        for words in ["a", "\"", "\u{1f4ec}"] {
            let json = json(report(words)).expect("serializable");
            assert!(json.len() <= LIMIT, "{} bytes", json.len());
            let report: TestReport = serde_json::from_slice(&json).expect("whole");
            assert_eq!(report.stages.len(), 14);
        }
    }

    #[test]
    fn the_words_of_the_stage_that_failed_stay_longest() {
        let json = json(report("a")).expect("serializable");
        let report: TestReport = serde_json::from_slice(&json).expect("whole");
        assert_eq!(report.failed_stage().map(|stage| stage.message.len()), Some(300));
        assert!(report.stages[0].message.len() < 300);
    }
}
