//! A forge on loopback: it holds every request to its API's description, and answers with the description's examples, with what a
//! running Gitea answered, or as a test says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use lockstep::config::{Credential, Forge, ForgeCredential, ForgeKind, ForgeRepository, Statuses};
use serde_json::{Value, json};

use super::contract::Contract;

/// The token that such a forge takes unless told otherwise.
pub(crate) const TOKEN: &str = "canary-4f1b-token";
/// What such a forge never waits for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Below the API's address.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<Value>,
}

impl Request {
    /// `GET /user`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Part of the query.
    pub(crate) fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What it showed to be let in.
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.headers.get("authorization").map(String::as_str)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) manner: Manner,
}

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Whole.
    Whole,
    /// It says that it is so long, sends what there is, and ends the connection with a reset.
    Cut(u64),
    /// Never.
    Silent,
    /// It goes on for ever.
    Endless,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, &body.to_string()).with("content-type", "application/json")
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.as_bytes().to_vec(), manner: Manner::Whole }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn sent(self, manner: Manner) -> Self {
        Self { manner, ..self }
    }
}

type Answer = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

/// A server that ends when dropped, and fails its test then if it was asked for something that the API has not.
pub(crate) struct ForgeServer {
    pub(crate) kind: ForgeKind,
    pub(crate) origin: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    kind: ForgeKind,
    prefix: &'static str,
    contract: Contract,
    recorded: Vec<(String, String, Reply)>,
    tokens: Mutex<Vec<String>>,
    answer: Mutex<Arc<Answer>>,
    requests: Mutex<Vec<Request>>,
    violations: Mutex<Vec<String>>,
    stopping: AtomicBool,
}

impl ForgeServer {
    /// One of this kind.
    pub(crate) fn of(kind: ForgeKind) -> Self {
        match kind {
            ForgeKind::GitHub => Self::start(kind, Contract::github("api.github.com"), Vec::new()),
            ForgeKind::Gitea => Self::start(kind, Contract::gitea(), recorded()),
        }
    }

    /// A GitHub Enterprise Server.
    pub(crate) fn enterprise() -> Self {
        Self::start(ForgeKind::GitHub, Contract::github("ghes-3.19"), Vec::new())
    }

    fn start(kind: ForgeKind, contract: Contract, recorded: Vec<(String, String, Reply)>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (prefix, scheme) = match kind {
            ForgeKind::GitHub => ("/api/v3", "Bearer"),
            ForgeKind::Gitea => ("/api/v1", "token"),
        };
        let shared = Arc::new(Shared {
            kind,
            prefix,
            contract,
            recorded,
            tokens: Mutex::new(vec![format!("{scheme} {TOKEN}")]),
            answer: Mutex::new(Arc::new(|_| None)),
            requests: Mutex::default(),
            violations: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if serving.stopping.load(Ordering::SeqCst) {
                    break;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&serving));
                connections.push(std::thread::spawn(move || serve(stream, &shared)));
            }
            for connection in connections {
                let _ = connection.join();
            }
        });
        Self { kind, origin, shared, accepting: Some(accepting) }
    }

    /// The configuration of a client, with this token in a file of that folder.
    pub(crate) fn config(&self, folder: &std::path::Path) -> Forge {
        let path = folder.join("token");
        write_private(&path, TOKEN);
        Forge {
            kind: self.kind,
            api: format!("{}{}", self.origin, self.shared.prefix),
            repository: ForgeRepository { owner: "boss".into(), name: "config".into() },
            credential: ForgeCredential::Token(Credential::File(path)),
            ca: None,
            statuses: Statuses::Changes,
            plans: true,
            revert_pull_requests: false,
        }
    }

    /// From now on it asks this first.
    pub(crate) fn answer(&self, answer: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap() = Arc::new(answer);
    }

    /// From now on these are let in, and nobody else: whole `Authorization` headers.
    pub(crate) fn let_in(&self, authorizations: &[String]) {
        *self.shared.tokens.lock().unwrap() = authorizations.to_vec();
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Their first lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }

    /// The routes that were asked for.
    pub(crate) fn routes(&self) -> std::collections::BTreeSet<String> {
        let route = |request: &Request| {
            self.shared
                .contract
                .route(&request.method, &request.path)
                .map(|route| format!("{} {}", route.method, route.template))
        };
        self.requests().iter().filter_map(route).collect()
    }
}

impl Drop for ForgeServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.origin.trim_start_matches("http://"));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        let violations = self.shared.violations.lock().unwrap();
        assert!(std::thread::panicking() || violations.is_empty(), "not as the API says: {violations:#?}");
    }
}

/// Writes a file that only its owner reads.
pub(crate) fn write_private(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// What a running Gitea was asked and answered.
pub(crate) fn recorded() -> Vec<(String, String, Reply)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gitea-api");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let exchange: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let (request, response) = (&exchange["request"], &exchange["response"]);
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        let mut reply = Reply::json(status, &response["body"]);
        for name in ["Link", "X-Total-Count"] {
            if let Some(value) = response["headers"][name].as_str() {
                reply = reply.with(name, value);
            }
        }
        let path = request["path"].as_str().unwrap().trim_start_matches("/api/v1");
        (
            path.split('?').next().unwrap().to_owned(),
            format!("{} {}", request["method"].as_str().unwrap(), request["body"]),
            reply,
        )
    };
    files.iter().map(read).collect()
}

