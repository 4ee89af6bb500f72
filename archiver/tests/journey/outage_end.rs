//! The end of an outage that lasts: what happens after ninety days, after maintenance, and after the volume was lost.

use archiver::spool::fsck::fsck;
use imarchive_crds::RetryStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    outage::{DAY, MINUTE, SECOND, attempts, rung},
    *,
};

/// The journal without credentials, which nobody has to look at every few seconds of a year.
fn journal() -> String {
    ACME.replace("    credentialsSecretRef: {name: journal}\n", "")
}

fn suspended() -> String {
    journal().replace("spec:\n  type", "spec:\n  suspend: true\n  type")
}

impl World {
    /// Passes the time up to the end of the next attempt.
    async fn climb(&self, core: &Core) {
        let outage = core.outage().await.outage.expect("an outage");
        self.pass_until(outage.last_attempt_at + rung(core, outage.attempts) + SECOND).await;
    }

    /// The books of the spool, checked, while no archiver has it.
    async fn check(&self, core: Core) {
        drop(core);
        pass(SECOND).await;
        let finding = fsck(&self.home.path().join("spool")).expect("readable");
        assert_eq!((finding.books.balance(), finding.faults), (true, vec![]));
    }
}

async fn state(core: &Core, id: usize) -> (String, Option<String>) {
    let look = core.look(id).await;
    let reason = look["copies"][0]["reason"].as_str().map(str::to_owned);
    (look["state"].as_str().expect("a state").to_owned(), reason)
}

/// How long the outage has lasted, by its attempts.
async fn lasted(core: &Core) -> Duration {
    let outage = core.outage().await.outage.expect("an outage");
    Duration::try_from(outage.last_attempt_at.duration_since(outage.first_failure_at)).expect("a while")
}

#[tokio::test(start_paused = true)]
async fn after_ninety_days_the_old_is_held_the_newer_goes_out_and_nothing_is_deleted() {
    let (world, listener) = World::down();
    let core = world.start_with(&journal()).await;
    core.post(&message(0)).await;
    pass(8 * HOUR + MINUTE).await;
    let mut newer = 0;
    while lasted(&core).await < 90 * DAY {
        assert_eq!(state(&core, 0).await.0, "waiting", "{:?}", lasted(&core).await);
        world.climb(&core).await;
        if newer == 0 && lasted(&core).await > 50 * DAY {
            core.post(&message(1)).await;
            newer = 1;
        }
    }
    assert_eq!(state(&core, 0).await, ("held".into(), Some("Expired".into())));
    assert_eq!(state(&core, 1).await.0, "waiting");
    // What comes is kept, and the ladder goes on, daily.
    core.post(&message(2)).await;
    let tried = attempts(&core).await;
    assert!(tried > 90 && core.outage().await.log.len() <= 100);
    world.climb(&core).await;
    world.climb(&core).await;
    assert_eq!(attempts(&core).await, tried + 2);
    let books = core.books().await;
    assert_eq!((books.held, books.waiting), (1, 2));

    listener.now(Step::Greeting, Act::Usual);
    pass(2 * DAY).await;
    assert_eq!(world.delivered(), [ids(2..3), ids(1..2)], "the one that was tried less often goes first");
    let last = core.outage().await.last.expect("it is over");
    assert_eq!((last.attempts, last.messages), (i64::from(tried + 2), 2));
    assert_eq!(state(&core, 0).await, ("held".into(), Some("Expired".into())));
    world.check(core).await;
}

#[tokio::test(start_paused = true)]
async fn when_all_that_waited_has_expired_new_mail_is_tried_all_the_same() {
    let (world, listener) = World::down();
    let yaml = journal().replace("  smtp:", "  retry: {giveUpAfter: 20h}\n  smtp:");
    let core = world.start_with(&yaml).await;
    core.post(&message(0)).await;
    pass(8 * HOUR + 5 * DAY).await;
    assert_eq!((core.books().await.held, attempts(&core).await), (1, 6), "there is nothing to try any more");
    core.post(&message(1)).await;
    pass(9 * HOUR).await;
    assert_eq!(attempts(&core).await, 7);
    listener.now(Step::Greeting, Act::Usual);
    pass(2 * DAY).await;
    assert_eq!(world.delivered(), [ids(1..2)]);
    world.check(core).await;
}

