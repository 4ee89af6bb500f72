//! Where a message goes: decided once, when it is taken.

use std::collections::BTreeSet;

use imarchive_crds::{Address, Domain, resolve::Assignments};

use crate::message::Message;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// None of its people is archived: it is acknowledged, and its content never touches the disk.
    Excluded,
    /// To these endpoints, once each. `None` stands for those of its people who have no endpoint yet: that copy waits
    /// until there is one.
    To(BTreeSet<Option<String>>),
}

/// What routing looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Whose addresses are the organization's users.
    pub domains: BTreeSet<Domain>,
    /// Which users belong to which endpoint.
    pub assignments: Assignments,
    /// The endpoints that exist.
    pub endpoints: BTreeSet<String>,
    /// The endpoint of users that no assignment names.
    pub default: Option<String>,
    /// Whether some resource cannot be read and has no earlier form: then nobody is known to be excluded.
    pub incomplete: bool,
}

impl Table {
    /// Looks up the sender and every recipient: the union of their endpoints.
    pub fn route(&self, message: &Message) -> Route {
        let people = std::iter::once(&message.sender).chain(&message.recipients);
        let endpoints: BTreeSet<_> = people.filter_map(|person| self.endpoint_of(&person.address)).collect();
        match (endpoints.is_empty(), self.incomplete) {
            (false, _) => Route::To(endpoints),
            (true, true) => Route::To(BTreeSet::from([None])),
            (true, false) => Route::Excluded,
        }
    }

    /// Whether `endpoint` is where `user`'s messages go.
    pub fn belongs(&self, user: &Address, endpoint: &str) -> bool {
        self.endpoint_of(user).flatten().as_deref() == Some(endpoint)
    }

    /// `None`: nobody that is archived. `Some(None)`: archived, at no endpoint yet.
    fn endpoint_of(&self, user: &Address) -> Option<Option<String>> {
        let assigned = self.assignments.endpoint(user);
        let ours = assigned.is_some() || self.domains.iter().any(|domain| domain.as_str() == user.domain());
        let endpoint = assigned.or(self.default.as_deref()).filter(|name| self.endpoints.contains(*name));
        ours.then(|| endpoint.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imarchive_crds::resolve::Claim;
    use serde_json::json;

    fn table() -> Table {
        let vip =
            [Address::parse("vip@acme.example").expect("valid"), Address::parse("lost@acme.example").expect("valid")];
        let claim = |name, endpoint, users| Claim { name, created_at: jiff::Timestamp::UNIX_EPOCH, endpoint, users };
        Table {
            domains: [Domain::parse("acme.example").expect("valid")].into(),
            assignments: Assignments::resolve([claim("a", "vault", &vip[..1]), claim("b", "gone", &vip[1..])]),
            endpoints: ["journal".to_owned(), "vault".to_owned()].into(),
            default: Some("journal".to_owned()),
            incomplete: false,
        }
    }

    fn between(people: &[&str]) -> Message {
        let person = |name: &&str| json!({"address": name});
        let message = json!({
            "source": "s", "id": "1", "kind": "message", "conversation": {"type": "room", "id": "r"},
            "sender": person(&people[0]), "recipients": people[1..].iter().map(person).collect::<Vec<_>>(),
            "sentAt": "2026-11-23T09:15:02.123Z", "text": "hello",
        });
        serde_json::from_value(message).expect("valid")
    }

    fn to(endpoints: &[Option<&str>]) -> Route {
        Route::To(endpoints.iter().map(|name| name.map(str::to_owned)).collect())
    }

    #[test]
    fn a_message_goes_to_the_union_of_its_peoples_endpoints_once_each() {
        let route = table().route(&between(&["VIP@acme.example", "bob@acme.example", "eve@acme.example"]));
        assert_eq!(route, to(&[Some("journal"), Some("vault")]));
    }

    #[test]
    fn a_message_among_strangers_is_excluded() {
        assert_eq!(table().route(&between(&["a@other.example", "b@sub.acme.example"])), Route::Excluded);
    }

    #[test]
    fn a_recipient_is_enough() {
        assert_eq!(table().route(&between(&["a@other.example", "bob@acme.example"])), to(&[Some("journal")]));
    }

    #[test]
    fn without_a_default_it_waits_unrouted() {
        let table = Table { default: None, ..table() };
        assert_eq!(table.route(&between(&["bob@acme.example"])), to(&[None]));
    }

    #[test]
    fn an_assignment_to_an_endpoint_that_does_not_exist_waits_unrouted() {
        assert_eq!(table().route(&between(&["lost@acme.example"])), to(&[None]));
    }

    #[test]
    fn while_a_resource_is_unreadable_nobody_is_excluded() {
        let table = Table { incomplete: true, ..table() };
        assert_eq!(table.route(&between(&["a@other.example"])), to(&[None]));
    }
}
