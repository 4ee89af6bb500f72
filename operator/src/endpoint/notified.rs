//! The condition Notified: whether the administrators were told of what they are to be told.

use imarchive_crds::{ArchivingEndpointStatus, ConditionType, RetryStatus};

use super::{finding::Finding, observe::Observed};
use crate::status::ConditionReason;

/// The condition, when `status` is the rest of the new status; `None` while there is nothing to tell.
pub(super) fn finding(observed: &Observed, status: &ArchivingEndpointStatus) -> Option<Finding> {
    let retry = status.retry.as_ref()?;
    let failed = |reason: ConditionReason| Some(Finding::no(reason.clone(), reason.sentence()));
    match (has_news(retry), &observed.notices.trouble) {
        (false, None) if !was_told(retry) => None,
        (false, None) => Some(Finding::yes(ConditionReason::Told, ConditionReason::Told.sentence())),
        // Who may be asked for administrators does not speak now.
        (true, _) if observed.archiver.is_none() => as_it_was(observed),
        (true, _) if has_no_administrators(observed) => failed(ConditionReason::NoAdministrators),
        (true, _) if !observed.notices.relay => failed(ConditionReason::NoRelay),
        (_, Some(trouble)) => {
            let reason = ConditionReason::RelayFailed;
            Some(Finding::no(reason.clone(), reason.with(trouble)))
        }
        // It is being sent.
        (true, None) => as_it_was(observed),
    }
}

fn has_news(retry: &RetryStatus) -> bool {
    told(retry).any(|told| !told)
}

fn was_told(retry: &RetryStatus) -> bool {
    told(retry).any(|told| told)
}

/// Of all that there is to tell whether it was told.
fn told(retry: &RetryStatus) -> impl Iterator<Item = bool> {
    let attempts = retry.log.iter().map(|row| &row.notified_at);
    attempts.chain(retry.last.iter().map(|last| &last.notified_at)).map(Option::is_some)
}

fn has_no_administrators(observed: &Observed) -> bool {
    observed.archiver.as_ref().is_some_and(|archiver| archiver.spec.organization.administrators.is_empty())
}

/// What was published before, unless it speaks of what is mended since.
fn as_it_was(observed: &Observed) -> Option<Finding> {
    let conditions = &observed.status.conditions;
    let before = conditions.iter().find(|condition| condition.type_ == ConditionType::Notified.name())?;
    let of = |reason: ConditionReason| (before.reason == reason.to_string()).then_some(reason);
    let message = before.message.clone();
    match of(ConditionReason::Told) {
        Some(told) => Some(Finding::yes(told, message)),
        None => of(ConditionReason::RelayFailed).map(|failed| Finding::no(failed, message)),
    }
}
