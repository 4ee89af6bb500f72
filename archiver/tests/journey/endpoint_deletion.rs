//! An endpoint is deleted, and comes back, or does not.

use super::*;
use archiver::spool::deleted::{Turn, step};

const SECOND: Duration = Duration::from_secs(1);

/// What is left when the journal is deleted.
fn without() -> &'static str {
    ACME.split("---").next().expect("the archiver")
}

fn suspended() -> String {
    ACME.replace("spec:\n  type", "spec:\n  suspend: true\n  type")
}

/// Another endpoint of the name, which was not tested yet.
fn untested() -> String {
    ACME.replace("metadata: {name: journal}", "metadata: {name: journal, uid: second}")
}

/// The same, after its test.
fn accepted() -> String {
    let block = "{host: journal.archive.example, port: 587, from: archive@acme.example, \
                 recipients: [acme@journal.archive.example], credentialsSecretRef: {name: journal}}";
    let status = format!("status: {{accepted: {{generation: 1, connection: {{type: SecureSMTP, smtp: {block}}}}}}}\n");
    untested() + &status
}

impl World {
    /// The resources become these, and a moment passes.
    pub(super) async fn apply(&self, core: &Core, yaml: &str) {
        core.publish.send_replace(Arc::new(read(self.home.path(), yaml)));
        pass(SECOND).await;
    }

    /// Sequence, digest and digest before of each delivered mail.
    pub(super) fn chain(&self) -> Vec<[Option<String>; 3]> {
        let header = |mail: &Vec<u8>, name| {
            let parsed = MessageParser::new().parse(mail).expect("a mail");
            parsed.header_raw(name).map(|value| value.trim().to_owned())
        };
        let names = ["X-IMArchive-Sequence", "X-IMArchive-Digest", "X-IMArchive-Previous-Digest"];
        self.host.mails().iter().map(|mail| names.map(|name| header(mail, name))).collect()
    }
}

/// Of a message with one copy: its state, why, and its batch.
async fn told(core: &Core, id: usize) -> [Option<String>; 3] {
    let found = core.look(id).await;
    let copy = &found["copies"][0];
    [&found["state"], &copy["reason"], &copy["batch"]].map(|value| value.as_str().map(str::to_owned))
}

fn held(batch: Option<&str>) -> [Option<String>; 3] {
    [Some("held"), Some("EndpointDeleted"), batch].map(|word| word.map(str::to_owned))
}

fn waiting(batch: Option<&str>) -> [Option<String>; 3] {
    [Some("waiting"), None, batch].map(|word| word.map(str::to_owned))
}

/// Messages 0 and 1 are sealed and wait, 2 and 3 are in an open window.
async fn four(core: &Core) {
    core.post(&messages(0..2)).await;
    pass(9 * HOUR).await;
    core.post(&messages(2..4)).await;
    assert_eq!(told(core, 1).await, waiting(Some("journal-1")));
    assert_eq!(told(core, 2).await, waiting(None));
}

#[tokio::test(start_paused = true)]
async fn mail_of_a_deleted_endpoint_is_held_and_goes_out_once_when_it_is_back() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&suspended()).await;
    four(&core).await;
    world.apply(&core, without()).await;
    assert_eq!((core.books().await.held, core.books().await.waiting), (4, 0));
    assert_eq!(told(&core, 0).await, held(Some("journal-1")));
    assert_eq!(told(&core, 3).await, held(None));
    assert!(core.look(3).await["copies"][0]["windowEndsAt"].is_null(), "it ends for nobody");
    pass(24 * HOUR).await;
    assert!(world.host.commands().is_empty());
    world.apply(&core, ACME).await;
    assert_eq!(world.delivered(), [ids(0..2), ids(2..4)]);
    pass(24 * HOUR).await;
    assert_eq!(world.delivered().len(), 2);
    assert_eq!(core.books().await.delivered, 4);
    let chain = world.chain();
    assert_eq!((chain[0][0].as_deref(), chain[1][0].as_deref()), (Some("1"), Some("2")));
    assert_eq!((&chain[0][2], &chain[1][2]), (&None, &chain[0][1]));
}

#[tokio::test(start_paused = true)]
async fn a_window_ends_when_it_would_have_although_the_endpoint_was_gone_meanwhile() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(2 * HOUR).await;
    world.apply(&core, without()).await;
    pass(2 * HOUR).await;
    world.apply(&core, ACME).await;
    assert_eq!(core.look(0).await["copies"][0]["windowEndsAt"], "2027-01-15T16:00:00Z");
    core.post(&message(1)).await;
    pass(4 * HOUR - 60 * SECOND).await;
    assert!(world.delivered().is_empty());
    pass(120 * SECOND).await;
    assert_eq!(world.delivered(), [ids(0..2)]);
}

