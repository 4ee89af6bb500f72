//! The conditions of an endpoint: Tested, Accepted, Ready, Delivering, Default, and Reconciling or Stalled.

use imarchive_crds::{ArchivingEndpointStatus, ConditionType, Reason, TestReport};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Testing, observe::Observed, retry};
use crate::status::{Conditions, PROGRESSING, Progress, RETRYING};

/// The state of one condition.
struct Verdict {
    /// `None` while nothing is known.
    status: Option<bool>,
    reason: String,
    message: String,
    /// Whether, when False, time alone can heal it.
    heals: bool,
}

/// The conditions, when `status` is the rest of the new status.
pub fn conditions(
    observed: &Observed,
    status: &ArchivingEndpointStatus,
    testing: &Testing,
    now: Timestamp,
) -> Vec<Condition> {
    let tested = tested(observed, status.test.as_ref(), testing);
    let accepted = accepted(observed, status);
    let delivering = delivering(observed, status);
    let ready = ready(&tested, &accepted, status);
    let default = default(observed, status);
    let progress = progress(&tested, &delivering, observed.endpoint.spec.suspend);

    let mut conditions = Conditions::over(&observed.status.conditions, observed.endpoint.metadata.generation, now);
    for (type_, verdict) in [
        (ConditionType::Ready, ready),
        (ConditionType::Tested, tested),
        (ConditionType::Accepted, accepted),
        (ConditionType::Delivering, delivering),
        (ConditionType::Default, default),
    ] {
        match verdict.status {
            Some(status) => conditions.set(type_, status, &verdict.reason, verdict.message),
            None => conditions.unknown(type_, &verdict.reason, verdict.message),
        }
    }
    conditions.progress(progress);
    conditions.into_list()
}

impl Verdict {
    fn yes(reason: &str, message: impl Into<String>) -> Self {
        Self { status: Some(true), reason: reason.to_owned(), message: message.into(), heals: true }
    }

    fn no(reason: &str, message: impl Into<String>, heals: bool) -> Self {
        Self { status: Some(false), reason: reason.to_owned(), message: message.into(), heals }
    }

    fn is_true(&self) -> bool {
        self.status == Some(true)
    }
}

/// Whether the last test of this connection passed. A retest that runs changes nothing.
fn tested(observed: &Observed, test: Option<&TestReport>, testing: &Testing) -> Verdict {
    if let Testing::Invalid(why) = testing {
        let reason = Reason::InvalidConnection;
        return Verdict::no(&reason.to_string(), format!("{}. {}", sentence(why), reason.remedy()), false);
    }
    let Some(test) = test.filter(|test| test.connection == observed.fingerprint) else {
        let message = match testing {
            Testing::Underway(note) => note.clone(),
            _ => "This connection was not tested yet.".to_owned(),
        };
        return Verdict { status: None, reason: "NotTested".to_owned(), message, heals: true };
    };
    if test.passed() {
        return Verdict::yes("TestPassed", "Every stage of the last test passed.");
    }
    let reason = test.reason.unwrap_or(Reason::ProtocolError);
    let detail = match testing {
        Testing::Ended { detail: Some(detail), .. } => Some(detail.clone()),
        _ => None,
    };
    let code = test.failed_stage().and_then(|stage| stage.code);
    let message = match (test.failed_stage(), detail) {
        (Some(stage), _) => failure(&stage.name.to_string(), stage.code, &stage.message, reason),
        (None, Some(detail)) => format!("{}. {}", sentence(&detail), reason.remedy()),
        // The report has no place for it, so that it was only said once.
        (None, None) => stored_message(observed, reason).unwrap_or_else(|| reason.remedy().to_owned()),
    };
    Verdict::no(&reason.to_string(), message, heals(reason, code))
}

fn stored_message(observed: &Observed, reason: Reason) -> Option<String> {
    let tested = observed.status.conditions.iter().find(|c| c.type_ == ConditionType::Tested.name())?;
    (tested.reason == reason.to_string()).then(|| tested.message.clone())
}

/// Whether delivery uses this connection.
fn accepted(observed: &Observed, status: &ArchivingEndpointStatus) -> Verdict {
    match &status.accepted {
        Some(accepted) if accepted.connection == observed.connection => {
            Verdict::yes("ConnectionAccepted", "Mail is delivered by this connection.")
        }
        Some(accepted) => {
            let message = format!(
                "Mail is delivered by the connection of generation {} until a test of the present one passes.",
                accepted.generation
            );
            Verdict::no("PreviousConnectionInUse", message, true)
        }
        None => {
            let message = "No connection of this endpoint has passed a test yet; its mail waits.";
            Verdict::no("NotAccepted", message, true)
        }
    }
}

