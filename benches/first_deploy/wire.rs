//! The floor: transactions that were built beforehand, one after the other on one connection, by hand. And a proxy that
//! counts what goes over the wire.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::load;
use crate::support::Agent;

/// Operations of one transaction, which every Consul takes.
const OPS: usize = 64;

/// Writes all keys with plain `set` operations.
pub(crate) fn floor(agent: &Agent) -> Duration {
    let operations: Vec<String> = load::pairs()
        .map(|(key, value)| format!(r#"{{"KV":{{"Verb":"set","Key":"{key}","Value":"{}"}}}}"#, STANDARD.encode(value)))
        .collect();
    let requests: Vec<String> = operations
        .chunks(OPS)
        .map(|chunk| {
            let length = chunk.iter().map(String::len).sum::<usize>() + chunk.len() + 1;
            format!("PUT /v1/txn HTTP/1.1\r\nHost: consul\r\nContent-Length: {length}\r\n\r\n[{}]", chunk.join(","))
        })
        .collect();
    let mut stream = TcpStream::connect(("127.0.0.1", agent.port())).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answers = BufReader::with_capacity(64 << 10, stream.try_clone().unwrap());
    let begin = Instant::now();
    for request in &requests {
        stream.write_all(request.as_bytes()).unwrap();
        read_answer(&mut answers);
    }
    let time = begin.elapsed();
    load::check(agent);
    time
}

/// Reads one answer to its end; only 200 will do.
fn read_answer(from: &mut BufReader<TcpStream>) {
    let (mut status, mut length, mut chunked) = (String::new(), 0, false);
    from.read_line(&mut status).unwrap();
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    loop {
        let line = read_line(from).to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        chunked |= line.starts_with("transfer-encoding:") && line.ends_with("chunked");
    }
    if !chunked {
        return skip(from, length);
    }
    loop {
        let size = u64::from_str_radix(read_line(from).trim(), 16).unwrap();
        skip(from, size + 2);
        if size == 0 {
            return;
        }
    }
}

fn read_line(from: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn skip(from: &mut BufReader<TcpStream>, bytes: u64) {
    assert_eq!(std::io::copy(&mut from.take(bytes), &mut std::io::sink()).unwrap(), bytes, "the answer was cut off");
}

/// What went through a [`Proxy`].
#[derive(Default)]
pub(crate) struct Tally {
    connections: AtomicU64,
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// The same as plain numbers.
pub(crate) struct Counts {
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// Passes everything on to a port of this machine and counts it; it goes away with the process.
pub(crate) struct Proxy {
    port: u16,
    tally: Arc<Tally>,
}

impl Proxy {
    pub(crate) fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), tally: Arc::default() };
        let tally = Arc::clone(&proxy.tally);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                tally.connections.fetch_add(1, Ordering::Relaxed);
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
                let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (up, down) = (Arc::clone(&tally), Arc::clone(&tally));
                std::thread::spawn(move || pass_on(from_client, server, &up.sent, Some(&up.requests)));
                std::thread::spawn(move || pass_on(from_server, client, &down.received, None));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn counts(&self) -> Counts {
        let Tally { connections, requests, sent, received } = &*self.tally;
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Counts { connections: count(connections), requests: count(requests), sent: count(sent), received: count(received) }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, bytes: &AtomicU64, requests: Option<&AtomicU64>) {
    // In every request line and nowhere else: bodies are JSON and base64.
    const MARK: &[u8] = b" HTTP/1.1\r\n";
    let mut seen = Vec::new();
    let mut piece = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        bytes.fetch_add(count as u64, Ordering::Relaxed);
        if let Some(requests) = requests {
            seen.extend_from_slice(&piece[..count]);
            requests.fetch_add(seen.windows(MARK.len()).filter(|window| *window == MARK).count() as u64, Ordering::Relaxed);
            // A mark may be cut in two.
            seen.drain(..seen.len().saturating_sub(MARK.len() - 1));
        }
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
