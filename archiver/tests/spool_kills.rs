//! A spool whose process is killed at random points: what it acknowledged is there, and the books balance.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use archiver::{
    canonical, deletion,
    directory::{Directory, Resources},
    message::{Conversation, ConversationKind},
    route::Route,
    spool::{
        Spool, WriteError,
        append::{AppendError, Entry, Group, append},
        batch::{self, Sealing},
        books::Books,
        deleted::{Turn, names, step},
        fsck::fsck,
        lookup::lookup,
        mail, tries,
    },
};
use jiff::Timestamp;
use serde_json::json;

const KILLS: u64 = 25;
/// The environment of the process that is killed: where its spool is, and the first id that it may use.
const SPOOL: &str = "IMARCHIVE_TEST_SPOOL";
const FIRST: &str = "IMARCHIVE_TEST_FIRST";

#[test]
fn a_spool_killed_at_random_points_keeps_every_acknowledged_message() {
    let home = tempfile::tempdir().expect("a folder");
    let mut acknowledged = BTreeSet::new();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..KILLS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let patience = Duration::from_micros(10_000 + (seed >> 33) % 250_000);
        acknowledged.extend(write_until_killed(home.path(), round * 1_000_000, patience));
        check(home.path(), &acknowledged);
        delete_and_accept(home.path());
        check(home.path(), &acknowledged);
    }
    assert!(acknowledged.len() > 500, "the writer hardly wrote: {}", acknowledged.len());
}

/// Starts a writer, kills it after `patience`, and answers the ids that it had acknowledged by then.
fn write_until_killed(spool: &Path, first: u64, patience: Duration) -> Vec<String> {
    let mut writer = Command::new(env::current_exe().expect("this test"))
        .args(["the_writer_that_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(SPOOL, spool)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let output = BufReader::new(writer.stdout.take().expect("a pipe"));
    // Only from the first acknowledgement on, so that the kill finds it at work however slow the machine is.
    let mut lines =
        output.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix("ack ").map(str::to_owned));
    let mut ids: Vec<String> = lines.next().into_iter().collect();
    std::thread::sleep(patience);
    writer.kill().expect("killed");
    writer.wait().expect("ended");
    ids.extend(lines);
    ids
}

fn check(spool: &Path, acknowledged: &BTreeSet<String>) {
    let finding = fsck(spool).expect("readable");
    assert_eq!(finding.faults, Vec::<String>::new());
    assert!(finding.books.balance() && finding.books.acknowledged >= acknowledged.len() as i64, "{:?}", finding.books);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (spool, _writer) = Spool::open(spool).expect("a spool");
        for id in acknowledged.clone() {
            let found = spool.read(move |connection| lookup(connection, "s", &id)).await.expect("readable");
            assert!(found.is_some_and(|found| !found.copies.is_empty()), "an acknowledged message is gone");
        }
    });
}

/// What the next start does, whatever was under way: the endpoint is gone, and then it is there again.
fn delete_and_accept(spool: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (spool, writer) = Spool::open(spool).expect("a spool");
        let before = spool.read(Books::read).await.expect("readable");
        tokio::spawn(writer.run());
        deletion::settle(&spool, &resources(ARCHIVER)).await.expect("held");
        assert!(spool.read(names).await.expect("readable").waiting.is_empty());
        let held = spool.read(Books::read).await.expect("readable");
        assert_eq!((held.delivered, held.waiting), (before.delivered, 0));
        deletion::settle(&spool, &resources(&format!("{ARCHIVER}---{JOURNAL}"))).await.expect("released");
        assert!(spool.read(names).await.expect("readable").held.is_empty());
    });
}

const ARCHIVER: &str = "
apiVersion: imarchive.dev/v1alpha1
kind: Archiver
metadata: {name: archiver}
spec: {organization: {name: Acme, domains: [acme.example]}}
";
const JOURNAL: &str = "
apiVersion: imarchive.dev/v1alpha1
kind: ArchivingEndpoint
metadata: {name: journal}
spec: {type: SecureSMTP, smtp: {host: journal.archive.example, from: a@acme.example, recipients: [b@archive.example]}}
";

fn resources(yaml: &str) -> Resources {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("acme.yaml"), yaml).expect("written");
    Directory::new(folder.path(), false).read().expect("readable").expect("new")
}

