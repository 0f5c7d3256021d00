//! Health checks against real local servers, well-behaved and hostile.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep::client::probe::{Catalog, Instance, Instances, NoCatalog, Prober, Selection, Services};
use lockstep::config::{Checks, Network, ServiceAddress};
use lockstep::domain::check::{Check, CheckKind, DnsRecord, Place};
use lockstep::domain::health::Finding;
use lockstep::domain::name::{CheckName, EnvironmentName, ServiceName};
use lockstep::domain::revision::{Generation, Revision};
use lockstep::port::{EdgeError, EdgeKind, Probe};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::ports::free_place;

/// What a DNS server answers: its flags, and records by type and data; none: it stays silent.
type DnsAnswer = Option<(u16, Vec<(u16, Vec<u8>)>)>;

/// An instance and its tag.
type Tagged = (Instance, &'static str);

/// A server of the test's own; it stops when it is dropped.
struct Server {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Serves each connection with `answer`, one after the other's start.
    async fn tcp<F: Future<Output = ()> + Send + 'static>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream));
            }
        });
        Self { address, _tasks: tasks }
    }

    /// Reads a request and answers with these bytes.
    async fn http(answer: &'static str) -> Self {
        Self::tcp(move |mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.ok();
        })
        .await
    }

    /// Answers each DNS query with these flags and records behind its question; no answer when there is none.
    async fn dns(answer: DnsAnswer) -> Self {
        Self::dns_at("127.0.0.1:0".parse().unwrap(), Arc::new(Mutex::new(answer))).await
    }

    async fn dns_at(address: SocketAddr, answer: Arc<Mutex<DnsAnswer>>) -> Self {
        let socket = UdpSocket::bind(address).await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut query = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let Some((flags, records)) = answer.lock().unwrap().clone() else { continue };
                let question_end = 12 + query[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
                let mut reply = query[..2].to_vec();
                reply.extend(flags.to_be_bytes());
                reply.extend([0, 1]);
                reply.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
                reply.extend([0, 0, 0, 0]);
                reply.extend(&query[12..question_end]);
                for (kind, data) in &records {
                    reply.extend([0xc0, 12]);
                    reply.extend(kind.to_be_bytes());
                    reply.extend([0, 1, 0, 0, 0, 0]);
                    reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
                    reply.extend(data);
                }
                socket.send_to(&reply, from).await.ok();
            }
        });
        Self { address, _tasks: tasks }
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

fn named(address: SocketAddr) -> Services<NoCatalog> {
    let at = ServiceAddress { host: address.ip().to_string(), port: address.port() };
    Services::Named(BTreeMap::from([(service("build"), at)]))
}

fn prober<C: Catalog>(services: Services<C>, checks: Checks, dns: Option<SocketAddr>) -> Prober<C> {
    Prober::new(EnvironmentName::parse("test").unwrap(), services, checks, dns).unwrap()
}

fn allowing(ranges: &[&str]) -> Checks {
    Checks { allow: ranges.iter().map(|range| Network::parse(range).unwrap()).collect(), exec: BTreeMap::new() }
}

fn nothing() -> Services<NoCatalog> {
    Services::Named(BTreeMap::new())
}

fn check_of(kind: CheckKind, timeout: Duration) -> Check {
    Check { name: CheckName::parse("c").unwrap(), kind, interval: Duration::from_secs(2), timeout }
}

const BUILD: fn() -> Place = || Place::Service { service: service("build"), tag: None };

fn http(at: Place, body: Option<&str>) -> CheckKind {
    CheckKind::Http { at, path: "/health".into(), status: 200, body: body.map(str::to_owned) }
}

fn raw(address: SocketAddr) -> Place {
    Place::Address { host: address.ip().to_string(), port: address.port() }
}

async fn sample<C: Catalog>(prober: &Prober<C>, kind: CheckKind) -> String {
    shown(prober.sample(&check_of(kind, Duration::from_secs(5))).await)
}

