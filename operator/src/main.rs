//! The operator's binary: parses the command line, opens connections, reads the clock.

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};
use operator::{check, crds, run, settings};
use tracing_subscriber::EnvFilter;

/// The control plane of imarchive.
#[derive(Parser)]
#[command(version, about)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
    /// What is logged, such as `info` or `operator=debug,kube=warn`.
    #[arg(long, env = "IMARCHIVE_LOG", default_value = "info", global = true)]
    log: String,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs the operator until SIGTERM.
    Run(settings::Run),
    /// Prints the CustomResourceDefinitions.
    Crds,
    /// Tells whether this cluster is ready for imarchive: exit 0, or 1 with what is missing.
    Check(settings::Check),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    let filter = match EnvFilter::try_new(&command.log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("--log {:?} cannot be read: {error}", command.log);
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    // Fails only when it is set already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let outcome = match command.verb {
        Verb::Run(settings) => run::run(settings, jiff::Timestamp::now).await,
        Verb::Crds => crds::print(io::stdout().lock()),
        Verb::Check(settings) => check::check(settings, jiff::Timestamp::now).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
