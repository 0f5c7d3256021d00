//! The edges that the configuration names: source, targets and probes, built once for a command.

mod target;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::{Exit, Failure};
use super::options::Options;
use crate::client::consul::{self, Catalog, ConsulTarget, Server};
use crate::client::directory::DirectoryTarget;
use crate::client::git::{GitOptions, GitSource};
use crate::client::probe::{Prober, Services};
use crate::config::{self, Config, ConsulVariables, RepositoryUrl, TargetConfig};
use crate::domain::desired::{FileTree, manifest_alone, read_for};
use crate::domain::name::{EnvironmentName, RepositoryName};
use crate::domain::revision::Revision;
use crate::domain::rollout::Stored;
use crate::domain::words::shell_word;
use crate::port::{Clock as _, Commit, EdgeError, EdgeKind, Source as _, Target as _, Tip};
use crate::runtime::clock::SystemClock;
use crate::runtime::observe::no_head;
use crate::runtime::reading::{Fit, Readings};
use crate::runtime::succession::{Heir, Place, heir, is_missing};

pub(super) use target::{AnyLease, AnyTarget};

/// How fresh the mirror must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Fetched now; what an earlier fetch brought serves, with a note, while the origin is away.
    Fetched,
    /// As an earlier fetch left it, if there was one.
    AsItIs,
}

/// So many commits of the branch before a head that can't be read are asked for the repository's name.
const LOOK_BACK: usize = 20;
/// How long a controller waits for the repository before its second look.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// A probe of any environment.
pub(super) type AnyProbe = Prober<Catalog>;

/// Everything that a command talks to.
pub(super) struct Edges {
    /// The controller's own file.
    pub(super) config: Config,
    /// Where that file is.
    config_path: PathBuf,
    /// The config repository.
    pub(super) source: GitSource,
    /// Its name.
    pub(super) repository: RepositoryName,
    /// Where the branch stands.
    pub(super) tip: Tip,
    /// Why the mirror may be behind.
    pub(super) behind: Option<String>,
    /// The time.
    pub(super) clock: Arc<SystemClock>,
    servers: Mutex<Vec<(Connection, Arc<Server>)>>,
}

/// What makes two environments share one connection to Consul (rule A10).
#[derive(PartialEq, Eq)]
struct Connection {
    address: String,
    datacenter: Option<String>,
    token: Option<config::Credential>,
    files: Vec<Option<std::path::PathBuf>>,
}

impl Connection {
    fn of(consul: &config::Consul) -> Self {
        let config::Consul {
            address,
            datacenter,
            ca,
            client_certificate,
            token,
            dns: _,
            target_id: _,
            keys: _,
            connections: _,
            watches: _,
        } = consul;
        let (certificate, key) = client_certificate.clone().unzip();
        Self {
            address: address.clone(),
            datacenter: datacenter.clone(),
            token: token.clone(),
            files: vec![ca.clone(), certificate, key],
        }
    }
}

/// What the configuration alone gives.
pub(super) struct Ground {
    /// The controller's own file.
    pub(super) config: Config,
    config_path: PathBuf,
    source: GitSource,
    clock: Arc<SystemClock>,
}

/// What the repository says.
struct Sighting {
    repository: RepositoryName,
    tip: Tip,
    behind: Option<String>,
}

impl Ground {
    /// Reads the configuration and opens the mirror.
    pub(super) fn lay(options: &Options) -> Result<Self, Failure> {
        let config_path = options.config().to_owned();
        let config = config::read(&config_path, &ConsulVariables::of_process())?;
        if config.environments.is_empty() {
            return Err(Failure::new("the configuration has no environment"));
        }
        let clock = Arc::new(SystemClock::start());
        let source =
            GitSource::open(&config.repository, &config.data_dir, Arc::clone(&clock) as Arc<_>, GitOptions::default())?;
        Ok(Self { config, config_path, source, clock })
    }

