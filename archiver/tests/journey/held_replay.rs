//! What was delivered is delivered once more.

use super::{delivery::conversations, *};
use archiver::admin::protocol::{Line, Outcome, Replayed, Request, When};
use imarchive_crds::{Address, Span};

const MINUTE: Duration = Duration::from_secs(60);

fn journal() -> Replayed {
    Replayed { endpoint: Some("journal".into()), ..Replayed::default() }
}

async fn replay(core: &Core, of: Replayed) -> (u64, u64) {
    let Outcome { batches, refused, .. } = core.administer(Request::Replay { of, dry_run: false }).await.1;
    (batches, refused)
}

/// How many would be delivered once more.
async fn try_out(core: &Core, of: Replayed) -> u64 {
    core.administer(Request::Replay { of, dry_run: true }).await.1.batches
}

fn suspended() -> String {
    ACME.replace("spec:\n  type", "spec:\n  suspend: true\n  type")
}

#[tokio::test(start_paused = true)]
async fn a_replayed_batch_is_the_same_mail_and_the_books_tell_where_it_is() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.sealed(ACME, 2).await;
    pass(MINUTE).await;
    world.apply(&core, &suspended()).await;
    assert_eq!(replay(&core, journal()).await, (2, 0));
    let look = core.look(0).await;
    assert_eq!((look["state"].as_str(), look["copies"][0]["reason"].as_str()), (Some("waiting"), Some("Replayed")));
    assert_eq!((core.books().await.delivered, core.books().await.waiting), (0, 2));
    assert_eq!(replay(&core, journal()).await, (0, 0), "they wait already");
    world.apply(&core, ACME).await;
    pass(MINUTE).await;
    assert_eq!((core.books().await.delivered, core.books().await.waiting), (2, 0));
    let mails = world.host.mails();
    assert_eq!((mails.len(), &mails[..2]), (4, &mails[2..]));
    assert_eq!(core.look(0).await["copies"][0]["reason"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_the_same_mail_has_another_message_id() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.sealed(ACME, 1).await;
    pass(MINUTE).await;
    world.apply(&core, &ACME.replace("    recipients", "    fromHeader: Service\n    recipients")).await;
    assert_eq!(replay(&core, journal()).await, (1, 0));
    pass(MINUTE).await;
    let ids = world.headers("Message-ID");
    assert_eq!((ids.len(), core.books().await.delivered), (2, 1));
    assert_ne!(ids[0], ids[1]);
    assert_eq!(replay(&core, journal()).await, (1, 0));
    pass(MINUTE).await;
    let mails = world.host.mails();
    assert_eq!((mails.len(), &mails[1]), (3, &mails[2]), "and that one is the same from then on");
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_refused_for_certain_is_not_taken_for_new() {
    let world = World::scripted(&[
        (Step::Dot, Act::Usual),
        (Step::Dot, Act::Goodbye("421 not now\r\n")),
        (Step::Dot, Act::Usual),
    ]);
    let core = world.sealed(ACME, 1).await;
    pass(MINUTE).await;
    replay(&core, journal()).await;
    pass(MINUTE).await;
    drop(core);
    pass(MINUTE).await;
    let core = world.start().await;
    pass(2 * HOUR).await;
    let mails = world.host.mails();
    assert!(mails.iter().all(|mail| *mail == mails[0]), "the archive has the first");
    assert_eq!((mails.len(), core.books().await.delivered), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn batches_are_chosen_by_all_that_is_said_of_them_and_a_dry_run_changes_nothing() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.sealed(ACME, 3).await;
    pass(HOUR).await;
    let user = |name: &str| Replayed { user: Some(Address::parse(name).expect("valid")), ..Replayed::default() };
    assert_eq!(try_out(&core, user("Bob1@Other.example")).await, 1);
    assert_eq!(try_out(&core, user("alice@acme.example")).await, 3);
    assert_eq!(try_out(&core, Replayed { conversation: Some("d".into()), ..user("bob2@other.example") }).await, 1);
    assert_eq!(try_out(&core, Replayed { conversation: Some("e".into()), ..Replayed::default() }).await, 0);
    assert_eq!(try_out(&core, Replayed { source: Some("chat".into()), ..Replayed::default() }).await, 3);
    assert_eq!(try_out(&core, Replayed { source: Some("mail".into()), ..Replayed::default() }).await, 0);
    let ago = |text: &str| Some(When::Ago(Span::parse(text).expect("valid")));
    assert_eq!(try_out(&core, Replayed { since: ago("2h"), ..journal() }).await, 3);
    assert_eq!(try_out(&core, Replayed { since: ago("30m"), ..journal() }).await, 0);
    assert_eq!(try_out(&core, Replayed { until: ago("30m"), ..journal() }).await, 3);
    assert_eq!(try_out(&core, Replayed { endpoint: Some("vault".into()), ..journal() }).await, 0);
    assert_eq!((core.books().await.delivered, world.host.mails().len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_is_counted_and_what_would_be_held_is_refused() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start().await;
    core.post(&conversations(0..2)).await;
    pass(8 * HOUR + MINUTE).await;
    let now = (world.now)();
    let drop_all = move |connection: &_| {
        Ok::<_, archiver::spool::WriteError>(archiver::spool::retain::drop_content(connection, now, now)?)
    };
    core.spool.write(drop_all, |_| {}).await.expect("dropped");
    core.post(&message(9)).await;
    pass(8 * HOUR + MINUTE).await;
    let (_, found) = core.administer(Request::Replay { of: journal(), dry_run: true }).await;
    assert_eq!((found.batches, found.dropped_batches, found.dropped_messages), (1, 2, 2));
    world.apply(&core, ACME.split("---").next().expect("the archiver")).await;
    let (lines, found) = core.administer(Request::Replay { of: journal(), dry_run: false }).await;
    assert_eq!((found.batches, found.refused), (0, 1));
    assert!(matches!(&lines[..], [Line::Refused { what, .. }] if what == "journal-3"), "{lines:?}");
    assert_eq!(core.books().await.delivered, 3);
}
