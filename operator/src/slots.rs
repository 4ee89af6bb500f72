//! At most so many of something at once in the cluster, whether it is seen in the stores yet or not.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

/// How many probes run at once: a thousand endpoints of one archive must not knock together.
pub const PROBES: usize = 10;
/// How many archivers are replaced at once.
pub const REPLACEMENTS: usize = 5;
/// How long what a slot was claimed for may take to be seen.
const UNSEEN: Duration = Duration::from_secs(30);

/// What is seen of what slots were claimed for, by name: whether it still goes on.
pub type Seen = HashMap<String, bool>;

/// A number of slots, and those claims of one whose work was not seen yet.
#[derive(Debug)]
pub struct Slots {
    most: usize,
    claims: Mutex<HashMap<String, Timestamp>>,
}

impl Slots {
    /// As many as `most`, all free.
    pub fn new(most: usize) -> Self {
        Self { most, claims: Mutex::default() }
    }

    /// Claims a slot for `name`, if one is free.
    pub fn claim(&self, seen: &Seen, name: &str, now: Timestamp) -> bool {
        let mut claims = self.lock();
        claims.retain(|claimed, since| {
            let age = Duration::try_from(now.duration_since(*since)).unwrap_or_default();
            age < UNSEEN && !seen.contains_key(claimed)
        });
        let going_on = seen.values().filter(|going_on| **going_on).count();
        let free = claims.contains_key(name) || going_on + claims.len() < self.most;
        if free {
            claims.insert(name.to_owned(), now);
        }
        free
    }

    /// Whose slots are not free.
    pub fn held(&self, seen: &Seen) -> BTreeSet<String> {
        let going_on = seen.iter().filter(|(_, going_on)| **going_on).map(|(name, _)| name);
        going_on.chain(self.lock().keys()).cloned().collect()
    }

    /// Takes a slot for `name`, free or not, since it goes on without one.
    pub fn take(&self, name: &str, now: Timestamp) {
        self.lock().insert(name.to_owned(), now);
    }

    /// Gives back the slot of `name`, whose work did not begin.
    pub fn release(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn seen(going_on: usize, over: usize) -> Seen {
        (0..going_on + over).map(|number| (format!("seen {number}"), number < going_on)).collect()
    }

    #[test]
    fn no_more_than_there_are_slots_go_on_whether_seen_yet_or_not() {
        let slots = Slots::new(10);
        let claimed: Vec<bool> =
            (0..5).map(|number| slots.claim(&seen(7, 1), &format!("acme/{number}"), at(1))).collect();
        assert_eq!(claimed, [true, true, true, false, false]);
    }

    #[test]
    fn a_claim_ends_when_its_work_is_seen_or_never_comes() {
        let slots = Slots::new(2);
        assert!(slots.claim(&seen(1, 0), "a", at(1)));
        assert!(!slots.claim(&seen(1, 0), "b", at(2)));
        assert!(slots.claim(&seen(1, 0), "b", at(40)));
        let mut b_is_over = seen(1, 0);
        b_is_over.insert("b".to_owned(), false);
        assert!(slots.claim(&b_is_over, "c", at(41)));
    }

    #[test]
    fn what_was_claimed_can_be_claimed_again_and_given_back() {
        let slots = Slots::new(1);
        assert!(slots.claim(&seen(0, 0), "a", at(1)));
        assert!(slots.claim(&seen(0, 0), "a", at(2)));
        slots.release("a");
        assert!(slots.claim(&seen(0, 0), "b", at(3)));
    }

    #[test]
    fn what_goes_on_without_a_slot_leaves_one_less_for_others() {
        let slots = Slots::new(1);
        slots.take("a", at(1));
        assert!(!slots.claim(&seen(0, 0), "b", at(2)));
        assert_eq!(slots.held(&seen(1, 1)).into_iter().collect::<Vec<_>>(), ["a", "seen 0"]);
    }
}
