//! What can go wrong in a reconcile: what happened, to which object, what to do.

use crate::api::TIMEOUT;

/// Why a reconcile failed. It is tried again; the name of the variant is a label of the metrics.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time.
    #[error("{call}: the API server did not answer within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// What was asked for.
        call: String,
    },
    /// The object changed between the decision and the write.
    #[error("{call}: the object changed meanwhile, and is decided anew")]
    Conflict {
        /// What was asked for.
        call: String,
    },
    /// There is one of that name.
    #[error("{call}: there is one of that name already")]
    Exists {
        /// What was asked for.
        call: String,
    },
    /// Not allowed.
    #[error("{call}: {message}; if it is the operator's rights, look at the ClusterRole imarchive-operator")]
    Forbidden {
        /// What was asked for.
        call: String,
        /// The server's words.
        message: String,
    },
    /// Refused for what the object says.
    #[error("{call}: {message}")]
    Refused {
        /// What was asked for.
        call: String,
        /// The server's words.
        message: String,
    },
    /// The connection failed, or the answer makes no sense.
    #[error("{call}: {source}")]
    Unreachable {
        /// What was asked for.
        call: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// An object cannot be written as JSON or YAML.
    #[error("{what} cannot be written: {message}")]
    Encode {
        /// What.
        what: String,
        /// Why.
        message: String,
    },
}

impl Error {
    /// The label of the metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "Timeout",
            Self::Conflict { .. } => "Conflict",
            Self::Exists { .. } => "Exists",
            Self::Forbidden { .. } => "Forbidden",
            Self::Refused { .. } => "Refused",
            Self::Unreachable { .. } => "Unreachable",
            Self::Encode { .. } => "Encode",
        }
    }

    /// Whether the server understood the call and said no, so that only another object, or a person, changes the answer.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::Refused { .. })
    }

    /// What the API server, or the way to it, answered to `call`.
    pub fn of(call: String, source: kube::Error) -> Self {
        match source {
            kube::Error::Api(status) if status.is_already_exists() => Self::Exists { call },
            kube::Error::Api(status) if status.is_conflict() => Self::Conflict { call },
            kube::Error::Api(status) if status.is_forbidden() => Self::Forbidden { call, message: status.message },
            kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
                Self::Refused { call, message: status.message }
            }
            source => Self::Unreachable { call, source: Box::new(source) },
        }
    }
}
