//! An outage from its first failure to the last message: every rung on time, whatever happens to the archiver or the clock.

use std::sync::atomic::{AtomicI64, Ordering};

use imarchive_crds::{Retry, ladder};

use super::{
    delivery::{conversations, with_delivery},
    *,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: i64 = 365 * 24 * 3600;

pub(super) const DOWN: Act = Act::Goodbye("421 4.3.2 closed for the day\r\n");

impl World {
    /// With an archive that is down, until it is told to be [`up`](Self::up).
    pub(super) fn down() -> (Self, Listener) {
        Self::failing(Step::Greeting, DOWN)
    }

    pub(super) fn failing(step: Step, act: Act) -> (Self, Listener) {
        let world = Self::new(Step::Quit, &[Act::Usual]);
        let listener = Listener::start_tls(&world.authority.issue(HOST)).at(step, act);
        (Self { host: Host::new(PORT, listener.clone()), ..world }, listener)
    }

    /// The same, with a wall clock that can be set off by some seconds.
    fn unsteady(self) -> (Self, Arc<AtomicI64>) {
        let (off, steady) = (Arc::new(AtomicI64::new(0)), self.now.clone());
        let seconds = off.clone();
        let now: Now = Arc::new(move || steady() + jiff::SignedDuration::from_secs(seconds.load(Ordering::SeqCst)));
        (Self { now, ..self }, off)
    }

    /// How many mails were begun.
    pub(super) fn tries(&self) -> usize {
        self.host.commands().iter().filter(|command| command.starts_with("MAIL")).count()
    }
}

/// How many attempts failed in the outage, which runs.
pub(super) async fn attempts(core: &Core) -> u32 {
    core.outage().await.outage.expect("an outage").attempts
}

/// How long the rung after so many attempts is.
pub(super) fn rung(core: &Core, attempts: u32) -> Duration {
    let uid = &core.publish.borrow().endpoints["journal"].uid;
    ladder::delay(&Retry::default(), attempts, uid)
}

#[tokio::test(start_paused = true)]
async fn at_each_rung_exactly_one_batch_is_tried_and_each_another() {
    let (world, _) = World::failing(Step::Rcpt, Act::Say("550 5.1.1 nobody of that name\r\n"));
    let core = world.start().await;
    core.post(&conversations(0..10)).await;
    pass(8 * HOUR + MINUTE).await;
    for tried in 1..=8 {
        assert_eq!((attempts(&core).await, world.tries()), (tried, tried as usize));
        let ended = core.outage().await.outage.expect("an outage").last_attempt_at;
        world.pass_until(ended + rung(&core, tried) - SECOND).await;
        assert_eq!(world.tries(), tried as usize, "not before the rung is over");
        pass(MINUTE).await;
    }
    let sql = "SELECT attempts FROM batch ORDER BY sequence";
    let read = move |connection: &rusqlite::Connection| {
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()
    };
    assert_eq!(core.spool.read(read).await.expect("readable"), [1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    assert_eq!(world.host.most_connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_test_that_was_asked_for_and_passed_is_followed_by_one_try_at_once() {
    let (world, _) = World::down();
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(8 * HOUR + MINUTE).await;
    for (asked, tried) in [(None, 1), (Some("a"), 2), (Some("a"), 2), (None, 2), (Some("a"), 2), (Some("b"), 3)] {
        core.publish.send_modify(|resources| {
            let endpoint = Arc::make_mut(resources).endpoints.get_mut("journal").expect("it is there");
            endpoint.accepted.as_mut().expect("it is accepted").asked = asked.map(str::to_owned);
        });
        pass(SECOND).await;
        assert_eq!(attempts(&core).await, tried, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_delivery_ends_an_outage_and_the_next_begins_at_the_first_rung() {
    let (world, listener) = World::failing(Step::Dot, Act::Say("451 4.3.0 not now\r\n"));
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(20 * HOUR).await;
    let record = core.outage().await;
    assert_eq!((record.number, attempts(&core).await), (1, 4), "sessions that open end nothing");
    listener.now(Step::Dot, Act::Usual);
    pass(9 * HOUR).await;
    let record = core.outage().await;
    let last = record.last.expect("the outage before");
    assert_eq!((record.number, record.outage, record.log.len()), (2, None, 0));
    assert_eq!((last.outage, last.attempts, last.messages), (1, 4, 1));
    assert!(last.ended_at.0 > last.first_failure_at.0 + 15 * HOUR);
    listener.now(Step::Dot, Act::Say("451 4.3.0 not now\r\n"));
    core.post(&message(1)).await;
    pass(8 * HOUR + MINUTE).await;
    assert_eq!((core.outage().await.number, attempts(&core).await), (2, 1));
    pass(rung(&core, 1)).await;
    assert_eq!(attempts(&core).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_restart_between_any_two_rungs_keeps_each_on_time() {
    let (world, _) = World::down();
    let mut core = world.start().await;
    core.post(&message(0)).await;
    pass(8 * HOUR + MINUTE).await;
    for tried in 1..=7 {
        let outage = core.outage().await.outage.expect("an outage");
        assert_eq!(outage.attempts, tried);
        let rung = rung(&core, tried);
        for part in 1..=3 {
            world.pass_until(outage.last_attempt_at + rung * part / 4).await;
            drop(core);
            pass(MINUTE).await;
            core = world.start().await;
        }
        world.pass_until(outage.last_attempt_at + rung - SECOND).await;
        assert_eq!(core.outage().await.outage, Some(outage.clone()), "not before the rung is over");
        pass(10 * SECOND).await;
        let next = core.outage().await.outage.expect("an outage");
        assert_eq!((next.attempts, next.first_failure_at), (tried + 1, outage.first_failure_at));
    }
}

#[tokio::test(start_paused = true)]
async fn an_archiver_that_was_away_when_a_rung_ended_tries_as_soon_as_it_is_back() {
    let (world, _) = World::down();
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(12 * HOUR).await;
    assert_eq!(attempts(&core).await, 3);
    drop(core);
    pass(100 * HOUR).await;
    let core = world.start().await;
    pass(MINUTE).await;
    assert_eq!(attempts(&core).await, 4);
    let record = core.outage().await;
    assert!(record.clock.reading <= ladder::climbed(&Retry::default(), 4, &uid(&core)), "{:?}", record.clock);
}

fn uid(core: &Core) -> String {
    core.publish.borrow().endpoints["journal"].uid.clone()
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_a_year_costs_one_early_try_at_most_and_counts_nothing() {
    for jump in [YEAR, -YEAR] {
        let (world, _) = World::down();
        let (world, off) = world.unsteady();
        let core = world.start().await;
        core.post(&message(0)).await;
        pass(8 * HOUR + MINUTE).await;
        pass(rung(&core, 1) + rung(&core, 2)).await;
        assert_eq!(attempts(&core).await, 3);
        pass(HOUR).await;
        off.store(jump, Ordering::SeqCst);
        pass(MINUTE).await;
        let tried = attempts(&core).await;
        assert_eq!(tried, if jump > 0 { 4 } else { 3 });
        if jump < 0 {
            pass(rung(&core, 3) - HOUR - 5 * MINUTE).await;
            assert_eq!(attempts(&core).await, 3, "not before the rung is over");
            pass(10 * MINUTE).await;
            assert_eq!(attempts(&core).await, 4, "nor later");
        }
        // From then on by the new time, and on time.
        for tried in 4..8 {
            let outage = core.outage().await.outage.expect("an outage");
            world.pass_until(outage.last_attempt_at + rung(&core, tried) - SECOND).await;
            assert_eq!(attempts(&core).await, tried);
            pass(10 * SECOND).await;
        }
        let books = core.books().await;
        assert_eq!((books.waiting, books.held), (1, 0));
        let counted = core.outage().await.clock.reading;
        assert!(counted <= ladder::climbed(&Retry::default(), 8, &uid(&core)), "{counted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_at_each_rung_expires_nothing_early() {
    let (world, _) = World::down();
    let (world, off) = world.unsteady();
    let give_up = "  retry: {ladder: [], interval: 10h, giveUpAfter: 100h}\n  smtp:";
    let core = world.start_with(&ACME.replace("  smtp:", give_up)).await;
    core.post(&message(0)).await;
    pass(8 * HOUR + MINUTE).await;
    assert_eq!(attempts(&core).await, 1);
    for hours in 1..=99 {
        pass(HOUR - MINUTE).await;
        if hours % 3 == 0 {
            off.store([0, YEAR, 0, -YEAR][hours / 3 % 4], Ordering::SeqCst);
        }
        pass(MINUTE).await;
        assert_eq!(core.books().await.held, 0, "after {hours} hours");
    }
    pass(12 * HOUR).await;
    assert_eq!(core.books().await.held, 1);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_sessions_grow_one_by_one_up_to_their_limit() {
    for most in [1, 2, 4] {
        let (world, listener) = World::down();
        let core = world.start_with(&with_delivery(&format!("{{maxConnections: {most}}}"))).await;
        core.post(&conversations(0..60)).await;
        pass(8 * HOUR + MINUTE).await;
        assert_eq!(attempts(&core).await, 1);
        listener.now(Step::Dot, Act::Late(10 * SECOND));
        listener.now(Step::Greeting, Act::Usual);
        pass(rung(&core, 1) - 2 * MINUTE).await;
        let mut seen = vec![1];
        for _ in 0..1000 {
            pass(SECOND).await;
            let sessions = world.host.connections();
            if sessions > *seen.last().expect("one") {
                seen.push(sessions);
            }
        }
        assert_eq!(seen, (1..=most).collect::<Vec<_>>());
        assert_eq!((core.books().await.delivered, core.outage().await.outage), (60, None));
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_of_an_outage_has_the_servers_words_bounded_and_without_mailboxes() {
    let (world, _) = World::failing(Step::Rcpt, Act::Say("550 5.1.1 <jane.roe@acme.example>: who?\r\n"));
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(8 * HOUR + MINUTE).await;
    let row = core.outage().await.log.pop().expect("a row");
    assert_eq!((row.attempt, row.code, row.stage), (1, Some(550), imarchive_crds::Stage::Recipient));
    assert_eq!(row.message, "550 5.1.1 <***@acme.example>: who?");
    let (world, _) = World::failing(Step::Greeting, Act::LongLine);
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(8 * HOUR + 10 * MINUTE).await;
    assert!(core.outage().await.log.pop().expect("a row").message.chars().count() <= 4096);
}