/// Not a test: what the test above starts, and kills. It takes, holds, releases, seals and delivers as fast as it can.
#[test]
#[ignore = "started by the test above"]
fn the_writer_that_is_killed() {
    let (Ok(folder), Ok(first)) = (env::var(SPOOL), env::var(FIRST)) else { return };
    let first: u64 = first.parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (spool, writer) = Spool::open(Path::new(&folder)).expect("a spool");
        tokio::spawn(writer.run());
        for round in (first..).step_by(3) {
            let entries: Vec<Entry> = (round..round + 3).map(entry).collect();
            let stored = spool.write(move |connection| append(connection, &entries, Timestamp::UNIX_EPOCH), |_| {});
            let seqs: Vec<i64> = stored
                .await
                .map_err(|error: AppendError| error)
                .expect("stored")
                .copies
                .iter()
                .map(|copy| copy.seq)
                .collect();
            let mut out = std::io::stdout().lock();
            (round..round + 3).for_each(|id| writeln!(out, "ack {id}").expect("heard"));
            out.flush().expect("heard");
            drop(out);
            if round % 5 == 0 {
                turn(&spool, Turn::Hold).await;
                turn(&spool, Turn::Release).await;
            }
            let uuid = spool.uuid();
            write(&spool, move |connection| {
                batch::seal(connection, uuid, &sealing(connection, seqs)?, Timestamp::UNIX_EPOCH)
            })
            .await;
            let next =
                spool.read(|connection| tries::due(connection, "journal", Timestamp::MAX, 1)).await.expect("readable")
                    [0];
            if spool.read(move |connection| mail::read(connection, next)).await.expect("readable")
                == mail::Stored::Nothing
            {
                write(&spool, move |connection| mail::store(connection, next, &[b'x'; 3000])).await;
            }
            match round % 4 {
                0 => {
                    write(&spool, move |connection| tries::failed(connection, next, "Connect: ConnectRefused", false))
                        .await
                }
                1 => write(&spool, move |connection| batch::hold(connection, next, "a person's wish")).await,
                _ => {
                    write(&spool, move |connection| batch::delivered(connection, next, "250 ok", Timestamp::UNIX_EPOCH))
                        .await
                }
            }
        }
    });
}

/// All steps of it, one commit each, for the kill to come between.
async fn turn(spool: &Spool, turn: Turn) {
    let mut next = Some(0);
    while let Some(after) = next {
        let step = move |connection: &_| Ok::<_, WriteError>(step(connection, "journal", turn, after)?);
        next = spool.write(step, |_| {}).await.expect("written").next;
    }
}

async fn write(spool: &Spool, job: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<()> + Send + 'static) {
    spool.write(move |connection| Ok::<_, WriteError>(job(connection)?), |()| {}).await.expect("written");
}

fn conversation() -> Conversation {
    Conversation { kind: ConversationKind::Room, id: "r".into(), name: None }
}

fn entry(id: u64) -> Entry {
    let document = json!({
        "source": "s", "id": id.to_string(), "kind": "message", "conversation": {"type": "room", "id": "r"},
        "sender": {"address": "alice@acme.example"}, "sentAt": "2026-11-23T09:15:02.123Z", "text": "hello ".repeat(30),
    });
    Entry {
        source: "s".into(),
        id: id.to_string(),
        digest: canonical::digest(&document, document.to_string().as_bytes()).expect("a digest"),
        group: Group {
            source: "s".into(),
            kind: ConversationKind::Room,
            thread: "r".into(),
            sender: "alice@acme.example".into(),
        },
        document: document.to_string().into_bytes(),
        contents: vec![],
        route: Route::To([Some("journal".to_owned())].into()),
    }
}

fn sealing(connection: &rusqlite::Connection, members: Vec<i64>) -> rusqlite::Result<Sealing> {
    let messages = batch::messages(connection, &members)?;
    let digest = archiver::render::transcript("journal", "s", &conversation(), &messages).digest;
    let oldest_at = Timestamp::UNIX_EPOCH;
    let (endpoint, endpoint_uid, from_domain) = ("journal".into(), "uid".into(), "acme.example".into());
    Ok(Sealing {
        endpoint,
        endpoint_uid,
        from_domain,
        source: "s".into(),
        conversation: conversation(),
        members,
        oldest_at,
        digest,
    })
}

#[test]
fn an_empty_spool_balances() {
    let home = tempfile::tempdir().expect("a folder");
    drop(Spool::open(home.path()).expect("a spool"));
    let finding = fsck(home.path()).expect("readable");
    assert_eq!((finding.books, finding.faults), (Books::default(), vec![]));
}

#[test]
fn a_spool_in_use_is_opened_by_nobody_else() {
    let home = tempfile::tempdir().expect("a folder");
    let open = Spool::open(home.path()).expect("a spool");
    assert!(Spool::open(home.path()).is_err_and(|error| error.to_string().contains("in use")));
    assert!(fsck(home.path()).is_err());
    drop(open);
    assert!(Spool::open(home.path()).is_ok());
}
