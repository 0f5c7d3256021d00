//! `env`: environments as a whole.

mod remove;

use super::error::{Exit, Failure};
use super::options::Options;
use super::output::Output;

/// Do something about an environment as a whole
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep env remove staging        an environment that the branch no longer has
  lockstep env remove staging --yes --reason 'moved to the new cluster'")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Remove(remove::Args),
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Remove(args) => remove::run(args, options, output).await,
    }
}
