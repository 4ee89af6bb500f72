//! What `e2e/bench` measures with: a chat system in a hurry, an archive that does nothing but take mail, a network that is
//! far away, and the yardsticks of this disk. Each answers with one line of JSON.
//!
//! All that is sent or stored is prepared before the clock starts.

mod load;
mod log;
mod message;
mod proxy;
mod sink;
mod spool;
mod windows;

use clap::{Parser, Subcommand};

/// The pieces that the benchmark is made of.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hands messages to an archiver over HTTPS, and counts what it acknowledges.
    Load(load::Args),
    /// An archive that takes every mail; each line on standard input asks for its counts.
    Sink(sink::Args),
    /// Passes every byte on after a while.
    Proxy(proxy::Args),
    /// Appends to a plain file with fdatasync.
    Log(log::Args),
    /// Appends to a spool.
    Append(spool::AppendArgs),
    /// Makes a spool in which messages wait.
    Fill(spool::FillArgs),
    /// Opens windows, and looks after them.
    Windows(windows::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let answer = match Cli::parse().command {
        Command::Load(args) => load::run(args).await?,
        Command::Sink(args) => sink::run(args).await?,
        Command::Proxy(args) => proxy::run(args).await?,
        Command::Log(args) => tokio::task::spawn_blocking(move || log::run(&args)).await??,
        Command::Append(args) => spool::append(args).await?,
        Command::Fill(args) => spool::fill(args).await?,
        Command::Windows(args) => windows::run(&args)?,
    };
    println!("{answer}");
    Ok(())
}
