use imarchive_crds::Batching;
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    spool::{
        append::append,
        batch::{Sealing, delivered, hold},
        books::{Books, State, recount},
        deleted::{ENDPOINT_DELETED, Turn, step},
        fsck, lookup,
        mail::{self, Stored},
        replay::{self, REPLAYED, Range},
        retain,
        samples::{self, entry, sealing, spool, to},
        split, tries,
    },
    window::cut,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// Takes a message for these endpoints; answers its number.
fn take(connection: &Connection, id: usize, endpoints: &[&str]) -> i64 {
    append(connection, &[entry(id, to(endpoints))], NOW).expect("stored").copies[0].seq
}

/// Seals what waits for `endpoint` in no batch; answers the batch, if there is one.
fn seal(connection: &Connection, endpoint: &str) -> Option<i64> {
    let sql = "SELECT message FROM copy WHERE endpoint = ?1 AND batch IS NULL AND held IS NULL";
    let mut open = connection.prepare(sql).expect("a query");
    let members = open.query_map([endpoint], |row| row.get(0)).expect("read").flatten().collect();
    samples::seal(connection, endpoint, members, NOW)
}

fn last(connection: &Connection) -> Option<i64> {
    connection.query_row("SELECT max(id) FROM batch", [], |row| row.get(0)).expect("readable")
}

fn reroute(connection: &Connection, batch: i64, to: &str) -> Option<split::Rerouted> {
    let lacking = split::lacking(connection, batch, to).expect("readable");
    let parts: Vec<Sealing> =
        cut(&lacking, &Batching::default()).into_iter().map(|some| sealing(connection, to, some, NOW)).collect();
    split::reroute(connection, Uuid::nil(), batch, &parts, to, NOW).expect("rerouted")
}

/// The books, which are those of the rows, as all else that fsck looks at is.
fn check(connection: &Connection) -> Books {
    let books = Books::read(connection).expect("readable");
    assert!(books.balance(), "{books:?}");
    assert_eq!(books, recount(connection).expect("readable"), "the totals are those of the rows");
    assert_eq!(fsck::check(connection).expect("readable").faults, Vec::<String>::new());
    books
}

fn state(connection: &Connection, id: usize) -> State {
    lookup::lookup(connection, "s", &id.to_string()).expect("readable").expect("known").state
}

#[test]
fn a_released_batch_begins_every_ladder_anew_and_keeps_its_mail() {
    let connection = spool();
    take(&connection, 1, &["journal"]);
    let batch = seal(&connection, "journal").expect("a batch");
    mail::store(&connection, batch, b"mail").expect("stored");
    tries::begun(&connection, batch).expect("written");
    tries::failed(&connection, batch, "no", true).expect("written");
    tries::put_off(&connection, batch, &Default::default(), "uid", NOW).expect("written");
    hold(&connection, batch, "refused: 554 no").expect("held");
    assert_eq!(check(&connection).held, 1);
    assert_eq!(release(&connection, &[batch, batch]).expect("released"), [batch]);
    assert_eq!(check(&connection).waiting, 1);
    assert_eq!(mail::read(&connection, batch).expect("readable"), Stored::Mail(b"mail".to_vec()));
    let found = details(&connection, batch).expect("readable");
    assert_eq!((found.attempts, found.next_at, found.batch.reason, found.may_be_there), (0, None, None, true));
}

#[test]
fn a_batch_is_found_by_its_name_and_those_that_are_held_by_endpoint_and_the_beginning_of_the_reason() {
    let connection = spool();
    for (id, endpoint, reason) in [(1, "a-b", "refused: x"), (2, "a-b", "Expired"), (3, "vault", "refused: y")] {
        take(&connection, id, &[endpoint]);
        hold(&connection, seal(&connection, endpoint).expect("a batch"), reason).expect("held");
    }
    assert_eq!(named(&connection, "a-b-2").expect("readable"), Some(2));
    assert_eq!(["a-b-3", "a-b", "2", ""].map(|name| named(&connection, name).expect("readable")), [None; 4]);
    let all = |endpoint, reason| all(&connection, endpoint, reason).expect("readable");
    assert_eq!(all(None, None), [1, 2, 3]);
    assert_eq!((all(Some("a-b"), None), all(None, Some("Refused"))), (vec![1, 2], vec![1, 3]));
    assert_eq!((all(Some("a-b"), Some("expired")), all(None, Some("%"))), (vec![2], vec![]));
}

#[test]
fn what_was_delivered_or_replaced_meanwhile_is_not_held_and_what_is_rerouted_may_still_be_taken() {
    let connection = spool();
    let batches = [1, 2].map(|id| {
        take(&connection, id, &["journal"]);
        seal(&connection, "journal").expect("a batch")
    });
    delivered(&connection, batches[0], "250 ok", NOW).expect("written");
    hold(&connection, batches[1], "Expired").expect("held");
    reroute(&connection, batches[1], "vault").expect("held before");
    for batch in batches {
        hold(&connection, batch, "refused: too late").expect("nothing to do");
    }
    let books = check(&connection);
    assert_eq!((books.held, books.delivered, books.waiting), (0, 1, 1));
    delivered(&connection, batches[1], "250 taken in the end", NOW).expect("written");
    assert_eq!(check(&connection).waiting, 1, "the vault gets it all the same");
    assert_eq!(replay::again(&connection, &[batches[1]]).expect("written"), [0; 0], "its messages are the vault's");
}

