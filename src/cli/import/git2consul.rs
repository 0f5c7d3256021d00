//! `import git2consul`: a repository from the files and the configuration that git2consul reads.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::tool::Tooling;
use crate::cli::error::{Exit, Failure};
use crate::cli::options::Options;
use crate::cli::output::Output;
use crate::domain::desired::{Affected, Problem};
use crate::domain::import::{Git2consul, git2consul};

/// The largest configuration in bytes.
const LARGEST: u64 = 1 << 20;

/// Write a repository with the keys that git2consul writes
///
/// Reads git2consul's own configuration, and one branch from git objects, and lays the same keys out as the format has them:
/// values trimmed and numbers printed as git2consul does. What it spoils is taken as it was meant and told: bytes that are no
/// UTF-8, and numbers of which it loses digits. What it drops stays out and is told: lists, dates, files that it never finds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep import git2consul production git2consul.json --repo ../config-data --into ../my-config
  lockstep import git2consul production git2consul.json --repo ../data --against http://127.0.0.1:8500 --into ../new

Where git2consul keeps its configuration in Consul, `consul kv get git2consul/config > git2consul.json` gives the file.
Exits with 0 when every key was written (and with --against, when what is live is equal), 3 when not, 4 when Consul is
not reachable.")]
pub(super) struct Args {
    #[command(flatten)]
    tooling: Tooling,
    /// git2consul's configuration, a JSON file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The repository's name in that file, where it has several
    #[arg(long, value_name = "NAME")]
    repo_name: Option<String>,
    /// The branch, where the file has several
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    args.tooling.writing.check()?;
    let repository = choose(read(&args.file)?, args)?;
    let (revision, files) = args.tooling.files(&repository.branch).await?;
    let legacy = git2consul(&files, &repository);
    let place = args.tooling.repo.display();
    let source = format!("what git2consul writes from {} of {place} at {}", repository.branch, revision.short());
    args.tooling.finish(source, legacy, options, output).await
}

/// git2consul's configuration, as far as it decides keys and values; it ignores what it does not know, and so does this.
#[derive(Debug, Deserialize)]
struct Written {
    repos: Vec<Repository>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    name: String,
    branches: Vec<String>,
    #[serde(default, deserialize_with = "mountpoint")]
    mountpoint: Option<String>,
    source_root: Option<String>,
    include_branch_name: Option<Value>,
    ignore_repo_name: Option<Value>,
    expand_keys: Option<Value>,
    ignore_file_extension: Option<Value>,
    common_properties: Option<String>,
}

/// git2consul refuses one with a `/` at an end.
fn mountpoint<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let mountpoint = Option::<String>::deserialize(from)?;
    match &mountpoint {
        Some(text) if text.starts_with('/') || text.ends_with('/') => {
            Err(serde::de::Error::custom("a mountpoint neither begins nor ends with '/'"))
        }
        _ => Ok(mountpoint),
    }
}

fn read(path: &Path) -> Result<Written, Failure> {
    let failed = |error: &std::io::Error| Failure::new(format!("read {}", path.display())).because(error);
    let mut bytes = Vec::new();
    let hint = "name the file with git2consul's configuration; `consul kv get git2consul/config > git2consul.json` gives it where it \
                is in Consul";
    let file = File::open(path).map_err(|error| failed(&error).hint(hint))?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::new(format!("{} is longer than {LARGEST} bytes", path.display())));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let text = error.to_string();
        let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
        let (file, environments) = (path.display().to_string(), Affected::nobody());
        let (line, column) = (number(error.line()), number(error.column()));
        let problem = Problem { file, line, column, message, hint: None, environments };
        Failure { problems: vec![problem], ..Failure::new("git2consul's configuration can't be used") }
    })
}

fn choose(written: Written, args: &Args) -> Result<Git2consul, Failure> {
    let known = written.repos.iter().map(|repository| repository.name.clone()).collect::<Vec<_>>();
    let mut named =
        written.repos.into_iter().filter(|repository| args.repo_name.as_ref().is_none_or(|name| *name == repository.name));
    let (Some(repository), None) = (named.next(), named.next()) else {
        let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(
            Failure::usage("which repository of the file is meant?").hint(format!("name one with --repo-name; it has {has}"))
        );
    };
    let branch = match (&args.branch, repository.branches.as_slice()) {
        (Some(branch), branches) if branches.contains(branch) => branch.clone(),
        (None, [branch]) => branch.clone(),
        (_, branches) => {
            return Err(Failure::usage("which branch of the repository is meant?")
                .hint(format!("name one with --branch; the file has {}", branches.join(", "))));
        }
    };
    let is_true = |value: &Option<Value>| *value == Some(Value::Bool(true));
    Ok(Git2consul {
        branch,
        include_branch_name: matches!(repository.include_branch_name, None | Some(Value::Null | Value::Bool(true))),
        ignore_repo_name: is_true(&repository.ignore_repo_name),
        expand_keys: is_true(&repository.expand_keys),
        ignore_file_extension: is_true(&repository.ignore_file_extension),
        name: repository.name,
        mountpoint: repository.mountpoint,
        source_root: repository.source_root,
        common_properties: repository.common_properties,
    })
}
