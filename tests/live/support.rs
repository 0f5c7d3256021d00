//! A real Consul for a test: started on free loopback ports, ready when it has a leader, killed when dropped.

#[path = "../it/support/ports.rs"]
#[allow(dead_code, reason = "the integration tests use the rest of it")]
mod ports;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockstep::client::consul::{ConsulTarget, Server};
use lockstep::config;
use lockstep::domain::name::{EnvironmentName, KeyRoots, RepositoryName};
use lockstep::domain::rollout::TargetId;

pub(crate) use self::ports::free_ports;

/// The longest that anything in these tests may take to become true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// What an agent says of its errors, beside its data.
const LOG: &str = "agent.log";
/// The token that an agent with ACLs is started with.
pub(crate) const MASTER: &str = "0d9c2ae8-6d3b-4a8e-8c6a-0f6c4d1c7a11";

/// The Consul to test with: `LOCKSTEP_CONSUL`, or what `scripts/install-consul` finds. Without one the tests fail.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("LOCKSTEP_CONSUL") {
            return path.into();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-consul");
        let output = Command::new(&script).output().expect("scripts/install-consul runs");
        assert!(output.status.success(), "no Consul to test with: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().into()
    })
}

/// A running agent.
pub(crate) struct Agent {
    child: Child,
    http: u16,
    https: u16,
    dns: u16,
    gossip: u16,
    command: Vec<String>,
    // Removed after the agent is killed.
    home: tempfile::TempDir,
}

/// How an agent differs from a development server.
#[derive(Default)]
pub(crate) struct Options {
    /// Keeps its data, so that it can be killed and started again.
    pub(crate) durable: bool,
    /// Denies what no token allows; [`MASTER`] may do everything.
    pub(crate) acl: bool,
    /// Together with that: a prefix may be listed only by who may list all of it; else Consul refuses instead of leaving out.
    pub(crate) list_policy: bool,
    /// Serves TLS too, with `ca.pem`, `server.pem` and `server.key` of this folder; clients must show a certificate.
    pub(crate) tls: Option<PathBuf>,
    /// More of the configuration file, as JSON members.
    pub(crate) config: &'static str,
}

impl Agent {
    /// A development server: in memory, no ACLs.
    pub(crate) fn start() -> Self {
        Self::with(&Options::default())
    }

    /// Another one.
    pub(crate) fn with(options: &Options) -> Self {
        let agent = Self::begin(options, &["-bootstrap-expect=1"]);
        agent.wait();
        agent
    }

    /// Two servers that need each other to have a leader; both keep their data.
    pub(crate) fn pair() -> [Self; 2] {
        let options = Options { durable: true, ..Options::default() };
        let first = Self::begin(&options, &["-bootstrap-expect=2", "-node=first"]);
        let gossip = format!("-retry-join=127.0.0.1:{}", first.gossip);
        let second = Self::begin(&options, &["-bootstrap-expect=2", "-node=second", "-retry-interval=1s", &gossip]);
        first.wait();
        second.wait();
        [first, second]
    }

