//! What a person types.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use imarchive_crds::Address;

use super::protocol::{Replayed, Request, When, Which};

/// Where the running archiver is.
#[derive(Clone, Debug, Args)]
pub struct Where {
    /// The folder of the running archiver's spool, where its socket is.
    #[arg(long, env = "IMARCHIVE_SPOOL", value_name = "DIR", default_value = "/var/lib/imarchive")]
    pub spool: PathBuf,
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `archiver held`
#[derive(Clone, Debug, Subcommand)]
pub enum Held {
    /// Shows what is held, by endpoint and number.
    List {
        /// Where the archiver is.
        #[command(flatten)]
        at: Where,
        /// Only what is held for this endpoint.
        #[arg(long, value_name = "NAME")]
        endpoint: Option<String>,
        /// Only what is held for this reason: its beginning is enough (refused, too big, damaged, Expired).
        #[arg(long)]
        reason: Option<String>,
        /// How to show it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Shows all that is known of one batch, held or not, and what can be done about it.
    Show {
        /// Where the archiver is.
        #[command(flatten)]
        at: Where,
        /// The batch, as a list, a mail's X-IMArchive-Batch or GET /v1/messages names it: ENDPOINT-NUMBER.
        batch: String,
        /// Writes the stored mail instead, byte by byte.
        #[arg(long)]
        mail: bool,
        /// How to show it.
        #[arg(short, long, value_enum, default_value_t, conflicts_with = "mail")]
        output: Output,
    },
    /// Lets what is held wait for delivery again: same bytes, same Message-ID, every ladder from its beginning.
    ///
    /// Exits 0 when all that was asked for is done, 1 when some was refused, and says why.
    Release {
        /// Where the archiver is.
        #[command(flatten)]
        at: Where,
        /// Which of what is held.
        #[command(flatten)]
        of: Select,
    },
    /// Gives what is held to another endpoint, as new batches there. Each names in X-IMArchive-Replaces the number and the
    /// digest of the batch that it stands in for, whose own number stays as a gap.
    ///
    /// A message that the other endpoint has already is not given to it twice. Exits 0 when all that was asked for is done, 1
    /// when some was refused, and says why.
    Reroute {
        /// Where the archiver is.
        #[command(flatten)]
        at: Where,
        /// Which of what is held.
        #[command(flatten)]
        of: Select,
        /// The other endpoint: it has to be there, and accepted.
        #[arg(long, value_name = "ENDPOINT")]
        to: String,
    },
}

/// `archiver replay`
#[derive(Clone, Debug, Args)]
pub struct Replay {
    /// Where the archiver is.
    #[command(flatten)]
    pub at: Where,
    /// Which of the delivered batches.
    #[command(flatten)]
    pub of: Delivered,
    /// Shows what would be delivered once more, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How to show it: as JSON it is the counts alone.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Which of the delivered batches: those that all of this is true of. One must be given.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Delivered {
    /// Of this endpoint.
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
    /// Taken by the archive then or later: 2026-11-23T09:00:00Z, or how long ago: 36h.
    #[arg(long, value_name = "TIME")]
    pub since: Option<When>,
    /// Taken by the archive then or earlier.
    #[arg(long, value_name = "TIME")]
    pub until: Option<When>,
    /// With a message that this user sent or got.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub user: Option<Address>,
    /// With a message of this conversation, by its id in its source (of that user, if one is named).
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
    /// Of this chat system.
    #[arg(long)]
    pub source: Option<String>,
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

/// Which of what is held. One of them must be given.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Select {
    /// These batches.
    #[arg(value_name = "BATCH", conflicts_with_all = ["endpoint", "reason", "all"])]
    pub batches: Vec<String>,
    /// All that is held for this endpoint.
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
    /// All that is held for this reason: its beginning is enough (refused, too big, damaged, Expired).
    #[arg(long)]
    pub reason: Option<String>,
    /// All that is held.
    #[arg(long, conflicts_with_all = ["endpoint", "reason"])]
    pub all: bool,
}

impl From<Select> for Which {
    fn from(select: Select) -> Self {
        match select.batches.is_empty() {
            true => Self::Those { endpoint: select.endpoint, reason: select.reason },
            false => Self::Batches(select.batches),
        }
    }
}

/// A command, ready to be said.
pub struct Said {
    /// Where to.
    pub spool: PathBuf,
    /// What.
    pub request: Request,
    /// How the answer is shown.
    pub output: Output,
}

impl From<Held> for Said {
    fn from(held: Held) -> Self {
        let (at, request, output) = match held {
            Held::List { at, endpoint, reason, output } => {
                (at, Request::List { of: Which::Those { endpoint, reason } }, output)
            }
            Held::Show { at, batch, mail, output } => (at, Request::Show { batch, mail }, output),
            Held::Release { at, of } => (at, Request::Release { of: of.into() }, Output::Text),
            Held::Reroute { at, of, to } => (at, Request::Reroute { of: of.into(), to }, Output::Text),
        };
        Self { spool: at.spool, request, output }
    }
}

impl From<Replay> for Said {
    fn from(replay: Replay) -> Self {
        let Replay { at, of: Delivered { endpoint, since, until, user, conversation, source }, dry_run, output } =
            replay;
        let of = Replayed { endpoint, source, since, until, user, conversation };
        Self { spool: at.spool, request: Request::Replay { of, dry_run }, output }
    }
}
