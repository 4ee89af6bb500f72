//! A chat system in a hurry: as many connections as it is told, each with one request under way at any time.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    log::median,
    message::{message, tag},
};

/// What is sent, and where.
#[derive(clap::Args)]
pub struct Args {
    /// The archiver.
    #[arg(long)]
    address: SocketAddr,
    /// The CA of its certificate.
    #[arg(long)]
    ca: PathBuf,
    /// The caller's token.
    #[arg(long)]
    token: String,
    /// Connections, each kept alive.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Messages in a request.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Messages altogether.
    #[arg(long, default_value_t = 10_000)]
    messages: usize,
    /// Conversations that they are spread over.
    #[arg(long, default_value_t = 1000)]
    conversations: usize,
}

/// Sends, and answers how many were acknowledged, in how many seconds, and the median latency of a request.
pub async fn run(args: Args) -> anyhow::Result<Value> {
    let connector = TlsConnector::from(tls(&args)?);
    let mut lanes = Vec::new();
    let (tag, requests) = (tag(), args.messages / args.batch / args.connections);
    ensure!(requests > 0, "too few messages for so many connections");
    for lane in 0..args.connections {
        let requests = (0..requests).map(|number| request(&args, &format!("{tag}-{lane}-{number}"))).collect();
        let stream = TcpStream::connect(args.address).await?;
        stream.set_nodelay(true)?;
        let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
        lanes.push(Lane { stream: BufReader::new(stream), requests, batch: args.batch });
    }
    let began = Instant::now();
    let mut sending: JoinSet<_> = lanes.into_iter().map(Lane::send).collect();
    let mut latencies = Vec::new();
    while let Some(sent) = sending.join_next().await {
        latencies.extend(sent??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let acknowledged = latencies.len() * args.batch;
    let rate = acknowledged as f64 / seconds;
    Ok(json!({"acknowledged": acknowledged, "seconds": seconds, "rate": rate, "median": median(latencies)}))
}

fn tls(args: &Args) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&args.ca)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn request(args: &Args, name: &str) -> Vec<u8> {
    let spread = name.bytes().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let one = |index: usize| message(&format!("{name}-{index}"), (spread + index) % args.conversations);
    let lines: Vec<String> = (0..args.batch).map(one).collect();
    let body = lines.join("\n");
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        args.token,
        body.len()
    );
    (head + &body).into_bytes()
}

/// A connection with what is to be sent on it.
struct Lane {
    stream: BufReader<TlsStream<TcpStream>>,
    requests: Vec<Vec<u8>>,
    batch: usize,
}

impl Lane {
    /// One request after the other; answers how long each took.
    async fn send(mut self) -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::with_capacity(self.requests.len());
        for request in std::mem::take(&mut self.requests) {
            let begun = Instant::now();
            self.stream.write_all(&request).await?;
            self.stream.flush().await?;
            let answer = self.answer().await?;
            latencies.push(begun.elapsed());
            let stored = answer.matches("\"stored\"").count();
            ensure!(stored == self.batch, "{stored} of {} are stored: {answer}", self.batch);
        }
        Ok(latencies)
    }

    /// The body of a 200.
    async fn answer(&mut self) -> anyhow::Result<String> {
        let (mut status, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            match line.strip_prefix("content-length:") {
                Some(bytes) => length = bytes.trim().parse().context("content-length")?,
                None if status.is_empty() => status = line,
                None => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        let body = String::from_utf8(body)?;
        ensure!(status.starts_with("http/1.1 200"), "{status}: {body}");
        Ok(body)
    }
}
