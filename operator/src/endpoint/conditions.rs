//! The conditions of an endpoint: Tested, Accepted, Ready, Delivering, Default, Notified, and Reconciling or Stalled.

use imarchive_crds::{ArchivingEndpointStatus, ConditionType, PastOutage, Reason, TestReport};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    Testing,
    failure::{failure, heals},
    finding::Finding,
    notified,
    observe::Observed,
    retry,
};
use crate::status::{ConditionReason, Conditions, Progress, counted, quoted, second};

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
    let progress = progress(&tested, &delivering, gave_up(observed, status));
    let notified = notified::finding(observed, status);

    let mut conditions = Conditions::over(&observed.status.conditions, observed.endpoint.metadata.generation, now);
    let always = [
        (ConditionType::Ready, ready),
        (ConditionType::Tested, tested),
        (ConditionType::Accepted, accepted),
        (ConditionType::Delivering, delivering),
        (ConditionType::Default, default),
    ];
    for (type_, verdict) in always.into_iter().chain(notified.map(|notified| (ConditionType::Notified, notified))) {
        match verdict.status {
            Some(status) => conditions.set(type_, status, verdict.reason, verdict.message),
            None => conditions.unknown(type_, verdict.reason, verdict.message),
        }
    }
    conditions.progress(progress);
    conditions.into_list()
}

/// Whether the last test of this connection passed. A retest that runs changes nothing.
fn tested(observed: &Observed, test: Option<&TestReport>, testing: &Testing) -> Finding {
    if let Testing::Invalid(why) = testing {
        let reason = Reason::InvalidConnection;
        let message = format!("The endpoint's block cannot be used: {}. {}", quoted(why), reason.remedy());
        return Finding::failed(reason, message, false);
    }
    let Some(test) = test.filter(|test| test.connection == observed.fingerprint) else {
        let (reason, message) = match testing {
            Testing::Underway(note) => (ConditionReason::NotTested, note.clone()),
            _ => (ConditionReason::NotTested, ConditionReason::NotTested.sentence()),
        };
        return Finding { status: None, reason, message, heals: true };
    };
    if test.passed() {
        return Finding::yes(ConditionReason::TestPassed, ConditionReason::TestPassed.sentence());
    }
    let reason = test.reason.unwrap_or(Reason::ProtocolError);
    let message = match (test.failed_stage(), testing) {
        (Some(stage), _) => failure(stage.name, stage.code, &stage.message, reason.into()),
        (None, Testing::Ended(ended)) => ended.detail.clone().unwrap_or_else(|| reason.remedy().to_owned()),
        // The report has no place for it, so that it was only said once.
        (None, _) => stored_message(observed, reason).unwrap_or_else(|| reason.remedy().to_owned()),
    };
    Finding::failed(reason, message, heals(reason, test.failed_stage().and_then(|stage| stage.code)))
}

fn stored_message(observed: &Observed, reason: Reason) -> Option<String> {
    let tested = observed.status.conditions.iter().find(|c| c.type_ == ConditionType::Tested.name())?;
    (tested.reason == reason.to_string()).then(|| tested.message.clone())
}

/// Whether delivery uses this connection.
fn accepted(observed: &Observed, status: &ArchivingEndpointStatus) -> Finding {
    match &status.accepted {
        Some(accepted) if accepted.connection == observed.connection => {
            Finding::yes(ConditionReason::ConnectionAccepted, ConditionReason::ConnectionAccepted.sentence())
        }
        Some(accepted) => {
            let reason = ConditionReason::PreviousConnectionInUse;
            let message = reason.with(format!(
                "Mail is delivered by the connection of generation {} until a test of the present one passes.",
                accepted.generation
            ));
            Finding::no(reason, message)
        }
        None => Finding::no(ConditionReason::NotAccepted, ConditionReason::NotAccepted.sentence()),
    }
}

fn ready(tested: &Finding, accepted: &Finding, status: &ArchivingEndpointStatus) -> Finding {
    match (tested, accepted) {
        (tested, accepted) if tested.is_true() && accepted.is_true() => {
            let host = status.host.as_deref().unwrap_or_default();
            Finding::yes(
                ConditionReason::TestPassed,
                format!("The archive {host} passed its test and is delivered to."),
            )
        }
        (because, _) if !because.is_true() => Finding::no(because.reason.clone(), because.message.clone()),
        (_, because) => Finding::no(because.reason.clone(), because.message.clone()),
    }
}

