use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    route::Route,
    spool::{
        append::{AppendError, Entry, Outcome, append},
        batch,
        books::{Books, State},
        fsck,
        ledger::{self, Merge},
        lookup::lookup,
        samples::{self, at, spool, to},
        schema, tries,
    },
};

/// With an attachment.
fn entry(id: i64, endpoints: &[&str]) -> Entry {
    let route = if endpoints.is_empty() { Route::Excluded } else { to(endpoints) };
    Entry { contents: vec![Some(vec![7; 10])], ..samples::entry(id, route) }
}

fn take(connection: &Connection, id: i64, endpoints: &[&str]) {
    append(connection, &[entry(id, endpoints)], at(id)).expect("stored");
}

/// Seals what is open for `endpoint`; answers the batch.
fn seal(connection: &Connection, endpoint: &str) -> Option<i64> {
    let sql = "SELECT message FROM copy WHERE batch IS NULL AND endpoint = ?1 ORDER BY message";
    let mut statement = connection.prepare(sql).expect("readable");
    let members = statement.query_map([endpoint], |row| row.get(0)).expect("readable");
    samples::seal(connection, endpoint, members.collect::<Result<_, _>>().expect("readable"), Timestamp::UNIX_EPOCH)
}

fn deliver(connection: &Connection, endpoint: &str, second: i64) {
    if let Some(batch) = tries::due(connection, endpoint, Timestamp::MAX, 1).expect("readable").first().copied() {
        batch::delivered(connection, batch, "250 taken", at(second)).expect("written");
    }
}

fn stored(connection: &Connection) -> (i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM content)";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("readable")
}

fn state(connection: &Connection, id: i64) -> Option<State> {
    lookup(connection, "s", &id.to_string()).expect("readable").map(|found| found.state)
}

#[test]
fn after_its_content_is_dropped_a_message_still_says_where_it_went() {
    let connection = spool();
    take(&connection, 1, &["journal"]);
    seal(&connection, "journal");
    deliver(&connection, "journal", 100);
    let before = lookup(&connection, "s", "1").expect("readable");
    assert_eq!(drop_content(&connection, at(99), at(99)).expect("written").rows, 0, "it was delivered later");
    assert_eq!(drop_content(&connection, at(100), at(100)).expect("written").rows, 1);
    assert_eq!(stored(&connection), (0, 0));
    assert_eq!(lookup(&connection, "s", "1").expect("readable"), before);
    let again = append(&connection, &[entry(1, &["journal"])], at(101)).expect("known");
    assert_eq!(again.outcomes, [Outcome::Repeated]);
}

#[test]
fn content_is_kept_while_any_copy_waits_or_is_held() {
    let connection = spool();
    take(&connection, 1, &["journal", "vault"]);
    seal(&connection, "journal");
    deliver(&connection, "journal", 100);
    drop_content(&connection, at(200), at(200)).expect("written");
    assert_eq!(stored(&connection).0, 1);
    let batch = seal(&connection, "vault").expect("sealed");
    batch::hold(&connection, batch, "a person's wish").expect("held");
    drop_content(&connection, at(300), at(300)).expect("written");
    forget(&connection, at(300), at(300)).expect("written");
    assert_eq!((stored(&connection).0, state(&connection, 1)), (1, Some(State::Held)));
    batch::delivered(&connection, batch, "250 taken", at(400)).expect("written");
    drop_content(&connection, at(400), at(400)).expect("written");
    assert_eq!(stored(&connection), (0, 0));
}

#[test]
fn what_is_forgotten_is_unknown_and_stays_in_the_totals() {
    let connection = spool();
    take(&connection, 1, &["journal"]);
    take(&connection, 2, &[]);
    seal(&connection, "journal");
    deliver(&connection, "journal", 100);
    take(&connection, 3, &["journal"]);
    let before = Books::read(&connection).expect("readable");
    drop_content(&connection, at(100), at(100)).expect("written");
    assert_eq!(forget(&connection, at(100), at(100)).expect("written").rows, 2);
    assert_eq!([1, 2, 3].map(|id| state(&connection, id)), [None, None, Some(State::Waiting)]);
    assert_eq!(Books::read(&connection).expect("readable"), before);
    assert_eq!(fsck::check(&connection).expect("readable").faults, Vec::<String>::new());
}

