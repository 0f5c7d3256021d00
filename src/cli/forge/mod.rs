//! `forge`: the place that has the config repository, its commit statuses and its pull requests.

mod view;
mod check;

use super::error::{Exit, Failure};
use super::options::Options;
use super::output::Output;

/// Look after the connection to GitHub, Gitea or Forgejo
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep forge check               does all that the configuration's `forge:` needs work?
  lockstep forge check --write       the same, and write one commit status to see that it may")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Check(check::Args),
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Check(args) => check::run(args, options, output).await,
    }
}
