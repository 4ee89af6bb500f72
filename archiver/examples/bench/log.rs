//! The yardstick of durable writing: a plain file, appended to, with fdatasync after each group.

use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::message::{SIZE, message};

/// What is appended.
#[derive(clap::Args)]
pub struct Args {
    /// The file, which is made anew.
    #[arg(long)]
    file: PathBuf,
    /// How many groups.
    #[arg(long, default_value_t = 200)]
    groups: usize,
    /// Messages in a group; with 1, the latency of one write is what is asked for.
    #[arg(long, default_value_t = 256)]
    group: usize,
}

/// Appends, and answers the rate and the median time of a group.
pub fn run(args: &Args) -> anyhow::Result<Value> {
    let group: String = (0..args.group).map(|id| message(&format!("log-{id:08}"), 0)).collect();
    let mut file = File::create(&args.file)?;
    // The file's name and first block are not what is measured.
    file.write_all(group.as_bytes())?;
    file.sync_all()?;
    let began = Instant::now();
    let mut taken = Vec::with_capacity(args.groups);
    for _ in 0..args.groups {
        let begun = Instant::now();
        file.write_all(group.as_bytes())?;
        file.sync_data()?;
        taken.push(begun.elapsed());
    }
    let seconds = began.elapsed().as_secs_f64();
    let messages = args.groups * args.group;
    let rate = messages as f64 / seconds;
    Ok(json!({"rate": rate, "megabytes": rate * SIZE as f64 / 1e6, "median": median(taken)}))
}

/// The median, in seconds.
pub fn median(mut taken: Vec<Duration>) -> f64 {
    taken.sort_unstable();
    taken.get(taken.len() / 2).map_or(0.0, Duration::as_secs_f64)
}