#[test]
fn the_sequence_goes_on_where_it_was_after_all_is_forgotten() {
    let connection = spool();
    for id in 1..=3 {
        take(&connection, id, &["journal"]);
        seal(&connection, "journal");
        deliver(&connection, "journal", 100);
    }
    take(&connection, 4, &[]);
    drop_content(&connection, at(100), at(100)).expect("written");
    forget(&connection, at(100), at(100)).expect("written");
    let left: i64 = connection.query_row("SELECT count(*) FROM batch", [], |row| row.get(0)).expect("readable");
    assert_eq!(left, 1, "the last one, from which the next goes on");
    take(&connection, 5, &["journal"]);
    let next = seal(&connection, "journal").expect("sealed");
    assert_eq!(batch::load(&connection, next).expect("readable").sequence, 4);
    assert_eq!(fsck::check(&connection).expect("readable").faults, Vec::<String>::new());
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Take { id: i64, journal: bool, vault: bool },
    Seal(bool),
    Deliver(bool),
    Hold(bool),
    Drop,
    Forget,
    Merge,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0i64..30, any::<bool>(), any::<bool>()).prop_map(|(id, journal, vault)| Op::Take { id, journal, vault }),
        2 => any::<bool>().prop_map(Op::Seal),
        2 => any::<bool>().prop_map(Op::Deliver),
        1 => any::<bool>().prop_map(Op::Hold),
        1 => Just(Op::Drop),
        1 => Just(Op::Forget),
        1 => Just(Op::Merge),
        1 => Just(Op::Crash),
    ]
}

proptest! {
    // Each opens a file, some of them several times.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn whatever_happens_the_spool_is_sound_and_no_known_id_is_taken_twice(ops in prop::collection::vec(op(), 1..60)) {
        let file = tempfile::tempdir().expect("a folder");
        let open = || {
            let connection = Connection::open(file.path().join("spool.db")).expect("a database");
            schema::prepare(&connection).expect("a spool").expect("of our format");
            connection
        };
        let mut connection = open();
        let name = |vault| if vault { "vault" } else { "journal" };
        for (now, op) in (1_000..).zip(ops) {
            match op {
                Op::Take { id, journal, vault } => {
                    let to: Vec<_> = [(journal, "journal"), (vault, "vault")].into_iter()
                        .filter_map(|(goes, to)| goes.then_some(to)).collect();
                    let known = state(&connection, id);
                    let taken = append(&connection, &[entry(id, &to)], at(now)).expect("stored").outcomes[0];
                    match known {
                        Some(State::Excluded) => prop_assert_eq!(taken, Outcome::Excluded),
                        Some(_) => prop_assert_eq!(taken, Outcome::Repeated),
                        None => prop_assert_ne!(taken, Outcome::Repeated),
                    }
                    let other = Entry { digest: [2; 32], ..entry(id, &to) };
                    prop_assert!(matches!(append(&connection, &[other], at(now)), Err(AppendError::Conflict(_))));
                }
                Op::Seal(vault) => drop(seal(&connection, name(vault))),
                Op::Deliver(vault) => deliver(&connection, name(vault), now),
                Op::Hold(vault) => {
                    if let Some(batch) = tries::due(&connection, name(vault), Timestamp::MAX, 1).expect("readable").first().copied() {
                        batch::hold(&connection, batch, "a person's wish").expect("held");
                    }
                }
                Op::Drop => drop(drop_content(&connection, at(now - 5), at(now)).expect("written")),
                Op::Forget => drop(forget(&connection, at(now - 10), at(now)).expect("written")),
                Op::Merge => Merge::default().step(&connection).expect("merged"),
                Op::Crash => {
                    drop(connection);
                    connection = open();
                }
            }
        }
        let finding = fsck::check(&connection).expect("readable");
        prop_assert_eq!(finding.faults, Vec::<String>::new());
        prop_assert_eq!(finding.books, Books::read(&connection).expect("readable"));
        let known = |id: &i64| ledger::find(&connection, "s", &id.to_string()).expect("readable").is_some();
        prop_assert_eq!((0..30).filter(known).count(), {
            connection.query_row("SELECT count(*) FROM ledger", [], |row| row.get::<_, i64>(0)).expect("readable") as usize
        });
    }
}