/// Not suspended, and no outage. What is held needs a person, and is told of here in any case.
fn delivering(observed: &Observed, status: &ArchivingEndpointStatus) -> Finding {
    let held = held(status);
    if observed.endpoint.spec.suspend {
        return Finding::no(ConditionReason::Suspended, format!("{}{held}", ConditionReason::Suspended.sentence()));
    }
    let Some(outage) = status.retry.as_ref().filter(|retry| retry::is_outage(Some(retry))) else {
        let over = status.retry.as_ref().and_then(|retry| retry.last.as_ref()).map(over).unwrap_or_default();
        return Finding::yes(
            ConditionReason::NoOutage,
            format!("{}{over}{held}", ConditionReason::NoOutage.sentence()),
        );
    };
    let said = |time: &Option<Time>, words: &str| {
        time.as_ref().map(|time| format!("{words}{}", second(time))).unwrap_or_default()
    };
    let since = said(&outage.first_failure_at, " since ");
    let next = said(&outage.next_attempt_at, " The next attempt is at ");
    let next = if next.is_empty() { next } else { format!("{next}.") };
    let last = outage.log.last();
    let reason = last.and_then(|last| last.reason).map_or(ConditionReason::DeliveryFailed, ConditionReason::Failed);
    let what = match last {
        Some(last) => failure(last.stage, last.code, &last.message, reason.clone()),
        None => reason.sentence(),
    };
    let heals = match (&reason, last) {
        (ConditionReason::Failed(reason), Some(last)) => heals(*reason, last.code),
        _ => true,
    };
    let message =
        format!("Nothing could be delivered{since}: {} failed. {what}{next}{held}", counted(outage.attempt, "attempt"));
    Finding { heals, ..Finding::no(reason, message) }
}

/// The outage before, in a sentence after others.
fn over(last: &PastOutage) -> String {
    let (begin, end) = (second(&last.first_failure_at), second(&last.ended_at));
    format!(" The last outage was from {begin} to {end}: {} failed.", counted(last.attempts, "attempt"))
}

/// What is held, in a sentence after others; nothing when nothing is.
fn held(status: &ArchivingEndpointStatus) -> String {
    let rows = &status.archivers;
    let held: i64 = rows.iter().map(|row| row.held_batches).sum();
    let expired = expired(status);
    let mut said = String::new();
    if expired > 0 {
        let when = match retry::is_outage(status.retry.as_ref()) {
            true => "when the archive takes mail again",
            false => "to have them delivered",
        };
        said = format!(
            " Held, since the archive was away for longer than spec.retry.giveUpAfter: {}; {when}: kubectl exec \
             archiver-0 -- /archiver held release --reason Expired.",
            counted(expired, "batch")
        );
    }
    if held > expired {
        let (what, them) = if expired > 0 { ("Held for other reasons", "them all") } else { ("Held", "them") };
        said = format!(
            "{said} {what}: {}; to see {them}: kubectl exec archiver-0 -- /archiver held list.",
            counted(held - expired, "batch")
        );
    }
    said
}

fn expired(status: &ArchivingEndpointStatus) -> i64 {
    status.archivers.iter().map(|row| row.expired_batches).sum()
}

/// While the archive is away, and batches have waited for too long.
fn gave_up(observed: &Observed, status: &ArchivingEndpointStatus) -> Option<Progress> {
    let outage = retry::is_outage(status.retry.as_ref()) && !observed.endpoint.spec.suspend;
    let reason = ConditionReason::GaveUp;
    (outage && expired(status) > 0).then(|| Progress::Stalled { message: reason.sentence(), reason })
}

fn default(observed: &Observed, status: &ArchivingEndpointStatus) -> Finding {
    let wants = observed.endpoint.spec.default;
    let say = |reason: ConditionReason, sentence: String| {
        let message = reason.with(sentence);
        Finding::no(reason, message)
    };
    if status.default == Some(true) {
        let reason = if wants == Some(true) { ConditionReason::Requested } else { ConditionReason::Elected };
        return Finding::yes(reason.clone(), reason.sentence());
    }
    let elected = observed.archiver.as_ref().and_then(|archiver| archiver.status.as_ref()?.default_endpoint.as_ref());
    let not_eligible = |why: &str| Finding::no(ConditionReason::NotEligible, why);
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

fn progress(tested: &Finding, delivering: &Finding, gave_up: Option<Progress>) -> Progress {
    if let Some(gave_up) = gave_up {
        return gave_up;
    }
    let wrong = [tested, delivering].into_iter().filter(|verdict| verdict.status == Some(false));
    // Who suspends an endpoint waits for nothing.
    let wrong: Vec<&Finding> = wrong.filter(|verdict| verdict.reason != ConditionReason::Suspended).collect();
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
