//! What can go wrong in a reconcile: what happened, to which object, what to do.

use std::time::Duration;

use kube::core::Status;

/// The longest that a call may take.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a reconcile failed. It is tried again; the name of the variant is a label of the metrics.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time.
    #[error("{call}: the API server did not answer within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// What was asked for.
        call: String,
    },
    /// The Lease was not renewed, so that another replica may lead.
    #[error("{call}: not sent, since this replica does not lead any more")]
    NotLeading {
        /// What was to be asked for.
        call: String,
    },
    /// The object changed between the decision and the write.
    #[error("{call}: the object changed meanwhile, and is decided anew")]
    Conflict {
        /// What was asked for.
        call: String,
    },
    /// There is none of that name any more.
    #[error("{call}: it is gone")]
    Gone {
        /// What was asked for.
        call: String,
    },
    /// Its namespace is being deleted, so that nothing can be created there.
    #[error("{call}: its namespace is being deleted")]
    Terminating {
        /// What was asked for.
        call: String,
    },
    /// There is one of that name.
    #[error("{call}: there is one of that name already")]
    Exists {
        /// What was asked for.
        call: String,
    },
    /// A right is missing.
    #[error("{call}: {message}; look at the rights of the ServiceAccount imarchive-operator")]
    Forbidden {
        /// What was asked for.
        call: String,
        /// The server's words.
        message: String,
    },
    /// Refused for what the object says, by the API server or by an admission policy.
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
            Self::NotLeading { .. } => "NotLeading",
            Self::Conflict { .. } => "Conflict",
            Self::Gone { .. } => "Gone",
            Self::Terminating { .. } => "Terminating",
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
            kube::Error::Api(status) if status.is_not_found() => Self::Gone { call },
            kube::Error::Api(status) if is_terminating(&status) => Self::Terminating { call },
            // Quotas and admission policies say Forbidden too; only missing rights are told as a user who cannot.
            kube::Error::Api(status) if status.is_forbidden() && status.message.contains(" cannot ") => {
                Self::Forbidden { call, message: status.message }
            }
            kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
                Self::Refused { call, message: status.message }
            }
            source => Self::Unreachable { call, source: Box::new(source) },
        }
    }
}

fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_forbidden() && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: u16, reason: &str, message: &str) -> &'static str {
        let status = Status::failure(message, reason).with_code(code);
        Error::of("apply".to_owned(), kube::Error::Api(status.boxed())).reason()
    }

    #[test]
    fn a_name_that_is_taken_is_told_from_an_object_that_changed() {
        assert_eq!(reason(409, "AlreadyExists", "x"), "Exists");
        assert_eq!(reason(409, "Conflict", "x"), "Conflict");
    }

    #[test]
    fn a_missing_right_is_told_from_an_admission_policy() {
        let right = "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group";
        assert_eq!(reason(403, "Forbidden", right), "Forbidden");
        assert_eq!(reason(403, "Forbidden", "exceeded quota"), "Refused");
    }

    #[test]
    fn a_namespace_that_is_being_deleted_refuses_nothing_that_anybody_should_mend() {
        let status: Status = serde_json::from_value(serde_json::json!({
            "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "jobs.batch \"a\" is forbidden: unable to create new content in namespace acme because it is being \
                        terminated",
            "details": {"causes": [{"reason": "NamespaceTerminating", "message": "namespace acme is being terminated"}]}
        }))
        .expect("a status");
        let error = Error::of("create".to_owned(), kube::Error::Api(status.boxed()));
        assert_eq!((error.reason(), error.is_refusal()), ("Terminating", false));
    }

    #[test]
    fn a_busy_server_is_no_refusal() {
        assert_eq!(reason(429, "TooManyRequests", "x"), "Unreachable");
        assert_eq!(reason(404, "NotFound", "x"), "Gone");
    }
}
