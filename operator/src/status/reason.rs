//! The vocabulary of condition reasons: one word for each, what it means, and what to do about it.
//!
//! `docs/conditions.md` is made of it, and so are the messages. The reasons of tests and failed deliveries are
//! [`imarchive_crds::Reason`]; the words that Kubernetes has for pods pass through.

use std::fmt;

use imarchive_crds::Reason;

/// The kinds that a reason is used by.
pub const ARCHIVER: &str = "Archiver";
/// See [`ARCHIVER`].
pub const ENDPOINT: &str = "ArchivingEndpoint";
/// See [`ARCHIVER`].
pub const ASSIGNMENT: &str = "UserAssignment";

macro_rules! vocabulary {
    ($($(#[doc = $meaning:literal])+ $name:ident of $($kind:ident),+ => $remedy:literal;)*) => {
        /// Why a condition is as it is.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum ConditionReason {
            $($(#[doc = $meaning])+ $name,)*
            /// Why a test or a delivery failed.
            Failed(Reason),
            /// Why a pod does not run, in Kubernetes' word.
            Kubernetes(String),
        }

        impl ConditionReason {
            /// Those that are the operator's own, in the order in which they are explained.
            pub const OWN: &[Self] = &[$(Self::$name),*];

            /// What it means, in whole sentences. Of what others say, [`imarchive_crds`] and Kubernetes know it.
            pub fn meaning(&self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($meaning),+).trim_ascii(),)*
                    Self::Failed(_) => "A stage of the test, or of a delivery, failed.",
                    Self::Kubernetes(word) => known(word).map_or("The pod does not run.", |known| known.1),
                }
            }

            /// What to do about it, in whole sentences; `None` when there is nothing to do.
            pub fn remedy(&self) -> Option<&'static str> {
                let remedy = match self {
                    $(Self::$name => $remedy,)*
                    Self::Failed(reason) => reason.remedy(),
                    Self::Kubernetes(word) => known(word).map_or(LOOK_AT_THE_POD, |known| known.2),
                };
                Some(remedy).filter(|remedy| !remedy.is_empty())
            }

            /// The kinds that use it.
            pub fn kinds(&self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &[$($kind),+],)*
                    Self::Failed(_) => &[ENDPOINT],
                    Self::Kubernetes(_) => &[ARCHIVER],
                }
            }
        }

        impl fmt::Display for ConditionReason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => f.write_str(stringify!($name)),)*
                    Self::Failed(reason) => reason.fmt(f),
                    Self::Kubernetes(word) => f.write_str(word),
                }
            }
        }
    };
}

