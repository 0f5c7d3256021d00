//! Webhooks: ten thousand deliveries in a burst against the program, beside a server that only answers; and from a delivery until
//! its commit is live.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::post;
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use lockstep::client::git::{GitOptions, GitSource};
use lockstep::config::{KeepRefs, Repository, RepositoryUrl};
use lockstep::port::Source as _;
use lockstep::runtime::clock::SystemClock;

use crate::daemon::{Place, until, until_steady};
use crate::git_server::GitServer;
use crate::load::{Load, key};
use crate::runtime;
use crate::signing::sign;
use crate::support::Agent;
use crate::table::{Line, median, ratio, seconds, spread};

const DELIVERIES: usize = 10_000;
const CONNECTIONS: usize = 4;
const SECRET: &str = "of the benchmark";
/// Fetches that the burst may cause.
const GOAL_FETCHES: usize = 2;
/// More resident memory after it than before, in MiB, at most.
const GOAL_MEMORY: f64 = 5.0;
/// What a Gitea sent for a push.
const PUSH: &[u8] = include_bytes!("../../../tests/fixtures/gitea/01-push.body");

pub(crate) fn measure(rounds: usize) -> Vec<Line> {
    let load = Load(1_000);
    let (mut repo, agent) = (load.repository(), Agent::start());
    let git = GitServer::of(&repo.path());
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = configured(&agent, &git.url, address);
    let controller = place.start();
    until_steady(&agent, &repo.tip().to_string());
    until("it listens", Duration::from_millis(10), || TcpStream::connect(address).is_ok());
    let request = delivery();

    let floor = burst(bare(), &request);
    // What a first use takes is taken. It brings a commit too: without one more looks would follow.
    load.change(&mut repo, 0, "delivered before");
    burst(address, &request);
    until_steady(&agent, &repo.tip().to_string());
    std::thread::sleep(Duration::from_secs(2));
    let before = controller.usage();
    load.change(&mut repo, 1, "delivered in a burst");
    let asked = git.requests().len();
    let ours = burst(address, &request);
    until_steady(&agent, &repo.tip().to_string());
    std::thread::sleep(Duration::from_secs(2));
    let requests = git.requests().split_off(asked);
    let count = |part: &str| requests.iter().filter(|line| line.contains(part)).count();
    let (looks, fetches) = (count("/info/refs"), count("/git-upload-pack"));
    let after = controller.usage();

    let (mut times, mut alone) = (Vec::new(), Vec::new());
    let mirror = Mirror::of(&git.url);
    for round in 0..3 * rounds {
        let (number, value) = ((round * 79 + 2) % load.0, format!("round-{round}"));
        let index = agent.index_of(&key(number));
        load.change(&mut repo, number, &value);
        let begin = Instant::now();
        Client::to(address).deliver(&request);
        agent.await_change(&key(number), index);
        times.push(begin.elapsed());
        assert_eq!(agent.get(&key(number)), Some(value.into_bytes()));
        until_steady(&agent, &repo.tip().to_string());
        let begin = Instant::now();
        mirror.fetch();
        alone.push(begin.elapsed());
    }
    assert!(!place.log().contains("panicked"), "{}", place.log());
    let what = format!("{DELIVERIES} deliveries of a push in a burst, {CONNECTIONS} connections, {} bytes each", PUSH.len());
    let more = after.resident - before.resident;
    vec![
        Line {
            what: what.clone(),
            beside: format!("axum that reads the body and answers: {}", floor.told()),
            ours: format!("{} ({:.2} x the time)", ours.told(), ratio(ours.took, floor.took)),
            usage: Some(after),
            ..Line::default()
        },
        Line {
            what: "fetches that they cause, just after a push".into(),
            ours: format!("{fetches}; ref advertisements: {looks}"),
            goal: format!("at most {GOAL_FETCHES}"),
            #[allow(clippy::cast_precision_loss, reason = "a handful")]
            share: Some(fetches.max(looks) as f64 / GOAL_FETCHES as f64),
            ..Line::default()
        },
        Line {
            what: "memory after them".into(),
            beside: format!("{:.1} MiB before", before.resident),
            ours: format!("{:.1} MiB", after.resident),
            goal: format!("at most {GOAL_MEMORY} MiB more"),
            share: Some(more.max(0.0) / GOAL_MEMORY),
            ..Line::default()
        },
        Line {
            what: "webhook to visible: a commit of one key of 1,000 is delivered, until Consul has it".into(),
            beside: format!("one fetch alone: {}", spread(&alone)),
            ours: format!("{}, of them 50 ms for more of a burst", spread(&times)),
            usage: Some(controller.usage()),
            ..Line::default()
        },
    ]
}

