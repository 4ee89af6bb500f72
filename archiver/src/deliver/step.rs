//! Whether a courier may deliver now: decided from what is known, and the time.

use std::time::Duration;

use imarchive_crds::ladder;
use jiff::Timestamp;

use crate::{directory::Endpoint, spool::outage::Record};

/// Whether a courier may deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Not until the resources change.
    Rest,
    /// Not for so long.
    Wait(Duration),
    /// It may.
    Deliver,
}

/// What is to be done for `endpoint`. `fresh`: its connection is another than the one that failed.
pub(super) fn decide(endpoint: &Endpoint, record: &Record, fresh: bool, now: Timestamp) -> Step {
    if endpoint.accepted.is_none() || endpoint.suspend {
        return Step::Rest;
    }
    let Some(outage) = record.outage.as_ref().filter(|_| !fresh) else { return Step::Deliver };
    let next_at = ladder::next_attempt_at(&endpoint.retry, outage, &endpoint.uid, now);
    match Duration::try_from(next_at.duration_since(now)) {
        Ok(wait) if !wait.is_zero() => Step::Wait(wait),
        _ => Step::Deliver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::AcceptedServer;
    use imarchive_crds::{Address, Batching, Domain, FromHeader, Retry, Server, Tls, ladder::Outage};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn endpoint() -> Endpoint {
        let address = Address::parse("archive@acme.example").expect("valid");
        let server = Server {
            host: Domain::parse("journal.archive.example").expect("valid"),
            port: 587,
            tls: Tls::StartTLS,
            start_tls_port: None,
            from: address.clone(),
            from_header: FromHeader::Participant,
            recipients: vec![address],
            credentials: None,
            message_type: None,
        };
        Endpoint {
            name: "journal".into(),
            uid: "uid".into(),
            accepted: Some(AcceptedServer { generation: Some(1), fingerprint: "f".into(), server, asked: None }),
            suspend: false,
            batching: Batching::default(),
            retry: Retry::default(),
            delivery: Default::default(),
            published: None,
            secrets: Default::default(),
        }
    }

    fn failing() -> Record {
        Record { number: 1, outage: Some(Outage::failed(None, at(1000))), ..Record::default() }
    }

    #[test]
    fn a_batch_is_delivered_at_once_while_all_is_well() {
        assert_eq!(decide(&endpoint(), &Record::default(), false, at(0)), Step::Deliver);
    }

    #[test]
    fn a_failure_waits_for_the_rung_and_is_then_tried_again() {
        let Step::Wait(wait) = decide(&endpoint(), &failing(), false, at(1000)) else { panic!("no wait") };
        assert!(wait >= Duration::from_secs(3600) && wait <= Duration::from_secs(3780), "{wait:?}");
        assert_eq!(decide(&endpoint(), &failing(), false, at(1000 + 3780)), Step::Deliver);
    }

    #[test]
    fn another_connection_is_tried_at_once() {
        assert_eq!(decide(&endpoint(), &failing(), true, at(1000)), Step::Deliver);
    }

    #[test]
    fn nothing_is_tried_while_suspended_or_before_a_connection_was_accepted() {
        let suspended = Endpoint { suspend: true, ..endpoint() };
        let untested = Endpoint { accepted: None, ..endpoint() };
        for endpoint in [suspended, untested] {
            assert_eq!(decide(&endpoint, &Record::default(), false, at(0)), Step::Rest);
        }
    }
}
