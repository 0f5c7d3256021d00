//! `adopt`: let the branch head take over keys that are there with its values already (rule O8).

use std::collections::BTreeSet;

use super::ask::{Asking, Question, ask, reason};
use super::edges::{Edges, Freshness};
use super::error::{Exit, Failure};
use super::key::{outside, prefixes, read};
use super::options::Options;
use super::output::Output;
use crate::config::TargetConfig;
use crate::domain::desired::DesiredState;
use crate::domain::name::{EnvironmentName, KeyRoots};
use crate::domain::revision::Revision;
use crate::domain::rollout::{LetPass, Verb};
use crate::domain::scope::{KeyPrefix, KeyScope};
use crate::domain::words::listed;
use crate::runtime::observe::no_head;

/// Let the branch head take over keys that are there with its values already
///
/// Writes a mark to each and no value: nobody who reads the keys notices, and from then on they have a version and an owner. A key
/// whose value differs is refused with both digests, and so is one of another program or environment; then none is taken
/// over. A rollback never deletes what was adopted, it gives it back. The same with a commit's trailer: `Lockstep-Adopt: PREFIX`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep plan production                      shows which keys are there already, and which of them differ
  lockstep adopt production                     every key that the branch head wants
  lockstep adopt production config/app/ config/port --reason 'brought under git'
  lockstep unmanaged production --output json | jq '.counts'

Exits with 0 when it was carried out, or when there was nothing to adopt; with 1 when it was refused, and says why; with 4 when a
target or the repository is not reachable.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Only these: a key, or with a `/` at its end all keys below it [default: every key that the branch head wants]
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// Why: shown in status and history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(args: Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let prefixes = prefixes(&args.prefixes)?;
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environment = edges.environment(&args.environment)?;
    let roots = match edges.target_config(&environment)? {
        TargetConfig::Consul(consul) => &consul.keys,
        TargetConfig::Directory(directory) => &directory.keys,
    };
    let scope = scope(prefixes.clone(), &environment, roots)?;
    if let Some(trouble) = &edges.behind {
        output.note(&format!("the mirror may be behind: {trouble}"));
    }
    // The commit as this person sees it: whatever comes onto the branch before the request is carried out adopts nothing.
    let head = edges.head().ok_or_else(|| {
        Failure::new(format!("let the branch head adopt keys: {}", no_head(&edges.tip)))
            .hint("ask again once the branch has one; nothing was asked")
    })?;
    // Where it can't be read, the answer says so.
    if let Ok(Some(desired)) = read(&edges, &environment, head).await? {
        prefixes.iter().try_for_each(|prefix| leads_somewhere(prefix, &desired, head))?;
    }
    let verb = Verb::Release { revision: None, lets_pass: Some(LetPass::adopting(head, scope)) };
    let question = Question { environment, verb, reason: args.reason.unwrap_or_default() };
    ask(&edges, question, &args.asking, output).await
}

/// What was named, if the environment can have such keys.
fn scope(prefixes: Vec<KeyPrefix>, environment: &EnvironmentName, roots: &KeyRoots) -> Result<KeyScope, Failure> {
    if prefixes.is_empty() {
        return Ok(KeyScope::every());
    }
    if let Some(prefix) = prefixes.iter().find(|prefix| !prefix.meets(roots)) {
        return Err(outside(prefix.as_str(), environment, roots));
    }
    KeyScope::default().and(prefixes).ok_or_else(|| {
        Failure::usage(format!("more than {} prefixes are named, or very long ones", KeyScope::MOST))
            .hint("name fewer and wider ones; only keys that the branch head wants are adopted")
    })
}

/// Refuses what takes no key of the head: most likely it is mistyped, and "nothing to do" would hide that. The key of a folder is
/// for whoever carries the request out to refuse.
fn leads_somewhere(prefix: &KeyPrefix, desired: &DesiredState, head: Revision) -> Result<(), Failure> {
    let takes = |prefix: &KeyPrefix| desired.entries().keys().any(|key| prefix.covers(key));
    let folder = KeyPrefix::parse(&format!("{prefix}/")).ok();
    if prefix.is_every() || takes(prefix) || folder.as_ref().is_some_and(takes) {
        return Ok(());
    }
    let (text, head) = (prefix.as_str(), head.short());
    let missing =
        if text.ends_with('/') { format!("{head} has no key below {text}") } else { format!("{head} has no key {text}") };
    let glob = text.find('*').and_then(|at| text.get(..=text.get(..at)?.rfind('/')?));
    let hint = match glob {
        Some(folder) => format!("a prefix ends with '/': `{folder}` takes all that lies below it"),
        None => near(text, desired),
    };
    Err(Failure::usage(missing).hint(hint))
}

/// What there is as near as a text leads: the names below the last part of it that leads somewhere.
fn near(text: &str, desired: &DesiredState) -> String {
    let mut place = text.trim_end_matches('/');
    loop {
        place = place.rfind('/').map_or("", |at| &place[..at]);
        let root = if place.is_empty() { String::new() } else { format!("{place}/") };
        let below = desired.entries().keys().filter_map(|key| key.as_str().strip_prefix(&root));
        let names: BTreeSet<&str> = below.map(|rest| rest.split_inclusive('/').next().unwrap_or(rest)).collect();
        let names = listed(names.into_iter().map(|name| format!("{root}{name}")));
        match (names.is_empty(), place.is_empty()) {
            (false, _) => return format!("it has {names}"),
            (true, true) => return "it has no key at all".to_owned(),
            (true, false) => {}
        }
    }
}