    async fn look(&self, freshness: Freshness) -> Result<Sighting, Failure> {
        let before = self.source.head().await?.tip;
        let mut behind = None;
        if freshness == Freshness::Fetched || before == Tip::Unfetched {
            match self.source.fetch().await {
                Err(error) if before == Tip::Unfetched => {
                    return Err(error.into());
                }
                Err(error) => behind = Some(error.chain()),
                Ok(()) => {}
            }
        }
        let tip = self.source.head().await?.tip;
        let repository = repository_name(&self.config, &self.source, &tip).await?;
        Ok(Sighting { repository, tip, behind })
    }

    /// Opens what the configuration names, for a controller: nothing ends it. Until a first commit can be read it says once what it
    /// waits for, and tries again after a second, then ever later, up to the poll interval.
    pub(super) async fn open_patiently(self) -> Edges {
        // A mirror of an earlier run serves at once; the controller fetches by itself.
        let mut freshness = Freshness::AsItIs;
        let mut wait = FIRST_WAIT;
        let mut said = String::new();
        loop {
            match self.look(freshness).await {
                Ok(look) => return self.with(look),
                Err(failure) => failure.warn_once("waiting for the repository", &mut said),
            }
            tokio::time::sleep(wait).await;
            freshness = Freshness::Fetched;
            wait = (wait * 2).min(self.config.repository.poll);
        }
    }

    fn with(self, sighting: Sighting) -> Edges {
        let Self { config, config_path, source, clock } = self;
        let Sighting { repository, tip, behind } = sighting;
        Edges { config, config_path, source, repository, tip, behind, clock, servers: Mutex::default() }
    }
}

impl Edges {
    /// Reads the configuration and opens what it names.
    pub(super) async fn open(options: &Options, freshness: Freshness) -> Result<Self, Failure> {
        let ground = Ground::lay(options)?;
        let look = ground.look(freshness).await?;
        Ok(ground.with(look))
    }

    /// The environments that a command is about: those that were named, or all.
    pub(super) fn environments(&self, named: &[String]) -> Result<Vec<EnvironmentName>, Failure> {
        if named.is_empty() {
            return Ok(self.config.environments.keys().cloned().collect());
        }
        named.iter().map(|name| self.environment(name)).collect()
    }

    /// One environment by its name.
    pub(super) fn environment(&self, name: &str) -> Result<EnvironmentName, Failure> {
        let known = self.config.environments.keys().find(|known| known.as_str() == name);
        known.cloned().ok_or_else(|| {
            let known: Vec<&str> = self.config.environments.keys().map(EnvironmentName::as_str).collect();
            Failure::usage(format!("the configuration has no environment {name:?}"))
                .hint(format!("it has {}", known.join(", ")))
        })
    }

    /// How an environment is reached.
    pub(super) fn target_config(&self, environment: &EnvironmentName) -> Result<&TargetConfig, Failure> {
        let missing = || Failure::usage(format!("the configuration has no environment {environment}"));
        self.config.environments.get(environment).ok_or_else(missing)
    }

    /// The record of an environment, for verbs that only look. One that is there under a former name is told.
    pub(super) async fn record(&self, environment: &EnvironmentName, target: &AnyTarget) -> Result<Option<Stored>, Failure> {
        let found = target.load().await;
        if is_missing(&found)
            && let Some(Heir { former, stored }) = self.heir(environment, &self.fit(environment)?, target).await?
        {
            let generation = stored.record.generation;
            let text = format!("{environment} has no record yet: it takes over that of {former}, at generation {generation}");
            return Err(Failure::new(text).hint(format!("`lockstep run` does, or `lockstep apply --once {environment}`")));
        }
        Ok(found?)
    }

    /// The record that an environment without one takes over, as the branch head has it now.
    pub(super) async fn heir(
        &self,
        environment: &EnvironmentName,
        fit: &Fit,
        target: &AnyTarget,
    ) -> Result<Option<Heir>, EdgeError> {
        let Tip::At(tip) = self.source.head().await?.tip else { return Ok(None) };
        let place = Place { environment, repository: &self.repository, fit };
        let mut readings = Readings::new(environment.clone(), self.repository.clone(), fit.clone());
        heir(&mut readings, place, &self.source, target, tip).await
    }

