//! What one peer, and all of them together, can make this controller hold or wait for.

use std::time::Duration;

/// The limits of the server. Others than the default are for tests.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's backlog, which is bounded too.
    pub connections: usize,
    /// From the end of one request to the end of the next one's headers; then the connection is closed without an answer.
    pub head_time: Duration,
    /// Request line and headers; more is answered 431.
    pub head_bytes: usize,
    /// Headers of one request; more is answered 431.
    pub headers: usize,
    /// What a connection holds of a body at once; at least 8 KiB.
    pub buffer: usize,
    /// A delivery's body; more is answered 413. GitHub sends no more than 25 MiB.
    pub body_bytes: u64,
    /// From a delivery's headers to the end of its body; then 408. Less than `request_time`.
    pub body_time: Duration,
    /// From a request's headers to its answer; then 408.
    pub request_time: Duration,
    /// How long an answer may wait for a peer that does not read it; then the connection is closed.
    pub write_time: Duration,
    /// How long what a peer still sends is thrown away after the last answer, so that the answer reaches it.
    pub linger: Duration,
    /// How long requests under way have when the server stops.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head_time: Duration::from_secs(10),
            head_bytes: 32 << 10,
            headers: 64,
            buffer: 64 << 10,
            body_bytes: 25 << 20,
            body_time: Duration::from_secs(25),
            request_time: Duration::from_secs(30),
            write_time: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            farewell: Duration::from_secs(5),
        }
    }
}
