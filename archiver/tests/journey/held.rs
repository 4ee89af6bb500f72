//! What is held is listed, shown, let go, and given to another endpoint.

use super::{
    delivery::{NEVER, conversations},
    *,
};
use archiver::{
    admin::{
        Out,
        protocol::{Line, Outcome, Request, Which},
    },
    spool::held::{Batch, Details},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::sync::mpsc;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const ALL: Which = Which::Those { endpoint: None, reason: None };

fn these(names: &[&str]) -> Which {
    Which::Batches(names.iter().map(|name| (*name).to_owned()).collect())
}

fn for_reason(reason: &str) -> Which {
    Which::Those { endpoint: None, reason: Some(reason.to_owned()) }
}

fn outcome(batches: u64, messages: u64, refused: u64) -> Outcome {
    Outcome { batches, messages, refused, ..Outcome::default() }
}

async fn list(core: &Core, of: Which) -> Vec<Batch> {
    let lines = core.administer(Request::List { of }).await.0;
    let batch = |line| match line {
        Line::Batch(batch) => Some(batch),
        _ => None,
    };
    lines.into_iter().filter_map(batch).collect()
}

async fn details(core: &Core, batch: &str) -> Details {
    let lines = core.administer(Request::Show { batch: batch.to_owned(), mail: false }).await.0;
    match &lines[..] {
        [Line::Details(details)] => (**details).clone(),
        lines => panic!("{lines:?}"),
    }
}

/// Why it is refused, of the first that is.
fn why(lines: &[Line]) -> &str {
    let refused = lines.iter().find_map(|line| match line {
        Line::Refused { why, .. } => Some(why.as_str()),
        _ => None,
    });
    refused.expect("refused")
}

/// The archiver, the journal and the vault; the journal may be suspended, or gone.
fn with_vault(journal: Option<&str>) -> String {
    let (archiver, endpoint) = ACME.split_once("---").expect("two parts");
    let vault = endpoint.replace("{name: journal}\nspec:", "{name: vault}\nspec:\n  default: true");
    let journal =
        journal.map(|more| format!("---{}", endpoint.replace("spec:\n  type", &format!("spec:\n{more}  type"))));
    let users = "apiVersion: imarchive.dev/v1alpha1\nkind: UserAssignment\nmetadata: {name: alice}\n\
                 spec: {endpointRef: {name: journal}, users: [alice@acme.example]}\n";
    format!("{archiver}---{vault}{}---\n{users}", journal.unwrap_or_default())
}

const SUSPENDED: Option<&str> = Some("  suspend: true\n");

/// Two batches for the journal and a message in an open window, all held, since the journal was deleted.
async fn deleted(world: &World) -> Core {
    let core = world.start_with(&with_vault(SUSPENDED)).await;
    core.post(&conversations(0..2)).await;
    pass(9 * HOUR).await;
    core.post(&message(7)).await;
    world.apply(&core, &with_vault(None)).await;
    assert_eq!((core.books().await.held, core.books().await.waiting), (3, 0));
    core
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_listed_and_shown_and_goes_out_as_the_same_mail_when_it_is_released() {
    let world = World::scripted(&[(Step::Dot, NEVER), (Step::Dot, Act::Usual)]);
    let core = world.sealed(ACME, 2).await;
    pass(MINUTE).await;
    let held = list(&core, ALL).await;
    assert_eq!((held.len(), held[0].messages, held[0].subject.as_str()), (1, 1, "Alice, Bob"));
    assert!(held[0].reason.as_deref().is_some_and(|reason| reason.starts_with("refused: ")), "{held:?}");
    assert_eq!(
        (list(&core, for_reason("REFUSED")).await, list(&core, for_reason("Expired")).await),
        (held.clone(), vec![])
    );
    let name = &held[0].batch;
    let shown = details(&core, name).await;
    assert_eq!((shown.members.len(), shown.attempts, shown.may_be_there), (1, 1, false));
    assert!(shown.advice.contains(&format!("archiver held release {name}")), "{}", shown.advice);
    let lines = core.administer(Request::Show { batch: name.clone(), mail: true }).await.0;
    let piece = |line: &Line| match line {
        Line::Mail(piece) => BASE64_STANDARD.decode(piece).expect("base64"),
        line => panic!("{line:?}"),
    };
    assert_eq!(lines.iter().flat_map(piece).collect::<Vec<_>>(), world.host.mails()[0], "what was refused");

    let (_, released) = core.administer(Request::Release { of: these(&[name]) }).await;
    assert_eq!(released, outcome(1, 1, 0));
    pass(MINUTE).await;
    let books = core.books().await;
    assert_eq!((books.delivered, books.held), (2, 0));
    let mails = world.host.mails();
    assert_eq!((mails.len(), &mails[0]), (3, &mails[2]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_held_or_not_there_is_refused_and_the_rest_is_done() {
    let world = World::scripted(&[(Step::Dot, NEVER), (Step::Dot, Act::Usual)]);
    let core = world.sealed(ACME, 2).await;
    pass(MINUTE).await;
    let held = list(&core, ALL).await[0].batch.clone();
    let taken = if held == "journal-1" { "journal-2" } else { "journal-1" };
    let of = these(&[taken, "journal-77", "nonsense", &held]);
    let (lines, released) = core.administer(Request::Release { of }).await;
    assert_eq!(released, outcome(1, 1, 3), "{lines:?}");
    assert!(lines.contains(&Line::Refused { what: taken.into(), why: "it is not held: it is delivered".into() }));
}

#[tokio::test(start_paused = true)]
async fn what_would_be_held_again_is_not_released() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = deleted(&world).await;
    let (lines, released) = core.administer(Request::Release { of: ALL }).await;
    assert_eq!(released, outcome(0, 0, 3), "{lines:?}");
    assert!(why(&lines).contains("archiver held reroute"), "{lines:?}");
    assert_eq!(core.books().await.held, 3);
}

#[tokio::test(start_paused = true)]
async fn mail_of_a_deleted_endpoint_is_given_to_another_one_whose_mails_name_what_they_replace() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = deleted(&world).await;
    let digests = [details(&core, "journal-1").await.digest, details(&core, "journal-2").await.digest];
    let request = Request::Reroute { of: ALL, to: "vault".into() };
    let (lines, rerouted) = core.administer(request).await;
    assert_eq!(rerouted, outcome(2, 3, 0), "{lines:?}");
    assert!(lines.contains(&Line::Done { what: "journal-2".into(), now: "rerouted to vault-2".into() }), "{lines:?}");
    assert_eq!((core.books().await.held, core.look(0).await["copies"][0]["endpoint"].as_str()), (0, Some("vault")));
    pass(9 * HOUR).await;
    assert_eq!(core.books().await.delivered, 3);
    let replaces = [Some(format!("1 {}", digests[0])), Some(format!("2 {}", digests[1])), None];
    assert_eq!(world.headers("X-IMArchive-Replaces"), replaces);
    assert_eq!(world.headers("X-IMArchive-Endpoint"), [(); 3].map(|()| Some("vault".to_owned())));
    let chain = world.chain();
    assert_eq!((&chain[1][2], &chain[2][2]), (&chain[0][1], &chain[1][1]));
    let gone = details(&core, "journal-1").await;
    assert_eq!((gone.batch.state.as_str(), gone.batch.reason.as_deref()), ("replaced", Some("rerouted to vault-1")));

    world.apply(&core, &with_vault(Some(""))).await;
    core.post(&message(9)).await;
    pass(9 * HOUR).await;
    assert_eq!(world.delivered()[3..], [ids(9..10)], "nothing is sent twice");
    assert_eq!(world.headers("X-IMArchive-Batch")[3].as_deref(), Some("journal-3"), "the gap stays");
    assert_eq!(world.headers("X-IMArchive-Previous-Digest")[3].as_deref(), Some(digests[1].as_str()));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_to_an_endpoint_that_is_not_there_or_was_never_accepted_or_is_the_same() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = deleted(&world).await;
    let (lines, rerouted) = core.administer(Request::Reroute { of: ALL, to: "nowhere".into() }).await;
    assert_eq!((rerouted.batches, rerouted.refused), (0, 1), "{lines:?}");
    let untested = with_vault(None).replace("{name: vault}", "{name: vault, uid: untested}");
    world.apply(&core, &untested).await;
    let (lines, rerouted) = core.administer(Request::Reroute { of: ALL, to: "vault".into() }).await;
    assert_eq!((rerouted.batches, rerouted.refused), (0, 1));
    assert!(why(&lines).contains("never accepted"), "{lines:?}");
    assert_eq!(core.books().await.held, 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_other_endpoint_has_already_is_not_given_to_it_twice() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&with_vault(SUSPENDED)).await;
    // Bob's are the vault's, and Alice's the journal's.
    let mut both = message(0);
    both["recipients"][0]["address"] = "bob@acme.example".into();
    core.post(&both).await;
    let mut hers = message(1);
    hers["recipients"][0]["address"] = "carl@other.example".into();
    core.post(&hers).await;
    pass(9 * HOUR).await;
    world.apply(&core, &with_vault(None)).await;
    assert_eq!((core.books().await.held, world.delivered()), (2, vec![ids(0..1)]));
    let (lines, rerouted) = core.administer(Request::Reroute { of: ALL, to: "vault".into() }).await;
    assert_eq!(rerouted, outcome(2, 2, 0), "{lines:?}");
    let already =
        |line: &Line| matches!(line, Line::Done { now, .. } if now == "all of its messages were there already");
    assert_eq!(lines.iter().filter(|line| already(line)).count(), 1, "{lines:?}");
    pass(9 * HOUR).await;
    assert_eq!(world.delivered(), [ids(0..1), ids(1..2)]);
    assert_eq!(core.books().await.delivered, 2);
}

#[tokio::test(start_paused = true)]
async fn messages_in_no_batch_can_be_given_away_and_back() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&with_vault(Some(""))).await;
    core.post(&messages(0..2)).await;
    world.apply(&core, &with_vault(None)).await;
    core.administer(Request::Reroute { of: ALL, to: "vault".into() }).await;
    assert_eq!(core.look(0).await["copies"][0]["windowEndsAt"], "2027-01-15T16:00:00Z", "it ends when it would have");
    let journal = with_vault(Some(""));
    let (before, after) = journal.split_once("---").expect("parts");
    let vault = after.split_once("---").expect("parts").1;
    world.apply(&core, &format!("{before}---{vault}")).await;
    assert_eq!(core.books().await.held, 2, "the vault is gone");
    core.administer(Request::Reroute { of: ALL, to: "journal".into() }).await;
    pass(9 * HOUR).await;
    assert_eq!(world.delivered(), [ids(0..2)]);
    assert_eq!((core.books().await.delivered, core.books().await.held), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_is_done_to_its_end_although_nobody_listens_any_more() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&with_vault(SUSPENDED)).await;
    core.post(&conversations(0..150)).await;
    pass(9 * HOUR).await;
    world.apply(&core, &with_vault(None)).await;
    let (lines, answer) = mpsc::channel(1);
    drop(answer);
    core.admin.act(Request::Reroute { of: ALL, to: "vault".into() }, Out::new(lines)).await;
    pass(MINUTE).await;
    assert_eq!(core.books().await.delivered, 150);
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_two_steps_leaves_the_rest_held_to_be_asked_for_again() {
    let world = World::new(Step::Quit, &[Act::Usual]);
    let core = world.start_with(&with_vault(SUSPENDED)).await;
    core.post(&conversations(0..150)).await;
    pass(9 * HOUR).await;
    world.apply(&core, &with_vault(None)).await;
    // Nobody reads: the act stands still after its first step, and ends there with the process.
    let (lines, answer) = mpsc::channel(50);
    let admin = core.admin.clone();
    let acting = tokio::spawn(async move {
        admin.act(Request::Reroute { of: ALL, to: "vault".into() }, Out::new(lines)).await;
    });
    pass(MINUTE).await;
    acting.abort();
    drop((acting.await, answer, core));
    pass(SECOND).await;
    let core = world.start_with(&with_vault(None)).await;
    pass(MINUTE).await;
    assert_eq!((core.books().await.delivered, core.books().await.held), (100, 50));
    let (_, rerouted) = core.administer(Request::Reroute { of: ALL, to: "vault".into() }).await;
    assert_eq!(rerouted, outcome(50, 50, 0));
    pass(MINUTE).await;
    assert_eq!((core.books().await.delivered, world.host.mails().len()), (150, 150));
}
