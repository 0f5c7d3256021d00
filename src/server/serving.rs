//! Accepts connections: so many at once, each with its deadlines, all of them ended when the server stops.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::limits::Limits;
use super::socket::Socket;

/// After a connection could not be accepted, mostly for want of file descriptors.
const BREATHER: Duration = Duration::from_millis(100);

/// A server that is bound and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    router: Router,
    limits: Limits,
}

impl Server {
    /// Takes the address; from then on connections wait there for [`Server::run`].
    ///
    /// # Errors
    /// When the address is in use or not this machine's.
    pub async fn bind(address: SocketAddr, router: Router, limits: Limits) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, router, limits })
    }

    /// Where it listens, with the port that it got for port 0.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is stopped; then no connection is accepted, requests under way have [`Limits::farewell`], and connections
    /// without one end at once.
    pub async fn run(self, stop: CancellationToken) {
        let Self { listener, router, limits } = self;
        let slots = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                (stream, slot) = next(&listener, &slots) => {
                    connections.spawn(serve(stream, slot, router.clone(), limits.clone(), stop.clone()));
                }
            }
        }
        drop(listener);
        let farewell = async { while connections.join_next().await.is_some() {} };
        // What is then left ends with the set.
        timeout(limits.farewell, farewell).await.ok();
    }
}

/// The next connection, once there is a slot for it.
async fn next(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Nobody closes the semaphore.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(_) => sleep(BREATHER).await,
        }
    }
}

async fn serve(
    stream: TcpStream,
    _slot: Option<OwnedSemaphorePermit>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    // An answer is one small write; waiting for more to send would only delay it.
    stream.set_nodelay(true).ok();
    let socket = TokioIo::new(Socket::new(stream, &limits));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_header_size(limits.head_bytes)
        .max_headers(limits.headers)
        .max_buf_size(limits.buffer)
        .serve_connection(socket, TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // A connection that fails is its peer's affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.ok();
}
