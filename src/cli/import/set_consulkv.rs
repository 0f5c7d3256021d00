//! `import set-consulkv`: a repository from the files that Calvinverse's `Set-ConsulKV.ps1` reads.

use super::tool::Tooling;
use crate::cli::error::{Exit, Failure};
use crate::cli::options::Options;
use crate::cli::output::Output;
use crate::domain::import::{SetConsulKv, set_consulkv};

/// Write a repository with the keys that Calvinverse's `Set-ConsulKV.ps1` writes
///
/// Reads the YAML files below the script's directory from git objects: lists of keys, each with a value or a file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep import set-consulkv production --repo ../calvinverse.configuration --into ../my-config
  lockstep import set-consulkv production --repo ../calvinverse.configuration --newline lf --against production --into ../my-config

Exits with 0 when every key was written (and with --against, when what is live is equal), 3 when not, 4 when Consul is
not reachable.")]
pub(super) struct Args {
    #[command(flatten)]
    tooling: Tooling,
    /// The branch, or any commit
    #[arg(long, value_name = "BRANCH", default_value = "HEAD")]
    branch: String,
    /// The script's directory in the repository
    #[arg(long, value_name = "PATH", default_value = "config/kv")]
    directory: String,
    /// What ends a line where the script was run: crlf on Windows
    #[arg(long, value_enum, value_name = "WHICH", default_value = "crlf")]
    newline: Newline,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Newline {
    /// Windows
    Crlf,
    /// Everywhere else
    Lf,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    args.tooling.writing.check()?;
    let (revision, files) = args.tooling.files(&args.branch).await?;
    let newline = match args.newline {
        Newline::Crlf => "\r\n",
        Newline::Lf => "\n",
    };
    let legacy = set_consulkv(&files, &SetConsulKv { directory: args.directory.clone(), newline })
        .map_err(|problems| Failure { problems, ..Failure::new("the script itself would stop at these files") })?;
    let source = format!("what Set-ConsulKV.ps1 writes from {} at {}", args.tooling.repo.display(), revision.short());
    args.tooling.finish(source, legacy, options, output).await
}
