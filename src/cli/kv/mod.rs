//! `kv`: the keys of an environment, each with its versions.

mod get;
mod since;
mod list;
mod log;

use super::error::{Exit, Failure};
use super::options::Options;
use super::output::Output;

/// Look at keys and their versions: what each is and was
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep kv get config/app/port --env production
  lockstep kv get config/app/port --env production --at 1a2b3c4
  lockstep kv log config/app/port
  lockstep kv list production config/app/ --changed-since 12")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Get(get::Args),
    List(list::Args),
    Log(log::Args),
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Get(args) => get::run(args, options, output).await,
        Verb::List(args) => list::run(args, options, output).await,
        Verb::Log(args) => log::run(args, options, output).await,
    }
}
