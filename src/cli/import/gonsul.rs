//! `import gonsul`: a repository from the files that gonsul reads.

use super::tool::Tooling;
use crate::cli::error::{Exit, Failure};
use crate::cli::options::Options;
use crate::cli::output::Output;
use crate::domain::import::{Gonsul, gonsul};

/// Write a repository with the keys that gonsul writes
///
/// Reads a branch of gonsul's repository from git objects, with gonsul's own options, and lays the same keys out as the
/// format has them. What gonsul spoils is taken as it was meant and told: lists, and numbers of which it loses digits. What
/// it drops stays out and is told: empty values, null, dates, whole numbers in expanded YAML.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep import gonsul production --repo ../gonsul-config --repo-base-path prod --consul-base-path team --into ../my-config
  lockstep import gonsul production --repo ../gonsul-config --expand-json=true --against http://127.0.0.1:8500 --into ../my-config

Exits with 0 when every key was written (and with --against, when what is live is equal), 3 when not, 4 when Consul is
not reachable.")]
pub(super) struct Args {
    #[command(flatten)]
    tooling: Tooling,
    /// The branch, or any commit
    #[arg(long, value_name = "BRANCH", default_value = "HEAD", alias = "repo-branch")]
    branch: String,
    /// gonsul's own: the directory in the repository
    #[arg(long, value_name = "PATH", default_value = "/")]
    repo_base_path: String,
    /// gonsul's own: what every key begins with
    #[arg(long, value_name = "PATH", default_value = "")]
    consul_base_path: String,
    /// gonsul's own: extensions of the files that are read
    #[arg(long, value_name = "LIST", default_value = "json,txt,ini", value_delimiter = ',')]
    input_ext: Vec<String>,
    /// gonsul's own: extensions are part of the key
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    keep_ext: bool,
    /// gonsul's own: JSON files are folders of keys
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    expand_json: bool,
    /// gonsul's own: YAML files are folders of keys
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    expand_yaml: bool,
    /// gonsul's own: it fills secrets in. The file is not read: keys with a placeholder stay out
    #[arg(long, value_name = "FILE")]
    secrets_file: Option<String>,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    args.tooling.writing.check()?;
    let (revision, files) = args.tooling.files(&args.branch).await?;
    let settings = Gonsul {
        repo_base_path: args.repo_base_path.clone(),
        consul_base_path: args.consul_base_path.clone(),
        input_ext: args.input_ext.clone(),
        keep_ext: args.keep_ext,
        expand_json: args.expand_json,
        expand_yaml: args.expand_yaml,
        has_secrets: args.secrets_file.is_some(),
    };
    let legacy = gonsul(&files, &settings).map_err(|problems| Failure {
        problems,
        ..Failure::new("gonsul itself would give up on these files, and write nothing")
    })?;
    let source = format!("what gonsul writes from {} at {}", args.tooling.repo.display(), revision.short());
    args.tooling.finish(source, legacy, options, output).await
}
