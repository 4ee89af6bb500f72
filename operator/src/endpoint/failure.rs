//! What failed in a session with an archive, in words: the stage, the server's reply, and what to do about it.

use imarchive_crds::{Reason, RetryLogRow, Stage};

use crate::status::{ConditionReason, quoted};

/// What to do about a reply of 4xx.
pub(super) const FOR_NOW: &str =
    "The server says so for now: it is tried again by itself. If it lasts, ask the archive.";

/// Whether time alone can heal it: by its nature, or because the server says "for now".
pub(super) fn heals(reason: Reason, code: Option<i32>) -> bool {
    reason.heals_by_itself() || is_for_now(code)
}

/// What happened, and what to do: nothing, when the server says "for now", whatever it is that it refuses.
pub(super) fn failure(stage: Stage, code: Option<i32>, message: &str, reason: ConditionReason) -> String {
    let words = said(stage, code, message);
    match is_for_now(code) {
        true => format!("{words}. {FOR_NOW}"),
        false => reason.with(format!("{words}.")),
    }
}

/// What happened at an attempt, without a full stop.
pub fn words(row: &RetryLogRow) -> String {
    said(row.stage, row.code, &row.message)
}

/// What to do about it, in whole sentences.
pub fn remedy(row: &RetryLogRow) -> String {
    let reason = row.reason.map_or(ConditionReason::DeliveryFailed, ConditionReason::Failed);
    let remedy = if is_for_now(row.code) { FOR_NOW } else { reason.remedy().unwrap_or_default() };
    remedy.to_owned()
}

fn is_for_now(code: Option<i32>) -> bool {
    code.is_some_and(|code| (400..500).contains(&code))
}

fn said(stage: Stage, code: Option<i32>, message: &str) -> String {
    let message = quoted(message);
    match code.map(|code| code.to_string()) {
        Some(code) if message.starts_with(&code) => format!("{stage}: {message}"),
        Some(code) => format!("{stage}: {code} {message}").trim_end().to_owned(),
        None if message.is_empty() => format!("{stage} failed"),
        None => format!("{stage}: {message}"),
    }
}
