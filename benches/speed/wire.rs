//! The floor: transactions that were built beforehand, one after the other on one connection, by hand. And a proxy that
//! counts what goes over the wire.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::load::Load;
use crate::support::{self, Agent};

/// Operations of one transaction, which every Consul takes.
const OPS: usize = 64;
/// As large as a mark is.
const MARK: u64 = 0x4c53_0000_0000_0001;

/// Writes all keys with plain `set` operations.
pub(crate) fn floor(agent: &Agent, load: Load) -> Duration {
    let operation = |key: &str, value: &str| format!(r#"{{"KV":{{"Verb":"set","Key":"{key}","Value":"{value}"}}}}"#);
    transactions(agent, load, &[], operation)
}

/// The same with what makes a write safe: each transaction proves that the lease is held and the record as it was, each
/// operation that its key was not there, and the key is marked.
pub(crate) fn fenced(agent: &Agent, load: Load) -> Duration {
    const LEASE: &str = "lockstep/bench/lease";
    const RECORD: &str = "lockstep/bench/record";
    let made = support::exchange(agent.port(), "", "PUT", "/v1/session/create", b"{}", Duration::from_secs(20)).unwrap();
    let made: serde_json::Value = serde_json::from_slice(&made.body).unwrap();
    let session = made["ID"].as_str().unwrap();
    let lease = format!("/v1/kv/{LEASE}?acquire={session}");
    let held = support::exchange(agent.port(), "", "PUT", &lease, b"bench", Duration::from_secs(20)).unwrap();
    assert_eq!(held.body.trim_ascii(), b"true");
    agent.put(RECORD, &[b'r'; 2048]);
    let index = agent.index_of(RECORD);
    let proofs = [
        format!(r#"{{"KV":{{"Verb":"check-session","Key":"{LEASE}","Session":"{session}"}}}}"#),
        format!(r#"{{"KV":{{"Verb":"check-index","Key":"{RECORD}","Index":{index}}}}}"#),
    ];
    transactions(agent, load, &proofs, |key, value| {
        format!(r#"{{"KV":{{"Verb":"cas","Key":"{key}","Value":"{value}","Flags":{MARK},"Index":0}}}}"#)
    })
}

/// All keys in transactions that each begin with these operations.
fn transactions(agent: &Agent, load: Load, first: &[String], operation: impl Fn(&str, &str) -> String) -> Duration {
    let operations: Vec<String> = load.pairs().map(|(key, value)| operation(&key, &STANDARD.encode(value))).collect();
    let requests: Vec<String> = operations
        .chunks(OPS - first.len())
        .map(|chunk| {
            let all = [first, chunk].concat().join(",");
            format!("PUT /v1/txn HTTP/1.1\r\nHost: consul\r\nContent-Length: {}\r\n\r\n[{all}]", all.len() + 2)
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
    load.check(agent);
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

/// One plain write of a key on a connection that is open already, answered.
pub(crate) struct Plain {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Plain {
    pub(crate) fn to(agent: &Agent) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", agent.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        let answers = BufReader::new(stream.try_clone().unwrap());
        Self { stream, answers }
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) {
        let request = format!("PUT /v1/kv/{key} HTTP/1.1\r\nHost: consul\r\nContent-Length: {}\r\n\r\n{value}", value.len());
        self.stream.write_all(request.as_bytes()).unwrap();
        read_answer(&mut self.answers);
    }
}

/// What went through a [`Proxy`].
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    /// The first line of every request, without the version.
    pub(crate) asked: Vec<String>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// When anything last went either way.
    last: Option<Instant>,
}

impl Counts {
    /// Requests that wait for news: they say nothing of work.
    pub(crate) fn waits(&self) -> usize {
        self.asked.iter().filter(|line| line.contains("&wait=")).count()
    }

    /// Requests but for those.
    pub(crate) fn requests(&self) -> usize {
        self.asked.len() - self.waits()
    }

    /// Transactions and other writes of keys.
    pub(crate) fn writes(&self) -> usize {
        self.asked.iter().filter(|line| line.starts_with("PUT /v1/txn") || line.starts_with("PUT /v1/kv")).count()
    }

    /// Reads of every key below the environment's roots.
    pub(crate) fn full_reads(&self) -> usize {
        self.asked.iter().filter(|line| line.contains("/v1/kv/config/?") && line.contains("recurse")).count()
    }

    /// Each kind of request, as often as it came.
    pub(crate) fn kinds(&self) -> String {
        let mut kinds: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
        for line in self.asked.iter().filter(|line| !line.contains("&wait=")) {
            let path = line.split('?').next().unwrap_or_default();
            // A session's id is another one each time, and a descent has many prefixes.
            let mut known = ["PUT /v1/session/renew", "GET /v1/kv/config/", "GET /v1/kv/lockstep/"].into_iter();
            *kinds.entry(known.find(|kind| path.starts_with(kind)).unwrap_or(path)).or_default() += 1;
        }
        kinds.iter().map(|(kind, count)| format!("{count} x {kind}")).collect::<Vec<_>>().join(", ")
    }
}

/// Passes everything on to a port of this machine and counts it; it goes away with the process.
pub(crate) struct Proxy {
    port: u16,
    counts: Arc<Mutex<Counts>>,
}

impl Proxy {
    pub(crate) fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), counts: Arc::default() };
        let counts = Arc::clone(&proxy.counts);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                counts.lock().unwrap().connections += 1;
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
                // Else the two halves of a request wait for each other's acknowledgement.
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (up, down) = (Arc::clone(&counts), Arc::clone(&counts));
                std::thread::spawn(move || {
                    let mut lines = Lines::default();
                    pass_on(from_client, server, |piece| {
                        let mut counts = up.lock().unwrap();
                        counts.sent += piece.len() as u64;
                        counts.last = Some(Instant::now());
                        lines.take(piece, &mut counts.asked);
                    });
                });
                std::thread::spawn(move || {
                    pass_on(from_server, client, |piece| {
                        let mut counts = down.lock().unwrap();
                        counts.received += piece.len() as u64;
                        counts.last = Some(Instant::now());
                    });
                });
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }

    /// Waits until nothing was on its way for so long; when something last was.
    pub(crate) fn quiet(&self, long: Duration) -> Instant {
        loop {
            let last = self.counts.lock().unwrap().last;
            match last.filter(|last| last.elapsed() < long) {
                Some(last) => std::thread::sleep(long.saturating_sub(last.elapsed())),
                None => return last.unwrap_or_else(Instant::now),
            }
        }
    }

    /// What was counted so far, and counts from nothing again.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut *self.counts.lock().unwrap())
    }
}

/// Finds the first lines of requests: bodies are JSON and base64 on one line.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take(&mut self, piece: &[u8], found: &mut Vec<String>) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            // Enough of a line to know it by.
            self.0.extend_from_slice(&part[part.len().saturating_sub(2000)..]);
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.0);
                if let Some(line) = line.strip_suffix(" HTTP/1.1\r\n") {
                    let begin = ["GET /", "PUT /", "POST /", "DELETE /"].iter().filter_map(|method| line.rfind(method)).max();
                    found.push(line[begin.unwrap_or(0)..].to_owned());
                }
                self.0.clear();
            }
        }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, mut counts: impl FnMut(&[u8])) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        counts(&piece[..count]);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
