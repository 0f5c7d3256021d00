//! `env`: environments as a whole.

mod remove;

use super::error::{Exit, Failure};
use super::options::Options;
use super::output::Output;

/// Do something about an environment as a whole
#[derive(Debug, clap::Args)]
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