    /// What an environment's target takes.
    pub(super) fn fit(&self, environment: &EnvironmentName) -> Result<Fit, Failure> {
        Ok(fit(self.target_config(environment)?))
    }

    /// The place that holds an environment.
    pub(super) fn target(&self, environment: &EnvironmentName) -> Result<AnyTarget, Failure> {
        self.target_under(environment, environment.clone())
    }

    /// The same place under another name, which the environment has or had there.
    pub(super) fn target_under(&self, environment: &EnvironmentName, name: EnvironmentName) -> Result<AnyTarget, Failure> {
        let repository = self.repository.clone();
        Ok(match self.target_config(environment)? {
            TargetConfig::Consul(consul) => {
                let server = self.server(consul)?;
                let (keys, id) = (consul.keys.clone(), consul.target_id.clone());
                AnyTarget::Consul(Box::new(ConsulTarget::new(server, repository, name, keys, id)))
            }
            TargetConfig::Directory(directory) => {
                AnyTarget::Directory(DirectoryTarget::new(directory, repository, name, Arc::clone(&self.clock) as Arc<_>))
            }
        })
    }

    /// What takes an environment's samples.
    pub(super) fn probe(&self, environment: &EnvironmentName) -> Result<AnyProbe, Failure> {
        let (services, dns) = match self.target_config(environment)? {
            TargetConfig::Consul(consul) => (Services::Catalog(Catalog::new(self.server(consul)?)), consul.dns),
            TargetConfig::Directory(directory) => (Services::Named(directory.services.clone()), None),
        };
        Ok(Prober::new(environment.clone(), services, self.config.checks.clone(), dns)?)
    }

    /// The branch head, where there is one.
    pub(super) const fn head(&self) -> Option<Revision> {
        match self.tip {
            Tip::At(tip) => Some(tip),
            Tip::NoBranch(_) | Tip::Gone(_) | Tip::Empty | Tip::Unfetched => None,
        }
    }

    /// The branch head, for a verb with an option that names another commit.
    pub(super) fn head_or(&self, option: &str) -> Result<Revision, Failure> {
        let missing =
            || Failure::new(no_head(&self.tip)).hint(format!("a commit that the mirror has can be named with {option}"));
        self.head().ok_or_else(missing)
    }

    /// The newest commit that is known, whether there is a branch or not.
    pub(super) async fn newest_known(&self, environment: &EnvironmentName) -> Result<Revision, Failure> {
        if let Some(known) = self.head().or(self.source.last_stood().await?) {
            return Ok(known);
        }
        let mut kept = Vec::new();
        for revision in self.source.kept(environment).await? {
            kept.extend(self.commit(revision).await);
        }
        let newest = kept.into_iter().max_by_key(|commit| commit.at).map(|commit| commit.revision);
        newest.ok_or_else(|| Failure::new(no_head(&self.tip)).hint("push the branch again: the mirror has no commit of it"))
    }

    /// The commit that a person named.
    pub(super) async fn resolve(&self, text: &str) -> Result<Revision, Failure> {
        // A wrong name is the caller's mistake, not an outage.
        self.source.resolve(text).await.map_err(|error| match error.kind {
            EdgeKind::NotFound => {
                let hint = error.hint.clone().unwrap_or_else(|| {
                    "name a commit of the branch: HEAD, HEAD~1, or an id or its first digits, as `git log` has them".to_owned()
                });
                Failure { exit: Exit::Usage, ..Failure::from(error) }.hint(hint)
            }
            EdgeKind::Transient | EdgeKind::Conflict | EdgeKind::Refused | EdgeKind::Denied => error.into(),
        })
    }

    /// The commit itself, if the mirror has it.
    pub(super) async fn commit(&self, revision: Revision) -> Option<Commit> {
        self.source.commits(None, revision).await.ok()?.into_iter().next()
    }

