//! A server with secrets in files, and a client that sends exactly the bytes that a test wants.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockstep::config::{Credential, Webhooks};
use lockstep::port::Clock;
use lockstep::runtime::clock::SystemClock;
use lockstep::runtime::wakes::Deliveries;
use lockstep::server::serving::Server;
use lockstep::server::webhooks::Doors;
use lockstep::server::{Limits, router};
use lockstep::telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

/// What the fixtures of Gitea were signed with.
pub(super) const RECORDED: &str = "recorded-secret";
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that ends with the test.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    pub(super) deliveries: Deliveries,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) home: tempfile::TempDir,
    pub(super) stop: CancellationToken,
    runtime: tokio::runtime::Runtime,
    serving: Option<tokio::task::JoinHandle<()>>,
}

impl Site {
    /// Both forges with the recorded secret.
    pub(super) fn start() -> Self {
        Self::with(&[RECORDED], &[RECORDED], Limits::default())
    }

    /// With these secrets and limits.
    pub(super) fn with(github: &[&str], gitea: &[&str], limits: Limits) -> Self {
        let home = tempfile::tempdir().unwrap();
        let secrets = |forge: &str, secrets: &[&str]| {
            let each = secrets.iter().enumerate().map(|(index, secret)| {
                let path = home.path().join(format!("{forge}-{index}"));
                write(&path, secret);
                Credential::File(path)
            });
            each.collect::<Vec<_>>()
        };
        let webhooks = Webhooks { github: secrets("github", github), gitea: secrets("gitea", gitea) };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (deliveries, telemetry) = (Deliveries::default(), Arc::new(Telemetry::new()));
        let clock = Arc::new(SystemClock::start()) as Arc<dyn Clock>;
        let doors = Doors::open(webhooks, &limits, &deliveries, &telemetry, &clock).unwrap();
        let router = router([doors.routes()], &limits);
        let server = runtime.block_on(Server::bind(([127, 0, 0, 1], 0).into(), router, limits)).unwrap();
        let (address, stop) = (server.address().unwrap(), CancellationToken::new());
        let serving = Some(runtime.spawn(server.run(stop.clone())));
        Self { address, deliveries, telemetry, home, stop, runtime, serving }
    }

    /// Where a forge's secret is.
    pub(super) fn secret(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(super) fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    /// One request on a connection of its own.
    pub(super) fn send(&self, request: &Request) -> Answer {
        let mut connection = self.connect();
        connection.write(&request.bytes());
        connection.answer()
    }

    /// How often deliveries were answered so.
    pub(super) fn counted(&self, forge: &str, answer: &str) -> u64 {
        let text = self.telemetry.metrics().encode().unwrap();
        let begin = format!("lockstep_webhook_deliveries_total{{forge=\"{forge}\",answer=\"{answer}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&begin)).map_or(0, |number| number.parse().unwrap())
    }

    /// Whether pull requests were delivered since this was asked last.
    pub(super) fn takes_pulls(&self) -> bool {
        let rung = async { tokio::time::timeout(Duration::ZERO, self.deliveries.next_of_pulls()).await };
        self.runtime.block_on(rung).is_ok()
    }

    /// Stops it and waits for its end.
    pub(super) fn ends(&mut self) {
        self.stop.cancel();
        let serving = self.serving.take().unwrap();
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, serving).await }).unwrap().unwrap();
    }
}

/// A secret's file, replaced in one step.
pub(super) fn write(path: &std::path::Path, secret: &str) {
    let beside = path.with_extension("new");
    let mut file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&beside).unwrap();
    file.write_all(secret.as_bytes()).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// A delivery as it goes over the wire.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// A delivery of this body, with its length and these headers.
    pub(super) fn to(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let length = body.len().to_string();
        let all = [("host", "lockstep"), ("content-length", length.as_str())].into_iter().chain(headers.iter().copied());
        let headers = all.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
        Self { method: "POST", path: path.to_owned(), headers, body: body.to_vec() }
    }

    /// GitHub's push of this body, signed.
    pub(super) fn of_github(secret: &str, body: &[u8]) -> Self {
        let signature = format!("sha256={}", crate::support::signing::sign(secret.as_bytes(), body));
        Self::to("/webhooks/github", &[("x-github-event", "push"), ("x-hub-signature-256", &signature)], body)
    }

    /// Without a header, however it is written.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
        self
    }

    /// With one more.
    pub(super) fn and(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(super) fn head(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The stable code of a refusal; empty for what was accepted.
    pub(super) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One connection.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(super) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    #[track_caller]
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next answer.
    #[track_caller]
    pub(super) fn answer(&mut self) -> Answer {
        self.try_answer().expect("the connection ended without an answer")
    }

    /// The next answer; none when the connection ends first.
    pub(super) fn try_answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let headers = String::from_utf8(self.read[..end].to_vec()).unwrap();
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.read.len() < end + length {
            self.more()?;
        }
        let body = String::from_utf8(self.read[end..end + length].to_vec()).unwrap();
        self.read.drain(..end + length);
        let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { status, headers, body })
    }

    fn more(&mut self) -> Option<()> {
        let mut part = [0; 4 << 10];
        match self.stream.read(&mut part) {
            Ok(0) => None,
            Ok(read) => {
                self.read.extend_from_slice(&part[..read]);
                Some(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }
}
