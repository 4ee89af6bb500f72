//! `archiver`: takes an organization's messages, keeps them, and delivers them as mail.

use std::{
    io::{BufWriter, stderr, stdout},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use archiver::{
    admin::{
        SOCKET,
        ask::{End, ask},
        command::{Held, Replay, Said},
    },
    now::Now,
    probe::{self, ProbeArgs},
    report::Cluster,
    run::{self, Ended, RunArgs},
    smtp::{Client, Tcp, Timeouts, Trust},
    spool::{OpenError, Spool, fsck::fsck, renew::renew},
};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::error;

/// The data plane of imarchive.
#[derive(Parser)]
#[command(name = "archiver", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Takes messages over HTTPS and delivers them, until SIGTERM.
    Run(RunArgs),
    /// Tests the connection of an endpoint and writes a report. Exits 0 whatever the verdict.
    Probe(ProbeArgs),
    /// Looks after mail that needs a person. The archiver of the spool has to run.
    #[command(subcommand)]
    Held(Held),
    /// Delivers once more what was delivered, while it is retained: to the same endpoint, as the same bytes and under the same
    /// Message-ID where they can be had again, else under a new one. The archiver of the spool has to run.
    Replay(Replay),
    /// Looks after a spool that no archiver has open.
    #[command(subcommand)]
    Spool(SpoolCommand),
}

#[derive(Subcommand)]
enum SpoolCommand {
    /// Checks that the books balance and that every row can be read: exits 0, or 1 when not, or 2 when unreadable.
    Fsck {
        /// The folder of the spool.
        dir: PathBuf,
    },
    /// Gives a spool that was restored from a backup a name of its own: what it sends from now on has other Message-IDs
    /// than what was sent after the backup was made. Prints the name.
    Renew {
        /// The folder of the spool.
        dir: PathBuf,
    },
}

/// The spool cannot be used, or needs a newer version.
const SPOOL_UNUSABLE: u8 = 3;
/// The spool failed while running.
const SPOOL_FAILED: u8 = 4;
/// Wrong usage, or a spool that fsck cannot read.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    match cli.command {
        Command::Run(args) => runtime(|| run_archiver(args)),
        Command::Probe(args) => runtime(|| run_probe(args)),
        Command::Held(held) => administer(held.into()),
        Command::Replay(replay) => administer(replay.into()),
        Command::Spool(SpoolCommand::Fsck { dir }) => check(&dir),
        Command::Spool(SpoolCommand::Renew { dir }) => match renew(&dir) {
            Ok(uuid) => {
                println!("{uuid}");
                ExitCode::SUCCESS
            }
            Err(error) => unusable(&error),
        },
    }
}

fn runtime<F: Future<Output = ExitCode>>(program: impl FnOnce() -> F) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(program());
            // Not waited for: a name that the resolver is still looking up, for nobody any more.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("archiver: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run_archiver(args: RunArgs) -> ExitCode {
    let opened = match Spool::open(&args.spool) {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("archiver: {error}");
            return ExitCode::from(SPOOL_UNUSABLE);
        }
    };
    match start(args, opened).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Spool(error)) => {
            error!(%error, "the archiver ends: its spool failed");
            ExitCode::from(SPOOL_FAILED)
        }
        Err(Ended::Other(error)) => {
            eprintln!("archiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start(args: RunArgs, opened: (Spool, archiver::spool::Writer)) -> Result<(), Ended> {
    let trust = trust(args.extra_roots.as_deref())?;
    let client = Client::new(Arc::new(Tcp), trust, Timeouts::delivery());
    let cluster = match args.resources {
        Some(_) => None,
        None => Some(cluster(&args)?),
    };
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM cannot be listened for")?;
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    run::run(args, opened, client, clock(), cluster, stop).await
}

fn cluster(args: &RunArgs) -> anyhow::Result<Cluster> {
    let config = kube::Config::incluster().context("this is no pod: without a cluster, give --resources DIR")?;
    let client = kube::Client::try_from(config).context("the API server cannot be spoken to")?;
    Ok(Cluster { client, namespace: args.pod_namespace.clone(), pod: args.pod_name.clone() })
}

async fn run_probe(args: ProbeArgs) -> ExitCode {
    match probe::run(&args, Arc::new(Tcp), &*clock()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("archiver: {error:#}");
            ExitCode::from(USAGE)
        }
    }
}

/// Asks the archiver that runs.
fn administer(said: Said) -> ExitCode {
    let socket = said.spool.join(SOCKET);
    let stream = match UnixStream::connect(&socket) {
        Ok(stream) => stream,
        Err(error) => {
            let socket = socket.display();
            eprintln!("archiver: no archiver runs on this spool, or this is not its user: {socket}: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let mut shown = BufWriter::new(stdout().lock());
    match ask(&said, stream, jiff::Timestamp::now(), &mut shown, &mut stderr()) {
        Ok(end) => ExitCode::from(end as u8),
        // Who reads it has enough, as head has.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("archiver: the answer was not heard to its end: {error}");
            ExitCode::from(End::Failed as u8)
        }
    }
}

fn check(dir: &std::path::Path) -> ExitCode {
    match fsck(dir) {
        Ok(finding) => {
            println!("{}", serde_json::to_string(&finding.books).unwrap_or_default());
            finding.faults.iter().for_each(|fault| eprintln!("archiver: {fault}"));
            ExitCode::from(u8::from(!finding.faults.is_empty()))
        }
        Err(error) => unusable(&error),
    }
}

fn unusable(error: &OpenError) -> ExitCode {
    eprintln!("archiver: {error}");
    ExitCode::from(USAGE)
}

fn trust(extra_roots: Option<&std::path::Path>) -> anyhow::Result<Trust> {
    let read =
        |path: &std::path::Path| std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
    let pem = extra_roots.map(read).transpose()?;
    Trust::new(pem.as_deref()).context("the extra roots cannot be used")
}

fn clock() -> Now {
    Arc::new(jiff::Timestamp::now)
}
