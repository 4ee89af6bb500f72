//! A spool with a million messages: what the next one costs, and what a start costs. Not run by itself: it measures, and
//! says what it measured.

use std::{path::Path, sync::Arc, time::Instant};

use archiver::{
    directory::{Directory, Resources},
    message::{Conversation, ConversationKind},
    route::Route,
    seal::{Sealer, Tell},
    spool::{
        Spool, WriteError,
        append::{AppendError, Entry, Group, append},
        batch::{self, Sealing},
    },
    window,
};
use jiff::Timestamp;
use tokio::sync::watch;

const GROUP: u64 = 256;
const CONVERSATIONS: u64 = 100_000;

fn entry(number: u64, document: &[u8]) -> Entry {
    let room = number % CONVERSATIONS;
    Entry {
        source: "acme-chat".into(),
        id: uuid::Uuid::from_u64_pair(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number).to_string(),
        digest: [number as u8; 32],
        group: Group {
            source: "acme-chat".into(),
            kind: ConversationKind::Room,
            thread: format!("room-{room}"),
            sender: format!("user-{room}@acme.example"),
        },
        document: document.to_vec(),
        contents: vec![],
        route: Route::To([Some("journal".to_owned())].into()),
    }
}

/// Appends messages in groups; says how many thousand a second each tenth of them took.
async fn fill(spool: &Spool, count: u64, bytes: usize) {
    let document: Arc<[u8]> = format!("{:x<bytes$}", "").into_bytes().into();
    let tenth = count / 10 / GROUP * GROUP;
    let mut began = Instant::now();
    for first in (0..count).step_by(GROUP as usize) {
        let entries: Vec<Entry> = (first..first + GROUP).map(|number| entry(number, &document)).collect();
        let now = Timestamp::now();
        let stored = spool.write(move |connection| append(connection, &entries, now), |_| {});
        stored.await.map_err(|error: AppendError| error).expect("stored");
        if (first + GROUP).is_multiple_of(tenth) {
            let rate = tenth as f64 / began.elapsed().as_secs_f64() / 1000.0;
            println!("{:>8} rows: {rate:.1} k/s", first + GROUP);
            began = Instant::now();
        }
    }
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")).collect::<Vec<_>>().join(", ")
}

fn resources(home: &Path) -> Resources {
    let yaml = "
apiVersion: imarchive.dev/v1alpha1
kind: Archiver
metadata: {name: archiver}
spec: {organization: {name: Acme, domains: [acme.example]}}
---
apiVersion: imarchive.dev/v1alpha1
kind: ArchivingEndpoint
metadata: {name: journal}
spec: {type: SecureSMTP, smtp: {host: journal.archive.example, from: a@acme.example, recipients: [b@archive.example]}}
";
    std::fs::create_dir_all(home).expect("a folder");
    std::fs::write(home.join("acme.yaml"), yaml).expect("written");
    Directory::new(home, false).read().expect("readable").expect("new")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fills the folder IMARCHIVE_SCALE with a million messages"]
async fn fill_a_million() {
    let home = std::env::var("IMARCHIVE_SCALE").expect("a folder");
    let (spool, writer) = Spool::open(Path::new(&home)).expect("a spool");
    tokio::spawn(writer.run());
    let count = std::env::var("IMARCHIVE_COUNT").map_or(1_000_000, |count| count.parse().expect("a number"));
    fill(&spool, count, 1024).await;
    // As if killed: nothing is closed.
    std::process::exit(0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "seals what the one before filled in"]
async fn seal_a_million() {
    let home = std::env::var("IMARCHIVE_SCALE").expect("a folder");
    let (spool, writer) = Spool::open(Path::new(&home)).expect("a spool");
    tokio::spawn(writer.run());
    let count = std::env::var("IMARCHIVE_COUNT").map_or(1_000_000, |count| count.parse().expect("a number"));
    for first in (0..count).step_by(50 * 64) {
        let sealings: Vec<Sealing> = (first..(first + 50 * 64).min(count))
            .collect::<Vec<i64>>()
            .chunks(50)
            .map(|seqs| Sealing {
                endpoint: "journal".into(),
                endpoint_uid: "uid".into(),
                from_domain: "acme.example".into(),
                source: "acme-chat".into(),
                conversation: Conversation { kind: ConversationKind::Room, id: "r".into(), name: None },
                members: seqs.iter().map(|seq| seq + 1).collect(),
                oldest_at: Timestamp::UNIX_EPOCH,
                digest: "d".into(),
            })
            .collect();
        let uuid = spool.uuid();
        let job = move |connection: &_| {
            sealings.iter().try_for_each(|sealing| batch::seal(connection, uuid, sealing, Timestamp::UNIX_EPOCH))
        };
        spool.write(move |connection| Ok::<_, WriteError>(job(connection)?), |()| {}).await.expect("sealed");
    }
    std::process::exit(0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts on what those before left"]
async fn start_on_a_million() {
    let home = std::env::var("IMARCHIVE_SCALE").expect("a folder");
    println!("before: {}", resident());
    let began = Instant::now();
    let (spool, writer) = Spool::open(Path::new(&home)).expect("a spool");
    println!("open: {:?}, {}", began.elapsed(), resident());
    tokio::spawn(writer.run());
    let folder = tempfile::tempdir().expect("a folder");
    let (_publish, resources) = watch::channel(Arc::new(resources(folder.path())));
    let windows = Arc::new(window::Shared::new());
    let tell = Tell { sealed: watch::channel(0).0, turned: watch::channel(0).0 };
    let now = Arc::new(Timestamp::now);
    let _sealer = Sealer::start(spool, resources, windows, now, tell).await.expect("readable");
    println!("windows: {:?}, {}", began.elapsed(), resident());
    std::process::exit(0);
}
