//! The journey of messages from the ingest to the archive, through hours and days of virtual time.

#[path = "support/archive.rs"]
mod archive;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/core.rs"]
mod core;
#[path = "journey/delivery.rs"]
mod delivery;
#[path = "journey/earlier.rs"]
mod earlier;
#[path = "journey/endpoint_deletion.rs"]
mod endpoint_deletion;
#[path = "journey/held.rs"]
mod held;
#[path = "journey/held_replay.rs"]
mod held_replay;
#[path = "journey/outage.rs"]
mod outage;
#[path = "journey/outage_end.rs"]
mod outage_end;
#[path = "support/scripted.rs"]
mod scripted;

use std::{sync::Arc, time::Duration};

use archive::{HOST, PORT};
use archiver::now::Now;
use certificates::Authority;
use core::{ACME, Core, clock, message, read};
use jiff::Timestamp;
use mail_parser::MessageParser;
use scripted::{Act, Host, Listener, Step};
use serde_json::Value;
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);

/// A world with one archive; the archiver in it can be started again and again.
struct World {
    home: TempDir,
    host: Host,
    authority: Authority,
    now: Now,
}

impl World {
    /// With an archive that does these acts at `step`, one after the other, and the last of them ever after.
    fn new(step: Step, acts: &[Act]) -> Self {
        let authority = Authority::new("test CA");
        let listener = Listener::start_tls(&authority.issue(HOST));
        let listener = acts.iter().fold(listener, |listener, act| listener.at(step, act.clone()));
        Self { home: tempfile::tempdir().expect("a folder"), host: Host::new(PORT, listener), authority, now: clock() }
    }

    async fn start(&self) -> Core {
        self.start_with(ACME).await
    }

    async fn start_with(&self, yaml: &str) -> Core {
        Core::start(self.home.path(), yaml, &self.host, &self.authority, self.now.clone()).await
    }

    async fn pass_until(&self, at: Timestamp) {
        pass(Duration::try_from(at.duration_since((self.now)())).expect("not over yet")).await;
    }

    /// The ids in each delivered mail, by a parser that is not ours.
    fn delivered(&self) -> Vec<Vec<String>> {
        let ids = |mail: Vec<u8>| -> Vec<String> {
            let parsed = MessageParser::new().parse(&mail).expect("a mail");
            let json = parsed.attachments().next().expect("transcript.json").contents().to_vec();
            let transcript: Value = serde_json::from_slice(&json).expect("JSON");
            let messages = transcript["messages"].as_array().expect("messages").clone();
            messages.iter().map(|message| message["id"].as_str().expect("an id").to_owned()).collect()
        };
        self.host.mails().into_iter().map(ids).collect()
    }
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|id| id.to_string()).collect()
}

