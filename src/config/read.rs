//! The controller's file, from its path to its meaning: all problems at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_saphyr::Location;

use super::environment_variables::ConsulVariables;
use super::fields::{Fields, Given, Problems, path_from, read_with, text_of};
use super::raw::{self, Item};
use super::{Checks, Config, KeepRefs, Network, Repository, RepositoryUrl, forge, repository, server, target};
use crate::domain::commit_status::StatusContext;
use crate::domain::desired::Problem;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("read the controller's configuration {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file was read and is wrong.
    #[error("the controller's configuration has {} problem(s), the first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Invalid(
        /// Everything that is wrong, in the order of the file.
        Vec<Problem>,
    ),
}

/// Reads the controller's own file. Relative paths in it are relative to its own directory; a `consul:` without an address
/// takes its connection from `variables`.
///
/// # Errors
/// When the file can't be read, or with everything that is wrong in it. No text of a credential or URL is repeated.
pub fn read(path: &Path, variables: &ConsulVariables) -> Result<Config, ConfigError> {
    let failed = |source| ConfigError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(raw::LARGEST_FILE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    let mut problems = Problems::new(path);
    let config = if bytes.len() as u64 > raw::LARGEST_FILE {
        problems.add(Location::UNKNOWN, "the file is larger than 4 MiB", "is this the right file?");
        None
    } else if let Ok(text) = std::str::from_utf8(&bytes) {
        // Relative to the file, not to where the program happened to be started.
        let base = std::path::absolute(path).map_err(failed)?.parent().unwrap_or(Path::new("/")).to_owned();
        whole(text, &base, variables, &mut problems)
    } else {
        problems.add(Location::UNKNOWN, "the file is not UTF-8", "save it as UTF-8");
        None
    };
    let problems = problems.sorted();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError::Invalid(problems)),
    }
}

fn whole(text: &str, base: &Path, variables: &ConsulVariables, problems: &mut Problems) -> Option<Config> {
    let item = raw::parse(text).map_err(|error| problems.add(error.at.unwrap_or(Location::UNKNOWN), error.message, "")).ok()?;
    let mut file = Fields::of("", item, problems)?;
    let repository = if let Some(given) = file.take("repository") {
        Fields::of(&given.name, given.value, problems).and_then(|fields| repository(fields, base, problems))
    } else {
        problems.add(file.at, "repository is missing", "write repository: {url: …, branch: main}");
        None
    };
    let data_dir = file.path("data_dir", base, problems).unwrap_or_else(|| PathBuf::from("/var/lib/lockstep"));
    let environments = file.section("environments", problems).filter(|fields| !fields.is_empty());
    let environments = environments.map(|fields| target::environments(fields, base, variables, problems));
    if environments.is_none() {
        problems.add(file.at, "there is no environment", "write environments: {test: {directory: {path: ./live/test}}}");
    }
    let checks = file.section("checks", problems).map(|fields| checks(fields, base, problems)).unwrap_or_default();
    let server = file.section("server", problems).map(|fields| server::server(fields, problems)).unwrap_or_default();
    let webhooks =
        file.section("webhooks", problems).map(|fields| server::webhooks(fields, base, problems)).unwrap_or_default();
    let forge = file.section("forge", problems).and_then(|fields| {
        let at = fields.at;
        let taken = environments.iter().flatten().any(|(name, _)| name.as_str() == StatusContext::PLAN);
        if taken {
            let message = "environments.plan: an environment can't be called plan where there is a forge";
            problems.add(at, message, "its commit status would be that of plans: rename the environment");
        }
        forge::forge(fields, base, problems)
    });
    file.unsupported("services", problems);
    file.finish(problems);
    Some(Config { repository: repository?, data_dir, environments: environments?, checks, server, webhooks, forge })
}

fn repository(mut fields: Fields, base: &Path, problems: &mut Problems) -> Option<Repository> {
    let required = fields.required("url", "write the path or URL of the config repository", problems);
    let url = required.and_then(|given| read_with(given, problems, |text| repository::url(text, base)));
    let branch = fields.parsed("branch", problems, repository::branch).map_or_else(|| "main".to_owned(), |given| given.value);
    let limits = (Duration::from_secs(1), Duration::from_hours(24));
    let poll = fields.duration("poll", Duration::from_secs(30), limits, problems);
    let fetch_timeout = fields.duration("fetch_timeout", Duration::from_hours(1), limits, problems);
    let token = fields.credential("token", base, problems);
    let ssh_key = fields.path("ssh_key", base, problems);
    let known_hosts = fields.path("known_hosts", base, problems);
    let ca = fields.path("ca", base, problems);
    let keep_refs =
        fields.parsed("keep_refs", problems, repository::keep_refs).map_or_else(KeepRefs::default, |given| given.value);
    if let Some(url) = &url {
        let useless = |problems: &mut Problems, what: &str, kind: &str| {
            problems.add(
                url.at,
                format!("{what} is given, but the repository is not reached by {kind}"),
                "remove it or change url",
            );
        };
        let (over_http, over_ssh) = match &url.value {
            RepositoryUrl::Http(_) => (true, false),
            RepositoryUrl::Ssh { .. } => (false, true),
            RepositoryUrl::Local(_) => (false, false),
        };
        if token.is_some() && !over_http {
            useless(problems, "repository.token", "https");
        }
        if ca.is_some() && !over_http {
            useless(problems, "repository.ca", "https");
        }
        if ssh_key.is_some() && !over_ssh {
            useless(problems, "repository.ssh_key", "ssh");
        }
    }
    fields.finish(problems);
    Some(Repository { url: url?.value, branch, poll, fetch_timeout, token, ssh_key, known_hosts, ca, keep_refs })
}

fn checks(mut fields: Fields, base: &Path, problems: &mut Problems) -> Checks {
    let allow = fields.texts("allow", problems).map(|given| given.value).unwrap_or_default();
    let allow = allow.into_iter().filter_map(|given| read_with(given, problems, Network::parse)).map(|given| given.value);
    let allow = allow.collect();
    let mut exec = BTreeMap::new();
    if let Some(mut programs) = fields.section("exec", problems) {
        for (name, item) in programs.entries() {
            if let Some((name, program)) = program(name, item, base, problems) {
                exec.insert(name, program);
            }
        }
    }
    fields.finish(problems);
    Checks { allow, exec }
}

fn program(name: Given<String>, item: Item, base: &Path, problems: &mut Problems) -> Option<(String, PathBuf)> {
    let path = Given { at: item.referenced, name: name.name.clone(), value: item };
    let path = text_of(path, problems).and_then(|given| {
        read_with(given, problems, |text| {
            if !text.starts_with('/') {
                let message = "it is no absolute path: a program is never looked up".to_owned();
                return Err((message, "write a path such as /usr/local/bin/smoke; arguments are not supported".to_owned()));
            }
            path_from(text, base)
        })
    });
    let name = read_with(name, problems, |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 63 || !text.chars().all(plain) {
            return Err(("it is no name for a program".into(), "use letters, digits, '-', '_' and '.'".into()));
        }
        Ok(text.to_owned())
    });
    Some((name?.value, path?.value))
}
