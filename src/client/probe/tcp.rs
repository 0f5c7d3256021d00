//! `tcp` checks: a connection can be opened. Nothing is sent.

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::peer::{Peer, unconnected};
use super::text::fail;
use crate::domain::health::Finding;

/// Connects to the first address that answers.
pub(super) async fn ask(peer: Peer, deadline: Instant) -> Finding {
    let mut last = None;
    for address in &peer.addresses {
        match timeout_at(deadline, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Finding::Pass,
            Ok(Err(error)) => last = Some(unconnected(&peer.name, &error)),
            Err(_) => return fail(format!("connect to {}: no answer in time", peer.name)),
        }
    }
    last.unwrap_or_else(|| fail(format!("{} has no address", peer.name)))
}