fn shown(finding: Finding) -> String {
    match finding {
        Finding::Pass => "pass".to_owned(),
        Finding::Fail { because } => format!("fail: {because}"),
        Finding::Unknown { because } => format!("unknown: {because}"),
    }
}

/// What an `http` check says of a server that answers so.
async fn expect_http(answer: &'static str, body: Option<&str>) -> String {
    let server = Server::http(answer).await;
    let found = sample(&prober(named(server.address), Checks::default(), None), http(BUILD(), body)).await;
    found.replace(&server.address.to_string(), "HOST")
}

#[tokio::test]
async fn an_http_check_says_what_it_got_and_what_it_expected() {
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"revision\":\"1a2\"}";
    assert_eq!(expect_http(OK, None).await, "pass");
    assert_eq!(expect_http(OK, Some("\"revision\":\"1a2\"")).await, "pass");
    assert_eq!(
        expect_http(OK, Some("1a3")).await,
        "fail: the body from HOST/health lacks `1a3`; it begins with `{\"revision\":\"1a2\"}`"
    );
    assert_eq!(
        expect_http("HTTP/1.1 503 Nope\r\ncontent-length: 0\r\n\r\n", None).await,
        "fail: got 503 from HOST/health, expected 200"
    );
    assert_eq!(
        expect_http("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\x1b[2J\nevil", Some("good")).await,
        "fail: the body from HOST/health lacks `good`; it begins with `\\u{1b}[2J\\nevil`"
    );
    let broken = expect_http("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nhalf", Some("whole")).await;
    assert!(broken.starts_with("fail: the body from HOST/health broke off"), "{broken}");
    let no_http = expect_http("SSH-2.0-OpenSSH\r\n", None).await;
    assert!(no_http.starts_with("fail: no HTTP answer from HOST/health"), "{no_http}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_never_followed() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/meta-data/\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(expect_http(answer, None).await, "fail: got 302 from HOST/health, expected 200");
}

#[tokio::test]
async fn an_endless_body_is_read_to_its_bound_and_no_further() {
    let server = Server::tcp(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    })
    .await;
    let found = sample(&prober(named(server.address), Checks::default(), None), http(BUILD(), Some("y"))).await;
    assert!(found.starts_with("fail: the first 65536 bytes from"), "{found}");
    assert!(found.len() < 500, "{} bytes of text", found.len());
}

