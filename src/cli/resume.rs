//! `resume`: undo a suspension, and a rollback that a person asked for.

use super::ask::{Asking, Question, ask};
use super::edges::{Edges, Freshness};
use super::error::{Exit, Failure};
use super::options::Options;
use super::output::Output;
use crate::domain::rollout::Verb;

/// Follow the branch again: undo a suspension or a rollback
///
/// A suspension first: writing goes on, a rollback that was asked for meanwhile is carried out, and a pin stays. Where nothing is
/// suspended, a pin: what `rollback` rejected may be tried again; what failing checks rejected stays rejected, until `release`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  lockstep resume production

Exits with 0 when it was carried out, or when there was nothing to do; with 1 when it was refused, and says why; with 4 when a
target or the repository is not reachable.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(args: Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::AsItIs).await?;
    let environment = edges.environment(&args.environment)?;
    ask(&edges, Question { environment, verb: Verb::Resume, reason: args.reason }, &args.asking, output).await
}