fn ready(tested: &Verdict, accepted: &Verdict, status: &ArchivingEndpointStatus) -> Verdict {
    let because = |verdict: &Verdict| Verdict::no(&verdict.reason, verdict.message.clone(), verdict.heals);
    match (tested.is_true(), accepted.is_true()) {
        (true, true) => {
            let host = status.host.as_deref().unwrap_or("The archive");
            Verdict::yes("TestPassed", format!("{host} passed its test and is delivered to."))
        }
        (false, _) => because(tested),
        (true, false) => because(accepted),
    }
}

/// Not suspended, and no outage.
fn delivering(observed: &Observed, status: &ArchivingEndpointStatus) -> Verdict {
    if observed.endpoint.spec.suspend {
        let message = "Suspended by spec.suspend: messages are kept, and the time to give up stands still.";
        return Verdict::no("Suspended", message, true);
    }
    let Some(outage) = status.retry.as_ref().filter(|retry| retry::is_outage(Some(retry))) else {
        return Verdict::yes("NoOutage", "No delivery fails.");
    };
    let next = match &outage.next_attempt_at {
        Some(next) => format!(" The next attempt is at {}.", next.0.strftime("%Y-%m-%dT%H:%M:%SZ")),
        None => String::new(),
    };
    match outage.log.last() {
        Some(last) => {
            let reason = last.reason;
            let stage = last.stage.to_string();
            let name = reason.map_or_else(|| format!("{stage}Failed"), |reason| reason.to_string());
            let message = match reason {
                Some(reason) => failure(&stage, last.code, &last.message, reason),
                None => format!("{}.", words(&stage, last.code, &last.message)),
            };
            let heals = reason.is_none_or(|reason| heals(reason, last.code));
            Verdict::no(&name, format!("Attempt {} failed. {message}{next}", outage.attempt), heals)
        }
        None => Verdict::no("DeliveryFailed", format!("Attempt {} failed.{next}", outage.attempt), true),
    }
}

fn default(observed: &Observed, status: &ArchivingEndpointStatus) -> Verdict {
    let wants = observed.endpoint.spec.default;
    let elected = observed.archiver.as_ref().and_then(|archiver| archiver.status.as_ref()?.default_endpoint.clone());
    if status.default == Some(true) {
        return match wants {
            Some(true) => Verdict::yes("Requested", "Users named nowhere belong here, as spec.default asks."),
            _ => Verdict::yes("Elected", "Users named nowhere belong here, since no endpoint asks for them."),
        };
    }
    match (wants, elected) {
        (Some(false), _) => Verdict::no("NotRequested", "spec.default is false.", true),
        (Some(true), _) if !observed.has_archiver => {
            Verdict::no("NotEligible", "This namespace has no Archiver.", true)
        }
        (Some(true), _) if status.accepted.is_none() => {
            Verdict::no("NotEligible", "A default needs a connection that has passed a test.", true)
        }
        (Some(true), Some(other)) => {
            Verdict::no("Superseded", format!("{other} asked later, and is the default."), true)
        }
        (Some(true), None) => Verdict::no("NotEligible", "The election is under way.", true),
        (None, Some(other)) => Verdict::no("NotRequested", format!("{other} is the default."), true),
        (None, None) => Verdict::no("NotRequested", "spec.default is unset, and nothing is elected.", true),
    }
}

fn progress(tested: &Verdict, delivering: &Verdict, suspended: bool) -> Progress {
    let wrong = [tested, delivering].into_iter().filter(|verdict| verdict.status == Some(false));
    let wrong: Vec<&Verdict> = wrong.filter(|verdict| !(suspended && verdict.reason == "Suspended")).collect();
    if let Some(stalled) = wrong.iter().find(|verdict| !verdict.heals) {
        return Progress::Stalled { reason: stalled.reason.clone(), message: stalled.message.clone() };
    }
    if let Some(retried) = wrong.first() {
        return Progress::Reconciling { reason: RETRYING.to_owned(), message: retried.message.clone() };
    }
    match tested.status {
        None => Progress::Reconciling { reason: PROGRESSING.to_owned(), message: tested.message.clone() },
        Some(_) => Progress::Settled,
    }
}

/// Whether time alone can heal it: by its nature, or because the server says "for now".
fn heals(reason: Reason, code: Option<i32>) -> bool {
    reason.heals_by_itself() || code.is_some_and(|code| (400..500).contains(&code))
}

/// What happened, and what to do.
fn failure(stage: &str, code: Option<i32>, message: &str, reason: Reason) -> String {
    format!("{}. {}", words(stage, code, message), reason.remedy())
}

fn words(stage: &str, code: Option<i32>, message: &str) -> String {
    let message = sentence(message);
    match code.map(|code| code.to_string()) {
        Some(code) if message.starts_with(&code) => format!("{stage}: {message}"),
        Some(code) => format!("{stage}: {code} {message}").trim_end().to_owned(),
        None if message.is_empty() => format!("{stage} failed"),
        None => format!("{stage}: {message}"),
    }
}

/// Without the full stop, which is set by whoever goes on.
fn sentence(text: &str) -> &str {
    text.trim().trim_end_matches('.')
}
