//! The program from outside: what it exits with.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use archiver::spool::Spool;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_archiver");

fn home() -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    for folder in ["resources", "credentials", "tokens"] {
        fs::create_dir(home.path().join(folder)).expect("a folder");
    }
    home
}

fn archiver(home: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.current_dir(home).args(["run", "--resources", "resources", "--spool", "spool"]);
    command.args([
        "--credentials",
        "credentials",
        "--tokens",
        "tokens",
        "--listen",
        "127.0.0.1:0",
        "--metrics",
        "127.0.0.1:0",
    ]);
    command.stderr(Stdio::null());
    command
}

/// Starts an archiver, and waits until it has its certificate, which is after it listens for SIGTERM.
fn started(home: &Path) -> Child {
    let child = archiver(home).spawn().expect("a process");
    let patience = Instant::now() + Duration::from_secs(20);
    while !home.join("spool/ca.crt").exists() {
        assert!(Instant::now() < patience, "the archiver does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn stopped(mut child: Child) -> Option<i32> {
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(asked.success());
    child.wait().expect("ended").code()
}

fn fsck(home: &Path) -> Output {
    Command::new(PROGRAM).current_dir(home).args(["spool", "fsck", "spool"]).output().expect("a process")
}

/// Changes the spool as nothing should.
fn tamper(home: &Path, sql: &str) {
    drop(Spool::open(&home.join("spool")).expect("a spool"));
    let connection = rusqlite::Connection::open(home.join("spool/spool.db")).expect("a database");
    connection.execute_batch(sql).expect("changed");
}

#[test]
fn an_archiver_that_is_asked_to_stop_exits_0_and_leaves_books_that_balance() {
    let home = home();
    assert_eq!(stopped(started(home.path())), Some(0));
    let found = fsck(home.path());
    assert_eq!(found.status.code(), Some(0));
    let books = r#"{"acknowledged":0,"delivered":0,"waiting":0,"held":0,"excluded":0,"unrouted":0,"damaged":0}"#;
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), books);
}

#[test]
fn a_spool_in_use_is_exit_3_for_another_archiver_and_2_for_fsck() {
    let home = home();
    let first = started(home.path());
    assert_eq!(archiver(home.path()).status().expect("ended").code(), Some(3));
    assert_eq!(fsck(home.path()).status.code(), Some(2));
    assert_eq!(stopped(first), Some(0));
}

#[test]
fn a_spool_that_needs_a_newer_program_is_exit_3() {
    let home = home();
    tamper(home.path(), "UPDATE format SET needs = 99");
    assert_eq!(archiver(home.path()).status().expect("ended").code(), Some(3));
}

#[test]
fn books_that_do_not_balance_are_exit_1_with_the_reason() {
    let home = home();
    tamper(home.path(), "UPDATE books SET acknowledged = 7");
    let found = fsck(home.path());
    assert_eq!(found.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&found.stderr).contains("totals"), "{found:?}");
}

#[test]
fn what_is_no_spool_is_exit_2_for_fsck() {
    let home = home();
    fs::create_dir(home.path().join("spool")).expect("a folder");
    fs::write(home.path().join("spool/spool.db"), "not a database, but long enough to look like something")
        .expect("written");
    assert_eq!(fsck(home.path()).status.code(), Some(2));
}

#[test]
fn wrong_usage_is_exit_2() {
    let wrong = Command::new(PROGRAM).args(["run", "--spool"]).stderr(Stdio::null()).status().expect("ended");
    assert_eq!(wrong.code(), Some(2));
}

fn held(home: &Path, args: &[&str]) -> Output {
    Command::new(PROGRAM).current_dir(home).args(args).args(["--spool", "spool"]).output().expect("a process")
}

#[test]
fn without_an_archiver_administration_is_exit_2_and_says_so() {
    let home = home();
    for args in [vec!["held", "list"], vec!["held", "release", "--all"], vec!["replay", "--endpoint", "journal"]] {
        let asked = held(home.path(), &args);
        assert_eq!(asked.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&asked.stderr).contains("no archiver runs"), "{asked:?}");
    }
}

#[test]
fn a_running_archiver_answers_over_a_socket_that_is_its_own_in_place_of_a_stale_one() {
    use std::os::unix::fs::PermissionsExt;
    let home = home();
    fs::create_dir(home.path().join("spool")).expect("a folder");
    drop(std::os::unix::net::UnixListener::bind(home.path().join("spool/admin.sock")).expect("a stale socket"));
    let archiver = started(home.path());
    let patience = Instant::now() + Duration::from_secs(20);
    let listed = loop {
        let listed = held(home.path(), &["held", "list"]);
        if listed.status.success() || Instant::now() > patience {
            break listed;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((listed.status.code(), String::from_utf8_lossy(&listed.stdout).trim()), (Some(0), "Nothing is held."));
    let mode = fs::metadata(home.path().join("spool/admin.sock")).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let missing = held(home.path(), &["held", "release", "journal-1"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no such batch"), "{missing:?}");
    assert_eq!(stopped(archiver), Some(0));
    assert_eq!(fsck(home.path()).status.code(), Some(0), "the socket is none of its business");
}

#[test]
fn nothing_is_let_go_or_replayed_without_saying_which() {
    let home = home();
    for args in
        [vec!["held", "release"], vec!["held", "reroute", "--to", "vault"], vec!["replay"], vec!["replay", "--dry-run"]]
    {
        assert_eq!(held(home.path(), &args).status.code(), Some(2), "{args:?}");
    }
    let unclear = held(home.path(), &["held", "release", "journal-1", "--all"]);
    assert_eq!(unclear.status.code(), Some(2));
    let when = held(home.path(), &["replay", "--since", "yesterday"]);
    assert!(String::from_utf8_lossy(&when.stderr).contains("36h"), "{when:?}");
}