#[tokio::test]
async fn a_text_that_straddles_two_chunks_is_found() {
    let server = Server::tcp(|mut stream| async move {
        read_request(&mut stream).await;
        for part in ["HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nab", "cd", "efghijkl"] {
            stream.write_all(part.as_bytes()).await.ok();
            stream.flush().await.ok();
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(sample(&prober(named(server.address), Checks::default(), None), http(BUILD(), Some("bcdef"))).await, "pass");
}

#[tokio::test]
async fn a_service_that_dribbles_or_says_nothing_fails_at_the_deadline() {
    let head = Server::tcp(|mut stream| async move {
        for byte in b"HTTP/1.1 200 OK\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let body = Server::tcp(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.ok();
        std::future::pending::<()>().await;
    })
    .await;
    for (server, words) in [(&head, "no answer from"), (&body, "the body from")] {
        let started = Instant::now();
        let prober = prober(named(server.address), Checks::default(), None);
        let found = shown(prober.sample(&check_of(http(BUILD(), Some("x")), Duration::from_millis(300))).await);
        assert!(found.starts_with(&format!("fail: {words}")) && found.ends_with("in time"), "{found}");
        assert!(started.elapsed() < Duration::from_secs(3), "the deadline did not hold");
    }
}

#[tokio::test]
async fn a_service_that_refuses_fails_and_one_that_is_not_configured_is_unknown() {
    let closed = free_place();
    let prober = prober(named(closed), Checks::default(), None);
    for kind in [http(BUILD(), None), CheckKind::Tcp { at: BUILD() }] {
        let found = sample(&prober, kind).await;
        assert!(found.starts_with(&format!("fail: connect to {closed}: Connection refused")), "{found}");
    }
    let other = Place::Service { service: service("web"), tag: None };
    assert_eq!(
        sample(&prober, CheckKind::Tcp { at: other }).await,
        "unknown: web is not among the services of the controller's configuration"
    );
    let check = CheckKind::ConsulService { service: service("build"), tag: None, meta: BTreeMap::new(), at_least: 1 };
    assert_eq!(sample(&prober, check).await, "unknown: this environment has no catalog to look build up in");
}

#[tokio::test]
async fn a_raw_address_is_asked_only_if_the_controller_allows_it() {
    let server = Server::http("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let at = || raw(server.address);
    let allowed = prober(nothing(), allowing(&["127.0.0.0/8"]), None);
    assert_eq!(sample(&allowed, http(at(), None)).await, "pass");
    assert_eq!(sample(&allowed, CheckKind::Tcp { at: at() }).await, "pass");
    let name = Place::Address { host: "localhost".into(), port: server.address.port() };
    assert_eq!(sample(&allowed, http(name, None)).await, "pass", "a name is judged by what it resolves to");
    let denied = prober(nothing(), allowing(&["10.0.0.0/8"]), None);
    assert_eq!(sample(&denied, http(at(), None)).await, "unknown: 127.0.0.1 is not in the controller's checks.allow list");
    let everything = prober(nothing(), allowing(&["0.0.0.0/0", "::/0"]), None);
    for host in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "2852039166"] {
        let found = sample(&everything, http(Place::Address { host: host.into(), port: 80 }, None)).await;
        assert!(found.starts_with("unknown: ") && found.contains("metadata") || found.contains("no single host"), "{found}");
    }
    let nowhere = Place::Address { host: "nowhere.invalid".into(), port: 80 };
    let found = sample(&everything, CheckKind::Tcp { at: nowhere }).await;
    assert!(found.starts_with("unknown: resolve nowhere.invalid"), "{found}");
}

#[tokio::test]
async fn the_path_cannot_lead_to_another_host() {
    let server = Server::tcp(|mut stream| async move {
        let request = read_request(&mut stream).await;
        let body =
            request.lines().filter(|line| line.starts_with("GET") || line.starts_with("host")).collect::<Vec<_>>().join("|");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.ok();
    })
    .await;
    let prober = prober(named(server.address), Checks::default(), None);
    for path in ["//evil.example/x", "/@evil.example/", "/\\evil.example", "/..//../x", "/a b\r\nx: y", "/;$(id)"] {
        let kind =
            CheckKind::Http { at: BUILD(), path: path.into(), status: 200, body: Some(format!("host: {}", server.address)) };
        assert_eq!(sample(&prober, kind).await, "pass", "{path:?}");
    }
}

/// A catalog that says what it was told to: each instance with its tag, or that it could not be asked.
struct Fake(Result<(Vec<Tagged>, bool), EdgeKind>);

impl Catalog for Fake {
    async fn instances(&self, selection: Selection<'_>) -> Result<Instances, EdgeError> {
        let failed = |kind| EdgeError::new("consul", kind, "list the instances of build").because("no leader");
        let (all, readable) = self.0.clone().map_err(failed)?;
        let meant = all.into_iter().filter(|(_, tag)| selection.tag.is_none_or(|wanted| wanted == *tag));
        let meant: Vec<Instance> = meant.map(|(instance, _)| instance).collect();
        Ok(if meant.is_empty() { Instances::Absent { readable } } else { Instances::Listed(meant) })
    }
}

fn catalog(instances: Vec<Tagged>) -> Prober<Fake> {
    prober(Services::Catalog(Fake(Ok((instances, true)))), Checks::default(), None)
}

fn instance(address: SocketAddr, tag: &'static str) -> Tagged {
    (Instance { address: address.ip().to_string(), port: address.port(), passing: true }, tag)
}

#[tokio::test]
async fn every_instance_with_the_tag_must_pass() {
    let good = Server::http("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let bad = Server::http("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n").await;
    let both = catalog(vec![instance(good.address, "active"), instance(bad.address, "standby")]);
    let tagged = |tag: &str| http(Place::Service { service: service("build"), tag: Some(tag.into()) }, None);
    assert_eq!(sample(&both, tagged("active")).await, "pass");
    assert_eq!(
        sample(&both, http(BUILD(), None)).await,
        format!("fail: 1 of 2 instances: got 500 from {}/health, expected 200", bad.address)
    );
    assert_eq!(sample(&both, tagged("blue")).await, "fail: the catalog has no instance of build with tag blue");
    let many = catalog(vec![instance(good.address, "active"); 100]);
    assert_eq!(sample(&many, http(BUILD(), None)).await, "pass", "a hundred instances are asked some at a time");
    let metadata = catalog(vec![instance("169.254.169.254:80".parse().unwrap(), "active")]);
    assert_eq!(
        sample(&metadata, http(BUILD(), None)).await,
        "unknown: 169.254.169.254 is link-local, where metadata services are"
    );
    let no_port = catalog(vec![instance("127.0.0.1:0".parse().unwrap(), "active")]);
    let found = sample(&no_port, CheckKind::Tcp { at: BUILD() }).await;
    assert_eq!(found, "fail: an instance of build at 127.0.0.1 is registered without a port");
}

#[tokio::test]
async fn an_absent_service_is_unhealthy_only_if_we_may_see_it() {
    let checks = || {
        [
            http(BUILD(), None),
            CheckKind::Tcp { at: BUILD() },
            CheckKind::ConsulService { service: service("build"), tag: None, meta: BTreeMap::new(), at_least: 1 },
        ]
    };
    for (answer, expected) in [
        (Ok((Vec::new(), true)), "fail: the catalog has no instance of build"),
        (
            Ok((Vec::new(), false)),
            "unknown: the catalog shows no instance of build; may the token read the service build and its nodes?",
        ),
        (Err(EdgeKind::Transient), "unknown: consul: list the instances of build: no leader"),
    ] {
        for kind in checks() {
            let prober = prober(Services::Catalog(Fake(answer.clone())), Checks::default(), None);
            assert_eq!(sample(&prober, kind).await, expected);
        }
    }
}

async fn resolve(answer: DnsAnswer, record: DnsRecord, expect: Option<&str>) -> String {
    let server = Server::dns(answer).await;
    let kind = CheckKind::Dns { name: "active.build.service.mynetwork".into(), record, expect: expect.map(str::to_owned) };
    let prober = prober(nothing(), Checks::default(), Some(server.address));
    let found = shown(prober.sample(&check_of(kind, Duration::from_millis(800))).await);
    found.replace(&server.address.to_string(), "SERVER")
}

#[tokio::test]
async fn a_dns_check_tells_no_such_name_from_no_such_server() {
    const GOOD: u16 = 0x8580;
    const NO_NAME: u16 = 0x8583;
    const TROUBLE: u16 = 0x8582;
    const REFUSED: u16 = 0x8585;
    let two = || Some((GOOD, vec![(1, vec![10, 0, 0, 1]), (1, vec![10, 0, 0, 2])]));
    assert_eq!(resolve(two(), DnsRecord::A, None).await, "pass");
    assert_eq!(resolve(two(), DnsRecord::A, Some("10.0.0.2")).await, "pass");
    assert_eq!(
        resolve(two(), DnsRecord::A, Some("10.0.0.3")).await,
        "fail: active.build.service.mynetwork. has 2 A record(s) at SERVER, none is 10.0.0.3: 10.0.0.1, 10.0.0.2"
    );
    let six = Some((GOOD, vec![(28, std::net::Ipv6Addr::LOCALHOST.octets().to_vec())]));
    assert_eq!(resolve(six, DnsRecord::Aaaa, Some("0:0::1")).await, "pass");
    let place = [[0, 1, 0, 1].as_slice(), &8080_u16.to_be_bytes(), b"\x06node-1\x04node\x00"].concat();
    assert_eq!(resolve(Some((GOOD, vec![(33, place)])), DnsRecord::Srv, Some("node-1.node:8080")).await, "pass");
    let none = "fail: active.build.service.mynetwork. has no A record at SERVER";
    assert_eq!(resolve(Some((NO_NAME, vec![])), DnsRecord::A, None).await, none);
    assert_eq!(resolve(Some((GOOD, vec![])), DnsRecord::A, None).await, none);
    for code in [TROUBLE, REFUSED] {
        let found = resolve(Some((code, vec![])), DnsRecord::A, None).await;
        assert!(found.starts_with("unknown: ask the DNS server SERVER"), "{found}");
    }
    assert_eq!(resolve(None, DnsRecord::A, None).await, "unknown: the DNS server SERVER did not answer in time");
    let without = prober(nothing(), Checks::default(), None);
    let kind = CheckKind::Dns { name: "a".into(), record: DnsRecord::A, expect: None };
    assert_eq!(sample(&without, kind).await, "unknown: the controller's configuration gives this environment no dns address");
}

#[tokio::test]
async fn a_dns_server_that_comes_back_is_asked_again() {
    let address = free_place();
    let prober = prober(nothing(), Checks::default(), Some(address));
    let kind = || CheckKind::Dns { name: "build.service.mynetwork".into(), record: DnsRecord::A, expect: None };
    for _ in 0..3 {
        let found = shown(prober.sample(&check_of(kind(), Duration::from_millis(300))).await);
        assert!(found.starts_with("unknown: "), "{found}");
    }
    let answer = Arc::new(Mutex::new(Some((0x8580, vec![(1, vec![10, 0, 0, 1])]))));
    let _server = Server::dns_at(address, answer).await;
    assert_eq!(sample(&prober, kind()).await, "pass");
}

#[tokio::test]
async fn a_name_that_stops_to_resolve_and_resolves_again_is_told_so_by_the_next_sample() {
    let answer: Arc<Mutex<DnsAnswer>> = Arc::default();
    let server = Server::dns_at("127.0.0.1:0".parse().unwrap(), Arc::clone(&answer)).await;
    let prober = prober(nothing(), Checks::default(), Some(server.address));
    let kind = || CheckKind::Dns { name: "build.service.mynetwork".into(), record: DnsRecord::A, expect: None };
    let good = || Some((0x8580, vec![(1, vec![10, 0, 0, 1])]));
    for (given, expected) in [
        (good(), "pass"),
        (Some((0x8583, vec![])), "fail: build.service.mynetwork. has no A record"),
        (good(), "pass"),
        (Some((0x8582, vec![])), "unknown: ask the DNS server"),
        (good(), "pass"),
        (None, "unknown: the DNS server"),
        (good(), "pass"),
    ] {
        *answer.lock().unwrap() = given;
        let found = shown(prober.sample(&check_of(kind(), Duration::from_millis(800))).await);
        assert!(found.starts_with(expected), "{found:?} is not {expected:?}");
    }
}

/// A prober whose list has one program, `smoke`: a script with this text.
fn with_script(text: &str) -> (Prober<NoCatalog>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("smoke");
    std::fs::write(&path, format!("#!/bin/sh\n{}\n", text.replace("FOLDER", &folder.path().display().to_string()))).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let checks = Checks { allow: Vec::new(), exec: BTreeMap::from([("smoke".to_owned(), path)]) };
    (prober(nothing(), checks, None), folder)
}

fn exec(program: &str) -> CheckKind {
    CheckKind::Exec { program: program.into(), subject: None }
}

async fn run(text: &str) -> String {
    let (prober, folder) = with_script(text);
    // The script was just written; another test's fork may hold it open for writing for a moment ("text file busy").
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let found = sample(&prober, exec("smoke")).await;
        if !found.contains("Text file busy") || Instant::now() > limit {
            return found.replace(&folder.path().display().to_string(), "FOLDER");
        }
    }
}

#[tokio::test]
async fn a_program_passes_by_its_status() {
    assert_eq!(run("exit 0").await, "pass");
    assert_eq!(run("echo no database >&2; exit 3").await, "fail: FOLDER/smoke ended with exit status: 3: no database");
    assert_eq!(run("printf 'a\\033[2Jb'; exit 1").await, "fail: FOLDER/smoke ended with exit status: 1: a\\u{1b}[2Jb");
    assert_eq!(run("kill -9 $$").await, "fail: FOLDER/smoke ended with signal: 9 (SIGKILL)");
}

#[tokio::test]
async fn a_flood_of_output_neither_blocks_the_program_nor_fills_memory_or_text() {
    assert_eq!(run("head -c 3000000 /dev/zero; exit 0").await, "pass");
    let found = run("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1").await;
    assert!(found.starts_with("fail: ") && found.len() < 500, "{} bytes of text", found.len());
}

#[tokio::test]
async fn a_program_sees_what_is_judged_and_nothing_of_the_controller() {
    let (prober, folder) =
        with_script("env | sort > FOLDER/seen; cat >> FOLDER/seen; pwd >> FOLDER/seen; echo \"$# args\" >> FOLDER/seen");
    let revision = Revision::from_bytes([7; 20]);
    let check = check_of(exec("smoke"), Duration::from_secs(5)).filled(&revision, Generation::new(42).unwrap());
    let limit = Instant::now() + Duration::from_secs(10);
    while prober.sample(&check).await != Finding::Pass {
        assert!(Instant::now() < limit, "it does not run");
    }
    let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap();
    // The shell adds PWD and its like by itself.
    let lines: Vec<&str> =
        seen.lines().filter(|line| !["PWD=", "OLDPWD=", "_=", "SHLVL="].iter().any(|own| line.starts_with(own))).collect();
    let revision = format!("LOCKSTEP_REVISION={revision}");
    assert_eq!(lines, ["LOCKSTEP_ENVIRONMENT=test", "LOCKSTEP_GENERATION=42", &revision, "/", "0 args"]);
}

#[tokio::test]
async fn a_program_that_does_not_end_is_killed_with_its_children() {
    let (prober, folder) = with_script("sleep 600 & echo $! > FOLDER/child.tmp; mv FOLDER/child.tmp FOLDER/child; wait");
    let child = folder.path().join("child");
    let limit = Instant::now() + Duration::from_secs(20);
    // A busy machine may kill the script before it got to start its child.
    while !child.exists() {
        let found = shown(prober.sample(&check_of(exec("smoke"), Duration::from_millis(500))).await);
        assert!(found.ends_with("did not end in time and was killed") || found.contains("busy"), "{found}");
        assert!(Instant::now() < limit, "the script never started its child");
    }
    let child = PathBuf::from("/proc").join(std::fs::read_to_string(child).unwrap().trim());
    let alive = || std::fs::read_to_string(child.join("stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while alive() {
        assert!(Instant::now() < limit, "the child outlived its check");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn only_the_controllers_list_is_run_and_never_through_a_shell() {
    let (prober, _folder) = with_script("exit 0");
    for name in [";$(id)", "/bin/true", "smoke;true", "smoke arg", "../smoke", ""] {
        let found = sample(&prober, exec(name)).await;
        assert!(found.starts_with("unknown: the controller's checks.exec list has no program"), "{found}");
    }
    let missing = Checks { allow: Vec::new(), exec: BTreeMap::from([("smoke".to_owned(), "/nowhere/smoke".into())]) };
    let found = sample(&self::prober(nothing(), missing, None), exec("smoke")).await;
    assert!(found.starts_with("unknown: start /nowhere/smoke: No such file"), "{found}");
}
