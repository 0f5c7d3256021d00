//! `import`: a config repository from keys that live already, or from what another tool reads.

mod listed;
mod parity;
mod write;
mod report;
mod live;
mod consul;
mod tool;
mod gonsul;
mod git2consul;
mod set_consulkv;

use super::error::{Exit, Failure};
use super::options::Options;
use super::output::Output;

/// Write a config repository from what is there already, and say what it could not hold
///
/// Reads, and writes into a new directory only: no key, no Flags and no other repository is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep import consul production --address http://127.0.0.1:8500 --into ../my-config config/
  lockstep import git2consul production git2consul.json --repo ../config-data --into ../my-config
  lockstep import gonsul production --repo ../gonsul-config --into ../my-config

Exits with 0 when every key is in the new repository with its very bytes, and 3 when some are not; the report says which,
why, and what to do.")]
pub(super) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    Consul(consul::Args),
    Git2consul(git2consul::Args),
    Gonsul(gonsul::Args),
    SetConsulkv(set_consulkv::Args),
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    match &args.from {
        From::Consul(args) => consul::run(args, options, output).await,
        From::Git2consul(args) => git2consul::run(args, options, output).await,
        From::Gonsul(args) => gonsul::run(args, options, output).await,
        From::SetConsulkv(args) => set_consulkv::run(args, options, output).await,
    }
}
