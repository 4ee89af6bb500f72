//! What the archiver does with each answer of an archive: holds, splits, waits, hurries.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const TOO_BIG: Act = Act::Say("552 5.3.4 too big\r\n");
pub(super) const NEVER: Act = Act::Say("554 5.7.1 not this one\r\n");
const LATER: Act = Act::Say("451 4.3.0 not this one now\r\n");

/// One message in each of so many conversations: so many batches.
pub(super) fn conversations(range: std::ops::Range<usize>) -> Value {
    let one = |id: usize| {
        let mut one = message(id);
        one["recipients"][0]["address"] = format!("bob{id}@other.example").into();
        one
    };
    range.map(one).collect()
}

pub(super) fn with_delivery(delivery: &str) -> String {
    ACME.replace("  smtp:", &format!("  delivery: {delivery}\n  smtp:"))
}

impl World {
    pub(super) fn scripted(acts: &[(Step, Act)]) -> Self {
        let world = Self::new(Step::Quit, &[Act::Usual]);
        let listener = Listener::start_tls(&world.authority.issue(HOST)).offering("250-PIPELINING\r\n250-CHUNKING\r\n");
        let listener = acts.iter().fold(listener, |listener, (step, act)| listener.at(*step, act.clone()));
        Self { host: Host::new(PORT, listener), ..world }
    }

    /// An archiver whose windows have just ended, with so many batches.
    pub(super) async fn sealed(&self, yaml: &str, batches: usize) -> Core {
        let core = self.start_with(yaml).await;
        core.post(&conversations(0..batches)).await;
        pass(8 * HOUR).await;
        core
    }