    /// Ends the sessions that were opened, so that the next one can lead at once, and names last good in the repository where
    /// the configuration says so. A failure only delays either.
    pub(super) async fn close(&self) {
        if self.source.has_last_good_to_publish() {
            self.source.exchange_last_good().await;
        }
        let servers = std::mem::take(&mut *self.servers.lock().unwrap_or_else(PoisonError::into_inner));
        for (_, server) in servers {
            if let Err(error) = server.close().await {
                tracing::warn!(error = %error.chain(), "the session runs out by itself");
            }
        }
    }

    fn server(&self, consul: &config::Consul) -> Result<Arc<Server>, Failure> {
        let connection = Connection::of(consul);
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, server)) = servers.iter().find(|(known, _)| *known == connection) {
            return Ok(Arc::clone(server));
        }
        let server = Server::connect(consul)?;
        servers.push((connection, Arc::clone(&server)));
        Ok(server)
    }

    /// The command that shows all that is wrong with a revision, of which other verbs tell the first.
    pub(super) fn how_to_see_problems(&self, revision: Revision) -> String {
        let config = shell_word(&self.config_path.display().to_string());
        let path = match &self.config.repository.url {
            RepositoryUrl::Local(path) => format!("{} ", shell_word(&path.display().to_string())),
            // What this machine has of it is found by the configuration.
            RepositoryUrl::Http(_) | RepositoryUrl::Ssh { .. } => String::new(),
        };
        let revision = revision.short();
        format!("`lockstep validate {path}--rev {revision} --config {config}` shows every problem")
    }

    /// Milliseconds since 1970, for what people read.
    pub(super) fn now(&self) -> crate::domain::time::Timestamp {
        self.clock.now()
    }
}

/// What a target takes, beyond what the format allows.
pub(super) fn fit(target: &TargetConfig) -> Fit {
    match target {
        TargetConfig::Consul(consul) => Fit { roots: consul.keys.clone(), files: false, settle: consul::SETTLE },
        TargetConfig::Directory(directory) => Fit { roots: directory.keys.clone(), files: true, settle: Duration::ZERO },
    }
}

/// The name that the branch head gives the repository. While the head can't be read, the commit where the branch stood
/// before it was gone says it, one that the mirror keeps for an environment, or an earlier one of the branch: a broken commit must not take `status` and `rollback` away.
async fn repository_name(config: &Config, source: &GitSource, tip: &Tip) -> Result<RepositoryName, Failure> {
    let Some(any) = config.environments.keys().next() else {
        return Err(Failure::new("the configuration has no environment"));
    };
    // Of a large repository this one file.
    let manifest_at = async |revision| -> Result<FileTree, EdgeError> { source.part(revision, manifest_alone()).await };
    let mut failure = Failure::new(no_head(tip));
    if let Tip::At(tip) = tip {
        let read = read_for(&manifest_at(*tip).await?, any);
        if let Some(name) = read.name() {
            return Ok(name.clone());
        }
        let problems = read.problems().iter().filter(|problem| problem.file == "lockstep.yaml" || problem.file == ".");
        let message = format!(
            "lockstep.yaml at {} can't be read for the repository's name; nothing of it is applied, and nothing is deleted",
            tip.short()
        );
        failure = Failure { problems: problems.cloned().collect(), ..Failure::new(message) };
    }
    let mut known: Vec<Revision> = source.last_stood().await.ok().flatten().into_iter().collect();
    for environment in config.environments.keys() {
        known.extend(source.kept(environment).await.unwrap_or_default());
    }
    for revision in known {
        if let Some(name) = read_for(&manifest_at(revision).await?, any).name() {
            return Ok(name.clone());
        }
    }
    // A mirror that no controller works with keeps no commit.
    if let Tip::At(tip) = tip {
        for back in 1..=LOOK_BACK {
            let Ok(earlier) = source.resolve(&format!("{tip}~{back}")).await else { break };
            if let Some(name) = read_for(&manifest_at(earlier).await?, any).name() {
                return Ok(name.clone());
            }
        }
    }
    Err(failure.hint("commit a lockstep.yaml with `name: …` and `lockstep: …`; `lockstep validate PATH` in a clone shows what else is missing"))
}
