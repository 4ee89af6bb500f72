//! The conditions of an endpoint: Tested, Accepted, Ready, Delivering, Default, and Reconciling or Stalled.

use imarchive_crds::{ArchivingEndpointStatus, ConditionType, Reason, TestReport};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Testing, observe::Observed, retry};
use crate::status::{ConditionReason, Conditions, Progress, quoted};

/// What to do about a reply of 4xx.
pub(super) const FOR_NOW: &str =
    "The server says so for now: it is tried again by itself. If it lasts, ask the archive.";

/// The state of one condition.
struct Verdict {
    /// `None` while nothing is known.
    status: Option<bool>,
    reason: ConditionReason,
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
    let progress = progress(&tested, &delivering);

    let mut conditions = Conditions::over(&observed.status.conditions, observed.endpoint.metadata.generation, now);
    for (type_, verdict) in [
        (ConditionType::Ready, ready),
        (ConditionType::Tested, tested),
        (ConditionType::Accepted, accepted),
        (ConditionType::Delivering, delivering),
        (ConditionType::Default, default),
    ] {
        match verdict.status {
            Some(status) => conditions.set(type_, status, verdict.reason, verdict.message),
            None => conditions.unknown(type_, verdict.reason, verdict.message),
        }
    }
    conditions.progress(progress);
    conditions.into_list()
}

impl Verdict {
    fn yes(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self { status: Some(true), reason, message: message.into(), heals: true }
    }

    fn no(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self { status: Some(false), reason, message: message.into(), heals: true }
    }

    fn failed(reason: Reason, message: String, heals: bool) -> Self {
        Self { heals, ..Self::no(reason.into(), message) }
    }

    fn is_true(&self) -> bool {
        self.status == Some(true)
    }
}

/// Whether the last test of this connection passed. A retest that runs changes nothing.
fn tested(observed: &Observed, test: Option<&TestReport>, testing: &Testing) -> Verdict {
    if let Testing::Invalid(why) = testing {
        let reason = Reason::InvalidConnection;
        let message = format!("The endpoint's block cannot be used: {}. {}", quoted(why), reason.remedy());
        return Verdict::failed(reason, message, false);
    }
    let Some(test) = test.filter(|test| test.connection == observed.fingerprint) else {
        let (reason, message) = match testing {
            Testing::Underway(note) => (ConditionReason::NotTested, note.clone()),
            _ => (ConditionReason::NotTested, ConditionReason::NotTested.sentence()),
        };
        return Verdict { status: None, reason, message, heals: true };
    };
    if test.passed() {
        return Verdict::yes(ConditionReason::TestPassed, ConditionReason::TestPassed.sentence());
    }
    let reason = test.reason.unwrap_or(Reason::ProtocolError);
    let message = match (test.failed_stage(), testing) {
        (Some(stage), _) => failure(&stage.name.to_string(), stage.code, &stage.message, reason.into()),
        (None, Testing::Ended(ended)) => ended.detail.clone().unwrap_or_else(|| reason.remedy().to_owned()),
        // The report has no place for it, so that it was only said once.
        (None, _) => stored_message(observed, reason).unwrap_or_else(|| reason.remedy().to_owned()),
    };
    Verdict::failed(reason, message, heals(reason, test.failed_stage().and_then(|stage| stage.code)))
}

fn stored_message(observed: &Observed, reason: Reason) -> Option<String> {
    let tested = observed.status.conditions.iter().find(|c| c.type_ == ConditionType::Tested.name())?;
    (tested.reason == reason.to_string()).then(|| tested.message.clone())
}

/// Whether delivery uses this connection.
fn accepted(observed: &Observed, status: &ArchivingEndpointStatus) -> Verdict {
    match &status.accepted {
        Some(accepted) if accepted.connection == observed.connection => {
            Verdict::yes(ConditionReason::ConnectionAccepted, ConditionReason::ConnectionAccepted.sentence())
        }
        Some(accepted) => {
            let reason = ConditionReason::PreviousConnectionInUse;
            let message = reason.with(format!(
                "Mail is delivered by the connection of generation {} until a test of the present one passes.",
                accepted.generation
            ));
            Verdict::no(reason, message)
        }
        None => Verdict::no(ConditionReason::NotAccepted, ConditionReason::NotAccepted.sentence()),
    }
}

fn ready(tested: &Verdict, accepted: &Verdict, status: &ArchivingEndpointStatus) -> Verdict {
    match (tested, accepted) {
        (tested, accepted) if tested.is_true() && accepted.is_true() => {
            let host = status.host.as_deref().unwrap_or_default();
            Verdict::yes(
                ConditionReason::TestPassed,
                format!("The archive {host} passed its test and is delivered to."),
            )
        }
        (because, _) if !because.is_true() => Verdict::no(because.reason.clone(), because.message.clone()),
        (_, because) => Verdict::no(because.reason.clone(), because.message.clone()),
    }
}