    pub(super) fn headers(&self, name: &str) -> Vec<Option<String>> {
        let header = |mail: Vec<u8>| {
            let parsed = MessageParser::new().parse(&mail).expect("a mail");
            parsed.header_raw(name).map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        self.host.mails().into_iter().map(header).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_refused_while_another_is_taken_is_held_and_the_endpoint_is_well() {
    let world = World::scripted(&[(Step::Dot, NEVER), (Step::Dot, Act::Usual)]);
    let core = world.sealed(ACME, 2).await;
    pass(MINUTE).await;
    let books = core.books().await;
    assert_eq!((books.held, books.delivered), (1, 1));
    assert_eq!(core.outage().await.outage, None);
    let looks = [core.look(0).await, core.look(1).await];
    let held = looks.iter().find(|look| look["state"] == "held").expect("held");
    assert!(held["copies"][0]["reason"].as_str().is_some_and(|reason| reason.contains("554 5.7.1")), "{held}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_put_off_while_another_is_taken_has_a_ladder_of_its_own_also_after_a_restart() {
    let world = World::scripted(&[(Step::Dot, LATER), (Step::Dot, Act::Usual)]);
    let core = world.sealed(ACME, 2).await;
    pass(MINUTE).await;
    assert_eq!((core.books().await.delivered, core.outage().await.outage), (1, None));
    drop(core);
    pass(SECOND).await;
    let core = world.start().await;
    pass(HOUR - 2 * MINUTE).await;
    assert_eq!(core.books().await.delivered, 1);
    pass(6 * MINUTE).await;
    assert_eq!(core.books().await.delivered, 2);
    let mails = world.host.mails();
    assert_eq!((mails.len(), &mails[0]), (3, &mails[2]));
}

#[tokio::test(start_paused = true)]
async fn three_batches_refused_in_a_row_are_an_outage_and_none_is_held() {
    let world = World::scripted(&[(Step::Dot, NEVER)]);
    let core = world.sealed(ACME, 5).await;
    pass(MINUTE).await;
    let books = core.books().await;
    assert_eq!((books.held, books.waiting, world.host.mails().len()), (0, 5, 3));
    assert_eq!(core.outage().await.outage.expect("an outage").attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_slows_us_down_is_left_alone_for_five_minutes() {
    let world = World::scripted(&[(Step::Rcpt, LATER), (Step::Rcpt, Act::Usual)]);
    let core = world.sealed(ACME, 1).await;
    pass(MINUTE).await;
    assert_eq!((core.books().await.delivered, core.outage().await.outage), (0, None));
    pass(5 * MINUTE).await;
    assert_eq!((core.books().await.delivered, core.outage().await.outage), (1, None));
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_slows_us_down_for_a_quarter_of_an_hour_has_an_outage() {
    let world = World::scripted(&[(Step::Rcpt, LATER), (Step::Dot, NEVER)]);
    let core = world.sealed(ACME, 1).await;
    pass(14 * MINUTE).await;
    assert_eq!(core.outage().await.outage, None);
    pass(2 * MINUTE).await;
    assert_eq!(core.outage().await.outage.expect("an outage").attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_is_too_big_is_sent_in_two_that_name_it() {
    let world = World::scripted(&[(Step::Dot, TOO_BIG), (Step::Dot, Act::Usual)]);
    let core = world.start().await;
    core.post(&messages(0..4)).await;
    pass(8 * HOUR + MINUTE).await;
    assert_eq!(world.delivered(), [ids(0..4), ids(0..2), ids(2..4)]);
    let digest = world.headers("X-IMArchive-Digest")[0].clone().expect("a digest");
    let replaces = Some(format!("1 {digest}"));
    assert_eq!(world.headers("X-IMArchive-Replaces"), [None, replaces.clone(), replaces]);
    assert_eq!(world.headers("X-IMArchive-Previous-Digest")[1], Some(digest));
    assert_eq!(world.headers("X-IMArchive-Sequence"), ["1", "2", "3"].map(|text| Some(text.to_owned())));
    assert_eq!((core.books().await.delivered, core.outage().await.outage), (4, None));
}

#[tokio::test(start_paused = true)]
async fn a_message_alone_that_is_too_big_is_held() {
    let world = World::scripted(&[(Step::Dot, TOO_BIG)]);
    let core = world.start().await;
    core.post(&messages(0..3)).await;
    pass(8 * HOUR + MINUTE).await;
    assert_eq!((core.books().await.held, core.outage().await.outage), (3, None));
    let held = core.look(1).await;
    assert!(held["copies"][0]["reason"].as_str().is_some_and(|reason| reason.contains("too big")), "{held}");
}

#[tokio::test(start_paused = true)]
async fn mails_are_spread_over_the_minute() {
    let world = World::scripted(&[]);
    let core = world.sealed(&with_delivery("{maxMailsPerMinute: 6}"), 4).await;
    for mails in 1..=4 {
        pass(5 * SECOND).await;
        assert_eq!(world.host.mails().len(), mails);
        pass(5 * SECOND).await;
    }
    assert_eq!(core.books().await.delivered, 4);
}

#[tokio::test(start_paused = true)]
async fn sessions_grow_while_the_archive_takes_mails_up_to_their_limit() {
    for (yaml, most) in [(ACME.to_owned(), 4), (with_delivery("{maxConnections: 2}"), 2)] {
        let world = World::scripted(&[(Step::Dot, Act::Late(SECOND))]);
        let core = world.sealed(&yaml, 40).await;
        pass(MINUTE).await;
        assert_eq!(world.host.most_connections(), most);
        assert_eq!((core.books().await.delivered, world.host.mails().len()), (40, 40));
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_one_mail_goes_first() {
    let world = World::scripted(&[
        (Step::Greeting, Act::Goodbye("421 later\r\n")),
        (Step::Greeting, Act::Usual),
        (Step::Dot, Act::Late(MINUTE)),
    ]);
    let core = world.sealed(ACME, 20).await;
    pass(MINUTE).await;
    let outage = core.outage().await.outage.expect("an outage");
    assert_eq!(outage.attempts, 1);
    while !world.host.commands().iter().any(|command| command.starts_with("MAIL")) {
        pass(SECOND).await;
    }
    pass(50 * SECOND).await;
    assert_eq!((world.host.most_connections(), world.host.mails().len()), (1, 1));
    pass(HOUR).await;
    assert_eq!((core.books().await.delivered, core.outage().await.outage), (20, None));
    assert_eq!(world.host.most_connections(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_slows_no_other() {
    let world = World::scripted(&[]);
    let slow = Listener::start_tls(&world.authority.issue(HOST)).at(Step::Dot, Act::Hang);
    let world = World { host: world.host.clone().and(588, slow), ..world };
    let endpoint = ACME.split("---").nth(1).expect("the journal");
    let vault = endpoint.replace("{name: journal}\nspec:", "{name: vault}\nspec:").replace("port: 587", "port: 588");
    let carol = "apiVersion: imarchive.dev/v1alpha1\nkind: UserAssignment\nmetadata: {name: carol}\n\
                 spec: {endpointRef: {name: vault}, users: [carol@acme.example]}\n";
    let core = world.start_with(&format!("{ACME}---{vault}---\n{carol}")).await;
    let mut hers = message(100);
    hers["sender"]["address"] = "carol@acme.example".into();
    core.post(&hers).await;
    core.post(&conversations(0..5)).await;
    pass(8 * HOUR + MINUTE).await;
    assert_eq!((core.books().await.delivered, core.books().await.waiting), (5, 1));
}
