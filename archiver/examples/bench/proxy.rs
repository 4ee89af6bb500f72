//! A network that is far away: each byte arrives after a delay, in either direction, however many are under way.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Where it is, and how far away.
#[derive(clap::Args)]
pub struct Args {
    /// Where connections are taken.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where they lead.
    #[arg(long)]
    to: SocketAddr,
    /// Milliseconds, there and back.
    #[arg(long, default_value_t = 20)]
    milliseconds: u64,
}

/// Runs until it is killed; the first line says where it listens.
pub async fn run(args: Args) -> anyhow::Result<Value> {
    let listener = TcpListener::bind(args.listen).await?;
    println!("{}", json!({"port": listener.local_addr()?.port()}));
    let delay = Duration::from_micros(args.milliseconds * 500);
    loop {
        let (near, _) = listener.accept().await?;
        tokio::spawn(async move {
            let far = TcpStream::connect(args.to).await?;
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            tokio::join!(pass(near_read, far_write, delay), pass(far_read, near_write, delay));
            Ok::<_, std::io::Error>(())
        });
    }
}

/// Passes on until one side hangs up.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (sender, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let reading = async move {
        loop {
            let mut bytes = Vec::with_capacity(64 << 10);
            match from.read_buf(&mut bytes).await {
                Ok(read) if read > 0 && sender.send((Instant::now() + delay, bytes)).await.is_ok() => {}
                _ => break,
            }
        }
    };
    let writing = async move {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // Whoever hung up is answered by the same, or has gone already.
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