fn serve(stream: TcpStream, shared: &Shared) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some(request) = read(&mut reader, shared) else { return };
    let answer = Arc::clone(&*shared.answer.lock().unwrap());
    let reply = answer(&request).unwrap_or_else(|| usual(&request, shared));
    shared.requests.lock().unwrap().push(request);
    send(stream, &reply, shared);
}

/// Reads one request and holds it to the description.
fn read(reader: &mut BufReader<TcpStream>, shared: &Shared) -> Option<Request> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut parts = first.split_whitespace();
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut wrong = Vec::new();
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()).is_some() {
            wrong.push(format!("{name} was sent twice"));
        }
    }
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let decoded = |text: &str| percent_decoded(text);
    let query: Vec<(String, String)> =
        query.split('&').filter_map(|part| part.split_once('=')).map(|(name, value)| (decoded(name), decoded(value))).collect();
    match path.strip_prefix(shared.prefix) {
        None => wrong.push(format!("{path} is not below {}", shared.prefix)),
        Some(below) => {
            wrong.extend(shared.contract.violations(&method, below, &query, body.as_ref()));
            wrong.extend(wrong_headers(shared.kind, &headers, body.is_some()));
            if body.as_ref().and_then(|body| body["description"].as_str()).is_some_and(|text| text.chars().count() > 140) {
                wrong.push("a description is longer than 140".into());
            }
        }
    }
    shared.violations.lock().unwrap().extend(wrong.into_iter().map(|wrong| format!("{method} {target}: {wrong}")));
    let path = path.trim_start_matches(shared.prefix).to_owned();
    Some(Request { method, path, query, headers, body })
}

fn wrong_headers(kind: ForgeKind, headers: &BTreeMap<String, String>, has_body: bool) -> Vec<String> {
    let mut expected = vec![("user-agent", Some(concat!("lockstep/", env!("CARGO_PKG_VERSION"))))];
    expected.extend(match kind {
        ForgeKind::GitHub => [("accept", Some("application/vnd.github+json")), ("x-github-api-version", Some("2022-11-28"))],
        ForgeKind::Gitea => [("accept", Some("application/json")), ("x-github-api-version", None)],
    });
    expected.push(("content-type", has_body.then_some("application/json")));
    expected.push(("transfer-encoding", None));
    let wrong = expected.into_iter().filter(|(name, value)| headers.get(*name).map(String::as_str) != *value);
    wrong.map(|(name, value)| format!("{name} is {:?} and not {value:?}", headers.get(name))).collect()
}

/// What the forge itself would say.
fn usual(request: &Request, shared: &Shared) -> Reply {
    let open = matches!(request.path.as_str(), "/version" | "/rate_limit");
    let lets_in = |shown: &str| shared.tokens.lock().unwrap().iter().any(|known| known == shown);
    if !open && !request.authorization().is_some_and(lets_in) {
        return Reply::json(401, &json!({ "message": "Bad credentials" })).with("x-github-request-id", "1");
    }
    let line = format!("{} {}", request.method, request.body.clone().unwrap_or_default());
    let exact =
        shared.recorded.iter().find(|(path, known, reply)| *path == request.path && *known == line && reply.status < 400);
    if let Some((_, _, reply)) = exact {
        return reply.clone();
    }
    let Some(route) = shared.contract.route(&request.method, &request.path) else {
        return Reply::json(404, &json!({ "message": "Not Found" }));
    };
    let same = shared.recorded.iter().find(|(path, known, reply)| {
        let method = known.split(' ').next().unwrap();
        reply.status < 400 && shared.contract.route(method, path).is_some_and(|known| std::ptr::eq(known, route))
    });
    match (&route.example, same) {
        (Some((204, _)), _) => Reply::text(204, ""),
        (Some((status, body)), _) => Reply::json(*status, body).with("x-github-request-id", "1"),
        (None, Some((_, _, reply))) => reply.clone(),
        (None, None) if request.method == "DELETE" => Reply::text(204, ""),
        (None, None) => Reply::json(200, &json!({})),
    }
}

fn send(mut stream: TcpStream, reply: &Reply, shared: &Shared) {
    let Reply { status, headers, body, manner } = reply;
    if *manner == Manner::Silent {
        // Until the other side has enough.
        let _ = stream.read(&mut [0; 1]);
        return;
    }
    let length = match manner {
        Manner::Cut(length) => Some(*length),
        Manner::Whole => Some(body.len() as u64),
        Manner::Silent | Manner::Endless => None,
    };
    let mut head = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n");
    if let Some(length) = length.filter(|_| *status != 204) {
        let _ = write!(head, "content-length: {length}\r\n");
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).is_err() {
        return;
    }
    while *manner == Manner::Endless && !shared.stopping.load(Ordering::SeqCst) {
        if stream.write_all(&[b' '; 16_384]).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    if *manner == Manner::Whole {
        // Closed only when the other side has read it all.
        let _ = stream.read(&mut [0; 1]);
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let byte = (*first == b'%').then(|| u8::from_str_radix(std::str::from_utf8(after.get(..2)?).ok()?, 16).ok()).flatten();
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap()
}