#[tokio::test(start_paused = true)]
async fn an_expiry_goes_on_after_a_crash_at_any_moment() {
    for millis in [0, 1, 5, 20, 100, 500] {
        let (world, _) = World::down();
        let yaml = journal().replace("  smtp:", "  retry: {giveUpAfter: 3h}\n  smtp:");
        let core = world.start_with(&yaml).await;
        core.post(&super::delivery::conversations(0..250)).await;
        pass(8 * HOUR + MINUTE).await;
        world.climb(&core).await;
        assert_eq!((attempts(&core).await, core.books().await.waiting), (2, 250));
        let ended = core.outage().await.outage.expect("an outage").last_attempt_at;
        world.pass_until(ended + rung(&core, 2) + Duration::from_millis(millis)).await;
        // The next process may find the attempt to be made, or what follows from it.
        drop(core);
        pass(SECOND).await;
        let core = world.start_with(&yaml).await;
        pass(MINUTE).await;
        let books = core.books().await;
        assert_eq!((books.held, books.waiting, attempts(&core).await), (250, 0, 3), "{millis} ms");
        world.check(core).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_ninety_days_stand_still_while_the_endpoint_is_suspended_also_across_a_restart() {
    let (world, _) = World::down();
    let mut core = world.start_with(&journal()).await;
    core.post(&message(0)).await;
    pass(8 * HOUR + 10 * DAY).await;
    let before = attempts(&core).await;
    core.publish.send_replace(Arc::new(read(world.home.path(), &suspended())));
    pass(20 * DAY).await;
    drop(core);
    pass(10 * DAY).await;
    core = world.start_with(&suspended()).await;
    pass(MINUTE).await;
    assert_eq!(attempts(&core).await, before, "nothing is tried");
    core.publish.send_replace(Arc::new(read(world.home.path(), &journal())));
    pass(MINUTE).await;
    assert_eq!(attempts(&core).await, before + 1, "its rung was over long ago");
    while lasted(&core).await < 120 * DAY {
        assert_eq!(state(&core, 0).await.0, "waiting", "{:?}", lasted(&core).await);
        world.climb(&core).await;
    }
    // What passed between the last attempt and the maintenance, and after it, is a rung at most.
    world.climb(&core).await;
    assert_eq!(state(&core, 0).await, ("held".into(), Some("Expired".into())));
}

#[tokio::test(start_paused = true)]
async fn an_archiver_that_lost_its_volume_goes_on_at_the_published_rung() {
    let (world, listener) = World::down();
    let core = world.start_with(&journal()).await;
    core.post(&message(0)).await;
    pass(20 * HOUR).await;
    let record = core.outage().await;
    let outage = record.outage.clone().expect("an outage");
    assert_eq!(outage.attempts, 4);
    drop(core);
    pass(SECOND).await;
    std::fs::remove_dir_all(world.home.path().join("spool")).expect("lost");

    let published = RetryStatus {
        attempt: 4,
        first_failure_at: Some(Time(outage.first_failure_at)),
        last_attempt_at: Some(Time(outage.last_attempt_at)),
        outage: 7,
        log: record.log.clone(),
        ..RetryStatus::default()
    };
    let status = serde_json::to_string(&serde_json::json!({"retry": published})).expect("JSON");
    let yaml = format!("{}status: {status}\n", journal().replace("  smtp:", "  batching: {window: 1h}\n  smtp:"));
    let core = world.start_with(&yaml).await;
    core.post(&message(1)).await;
    pass(MINUTE).await;
    let restored = core.outage().await;
    assert_eq!((restored.number, attempts(&core).await, &restored.log), (7, 4, &record.log));
    let heard = world.host.heard().len();
    world.pass_until(outage.last_attempt_at + rung(&core, 4) - SECOND).await;
    assert_eq!(world.host.heard().len(), heard, "nothing is tried before its rung");
    pass(10 * SECOND).await;
    assert_eq!((core.outage().await.number, attempts(&core).await), (7, 5));
    listener.now(Step::Greeting, Act::Usual);
    pass(26 * HOUR).await;
    assert_eq!(world.delivered(), [ids(1..2)]);
    let record = core.outage().await;
    assert_eq!((record.number, record.outage), (8, None), "what was published is behind");
}
