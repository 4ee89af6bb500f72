//! Whose endpoint is which: assignments made into one table.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{Address, Conflict};

/// What is looked at of an assignment.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// The assignment's name.
    pub name: &'a str,
    /// When it was created: the oldest assignment that names a user wins.
    pub created_at: Timestamp,
    /// The endpoint that it names.
    pub endpoint: &'a str,
    /// The users that it names.
    pub users: &'a [Address],
}

/// Every named user, with the assignment that holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignments {
    holders: BTreeMap<Address, Holder>,
    /// How many users each endpoint has.
    users: BTreeMap<String, usize>,
}

/// Who holds a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The assignment.
    pub assignment: String,
    /// Its endpoint.
    pub endpoint: String,
}

impl Assignments {
    /// Gives each user to the oldest claim that names them, then to the first by name.
    pub fn resolve<'a>(claims: impl IntoIterator<Item = Claim<'a>>) -> Self {
        let mut claims: Vec<_> = claims.into_iter().collect();
        claims.sort_by_key(|claim| (claim.created_at, claim.name));
        let mut holders = BTreeMap::new();
        for claim in claims {
            for user in claim.users {
                holders.entry(user.clone()).or_insert_with(|| Holder {
                    assignment: claim.name.to_owned(),
                    endpoint: claim.endpoint.to_owned(),
                });
            }
        }
        let mut users = BTreeMap::new();
        for holder in holders.values() {
            match users.get_mut(&holder.endpoint) {
                Some(count) => *count += 1,
                None => _ = users.insert(holder.endpoint.clone(), 1),
            }
        }
        Self { holders, users }
    }

    /// The endpoint of `user`, when an assignment names them.
    pub fn endpoint(&self, user: &Address) -> Option<&str> {
        self.holders.get(user).map(|holder| holder.endpoint.as_str())
    }

    /// Those of `users`, which `assignment` names, that an older one holds.
    pub fn conflicts(&self, assignment: &str, users: &[Address]) -> Vec<Conflict> {
        let lost = |user: &Address| self.holders.get(user).filter(|holder| holder.assignment != assignment).cloned();
        users.iter().filter_map(|user| Some(Conflict { user: user.clone(), held_by: lost(user)?.assignment })).collect()
    }

    /// How many users are assigned to `endpoint`.
    pub fn users_of(&self, endpoint: &str) -> usize {
        self.users.get(endpoint).copied().unwrap_or_default()
    }

    /// How many users are assigned.
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    /// Whether nobody is assigned.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Address {
        Address::parse(&format!("{name}@acme.example")).expect("valid")
    }

    fn claim<'a>(name: &'a str, created: i64, endpoint: &'a str, users: &'a [Address]) -> Claim<'a> {
        Claim { name, created_at: Timestamp::from_second(created).expect("in range"), endpoint, users }
    }

    #[test]
    fn the_oldest_assignment_holds_a_user_and_the_younger_lists_the_conflict() {
        let (alice, bob) = (user("alice"), user("bob"));
        let (old, young) = ([alice.clone()], [alice.clone(), bob.clone()]);
        let table = Assignments::resolve([claim("young", 2, "b", &young), claim("old", 1, "a", &old)]);
        assert_eq!(table.endpoint(&alice), Some("a"));
        assert_eq!(table.endpoint(&bob), Some("b"));
        assert_eq!(table.conflicts("young", &young), [Conflict { user: alice, held_by: "old".into() }]);
        assert!(table.conflicts("old", &old).is_empty());
    }

    #[test]
    fn of_two_equally_old_assignments_the_first_by_name_holds() {
        let users = [user("alice")];
        let table = Assignments::resolve([claim("b", 1, "b", &users), claim("a", 1, "a", &users)]);
        assert_eq!(table.endpoint(&users[0]), Some("a"));
    }

    #[test]
    fn when_the_winner_goes_the_loser_is_promoted() {
        let users = [user("alice")];
        let table = Assignments::resolve([claim("young", 2, "b", &users)]);
        assert_eq!(table.endpoint(&users[0]), Some("b"));
    }
}
