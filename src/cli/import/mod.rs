//! `import`: a config repository from keys that live already, or from what another tool reads.

mod write;
mod report;
mod live;
mod consul;

use super::error::{Exit, Failure};
use super::options::Options;
use super::output::Output;

/// Write a config repository from what is there already, and say what it could not hold
///
/// Reads, and writes into a new directory only: no key, no Flags and no other repository is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep import consul production --address http://127.0.0.1:8500 --into ../my-config config/

Exits with 0 when every key is in the new repository with its very bytes, and 3 when some are not; the report says which,
why, and what to do.")]
pub(super) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    Consul(consul::Args),
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    match &args.from {
        From::Consul(args) => consul::run(args, options, output).await,
    }
}
