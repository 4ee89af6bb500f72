//! The spool itself, without what is before and behind it.

use std::{path::PathBuf, time::Instant};

use anyhow::anyhow;
use archiver::{
    ingest::{body::Form, check},
    route::Table,
    spool::{
        Spool,
        append::{AppendError, Entry, append as take},
    },
};
use axum::http::{HeaderMap, HeaderValue, header};
use imarchive_crds::Domain;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::message::{SIZE, message, tag};

/// Messages in a request while a spool is filled.
const REQUEST: usize = 5000;

/// What is appended.
#[derive(clap::Args)]
pub struct AppendArgs {
    /// The folder of the spool.
    #[arg(long)]
    spool: PathBuf,
    /// How many groups.
    #[arg(long, default_value_t = 50)]
    groups: usize,
    /// Messages in a group, which is one commit.
    #[arg(long, default_value_t = 256)]
    group: usize,
}

/// What a spool is filled with.
#[derive(clap::Args)]
pub struct FillArgs {
    /// The folder of the spool.
    #[arg(long)]
    spool: PathBuf,
    /// Conversations.
    #[arg(long)]
    conversations: usize,
    /// Messages in each of them.
    #[arg(long, default_value_t = 50)]
    messages: usize,
}

/// Appends group after group, and answers the rate.
pub async fn append(args: AppendArgs) -> anyhow::Result<Value> {
    let tag = tag();
    let one = |id: usize| message(&format!("{tag}-{id}"), id % 1000);
    let group = |number: usize| entries((0..args.group).map(|id| one(number * args.group + id)).collect());
    let groups: Vec<_> = (0..args.groups).map(group).collect::<Result<_, _>>()?;
    let (spool, writer) = Spool::open(&args.spool)?;
    let writing = tokio::spawn(writer.run());
    // The first commit of a process also reads what the database keeps in memory from then on.
    store(&spool, entries(vec![message(&tag, 0)])?).await?;
    let began = Instant::now();
    for entries in groups {
        store(&spool, entries).await?;
    }
    let rate = (args.groups * args.group) as f64 / began.elapsed().as_secs_f64();
    drop(spool);
    writing.await??;
    Ok(json!({"rate": rate, "megabytes": rate * SIZE as f64 / 1e6}))
}

/// Fills a spool: a message of each conversation, then the next of each, and so on.
pub async fn fill(args: FillArgs) -> anyhow::Result<Value> {
    let tag = tag();
    let (spool, writer) = Spool::open(&args.spool)?;
    let writing = tokio::spawn(writer.run());
    let total = args.conversations * args.messages;
    let mut storing = None;
    for first in (0..total).step_by(REQUEST) {
        let ids = first..total.min(first + REQUEST);
        let texts = ids.map(|id| message(&format!("{tag}-{id}"), id % args.conversations)).collect();
        let prepared = tokio::task::spawn_blocking(move || entries(texts)).await??;
        let spool = spool.clone();
        // One is stored while the next is prepared.
        if let Some(stored) = storing.replace(tokio::spawn(async move { store(&spool, prepared).await })) {
            stored.await??;
        }
    }
    if let Some(stored) = storing {
        stored.await??;
    }
    drop(spool);
    writing.await??;
    Ok(json!({"messages": total}))
}

async fn store(spool: &Spool, entries: Vec<Entry>) -> Result<(), AppendError> {
    let now = Timestamp::now();
    spool.write(move |connection| take(connection, &entries, now), |_| {}).await.map(drop)
}

/// What the ingest makes of these messages, for an organization with one endpoint.
fn entries(texts: Vec<String>) -> anyhow::Result<Vec<Entry>> {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))]);
    let form = Form::of(&headers).map_err(|problem| anyhow!("{problem:?}"))?;
    let table = Table {
        domains: [Domain::parse("acme.example")?].into(),
        endpoints: ["journal".to_owned()].into(),
        default: Some("journal".to_owned()),
        ..Table::default()
    };
    let sources = ["bench".to_owned()].into();
    check::entries(texts.join("\n").as_bytes(), form, &table, &sources).map_err(|problem| anyhow!("{problem:?}"))
}