/// A place of one environment that polls seldom and takes deliveries.
fn configured(agent: &Agent, url: &str, listen: SocketAddr) -> Place {
    let text = |pin: &str| {
        format!(
            "repository: {{url: \"{url}\", poll: 1h}}\ndata_dir: ./data\nenvironments:\n  test: {{consul: {{address: \"{}\"}}, {pin}keys: \
             [config/]}}\nserver: {{listen: \"{listen}\"}}\nwebhooks: {{gitea: {{secrets: [{{file: secret}}]}}}}\n",
            agent.address()
        )
    };
    let place = Place::with(&text(""));
    let mut file = std::fs::File::options().create_new(true).write(true).mode(0o600).open(place.path().join("secret")).unwrap();
    file.write_all(SECRET.as_bytes()).unwrap();
    let pin = place.init("test");
    place.write(&text(&pin));
    place
}

/// The push as a Gitea delivers it.
fn delivery() -> Vec<u8> {
    let signature = sign(SECRET.as_bytes(), PUSH);
    let head = format!(
        "POST /webhooks/gitea HTTP/1.1\r\nHost: lockstep\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\
         X-Gitea-Event: push\r\nX-Gitea-Signature: {signature}\r\nX-Hub-Signature-256: sha256={signature}\r\n\r\n",
        PUSH.len()
    );
    [head.as_bytes(), PUSH].concat()
}

/// What a burst took.
struct Burst {
    took: Duration,
    answers: Vec<Duration>,
}

impl Burst {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousands")]
    fn told(&self) -> String {
        let rate = self.answers.len() as f64 / self.took.as_secs_f64();
        let late = self.answers[self.answers.len() * 99 / 100];
        format!("{rate:.0} a second, answers {} median, {} at 99 %", fine(median(&self.answers)), fine(late))
    }
}

/// With more digits than [`seconds`] has for so little.
fn fine(time: Duration) -> String {
    if time < Duration::from_millis(1) { format!("{} µs", time.as_micros()) } else { seconds(time) }
}

/// All of them, on a few connections at once, each waiting for its answer.
fn burst(address: SocketAddr, request: &[u8]) -> Burst {
    let begin = Instant::now();
    let mut answers: Vec<Duration> = std::thread::scope(|scope| {
        let connection = || {
            let mut client = Client::to(address);
            (0..DELIVERIES / CONNECTIONS).map(|_| client.deliver(request)).collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(connection)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let took = begin.elapsed();
    answers.sort_unstable();
    Burst { took, answers }
}

/// One connection that is kept.
struct Client(TcpStream);

impl Client {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    fn deliver(&mut self, request: &[u8]) -> Duration {
        let begin = Instant::now();
        self.0.write_all(request).unwrap();
        let (mut answer, mut read) = ([0; 1024], 0);
        // Head and body come in one write.
        while !is_whole(&answer[..read]) {
            let more = self.0.read(&mut answer[read..]).unwrap();
            assert!(more > 0, "the connection ended");
            read += more;
        }
        let time = begin.elapsed();
        assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer));
        time
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = std::str::from_utf8(answer).unwrap();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// A server of the same parts that answers every delivery and looks at none.
fn bare() -> SocketAddr {
    let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = async |mut body: Body| {
        while body.frame().await.is_some() {}
        StatusCode::ACCEPTED
    };
    let router = Router::new().route("/webhooks/gitea", post(answer));
    runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// A mirror of its own.
struct Mirror {
    source: GitSource,
    _home: tempfile::TempDir,
}

impl Mirror {
    fn of(url: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let repository = Repository {
            url: RepositoryUrl::Http(url.to_owned()),
            branch: "main".to_owned(),
            poll: Duration::from_hours(1),
            fetch_timeout: Duration::from_mins(1),
            token: None,
            ssh_key: None,
            known_hosts: None,
            ca: None,
            keep_refs: KeepRefs::Mirror,
        };
        let clock = Arc::new(SystemClock::start());
        let source = GitSource::open(&repository, home.path(), clock, GitOptions::default()).unwrap();
        let mirror = Self { source, _home: home };
        mirror.fetch();
        mirror
    }

    fn fetch(&self) {
        runtime().block_on(self.source.fetch()).unwrap();
    }
}