#[tokio::test(start_paused = true)]
async fn until_the_new_endpoint_is_accepted_the_old_mail_is_held_and_new_messages_wait() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&suspended()).await;
    four(&core).await;
    world.apply(&core, without()).await;
    core.post(&message(4)).await;
    assert_eq!(core.books().await.unrouted, 1);
    world.apply(&core, &untested()).await;
    core.post(&message(5)).await;
    pass(20 * HOUR).await;
    assert!(world.host.commands().is_empty());
    assert_eq!((core.books().await.held, core.books().await.waiting), (4, 2));
    assert_eq!(told(&core, 0).await, held(Some("journal-1")));
    assert_eq!(told(&core, 2).await, held(None));
    assert_eq!(told(&core, 5).await, waiting(None));
    world.apply(&core, &accepted()).await;
    assert_eq!(world.delivered(), [ids(0..2), ids(2..6)]);
    assert_eq!(core.books().await.delivered, 6);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_before_anybody_saw_it_gone_waits_for_its_acceptance_without_the_old_outage() {
    let world = World::new(Step::Greeting, &[Act::Goodbye("421 later\r\n"), Act::Usual]);
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(8 * HOUR + 60 * SECOND).await;
    assert_eq!(core.outage().await.outage.expect("an outage").attempts, 1);
    world.apply(&core, &untested()).await;
    assert_eq!((core.outage().await.number, core.outage().await.outage), (2, None));
    pass(20 * HOUR).await;
    assert_eq!(core.look(0).await["state"], "waiting");
    assert!(world.delivered().is_empty());
    world.apply(&core, &accepted()).await;
    assert_eq!(world.delivered(), [ids(0..1)]);
    assert_eq!(core.books().await.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_back_is_tried_at_once_and_its_next_outage_has_a_higher_number() {
    let down = Act::Goodbye("421 later\r\n");
    let world = World::new(Step::Greeting, &[down.clone(), down.clone(), down.clone(), down, Act::Usual]);
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(12 * HOUR).await;
    let outage = core.outage().await;
    assert_eq!((outage.number, outage.outage.expect("an outage").attempts), (1, 3));
    world.apply(&core, without()).await;
    assert_eq!(told(&core, 0).await, held(Some("journal-1")));
    world.apply(&core, ACME).await;
    let outage = core.outage().await;
    assert_eq!((outage.number, outage.outage.expect("an outage").attempts), (2, 1));
    pass(2 * HOUR).await;
    assert_eq!(world.delivered(), [ids(0..1)]);
    assert_eq!((core.outage().await.number, core.outage().await.outage), (3, None));
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_is_being_sent_when_its_endpoint_is_deleted_is_sent_to_its_end_and_counts() {
    let world = World::new(Step::Dot, &[Act::Late(60 * SECOND), Act::Usual]);
    let core = world.start().await;
    core.post(&messages(0..60)).await;
    pass(8 * HOUR + 2 * SECOND).await;
    world.apply(&core, without()).await;
    assert_eq!(core.books().await.held, 60);
    pass(120 * SECOND).await;
    assert_eq!((core.books().await.delivered, core.books().await.held), (50, 10));
    assert_eq!(world.delivered(), [ids(0..50)]);
    world.apply(&core, ACME).await;
    assert_eq!(world.delivered(), [ids(0..50), ids(50..60)]);
    assert_eq!(core.books().await.delivered, 60);
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_held_what_is_held_and_releases_it_once_when_the_endpoint_is_back() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&suspended()).await;
    four(&core).await;
    world.apply(&core, without()).await;
    drop(core);
    pass(SECOND).await;
    let core = world.start_with(without()).await;
    pass(HOUR).await;
    assert_eq!(core.books().await.held, 4);
    drop(core);
    pass(SECOND).await;
    let core = world.start_with(&accepted()).await;
    pass(9 * HOUR).await;
    assert_eq!(core.books().await.delivered, 4);
    drop(core);
    pass(SECOND).await;
    let _core = world.start_with(&accepted()).await;
    pass(9 * HOUR).await;
    assert_eq!(world.delivered(), [ids(0..2), ids(2..4)]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_deleted_while_the_archiver_was_down_is_missed_at_the_next_start() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&suspended()).await;
    four(&core).await;
    drop(core);
    pass(SECOND).await;
    let core = world.start_with(without()).await;
    pass(SECOND).await;
    assert_eq!(core.books().await.held, 4);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_half_done_is_done_by_the_next_start_either_way() {
    for (yaml, held, delivered) in [(without().to_owned(), 4, 0), (accepted(), 0, 4)] {
        let world = World::new(Step::Quit, &[Act::Usual]);
        let core = world.start_with(&suspended()).await;
        four(&core).await;
        let first = |connection: &_| Ok::<_, archiver::spool::WriteError>(step(connection, "journal", Turn::Hold, 0)?);
        assert!(core.spool.write(first, |_| {}).await.expect("written").next.is_some(), "more is to be done");
        assert_eq!((core.books().await.held, core.books().await.waiting), (2, 2));
        drop(core);
        pass(SECOND).await;
        let core = world.start_with(&yaml).await;
        pass(9 * HOUR).await;
        assert_eq!((core.books().await.held, core.books().await.delivered), (held, delivered));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_handed_in_while_its_endpoint_was_deleted_is_held() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start().await;
    tokio::join!(core.post_slowly(message(0), 10 * SECOND), async {
        pass(5 * SECOND).await;
        world.apply(&core, without()).await;
    });
    pass(SECOND).await;
    assert_eq!(told(&core, 0).await, held(None));
    world.apply(&core, ACME).await;
    pass(9 * HOUR).await;
    assert_eq!(world.delivered(), [ids(0..1)]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_handed_in_while_its_endpoint_appeared_goes_there() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(without()).await;
    tokio::join!(core.post_slowly(message(0), 10 * SECOND), async {
        pass(5 * SECOND).await;
        world.apply(&core, ACME).await;
    });
    pass(9 * HOUR).await;
    assert_eq!(world.delivered(), [ids(0..1)]);
    assert_eq!(core.books().await.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn while_a_resource_cannot_be_read_nothing_is_taken_for_deleted() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&suspended()).await;
    four(&core).await;
    let mut unknown = read(world.home.path(), without());
    unknown.table.incomplete = true;
    core.publish.send_replace(Arc::new(unknown));
    pass(HOUR).await;
    assert_eq!((core.books().await.held, core.books().await.waiting), (0, 4));
    world.apply(&core, ACME).await;
    pass(9 * HOUR).await;
    assert_eq!(world.delivered(), [ids(0..2), ids(2..4)]);
}
