//! The controller's own file as it is meant: valid by construction.
//!
//! Addresses, credentials and allow-lists live here and never in the config repository: whoever can merge there must not be
//! able to send the controller's tokens elsewhere. [`read()`] returns every problem at once, each with its place and a hint.

mod raw;
mod fields;
mod network;
mod repository;
mod credential;
mod environment_variables;
mod neighbours;
mod target;
mod server;
mod forge;
mod read;

pub use credential::{CredentialError, LONGEST_CREDENTIAL, read_private};
pub use environment_variables::ConsulVariables;
pub use forge::{Forge, ForgeCredential, ForgeKind, ForgeRepository, Statuses};
pub use read::{ConfigError, read};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::name::{EnvironmentName, KeyRoots, ServiceName};
use crate::domain::rollout::TargetId;

/// The whole file.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the desired state comes from.
    pub repository: Repository,
    /// The git mirror lives here; nothing that cannot be fetched again.
    pub data_dir: PathBuf,
    /// How each environment is reached.
    pub environments: BTreeMap<EnvironmentName, TargetConfig>,
    /// What checks may do.
    pub checks: Checks,
    /// Where this controller itself is reached.
    pub server: Server,
    /// Whose deliveries it takes.
    pub webhooks: Webhooks,
    /// Where commit statuses and plans of pull requests go.
    pub forge: Option<Forge>,
}

/// The config repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Where it is.
    pub url: RepositoryUrl,
    /// The branch that is followed; never begins with `-`.
    pub branch: String,
    /// From one fetch to the next, with jitter of ± 10 %.
    pub poll: Duration,
    /// The longest that one fetch may take as a whole; one in which nothing comes any more ends long before.
    pub fetch_timeout: Duration,
    /// Sent as the password of HTTP basic authentication (user `x-access-token`).
    pub token: Option<Credential>,
    /// Private key for ssh; its file must not be readable by others.
    pub ssh_key: Option<PathBuf>,
    /// Known hosts for ssh; without it the user's own file.
    pub known_hosts: Option<PathBuf>,
    /// A CA file for https instead of the system's.
    pub ca: Option<PathBuf>,
    /// Where the commits that environments rest on are kept when the branch drops them.
    pub keep_refs: KeepRefs,
}

/// Where last good of each environment is kept (rule S2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepRefs {
    /// In this controller's mirror.
    #[default]
    Mirror,
    /// In the repository too, as `refs/lockstep/<environment>/last-good`: a controller that lost its mirror finds it there.
    /// The token or key must be allowed to push.
    Push,
}

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryUrl {
    /// A path on this machine (also `file://`): watched, so that a commit is picked up at once.
    Local(PathBuf),
    /// `https://…`, or `http://` to a loopback address. No credentials inside.
    Http(String),
    /// `ssh://user@host:port/path`; neither user nor host begins with `-`.
    Ssh {
        /// Defaults to `git`.
        user: String,
        /// Name or address.
        host: String,
        /// Defaults to 22.
        port: u16,
        /// Path at the host. `ssh://` gives a leading `/`; the `host:path` form may be relative to the user's home.
        path: String,
    },
}

/// Where a credential is read from, each time it is used: never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A file that only its owner may read; white space around the value is dropped.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// How an environment is reached.
#[derive(Debug, Clone)]
pub enum TargetConfig {
    /// A Consul datacenter.
    Consul(Box<Consul>),
    /// A directory on this machine.
    Directory(Directory),
}

/// A Consul datacenter.
#[derive(Debug, Clone)]
pub struct Consul {
    /// `http(s)://host:port`, without a path.
    pub address: String,
    /// Sent as `?dc=`; none: the agent's own.
    pub datacenter: Option<String>,
    /// A CA file instead of the system's.
    pub ca: Option<PathBuf>,
    /// Client certificate and key (PEM files); the key must not be readable by others.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// The ACL token.
    pub token: Option<Credential>,
    /// The environment's own DNS, for `dns` checks.
    pub dns: Option<SocketAddr>,
    /// The id that `lockstep init` printed; without it nothing is written (rule O6).
    pub target_id: Option<TargetId>,
    /// The only roots that the environment may write (rule O7).
    pub keys: KeyRoots,
    /// Connections for requests, 1 to 64 (rule A10).
    pub connections: u16,
    /// Connections for watches and the session, 3 to 64 (rule A10).
    pub watches: u16,
}

/// A directory on this machine.
#[derive(Debug, Clone)]
pub struct Directory {
    /// Holds `current`, `versions/` and `.lockstep/`.
    pub path: PathBuf,
    /// Where each service answers, since a directory has no catalog (rule F3).
    pub services: BTreeMap<ServiceName, ServiceAddress>,
    /// How long old versions are kept (rule D2).
    pub keep: Duration,
    /// The only roots that the environment may write.
    pub keys: KeyRoots,
}

/// Where a service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

/// What checks may do.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    /// Networks that raw addresses in checks may lie in; none: no raw addresses.
    pub allow: Vec<Network>,
    /// Programs that `exec` checks may name.
    pub exec: BTreeMap<String, PathBuf>,
}

/// Where the controller itself is reached. It listens only when it has something to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The address and port that it listens at.
    pub listen: SocketAddr,
    /// How others reach it, through whatever proxy is between: `http(s)://…`, without credentials, query, fragment and final `/`.
    pub public_url: Option<String>,
}

impl Default for Server {
    /// This machine only.
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8420)), public_url: None }
    }
}

/// The secrets that deliveries are signed with, at most eight for each kind of forge, any of which counts. A forge without one
/// has no endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Webhooks {
    /// GitHub's.
    pub github: Vec<Credential>,
    /// Gitea's, Forgejo's and Gogs'.
    pub gitea: Vec<Credential>,
}

/// An address range in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    pub address: std::net::IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}
