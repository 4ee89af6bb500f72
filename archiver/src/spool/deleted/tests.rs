use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    route::Route,
    spool::{
        append::append,
        batch,
        books::{Books, State, recount},
        lookup::{Whereabouts, lookup},
        samples::{self, entry, spool},
        tries,
    },
};

const ENDPOINTS: [&str; 2] = ["journal", "vault"];

fn take(connection: &Connection, id: usize, endpoints: &[Option<&str>]) {
    let route = Route::To(endpoints.iter().map(|name| name.map(str::to_owned)).collect());
    append(connection, &[entry(id, route)], Timestamp::UNIX_EPOCH).expect("stored");
}

/// Seals what waits for `endpoint` in no batch.
fn seal(connection: &Connection, endpoint: &str) {
    let members = copies(connection, endpoint, Turn::Hold, 0).expect("readable");
    samples::seal(connection, endpoint, members, Timestamp::UNIX_EPOCH);
}

fn next(connection: &Connection, endpoint: &str) -> Option<i64> {
    tries::due(connection, endpoint, Timestamp::UNIX_EPOCH, 1).expect("readable").first().copied()
}

/// All steps, and how many there were.
fn turn_all(connection: &Connection, endpoint: &str, turn: Turn) -> usize {
    let (mut steps, mut next) = (0, Some(0));
    while let Some(after) = next {
        next = step(connection, endpoint, turn, after).expect("written").next;
        steps += 1;
        check(connection);
    }
    steps
}

fn check(connection: &Connection) -> Books {
    let books = Books::read(connection).expect("readable");
    assert!(books.balance(), "{books:?}");
    assert_eq!(books, recount(connection).expect("readable"), "the totals are those of the rows");
    books
}

fn find(connection: &Connection, id: usize) -> Whereabouts {
    lookup(connection, "s", &id.to_string()).expect("readable").expect("known")
}

#[test]
fn what_is_sealed_and_what_is_not_is_held_and_released_as_it_was() {
    let connection = spool();
    take(&connection, 1, &[Some("journal")]);
    seal(&connection, "journal");
    take(&connection, 2, &[Some("journal"), Some("vault")]);
    turn_all(&connection, "journal", Turn::Hold);
    for id in [1, 2] {
        let found = find(&connection, id);
        assert_eq!((found.state, found.copies[0].reason.as_deref()), (State::Held, Some(ENDPOINT_DELETED)));
    }
    assert_eq!(find(&connection, 2).copies[1].state, State::Waiting, "the vault is there");
    assert_eq!(next(&connection, "journal"), None);
    turn_all(&connection, "journal", Turn::Release);
    assert_eq!(check(&connection).waiting, 2);
    assert_eq!(find(&connection, 1).copies[0].batch.as_deref(), Some("journal-1"));
    assert_eq!(find(&connection, 2).copies[0].reason, None);
}

#[test]
fn what_a_person_must_look_at_for_another_reason_is_not_released() {
    let connection = spool();
    take(&connection, 1, &[Some("journal")]);
    seal(&connection, "journal");
    batch::hold(&connection, 1, "damaged: it is").expect("held");
    turn_all(&connection, "journal", Turn::Hold);
    turn_all(&connection, "journal", Turn::Release);
    let found = find(&connection, 1);
    assert_eq!((found.state, found.copies[0].reason.as_deref()), (State::Held, Some("damaged: it is")));
}

#[test]
fn the_outcome_of_a_mail_that_was_being_sent_counts_although_it_is_held() {
    let connection = spool();
    for id in [1, 2] {
        take(&connection, id, &[Some("journal")]);
        seal(&connection, "journal");
    }
    turn_all(&connection, "journal", Turn::Hold);
    batch::delivered(&connection, 1, "250 taken", Timestamp::UNIX_EPOCH).expect("written");
    tries::failed(&connection, 2, "Connect: ConnectRefused", false).expect("written");
    assert_eq!((check(&connection).delivered, check(&connection).held), (1, 1));
    assert_eq!(find(&connection, 2).copies[0].reason.as_deref(), Some(ENDPOINT_DELETED));
    turn_all(&connection, "journal", Turn::Release);
    assert_eq!((check(&connection).delivered, next(&connection, "journal")), (1, Some(2)));
}

#[test]
fn a_message_of_which_a_copy_is_held_is_not_among_the_unrouted() {
    let connection = spool();
    take(&connection, 1, &[None, Some("journal")]);
    assert_eq!(check(&connection).unrouted, 1);
    turn_all(&connection, "journal", Turn::Hold);
    assert_eq!((check(&connection).unrouted, check(&connection).held), (0, 1));
}

#[test]
fn an_unrouted_copy_that_goes_where_its_message_is_delivered_already_changes_the_books() {
    let connection = spool();
    take(&connection, 1, &[None, Some("journal")]);
    seal(&connection, "journal");
    batch::delivered(&connection, 1, "250 taken", Timestamp::UNIX_EPOCH).expect("written");
    batch::reroute(&connection, 1, &["journal".to_owned()]).expect("written");
    assert_eq!(check(&connection).delivered, 1);
}

