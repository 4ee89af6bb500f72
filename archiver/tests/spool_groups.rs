//! Jobs that share a commit: each is kept or undone on its own.

use archiver::{
    message::ConversationKind,
    route::Route,
    spool::{
        Spool, WriteError,
        append::{AppendError, Entry, Group, append},
        books::Books,
    },
};
use futures::future::join_all;
use jiff::Timestamp;

fn entry(id: usize, bytes: usize) -> Entry {
    Entry {
        source: "s".into(),
        id: id.to_string(),
        digest: [1; 32],
        group: Group {
            source: "s".into(),
            kind: ConversationKind::Room,
            thread: "r".into(),
            sender: "a@acme.example".into(),
        },
        document: vec![b'x'; bytes],
        contents: vec![],
        route: Route::To([Some("journal".to_owned())].into()),
    }
}

async fn store(spool: &Spool, entries: Vec<Entry>) -> Result<usize, AppendError> {
    let stored = spool.write(move |connection| append(connection, &entries, Timestamp::UNIX_EPOCH), |_| {});
    stored.await.map(|appended| appended.copies.len())
}

#[tokio::test]
async fn a_request_that_conflicts_undoes_nothing_but_itself() {
    let home = tempfile::tempdir().expect("a folder");
    let (spool, writer) = Spool::open(home.path()).expect("a spool");
    tokio::spawn(writer.run());
    store(&spool, vec![entry(0, 10)]).await.expect("stored");
    let other = Entry { digest: [2; 32], ..entry(0, 10) };
    let requests = (1..=200).map(|id| {
        let conflict = (id % 2 == 1).then(|| other.clone());
        store(&spool, [entry(id, 10)].into_iter().chain(conflict).collect())
    });
    for (id, stored) in (1..).zip(join_all(requests).await) {
        match stored {
            Ok(copies) => assert_eq!((id % 2, copies), (0, 1)),
            Err(AppendError::Conflict(indices)) => assert_eq!((id % 2, indices), (1, vec![1])),
            Err(error) => panic!("{error}"),
        }
    }
    let books = spool.read(Books::read).await.expect("readable");
    assert_eq!((books.acknowledged, books.waiting), (101, 101));
}

#[tokio::test]
async fn a_large_request_needs_no_folder_for_temporary_files() {
    // As in the pod, where nothing but the spool can be written.
    let home = tempfile::tempdir().expect("a folder");
    let (spool, writer) = Spool::open(home.path()).expect("a spool");
    tokio::spawn(writer.run());
    let ask = |connection: &rusqlite::Connection| {
        Ok::<i64, WriteError>(connection.query_row("PRAGMA temp_store", [], |row| row.get(0))?)
    };
    assert_eq!(spool.write(ask, |_| {}).await.expect("answered"), 2, "MEMORY");
    assert_eq!(store(&spool, (0..1000).map(|id| entry(id, 20_000)).collect()).await.expect("stored"), 1000);
}
