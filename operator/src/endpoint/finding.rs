//! What was found of one condition, before it is placed among those of before.

use imarchive_crds::Reason;

use crate::status::ConditionReason;

/// The state of one condition.
pub(super) struct Finding {
    /// `None` while nothing is known.
    pub status: Option<bool>,
    /// One word.
    pub reason: ConditionReason,
    /// What happened, and what to do.
    pub message: String,
    /// Whether, when False, time alone can heal it.
    pub heals: bool,
}

impl Finding {
    pub fn yes(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self { status: Some(true), reason, message: message.into(), heals: true }
    }

    pub fn no(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self { status: Some(false), reason, message: message.into(), heals: true }
    }

    pub fn failed(reason: Reason, message: String, heals: bool) -> Self {
        Self { heals, ..Self::no(reason.into(), message) }
    }

    pub fn is_true(&self) -> bool {
        self.status == Some(true)
    }
}