#[test]
fn much_mail_is_moved_in_steps() {
    let connection = spool();
    for id in 0..BATCHES as usize + 1 {
        take(&connection, id, &[Some("journal")]);
        seal(&connection, "journal");
    }
    for id in 1_000..1_000 + COPIES as usize + 1 {
        take(&connection, id, &[Some("journal")]);
    }
    for turn in [Turn::Hold, Turn::Release] {
        assert_eq!(turn_all(&connection, "journal", turn), 4, "two of batches, two of copies");
    }
    assert_eq!(check(&connection).waiting, BATCHES + COPIES + 2);
}

#[test]
fn a_batch_that_cannot_say_what_is_in_it_is_moved_all_the_same() {
    let connection = spool();
    take(&connection, 1, &[Some("journal")]);
    seal(&connection, "journal");
    connection.execute("UPDATE batch SET members = '[1'", []).expect("damaged");
    turn_all(&connection, "journal", Turn::Hold);
    assert_eq!(check(&connection).held, 1);
}

#[test]
fn only_names_with_something_to_do_are_named() {
    let connection = spool();
    take(&connection, 1, &[None, Some("journal"), Some("vault")]);
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let both = Names { waiting: named(&["journal", "vault"]), held: named(&[]) };
    assert_eq!(names(&connection).expect("readable"), both);
    turn_all(&connection, "journal", Turn::Hold);
    seal(&connection, "vault");
    let one = Names { waiting: named(&["vault"]), held: named(&["journal"]) };
    assert_eq!(names(&connection).expect("readable"), one);
    batch::delivered(&connection, 1, "250 taken", Timestamp::UNIX_EPOCH).expect("written");
    turn_all(&connection, "journal", Turn::Release);
    assert_eq!(names(&connection).expect("readable").waiting, named(&["journal"]));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Take { journal: bool, vault: bool, unrouted: bool },
    Seal(usize),
    Deliver(usize),
    Fail(usize),
    Damage(usize),
    Turn(usize, bool),
    Reroute(i64),
}

fn op() -> impl Strategy<Value = Op> {
    let endpoint = || 0..ENDPOINTS.len();
    prop_oneof![
        3 => any::<(bool, bool, bool)>().prop_map(|(journal, vault, unrouted)| Op::Take { journal, vault, unrouted }),
        2 => endpoint().prop_map(Op::Seal),
        2 => endpoint().prop_map(Op::Deliver),
        1 => endpoint().prop_map(Op::Fail),
        1 => endpoint().prop_map(Op::Damage),
        2 => (endpoint(), any::<bool>()).prop_map(|(endpoint, hold)| Op::Turn(endpoint, hold)),
        1 => (1i64..20).prop_map(Op::Reroute),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_between_two_steps_the_totals_are_those_of_the_rows(ops in prop::collection::vec(op(), 1..60)) {
        let connection = spool();
        // What a courier is sending: it was waiting when that began.
        let mut sending = [None; 2];
        for (id, op) in ops.into_iter().enumerate() {
            match op {
                Op::Take { journal, vault, unrouted } => {
                    let to = [(journal, Some("journal")), (vault, Some("vault")), (unrouted || !(journal || vault), None)];
                    take(&connection, id, &to.into_iter().filter_map(|(goes, to)| goes.then_some(to)).collect::<Vec<_>>());
                }
                Op::Seal(endpoint) => seal(&connection, ENDPOINTS[endpoint]),
                Op::Deliver(endpoint) => {
                    if let Some(batch) = sending[endpoint].take() {
                        batch::delivered(&connection, batch, "250 taken", Timestamp::UNIX_EPOCH).expect("written");
                    }
                    sending[endpoint] = next(&connection, ENDPOINTS[endpoint]);
                }
                Op::Fail(endpoint) => {
                    if let Some(batch) = sending[endpoint].take() {
                        tries::failed(&connection, batch, "Connect: ConnectRefused", false).expect("written");
                    }
                }
                Op::Damage(endpoint) => {
                    if let Some(batch) = sending[endpoint].take() {
                        batch::hold(&connection, batch, "damaged: it is").expect("written");
                    }
                }
                Op::Turn(endpoint, hold) => {
                    let turn = if hold { Turn::Hold } else { Turn::Release };
                    step(&connection, ENDPOINTS[endpoint], turn, 0).expect("written");
                }
                Op::Reroute(message) => {
                    let unrouted = "SELECT count(*) FROM copy WHERE message = ?1 AND endpoint = '' AND batch IS NULL";
                    if connection.query_row(unrouted, [message], |row| row.get::<_, i64>(0)).expect("readable") > 0 {
                        batch::reroute(&connection, message, &["vault".to_owned()]).expect("written");
                    }
                }
            }
            check(&connection);
        }
        let damaged = "SELECT coalesce(sum(messages), 0) FROM batch WHERE reason = 'damaged: it is' AND state = 'held'";
        let before: i64 = connection.query_row(damaged, [], |row| row.get(0)).expect("readable");
        for endpoint in ENDPOINTS {
            turn_all(&connection, endpoint, Turn::Release);
        }
        prop_assert!(names(&connection).expect("readable").held.is_empty());
        prop_assert_eq!(connection.query_row(damaged, [], |row| row.get::<_, i64>(0)).expect("readable"), before);
    }
}
