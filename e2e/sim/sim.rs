//! Ninety days in seconds: the archiver and the operator's folding and notifier under virtual time, with seeded faults.
//!
//! `SEEDS=N` plays so many seeds, on all cores; without it some that take a few seconds. `SEED=n` plays that one, twice,
//! and prints its trace. Ends with 1 when anything that was promised did not hold.

#![allow(missing_docs, reason = "a program, whose modules say what they are for")]

#[path = "sim/archive.rs"]
mod archive;
#[path = "sim/core.rs"]
mod core;
#[path = "sim/history.rs"]
mod history;
#[path = "sim/lookout.rs"]
mod lookout;
#[path = "sim/mailing.rs"]
mod mailing;
#[path = "sim/mutations.rs"]
mod mutations;
#[path = "sim/operator.rs"]
mod operator;
#[path = "sim/oracle.rs"]
mod oracle;
#[path = "sim/plan.rs"]
mod plan;
#[path = "sim/resources.rs"]
mod resources;
#[path = "sim/world.rs"]
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use archive::Keys;
use history::Event;
use mutations::Mutations;
use plan::Plan;

/// Played when nobody says how many: some ten seconds of one processor.
const SEEDS: u64 = 100;
/// Of so many seeds one is played twice, to see that nothing but the seed decides.
const TWICE: u64 = 10;
/// After so many seeds it is said how far it is.
const SAID: u64 = 500;

fn main() -> ExitCode {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let keys = Keys::new();
    match number("SEED") {
        Some(seed) => replay(seed, &keys),
        None => play_all(number("SEEDS").unwrap_or(SEEDS), &keys),
    }
}

/// Plays a seed.
fn play(seed: u64, keys: &Keys) -> (Arc<Plan>, Vec<Event>) {
    let plan = Arc::new(Plan::new(seed));
    let home = tempfile::Builder::new().prefix("imarchive-sim-").tempdir_in(shelf()).expect("a folder");
    // One thread that commits and reads: fewer orders in which things may happen within one virtual moment.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    let events = runtime.block_on(world::play(plan.clone(), keys.clone(), home.path()));
    (plan, events)
}

/// Memory, if there is such a folder: what a disk may do is proved elsewhere.
fn shelf() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// One seed, for a person who reads.
fn replay(seed: u64, keys: &Keys) -> ExitCode {
    let (plan, events) = play(seed, keys);
    for event in &events {
        println!("{}", event.line());
    }
    println!("trace {}", history::hash(&events));
    conclude(&violations(seed, &plan, &events, keys, true))
}

/// The first `count` seeds, on all processors.
fn play_all(count: u64, keys: &Keys) -> ExitCode {
    let begun = Instant::now();
    let (next, found) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let mutations = Mutex::new(Mutations::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= count {
                        return;
                    }
                    let played = catch_unwind(AssertUnwindSafe(|| {
                        let (plan, events) = play(seed, keys);
                        let wrong = violations(seed, &plan, &events, keys, seed % TWICE == 0);
                        if wrong.is_empty() {
                            mutations.lock().expect("no panic").add(&plan, &events);
                        }
                        wrong
                    }));
                    let wrong = played.unwrap_or_else(|_| vec!["the simulation itself failed".to_owned()]);
                    let mut found = found.lock().expect("no panic");
                    found.extend(wrong.into_iter().map(|words| format!("SEED={seed}: {words}")));
                    if seed > 0 && seed % SAID == 0 {
                        let rate = seed as f64 / begun.elapsed().as_secs_f64();
                        eprintln!("{seed} seeds, {rate:.1} a second, {} violations so far", found.len());
                    }
                }
            });
        }
    });
    let (mut found, took) = (found.into_inner().expect("no panic"), begun.elapsed().as_secs_f64());
    let mutations = mutations.into_inner().expect("no panic");
    found.extend(mutations.unseen.iter().cloned());
    if count >= SEEDS {
        found.extend(
            mutations.untried().iter().map(|name| format!("nothing showed whether the oracle sees that {name}")),
        );
    }
    let code = conclude(&found);
    println!("{count} seeds, {:.1} a second, {} violations", count as f64 / took, found.len());
    code
}

fn violations(seed: u64, plan: &Plan, events: &[Event], keys: &Keys, twice: bool) -> Vec<String> {
    let mut wrong = oracle::judge(plan, events);
    if twice && history::hash(events) != history::hash(&play(seed, keys).1) {
        wrong.push("the same seed came to another trace".to_owned());
    }
    wrong
}

fn conclude(wrong: &[String]) -> ExitCode {
    for words in wrong {
        println!("VIOLATION {words}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