#[test]
fn a_rerouted_batch_that_changed_since_it_was_planned_stays_as_it_is() {
    let connection = spool();
    let seqs = [1, 2].map(|id| take(&connection, id, &["journal"]));
    let batch = seal(&connection, "journal").expect("a batch");
    hold(&connection, batch, ENDPOINT_DELETED).expect("held");
    let parts = [sealing(&connection, "vault", vec![seqs[0]], NOW)];
    let savepoint = connection.unchecked_transaction().expect("a transaction");
    assert!(split::reroute(&connection, Uuid::nil(), batch, &parts, "vault", NOW).is_err(), "one would be in no batch");
    drop(savepoint);
    assert_eq!(check(&connection).held, 2);
    assert!(reroute(&connection, batch, "journal").is_none(), "that is where it is");
}

#[test]
fn content_that_was_kept_for_a_copy_that_is_given_up_is_dropped_with_the_other_copy() {
    let connection = spool();
    take(&connection, 1, &["journal", "vault"]);
    let [journal, vault] = ["journal", "vault"].map(|endpoint| seal(&connection, endpoint).expect("a batch"));
    take(&connection, 2, &["vault"]);
    hold(&connection, journal, "Expired").expect("held");
    delivered(&connection, vault, "250 ok", NOW).expect("written");
    let keep = |connection: &Connection| {
        retain::drop_content(connection, NOW, NOW).expect("dropped");
        retain::forget(connection, NOW, NOW).expect("forgotten");
        check(connection);
        connection
            .query_row("SELECT count(*) FROM message WHERE id = '1'", [], |row| row.get::<_, i64>(0))
            .expect("read")
    };
    assert_eq!(keep(&connection), 1, "the journal waits for it");
    let rerouted = reroute(&connection, journal, "vault").expect("held before");
    assert_eq!((rerouted.batches.len(), rerouted.there), (0, 1));
    assert_eq!((check(&connection).delivered, state(&connection, 1)), (1, State::Delivered));
    assert_eq!(keep(&connection), 0);
}

#[test]
fn while_a_replayed_batch_waits_nothing_of_it_is_dropped_and_its_mail_has_to_be_the_same() {
    let connection = spool();
    take(&connection, 1, &["journal", "vault"]);
    let [journal, vault] = ["journal", "vault"].map(|endpoint| seal(&connection, endpoint).expect("a batch"));
    mail::store(&connection, journal, b"mail").expect("stored");
    for batch in [journal, vault] {
        delivered(&connection, batch, "250 ok", NOW).expect("written");
    }
    let all = Range::default();
    assert_eq!(replay::kept(&connection, &all).expect("readable"), [journal, vault]);
    assert_eq!(replay::again(&connection, &[journal, journal]).expect("written"), [journal]);
    assert_eq!((check(&connection).waiting, check(&connection).delivered), (1, 0));
    assert_eq!(details(&connection, journal).expect("readable").batch.reason.as_deref(), Some(REPLAYED));
    let stored = mail::read(&connection, journal).expect("readable");
    assert!(stored.admits(b"mail") && !stored.admits(b"other"), "{stored:?}");
    retain::drop_content(&connection, NOW, NOW).expect("dropped");
    assert!(replay::is_retained(&connection, journal).expect("readable"));
    assert_eq!(replay::dropped(&connection, &all).expect("readable"), (1, 1), "the vault's");
    delivered(&connection, journal, "250 ok", NOW).expect("written");
    retain::drop_content(&connection, NOW, NOW).expect("dropped");
    assert!(!replay::is_retained(&connection, journal).expect("readable"));
    assert_eq!(replay::again(&connection, &[journal, vault]).expect("written"), [0; 0]);
    assert_eq!(check(&connection).delivered, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_person_does_the_books_balance_and_no_message_is_lost(
        acts in prop::collection::vec((0usize..9, 0i64..12, any::<bool>()), 1..60)
    ) {
        let connection = spool();
        let mut taken = 0;
        for (act, some, first) in acts {
            let (here, there) = if first { ("journal", "vault") } else { ("vault", "journal") };
            // Some batch, if there are so many.
            let batch = last(&connection).filter(|last| *last > 0).map(|last| 1 + some % last);
            match (act, batch) {
                (0, _) => {
                    taken += 1;
                    let both = ["journal", "vault"];
                    take(&connection, taken, if some % 3 == 0 { &both } else if first { &both[..1] } else { &both[1..] });
                }
                (1, _) => drop(seal(&connection, here)),
                (2, Some(batch)) => hold(&connection, batch, "refused: no").expect("held"),
                (3, Some(batch)) => drop(release(&connection, &[batch]).expect("released")),
                (4, Some(batch)) => drop(reroute(&connection, batch, here)),
                (5, Some(batch)) if details(&connection, batch).expect("readable").batch.state == "waiting" => {
                    delivered(&connection, batch, "250 ok", NOW).expect("delivered");
                }
                (6, Some(batch)) => drop(replay::again(&connection, &[batch]).expect("replayed")),
                (7, _) => drop(step(&connection, here, if first { Turn::Hold } else { Turn::Release }, 0).expect("turned")),
                (8, _) => drop(move_open(&connection, here, ENDPOINT_DELETED, there, 0).expect("moved")),
                _ => {}
            }
            let books = check(&connection);
            prop_assert_eq!(books.acknowledged, taken as i64);
        }
        for endpoint in ["journal", "vault"] {
            move_open(&connection, endpoint, ENDPOINT_DELETED, endpoint, 0).expect("moved");
            seal(&connection, endpoint);
        }
        for batch in 1..=last(&connection).unwrap_or(0) {
            release(&connection, &[batch]).expect("released");
            if details(&connection, batch).expect("readable").batch.state == "waiting" {
                delivered(&connection, batch, "250 ok", NOW).expect("delivered");
            }
        }
        prop_assert_eq!(check(&connection).delivered, taken as i64);
    }
}
