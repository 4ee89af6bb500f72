//! The archiver's side of the socket: each client says one line, and hears the answer.
//!
//! An act is a task of its own: a client that goes away, or stands still, stops nothing.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    Admin, Out, SOCKET,
    protocol::{Line, Request},
};

/// Clients at once.
const CLIENTS: usize = 16;
/// The longest request: some ten thousand names of batches.
const LONGEST: u64 = 1 << 20;
/// A client that says nothing, or takes nothing, for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lines that an act may be ahead of its client.
const LINES: usize = 64;

/// Makes the socket in the spool's folder, in place of a stale one: the spool is locked, so that nobody else listens there.
pub fn listen(folder: &Path) -> io::Result<UnixListener> {
    let (socket, fresh) = (folder.join(SOCKET), folder.join(format!("{SOCKET}.new")));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Under its name it is nobody else's from the first moment.
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    fs::rename(&fresh, &socket)?;
    Ok(listener)
}

/// Answers clients until the process ends. Without a socket everything else goes on.
pub async fn serve(admin: Arc<Admin>, folder: &Path) {
    let listener = match listen(folder) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(folder = %folder.display(), %error, "no socket for administration: archiver held cannot be used");
            return std::future::pending().await;
        }
    };
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let admin = admin.clone();
                tokio::spawn(async move {
                    let answered = converse(admin, stream).await;
                    debug!(?answered, "a client of the administration is gone");
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "a client of the administration was not let in");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(admin: Arc<Admin>, stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let (lines, mut answer) = mpsc::channel(LINES);
    match timeout(PATIENCE, request(read)).await?? {
        Ok(request) => drop(tokio::spawn(async move { admin.act(request, Out::new(lines)).await })),
        Err(error) => {
            let _ = lines.send(Line::Failed(format!("the request was not understood: {error}"))).await;
            drop(lines);
        }
    }
    while let Some(line) = answer.recv().await {
        timeout(PATIENCE, say(&mut write, &line)).await??;
    }
    write.shutdown().await
}

async fn request(read: OwnedReadHalf) -> io::Result<serde_json::Result<Request>> {
    let mut line = String::new();
    BufReader::new(read.take(LONGEST)).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line))
}

async fn say(write: &mut OwnedWriteHalf, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    write.write_all(&text).await
}