vocabulary! {
    /// The object is on its way to what its spec asks for.
    Progressing of ARCHIVER, ENDPOINT => "";
    /// Something failed that may heal by itself, and is tried again.
    ProgressingWithRetry of ARCHIVER, ENDPOINT => "Read the message: it says what failed.";
    /// The object cannot be read: the schema let through what is no address, for example.
    Invalid of ARCHIVER, ENDPOINT, ASSIGNMENT => "Correct it; until then, what was published before stays.";

    /// Messages are taken.
    PodReady of ARCHIVER => "";
    /// The pod is about to be replaced by its new form.
    RollingOut of ARCHIVER => "";
    /// The pod starts, or is not ready.
    PodNotReady of ARCHIVER => "If it lasts: kubectl logs archiver-0.";
    /// The pod ends what it is doing; its successor follows.
    PodTerminating of ARCHIVER => "";
    /// The StatefulSet has made no pod yet.
    PodMissing of ARCHIVER => "If it lasts: kubectl describe statefulset archiver.";
    /// Paused by spec.paused: nothing is taken and nothing delivered; the spool is kept.
    CommandedOutOfService of ARCHIVER => "";
    /// A new version of imarchive is installed, and as many archivers as may be replaced at once are being replaced.
    UpgradePending of ARCHIVER => "If it lasts, one of them does not become ready: kubectl get archivers -A -o wide. \
        Mend it, or pause it.";
    /// The archiver does not know its arguments: the operator and its image are of different versions.
    UsageRefused of ARCHIVER => "Give the chart an image of its own version.";
    /// The spool is unusable, or was written by a newer version.
    SpoolUnusable of ARCHIVER => "After a downgrade, install the newer version again; else pause it, and run archiver \
        spool fsck over the claim spool.";
    /// The disk failed while messages were written; the archiver recovers at its start.
    CommitFailed of ARCHIVER => "If it lasts, look at the volume.";
    /// The volume is full or fails, so that messages cannot be made durable: none is taken, and the chat systems are told
    /// to keep theirs. What was taken is kept, and goes on being delivered.
    NotDurable of ARCHIVER => "Grow spec.storage.size; if the volume is not full, look at it: kubectl describe pvc spool. \
        Messages are taken again by themselves.";
    /// The archiver needs more memory than spec.resources gives it.
    OOMKilled of ARCHIVER => "Raise spec.resources.limits.memory.";
    /// The archiver ended unexpectedly, and is started again.
    Crashed of ARCHIVER => "If it lasts: kubectl logs archiver-0 --previous.";
    /// The API server, a quota or an admission policy refused a part of what the archiver is made of.
    ApplyRefused of ARCHIVER => "Mend what refused it; it is tried again every minute.";

    /// This connection was not tested yet.
    NotTested of ENDPOINT => "";
    /// Every stage of the last test passed.
    TestPassed of ENDPOINT => "";
    /// Mail is delivered by this connection.
    ConnectionAccepted of ENDPOINT => "";
    /// Mail is delivered by the connection that passed its test last, until the present one passes.
    PreviousConnectionInUse of ENDPOINT => "See Tested for why it does not.";
    /// No connection of this endpoint has passed a test yet; its mail waits.
    NotAccepted of ENDPOINT => "See Tested for why.";
    /// No delivery fails.
    NoOutage of ENDPOINT => "";
    /// Suspended by spec.suspend: messages are kept, and the time to give up stands still.
    Suspended of ENDPOINT => "";
    /// A delivery failed, and the archiver said no more about it.
    DeliveryFailed of ENDPOINT => "Look at the archiver's log: kubectl logs archiver-0.";
    /// Batches waited for longer than spec.retry.giveUpAfter. They are held for a person; nothing is deleted, new messages
    /// go on being kept, and the archive goes on being tried.
    GaveUp of ENDPOINT => "Mend what keeps the archive away, or ask it. When it takes mail again, release what is held: \
        kubectl exec archiver-0 -- /archiver held release --reason Expired.";
    /// The administrators were mailed of all that there was to tell: each failed attempt, and the end of an outage.
    Told of ENDPOINT => "";
    /// The relay did not take a mail to the administrators. It is tried again by itself, at least every quarter of an hour,
    /// and then tells of all that they were not mailed about; deliveries go on meanwhile.
    RelayFailed of ENDPOINT => "Look at the relay, and at the values notify.* of the chart; a refused address stands in \
        spec.organization.administrators of the Archiver.";
    /// There is something to tell the administrators, and no relay to mail them by.
    NoRelay of ENDPOINT => "Set notify.host and notify.from of the chart.";
    /// There is something to tell, and nobody to be told.
    NoAdministrators of ENDPOINT => "Name them in spec.organization.administrators of the Archiver.";
    /// Users named nowhere belong here, as spec.default asks.
    Requested of ENDPOINT => "";
    /// Users named nowhere belong here, since no endpoint asks for them.
    Elected of ENDPOINT => "";
    /// The endpoint does not ask to be the default.
    NotRequested of ENDPOINT => "To make it the default, set spec.default to true.";
    /// The endpoint asks to be the default, and cannot be yet.
    NotEligible of ENDPOINT => "Read the message: it says what is missing.";
    /// Another endpoint asked later, and is the default.
    Superseded of ENDPOINT => "To take it back, set spec.default to false and then to true.";

    /// Every user is held here, and the endpoint exists.
    Assigned of ASSIGNMENT => "";
    /// Every user is held here.
    UsersHeld of ASSIGNMENT => "";
    /// Older assignments hold some of the users.
    Conflict of ASSIGNMENT => "Remove them here or there.";
    /// The endpoint exists.
    EndpointFound of ASSIGNMENT => "";
    /// The endpoint does not exist: messages of these users are kept, unrouted, until it does.
    EndpointNotFound of ASSIGNMENT => "Create it, or correct spec.endpointRef.name.";
}

