//! `release`: drop a rejection or the freeze, or let the head pass a gate.

use super::ask::{Asking, Question, ask, reason};
use super::edges::{Edges, Freshness};
use super::error::{Exit, Failure};
use super::options::Options;
use super::output::Output;
use crate::domain::revision::Revision;
use crate::domain::rollout::{LetPass, Verb};
use crate::port::Tip;
use crate::runtime::observe::no_head;

/// Drop rejections or a freeze, or let the branch head pass the guard
///
/// The branch head is tried again afterwards.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep release production                        all rejections, and the freeze
  lockstep release production 1a2b3c4                one rejected revision
  lockstep release production --allow-deletes 200    the head may delete 200 keys more
  lockstep release production --override --reason 'agreed with ops'
  lockstep release production 1a2b3c4 --override --reason 'agreed with ops'   only if the head still says what 1a2b3c4 says

Exits with 0 when it was carried out, or when there was nothing to do; with 1 when it was refused, and says why; with 4 when a
target or the repository is not reachable.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Only the rejection of this revision; with --allow-deletes or --override also the commit that is let pass
    #[arg(value_name = "REV")]
    revision: Option<String>,
    /// The branch head as it is now, or REV, may delete so many keys beyond the limits; releases nothing by itself
    #[arg(long, value_name = "N")]
    allow_deletes: Option<u32>,
    /// The branch head as it is now, or REV, passes every gate
    #[arg(long = "override", requires = "reason")]
    overriding: bool,
    /// Why: shown in status and history; needed with --override
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(args: Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environment = edges.environment(&args.environment)?;
    let revision = match &args.revision {
        Some(text) => Some(edges.resolve(text).await?),
        None => None,
    };
    let lets_pass = if args.allow_deletes.is_some() || args.overriding {
        if let Some(trouble) = &edges.behind {
            output.note(&format!("the mirror may be behind: {trouble}"));
        }
        let head = revision.map_or_else(|| tip(&edges), Ok)?;
        LetPass::new(head, args.allow_deletes, args.overriding)
    } else {
        None
    };
    let verb = Verb::Release { revision, lets_pass };
    let question = Question { environment, verb, reason: args.reason.unwrap_or_default() };
    ask(&edges, question, &args.asking, output).await
}

/// The commit that is meant where none is named: the branch head that was just fetched. Whatever comes onto the branch before
/// the request is carried out is not let pass.
fn tip(edges: &Edges) -> Result<Revision, Failure> {
    let Tip::At(tip) = edges.tip else {
        return Err(Failure::new(format!("let the branch head pass: {}", no_head(&edges.tip)))
            .hint("ask again once the branch has one; nothing was asked"));
    };
    Ok(tip)
}
