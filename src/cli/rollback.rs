//! `rollback`: back to a proven revision, and stay there.

use super::ask::{Asking, Question, ask, reason};
use super::edges::{Edges, Freshness};
use super::error::{Exit, Failure};
use super::key::named;
use super::options::Options;
use super::output::Output;
use crate::domain::rollout::Verb;

/// Take an environment back to a proven revision, and keep it there
///
/// Rejects what is live and goes to the last good revision, or to one that was named. The environment stays there until a
/// newer change is committed or somebody says `resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep rollback production --reason 'checkout is slow'
  lockstep rollback production --to 1a2b3c4 --reason 'known to work'
  lockstep rollback production --to 12 --reason 'as generation 12 was'

Exits with 0 when it was carried out, or when there was nothing to do; with 1 when it was refused, and says why; with 4 when a
target or the repository is not reachable.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Where to: a commit (an id, its first digits, HEAD~1) or the number of a generation, as `history` lists them; that of a decision
    /// stands for what was live then [default: last good, or the proven one before it]
    #[arg(long, value_name = "REV|GENERATION")]
    to: Option<String>,
    /// Why: shown in status and history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(args: Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environment = edges.environment(&args.environment)?;
    let to = match &args.to {
        Some(text) => Some(named(&edges, std::slice::from_ref(&environment), text).await?),
        None => None,
    };
    if let Some(note) = to.as_ref().and_then(|to| to.note.as_ref()) {
        output.note(note);
    }
    let to = to.map(|to| to.revision);
    let question = Question { environment, verb: Verb::RollBack { to }, reason: args.reason };
    ask(&edges, question, &args.asking, output).await
}