const LOOK_AT_THE_POD: &str = "Look at its events: kubectl describe pod archiver-0.";

/// The words of Kubernetes that are met most, with what they mean and what to do.
pub const KUBERNETES: &[(&str, &str, &str)] = &[
    (
        "Unschedulable",
        "No node takes the pod.",
        "Give it room, or correct spec.nodeSelector, tolerations or affinity; a claim that is not bound needs a volume: \
         kubectl describe pvc spool.",
    ),
    (
        "ImagePullBackOff",
        "The image cannot be pulled.",
        "Check image.repository and image.tag of the chart, and spec.imagePullSecrets.",
    ),
    ("InvalidImageName", "The image's name is none.", "Correct image.repository and image.tag of the chart."),
    (
        "ErrImageNeverPull",
        "The image is not on the node, and image.pullPolicy forbids to pull it.",
        "Load it there, or change image.pullPolicy of the chart.",
    ),
    (
        "CreateContainerConfigError",
        "Something that the container is configured with is missing.",
        "Create what the message names.",
    ),
    ("CreateContainerError", "The node's container runtime refused the container.", LOOK_AT_THE_POD),
    ("RunContainerError", "The node's container runtime could not start the container.", LOOK_AT_THE_POD),
    ("CrashLoopBackOff", "The container ended again and again.", "Read its words: kubectl logs archiver-0 --previous."),
];

fn known(word: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    KUBERNETES.iter().find(|(known, _, _)| *known == word)
}

impl From<Reason> for ConditionReason {
    fn from(reason: Reason) -> Self {
        Self::Failed(reason)
    }
}

impl ConditionReason {
    /// The word of Kubernetes, if it is one that a condition may have.
    pub fn of_kubernetes(word: &str) -> Self {
        let camel = word.starts_with(|c: char| c.is_ascii_uppercase()) && word.len() <= 128;
        match camel && word.chars().all(|c| c.is_ascii_alphanumeric()) {
            true => Self::Kubernetes(word.to_owned()),
            false => Self::PodNotReady,
        }
    }

    /// What it means, and what to do.
    pub fn sentence(&self) -> String {
        self.with(self.meaning())
    }

    /// What to do, after `sentence`, which says what happened.
    pub fn with(&self, sentence: impl Into<String>) -> String {
        let mut sentence = sentence.into();
        if let Some(remedy) = self.remedy() {
            sentence.push(' ');
            sentence.push_str(remedy);
        }
        sentence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sentence(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_uppercase()) && text.ends_with('.') && !text.contains("  ")
    }

    #[test]
    fn every_reason_is_one_upper_camel_case_word_with_a_sentence() {
        for reason in ConditionReason::OWN {
            assert!(matches!(ConditionReason::of_kubernetes(&reason.to_string()), ConditionReason::Kubernetes(_)));
            assert!(is_sentence(reason.meaning()), "{reason}: {}", reason.meaning());
            assert!(reason.remedy().is_none_or(is_sentence), "{reason}: {:?}", reason.remedy());
        }
        for (word, meaning, remedy) in KUBERNETES {
            assert!(is_sentence(meaning) && is_sentence(remedy), "{word}");
        }
    }

    #[test]
    fn what_is_no_word_of_kubernetes_is_not_passed_on() {
        assert_eq!(ConditionReason::of_kubernetes("Evicted").to_string(), "Evicted");
        for wrong in ["", "evicted", "No such thing", "A\nB"] {
            assert_eq!(ConditionReason::of_kubernetes(wrong), ConditionReason::PodNotReady);
        }
    }
}