    /// Starts one without waiting for it; the flags are for one that keeps its data.
    fn begin(options: &Options, flags: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let [http, gossip, gossip_wan, server, dns, https] = free_ports();
        let with_tls = if options.tls.is_some() { i32::from(https) } else { -1 };
        let mut config = format!(
            r#""ports": {{"http": {http}, "https": {with_tls}, "serf_lan": {gossip}, "serf_wan": {gossip_wan}, "server": {server},
                          "dns": {dns}, "grpc": -1}}, "performance": {{"raft_multiplier": 1}},
               "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "disable_update_check": true, "log_level": "err""#
        );
        if options.acl {
            config += r#", "acl": {"enabled": true, "default_policy": "deny", "enable_key_list_policy": POLICY,
                          "tokens": {"master": "MASTER", "agent": "MASTER"}}"#
                .replace("MASTER", MASTER)
                .replace("POLICY", if options.list_policy { "true" } else { "false" })
                .as_str();
        }
        if let Some(folder) = &options.tls {
            let file = |name: &str| folder.join(name).display().to_string();
            let (ca, certificate, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
            let files = format!(r#""ca_file": "{ca}", "cert_file": "{certificate}", "key_file": "{key}""#);
            config += r#", "verify_incoming_https": true, "#;
            config += &files;
        }
        if !options.config.is_empty() {
            config += ", ";
            config += options.config;
        }
        let file = home.path().join("agent.json");
        std::fs::write(&file, format!("{{{config}}}")).unwrap();
        let mut command = vec!["agent".to_owned(), "-config-file".to_owned(), file.display().to_string()];
        if options.durable {
            let data = home.path().join("data").display().to_string();
            command.extend(["-server", "-data-dir", &data].into_iter().chain(flags.iter().copied()).map(str::to_owned));
        } else {
            command.push("-dev".into());
        }
        let child = spawn(&command, home.path());
        Self { child, http, https, dns, gossip, command, home }
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again after [`Self::kill`]; does not wait until it can be used.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.command, self.home.path());
    }

    /// Kills it and removes all its data: it starts again as a Consul that was never used.
    pub(crate) fn wipe(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.home.path().join("data")).unwrap();
    }

    /// Runs Consul's own program against it, with the master token, and gives what it prints.
    #[track_caller]
    pub(crate) fn consul(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary());
        command.args(arguments).env("CONSUL_HTTP_ADDR", self.address()).env("CONSUL_HTTP_TOKEN", MASTER);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits for a leader and a consistent read.
    pub(crate) fn wait(&self) {
        let begin = Instant::now();
        loop {
            let ready =
                self.try_curl("GET", "/v1/kv/ready?consistent", b"").is_some_and(|(status, _)| status == 404 || status == 200);
            if ready {
                return;
            }
            let log = || std::fs::read_to_string(self.home.path().join(LOG)).unwrap();
            assert!(begin.elapsed() < PATIENCE, "Consul was not ready within {PATIENCE:?}: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `http://127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// `https://localhost:port`, where [`Options::tls`] is given.
    pub(crate) fn secure_address(&self) -> String {
        format!("https://localhost:{}", self.https)
    }

    /// Its HTTP port.
    pub(crate) fn port(&self) -> u16 {
        self.http
    }

    /// `127.0.0.1:port`, where it answers DNS queries.
    pub(crate) fn dns(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.dns))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One plain request, as a person or a consumer would make it: none of lockstep's own code.
    #[track_caller]
    pub(crate) fn curl(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        self.try_curl(method, path, body).expect("Consul answers")
    }

    /// Writes a key by hand.
    #[track_caller]
    pub(crate) fn put(&self, key: &str, value: &[u8]) {
        let (status, body) = self.curl("PUT", &format!("/v1/kv/{key}"), value);
        assert_eq!((status, body.trim_ascii()), (200, b"true".as_slice()), "put {key}");
    }

    /// Deletes a key by hand.
    #[track_caller]
    pub(crate) fn delete(&self, key: &str) {
        assert_eq!(self.curl("DELETE", &format!("/v1/kv/{key}"), b"").0, 200, "delete {key}");
    }

    /// A key's value.
    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.curl("GET", &format!("/v1/kv/{key}?raw&consistent"), b"") {
            (200, value) => Some(value),
            (404, _) => None,
            other => panic!("get {key}: {other:?}"),
        }
    }

    /// Every key below a prefix with all that Consul says of it.
    #[track_caller]
    pub(crate) fn pairs(&self, prefix: &str) -> Vec<serde_json::Value> {
        match self.curl("GET", &format!("/v1/kv/{prefix}?recurse&consistent"), b"") {
            (404, _) => Vec::new(),
            (200, body) => serde_json::from_slice(&body).unwrap(),
            other => panic!("list {prefix}: {other:?}"),
        }
    }

    /// Every key below a prefix with its flags.
    #[track_caller]
    pub(crate) fn tree(&self, prefix: &str) -> Vec<(String, u64)> {
        self.pairs(prefix).iter().map(|pair| (pair["Key"].as_str().unwrap().into(), pair["Flags"].as_u64().unwrap())).collect()
    }

    /// Every key below a prefix with its value.
    #[track_caller]
    pub(crate) fn values(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        self.pairs(prefix).iter().map(|pair| (pair["Key"].as_str().unwrap().into(), decode(&pair["Value"]))).collect()
    }

    fn try_curl(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        request(self.http, method, path, body)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(command: &[String], home: &Path) -> Child {
    let log = File::options().create(true).append(true).open(home.join(LOG)).unwrap();
    let errors = log.try_clone().unwrap();
    Command::new(binary()).args(command).stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap()
}

/// One HTTP/1.0 request by hand with the master token.
pub(crate) fn request(port: u16, method: &str, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    exchange(port, MASTER, method, path, body, Duration::from_secs(20)).map(|answer| (answer.status, answer.body))
}

/// An answer as it came.
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Its header lines.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

/// [`request`] with any token, with patience of its own and with the answer's headers.
pub(crate) fn exchange(port: u16, token: &str, method: &str, path: &str, body: &[u8], patience: Duration) -> Option<Answered> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(patience)).unwrap();
    let head = format!("{method} {path} HTTP/1.0\r\nX-Consul-Token: {token}\r\nContent-Length: {}\r\n\r\n", body.len());
    // At once: a server that refuses by the head alone would reset a connection on which a body comes late.
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    let body = answer.split_off(end + 4);
    Some(Answered { status, headers: String::from_utf8_lossy(&answer).into_owned(), body })
}

/// A value as Consul's JSON gives it; an empty one is `null`.
pub(crate) fn decode(value: &serde_json::Value) -> Vec<u8> {
    value.as_str().map(|text| STANDARD.decode(text).unwrap()).unwrap_or_default()
}

/// The configuration of a Consul at this address.
pub(crate) fn config(address: &str) -> config::Consul {
    config::Consul {
        address: address.to_owned(),
        datacenter: None,
        ca: None,
        client_certificate: None,
        token: None,
        dns: None,
        target_id: None,
        keys: roots(),
        connections: 4,
        watches: 16,
    }
}

/// The roots that the tests' environments may write.
pub(crate) fn roots() -> KeyRoots {
    KeyRoots::parse(&["config/"]).unwrap()
}

/// A controller's view of the environment `test`: a connection of its own.
pub(crate) fn controller(address: &str, target_id: Option<TargetId>) -> ConsulTarget {
    target(Server::connect(&config(address)).unwrap(), target_id)
}

/// The environment `test` over a connection.
pub(crate) fn target(server: std::sync::Arc<Server>, target_id: Option<TargetId>) -> ConsulTarget {
    ConsulTarget::new(
        server,
        RepositoryName::parse("calvin-config").unwrap(),
        EnvironmentName::parse("test").unwrap(),
        roots(),
        target_id,
    )
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sets a file's permissions.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
