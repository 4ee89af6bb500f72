//! The HTTPS server: bounded in connections, in what each of them may keep in memory, and in how long it may idle.
//!
//! A connection costs some ten kibibytes before its caller is known, and a body that nobody reads yet as much as it may
//! run ahead. What is beyond the bounds is closed: callers come again, as they do when a pod is replaced.

use std::{
    future::{Ready, ready},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum_server::{
    Server,
    accept::Accept,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// The most connections at once.
const CONNECTIONS: usize = 1000;
/// For a request's header, and so also for the pause between two requests of a connection.
const HEADER: Duration = Duration::from_secs(60);
/// HTTP/1.1: a request's header, and what is read ahead of a body.
const AHEAD: usize = 64 << 10;
/// HTTP/2: the same, of a connection and of each request in it.
const WINDOW: u32 = 256 << 10;
/// HTTP/2: requests at once in one connection.
const STREAMS: u32 = 32;
/// HTTP/2: after such a pause the other side is asked whether it is there.
const ALIVE: Duration = Duration::from_secs(30);

/// A server for `address` that shows `tls`, ready to serve.
pub fn bind(address: SocketAddr, tls: RustlsConfig) -> Server<SocketAddr, RustlsAcceptor<Capped>> {
    let capped = Capped { free: Arc::new(Semaphore::new(CONNECTIONS)) };
    let mut server = axum_server::bind(address).acceptor(RustlsAcceptor::new(tls).acceptor(capped));
    let http = server.http_builder();
    http.http1().header_read_timeout(HEADER).max_buf_size(AHEAD);
    http.http2()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE);
    server.first_request_timeout(HEADER)
}

/// Takes connections while there are few enough.
#[derive(Clone, Debug)]
pub struct Capped {
    free: Arc<Semaphore>,
}

impl<S> Accept<TcpStream, S> for Capped {
    type Stream = Counted;
    type Service = S;
    type Future = Ready<io::Result<(Counted, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let full = |_| io::Error::other("there are too many connections");
        let counted = self.free.clone().try_acquire_owned().map_err(full).and_then(|place| {
            // An answer is one small write, which must not wait for the acknowledgement of the one before.
            stream.set_nodelay(true)?;
            Ok((Counted { stream, _place: place }, service))
        });
        ready(counted)
    }
}

/// A connection, and its place among those that there may be.
#[derive(Debug)]
pub struct Counted {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