/// Not suspended, and no outage.
fn delivering(observed: &Observed, status: &ArchivingEndpointStatus) -> Verdict {
    if observed.endpoint.spec.suspend {
        return Verdict::no(ConditionReason::Suspended, ConditionReason::Suspended.sentence());
    }
    let Some(outage) = status.retry.as_ref().filter(|retry| retry::is_outage(Some(retry))) else {
        return Verdict::yes(ConditionReason::NoOutage, ConditionReason::NoOutage.sentence());
    };
    let next = match &outage.next_attempt_at {
        Some(next) => format!(" The next attempt is at {}.", next.0.strftime("%Y-%m-%dT%H:%M:%SZ")),
        None => String::new(),
    };
    let last = outage.log.last();
    let reason = last.and_then(|last| last.reason).map_or(ConditionReason::DeliveryFailed, ConditionReason::Failed);
    let what = match last {
        Some(last) => failure(&last.stage.to_string(), last.code, &last.message, reason.clone()),
        None => reason.sentence(),
    };
    let heals = match (&reason, last) {
        (ConditionReason::Failed(reason), Some(last)) => heals(*reason, last.code),
        _ => true,
    };
    Verdict { heals, ..Verdict::no(reason, format!("Attempt {} failed. {what}{next}", outage.attempt)) }
}

fn default(observed: &Observed, status: &ArchivingEndpointStatus) -> Verdict {
    let wants = observed.endpoint.spec.default;
    let say = |reason: ConditionReason, sentence: String| {
        let message = reason.with(sentence);
        Verdict::no(reason, message)
    };
    if status.default == Some(true) {
        let reason = if wants == Some(true) { ConditionReason::Requested } else { ConditionReason::Elected };
        return Verdict::yes(reason.clone(), reason.sentence());
    }
    let elected = observed.archiver.as_ref().and_then(|archiver| archiver.status.as_ref()?.default_endpoint.as_ref());
    let not_eligible = |why: &str| Verdict::no(ConditionReason::NotEligible, why);
    match (wants, elected) {
        (Some(false), _) => say(ConditionReason::NotRequested, "Declined: spec.default is false.".to_owned()),
        (Some(true), _) if !observed.has_archiver => not_eligible("This namespace has no Archiver, which elects."),
        (Some(true), _) if observed.archiver.is_none() => {
            not_eligible("The Archiver cannot be read, and elects nobody until it is corrected.")
        }
        (Some(true), _) if status.accepted.is_none() => {
            not_eligible("A default needs a connection that has passed a test; see Tested.")
        }
        (Some(true), None) => not_eligible("The election is under way."),
        (Some(true), Some(other)) => {
            say(ConditionReason::Superseded, format!("The endpoint {other} asked later, and is the default."))
        }
        (None, Some(other)) => say(ConditionReason::NotRequested, format!("The endpoint {other} is the default.")),
        (None, None) => say(ConditionReason::NotRequested, "There is no default yet.".to_owned()),
    }
}

fn progress(tested: &Verdict, delivering: &Verdict) -> Progress {
    let wrong = [tested, delivering].into_iter().filter(|verdict| verdict.status == Some(false));
    // Who suspends an endpoint waits for nothing.
    let wrong: Vec<&Verdict> = wrong.filter(|verdict| verdict.reason != ConditionReason::Suspended).collect();
    if let Some(stalled) = wrong.iter().find(|verdict| !verdict.heals) {
        return Progress::Stalled { reason: stalled.reason.clone(), message: stalled.message.clone() };
    }
    if let Some(retried) = wrong.first() {
        let reason = ConditionReason::ProgressingWithRetry;
        return Progress::Reconciling { reason, message: retried.message.clone() };
    }
    match tested.status {
        None => Progress::Reconciling { reason: ConditionReason::Progressing, message: tested.message.clone() },
        Some(_) => Progress::Settled,
    }
}

/// Whether time alone can heal it: by its nature, or because the server says "for now".
fn heals(reason: Reason, code: Option<i32>) -> bool {
    reason.heals_by_itself() || code.is_some_and(|code| (400..500).contains(&code))
}

/// What happened, and what to do: nothing, when the server says "for now", whatever it is that it refuses.
fn failure(stage: &str, code: Option<i32>, message: &str, reason: ConditionReason) -> String {
    let words = words(stage, code, message);
    match code {
        Some(400..500) => format!("{words}. {FOR_NOW}"),
        _ => reason.with(format!("{words}.")),
    }
}

fn words(stage: &str, code: Option<i32>, message: &str) -> String {
    let message = quoted(message);
    match code.map(|code| code.to_string()) {
        Some(code) if message.starts_with(&code) => format!("{stage}: {message}"),
        Some(code) => format!("{stage}: {code} {message}").trim_end().to_owned(),
        None if message.is_empty() => format!("{stage} failed"),
        None => format!("{stage}: {message}"),
    }
}