fn messages(range: std::ops::Range<usize>) -> Value {
    range.map(message).collect()
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_one_mail_when_its_eight_hours_end_and_not_before() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start().await;
    core.post(&messages(0..2)).await;
    pass(4 * HOUR).await;
    core.post(&message(2)).await;
    pass(4 * HOUR - Duration::from_secs(60)).await;
    assert!(world.delivered().is_empty());
    pass(Duration::from_secs(120)).await;
    assert_eq!(world.delivered(), [ids(0..3)]);
    assert_eq!(core.books().await.delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_can_say_where_it_is_at_every_step() {
    let world = World::new(Step::Dot, &[Act::Say("451 4.7.1 not now\r\n"), Act::Usual]);
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(2 * HOUR).await;
    core.post(&message(1)).await;
    let open = core.look(1).await;
    assert_eq!((open["state"].as_str(), open["copies"][0]["endpoint"].as_str()), (Some("waiting"), Some("journal")));
    assert_eq!(open["copies"][0]["windowEndsAt"], "2027-01-15T16:00:00Z", "eight hours after the first message");
    pass(6 * HOUR + Duration::from_secs(60)).await;
    let sealed = core.look(0).await;
    assert_eq!((sealed["state"].as_str(), sealed["copies"][0]["batch"].as_str()), (Some("waiting"), Some("journal-1")));
    assert!(
        sealed["copies"][0]["reason"].as_str().is_some_and(|reason| reason.contains("451 4.7.1 not now")),
        "{sealed}"
    );
    pass(2 * HOUR).await;
    let delivered = core.look(0).await;
    assert_eq!(
        (delivered["state"].as_str(), delivered["copies"][0]["reply"].as_str()),
        (Some("delivered"), Some("250 2.0.0 taken as 17"))
    );
}

#[tokio::test(start_paused = true)]
async fn sixty_messages_wait_for_the_end_and_are_then_two_mails() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start().await;
    core.post(&messages(0..60)).await;
    pass(7 * HOUR).await;
    assert!(world.delivered().is_empty());
    pass(HOUR + Duration::from_secs(60)).await;
    assert_eq!(world.delivered(), [ids(0..50), ids(50..60)]);
}

#[tokio::test(start_paused = true)]
async fn with_release_when_full_fifty_messages_do_not_wait() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&ACME.replace("  smtp:", "  batching: {release: WhenFull}\n  smtp:")).await;
    core.post(&messages(0..60)).await;
    pass(Duration::from_secs(60)).await;
    assert_eq!(world.delivered(), [ids(0..50)]);
    pass(9 * HOUR).await;
    assert_eq!(world.delivered(), [ids(0..50), ids(50..60)]);
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_is_down_is_tried_after_1_2_4_8_and_24_hours_and_then_gets_everything() {
    let down = Act::Goodbye("421 4.3.2 closed for the day\r\n");
    let mut acts = vec![down; 6];
    acts.push(Act::Usual);
    let world = World::new(Step::Greeting, &acts);
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(8 * HOUR + Duration::from_secs(60)).await;
    for (attempts, hours) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 24), (6, 24)] {
        let outage = core.outage().await.outage.expect("an outage");
        assert_eq!(outage.attempts, attempts);
        let rung = hours * HOUR;
        world.pass_until(outage.last_attempt_at + rung - Duration::from_secs(1)).await;
        assert_eq!(core.outage().await.outage, Some(outage.clone()), "not before its hour");
        // The jitter is at most a twentieth.
        world.pass_until(outage.last_attempt_at + rung + rung / 20 + Duration::from_secs(1)).await;
    }
    assert_eq!(world.delivered(), [ids(0..1)]);
    assert_eq!(core.outage().await.outage, None);
    assert_eq!(core.books().await.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_shortens_no_rung_and_no_window() {
    let world = World::new(Step::Greeting, &[Act::Goodbye("421 later\r\n"), Act::Usual]);
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(4 * HOUR).await;
    drop(core);
    pass(Duration::from_secs(1)).await;
    let core = world.start().await;
    pass(4 * HOUR - Duration::from_secs(60)).await;
    assert_eq!(core.outage().await.outage, None, "the window is still open");
    pass(Duration::from_secs(120)).await;
    assert_eq!(core.outage().await.outage.expect("an outage").attempts, 1);
    drop(core);
    pass(Duration::from_secs(1)).await;
    let core = world.start().await;
    pass(HOUR - Duration::from_secs(120)).await;
    assert!(world.delivered().is_empty(), "the rung is not over");
    pass(Duration::from_secs(600)).await;
    assert_eq!(world.delivered(), [ids(0..1)]);
    assert_eq!(core.books().await.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_mail_whose_reply_was_lost_is_sent_again_byte_by_byte() {
    let world = World::new(Step::Dot, &[Act::Close, Act::Usual]);
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(10 * HOUR).await;
    let mails = world.host.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0], mails[1]);
    assert_eq!(core.books().await.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn an_archiver_that_stops_ends_the_mail_that_it_is_sending_and_begins_no_other() {
    let world = World::new(Step::Dot, &[Act::Late(Duration::from_secs(5))]);
    let core = world.start().await;
    core.post(&messages(0..60)).await;
    pass(8 * HOUR + Duration::from_secs(2)).await;
    core.stop().await;
    assert_eq!(core.books().await.delivered, 50);
    pass(HOUR).await;
    assert_eq!(world.delivered(), [ids(0..50)]);
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_is_not_trusted_gets_no_credential_and_no_mail() {
    let mut world = World::new(Step::Quit, &[Act::Usual]);
    world.authority = Authority::new("another CA");
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(100 * HOUR).await;
    assert!(world.host.commands().iter().all(|command| command.starts_with("EHLO") || command == "STARTTLS"));
    assert!(core.outage().await.outage.expect("an outage").attempts > 3);
    assert_eq!(core.books().await.waiting, 1);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_lacked_are_tried_as_soon_as_they_are_there_also_after_a_restart() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let (secret, aside) = (world.home.path().join("credentials/journal"), world.home.path().join("aside"));
    let core = world.start().await;
    std::fs::rename(&secret, &aside).expect("moved");
    core.post(&message(0)).await;
    pass(8 * HOUR + Duration::from_secs(60)).await;
    assert_eq!(core.outage().await.outage.expect("an outage").attempts, 1);
    std::fs::rename(&aside, &secret).expect("moved");
    pass(Duration::from_secs(10)).await;
    assert_eq!(world.delivered(), [ids(0..1)]);

    std::fs::rename(&secret, &aside).expect("moved");
    core.post(&message(1)).await;
    pass(8 * HOUR + Duration::from_secs(60)).await;
    assert_eq!(core.outage().await.outage.expect("an outage").attempts, 1);
    drop(core);
    pass(Duration::from_secs(1)).await;
    let core = world.start().await;
    pass(Duration::from_secs(10)).await;
    assert_eq!(world.delivered(), [ids(0..1), ids(1..2)]);
    assert_eq!(core.books().await.delivered, 2);
}

#[tokio::test(start_paused = true)]
async fn other_credentials_are_tried_at_once() {
    let world = World::new(Step::Auth, &[Act::Say("535 5.7.8 who are you?\r\n"), Act::Usual]);
    let core = world.start().await;
    core.post(&message(0)).await;
    pass(8 * HOUR + Duration::from_secs(60)).await;
    assert_eq!(core.outage().await.outage.expect("an outage").attempts, 1);
    std::fs::write(world.home.path().join("credentials/journal/password"), "hunter3").expect("written");
    pass(Duration::from_secs(10)).await;
    assert_eq!(world.delivered(), [ids(0..1)]);
    assert_eq!(core.outage().await.outage, None);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_is_responsible_for_waits_and_goes_out_when_somebody_is() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&ACME.replace("spec:\n  type", "spec:\n  default: false\n  type")).await;
    core.post(&message(0)).await;
    pass(20 * HOUR).await;
    let books = core.books().await;
    assert_eq!((books.waiting, books.unrouted), (1, 1));
    core.publish.send_replace(Arc::new(read(world.home.path(), ACME)));
    pass(20 * HOUR).await;
    assert_eq!(world.delivered(), [ids(0..1)]);
    assert_eq!(core.books().await.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_endpoint_keeps_its_mail_until_it_is_not() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&ACME.replace("spec:\n  type", "spec:\n  suspend: true\n  type")).await;
    core.post(&message(0)).await;
    pass(100 * HOUR).await;
    assert!(world.host.commands().is_empty());
    core.publish.send_replace(Arc::new(read(world.home.path(), ACME)));
    pass(Duration::from_secs(60)).await;
    assert_eq!(world.delivered(), [ids(0..1)]);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_kept_whole_or_not_at_all() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start().await;
    core.post(&message(0)).await;
    let mut other = message(0);
    other["text"] = "something else".into();
    let (status, problem) = core.ask(&Value::Array(vec![message(1), other])).await;
    assert_eq!((status, problem["type"].as_str()), (409, Some("urn:imarchive:problem:id-conflict")));
    assert_eq!(problem["errors"][0]["index"], 1);
    assert_eq!(core.books().await.acknowledged, 1);
    core.post(&messages(0..2)).await;
    assert_eq!(core.books().await.acknowledged, 2);
}
