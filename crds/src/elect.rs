//! Which endpoint is the default: the one of users that no assignment names.

use jiff::Timestamp;

/// What an election looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The endpoint's name.
    pub name: &'a str,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether a connection of it was ever accepted, whatever its conditions say now.
    pub accepted: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// `spec.default`.
    pub wants: Option<bool>,
    /// `status.defaultRequestedAt`.
    pub requested_at: Option<Timestamp>,
}

impl Candidate<'_> {
    fn eligible(&self) -> bool {
        self.accepted && !self.deleting && self.wants != Some(false)
    }

    fn request(&self) -> Option<Timestamp> {
        self.requested_at.filter(|_| self.wants == Some(true))
    }
}

/// The default among `candidates`, when `sitting` was it until now.
///
/// The latest request wins, as with a radio button; on a tie, or without requests, the sitting default stays; else it is
/// the oldest, then the first by name. Ready and Delivering do not matter: an outage never moves the default.
pub fn elect<'a>(candidates: &[Candidate<'a>], sitting: Option<&str>) -> Option<&'a str> {
    let latest = candidates.iter().filter(|candidate| candidate.eligible()).map(Candidate::request).max()?;
    candidates
        .iter()
        .filter(|candidate| candidate.eligible() && candidate.request() == latest)
        .min_by_key(|candidate| (sitting != Some(candidate.name), candidate.created_at, candidate.name))
        .map(|candidate| candidate.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn candidate(name: &str, created: i64) -> Candidate<'_> {
        Candidate { name, created_at: at(created), accepted: true, deleting: false, wants: None, requested_at: None }
    }

    fn wanting(name: &str, created: i64, requested: i64) -> Candidate<'_> {
        Candidate { wants: Some(true), requested_at: Some(at(requested)), ..candidate(name, created) }
    }

    #[test]
    fn the_sole_accepted_endpoint_is_the_default() {
        let other = Candidate { accepted: false, ..wanting("b", 1, 5) };
        assert_eq!(elect(&[candidate("a", 2), other], None), Some("a"));
    }

    #[test]
    fn the_latest_request_wins_over_the_sitting_default() {
        assert_eq!(elect(&[wanting("a", 1, 5), wanting("b", 2, 6)], Some("a")), Some("b"));
    }

    #[test]
    fn a_tie_leaves_the_sitting_default() {
        assert_eq!(elect(&[wanting("a", 1, 5), wanting("b", 2, 5)], Some("b")), Some("b"));
    }

    #[test]
    fn without_requests_the_sitting_default_stays_and_else_the_oldest_is_taken() {
        assert_eq!(elect(&[candidate("a", 1), candidate("b", 2)], Some("b")), Some("b"));
        assert_eq!(elect(&[candidate("b", 1), candidate("a", 1)], None), Some("a"));
    }

    #[test]
    fn what_is_refused_deleted_or_never_accepted_is_not_elected() {
        let refused = Candidate { wants: Some(false), ..candidate("a", 1) };
        let deleting = Candidate { deleting: true, ..candidate("b", 1) };
        let untested = Candidate { accepted: false, ..candidate("c", 1) };
        assert_eq!(elect(&[refused, deleting, untested], Some("a")), None);
    }
}
