//! What open windows cost: the memory of each, and a look at all of them when none has ended.

use std::{fs, time::Instant};

use anyhow::Context;
use archiver::window::{Member, Windows};
use imarchive_crds::Batching;
use serde_json::{Value, json};

const LOOKS: u32 = 1000;

/// How many.
#[derive(clap::Args)]
pub struct Args {
    /// Conversations, with one message each.
    #[arg(long, default_value_t = 100_000)]
    conversations: usize,
}

/// Opens the windows, and answers bytes for each and the seconds of a look.
pub fn run(args: &Args) -> anyhow::Result<Value> {
    let batching = Batching::default();
    let mut windows = Windows::default();
    let before = memory()?;
    for room in 0..args.conversations {
        let member = Member { seq: room as i64, bytes: 1024 };
        windows.add("journal", room as i64, member, room as i64, &batching);
    }
    let bytes = (memory()? - before) / args.conversations as f64;
    let began = Instant::now();
    let mut ended = 0;
    for now in 0..LOOKS {
        ended += windows.ended("journal", now.into(), &batching, usize::MAX).len();
        ended += usize::from(windows.next_end("journal", &batching).is_none());
    }
    anyhow::ensure!(ended == 0, "a window ended");
    Ok(json!({"bytes": bytes, "tick": (began.elapsed() / LOOKS).as_secs_f64()}))
}

/// The process's own memory, in bytes.
fn memory() -> anyhow::Result<f64> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}
