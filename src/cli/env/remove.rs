//! `env remove`: what a retired environment owns goes, and then what lockstep holds of it (rule O9).

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::cli::ask::{By, Foreground, give_back, reason};
use crate::cli::confirm::confirm;
use crate::cli::edges::{AnyLease, AnyTarget, Edges, Freshness};
use crate::cli::error::{Exit, Failure};
use crate::cli::options::Options;
use crate::cli::output::{Output, Page, VERSION, View};
use crate::cli::text::{clean, count, rough};
use crate::client::git::GitSource;
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::plan::{Action, Plan};
use crate::domain::words::one_or;
use crate::port::{EdgeKind, Leading, Target as _};
use crate::runtime::clock::RealTime;
use crate::runtime::memory::Memory;
use crate::runtime::removal::{Prospect, Removing, Unfinished};

/// So many keys of each kind are shown; structured output has all strays.
const SHOWN: usize = 10;
/// From one attempt to take the lease to the next, while somebody leads.
const LOOK: Duration = Duration::from_millis(500);
/// So long a leader may take, once it has fetched, to see that the environment is retired.
const PATIENCE: Duration = Duration::from_secs(5);
/// So often it is looked again when somebody writes a key at the same moment.
const LOOKS: usize = 5;

/// Take a retired environment out of its target: its keys and its record
///
/// Only an environment that a valid branch head no longer has can be removed, and none that a controller leads. Deleted is
/// what carries this environment's mark and is in a revision that it reached; adopted keys and those tagged !keep stay
/// with their values and lose the mark. Left and listed are strays, marked keys that no such revision has, and keys whose mark
/// somebody else's write took off. Keys of others are not touched. Its owner id goes too, unless strays carry its mark: then the
/// id's entry (lockstep/owners/ID) stays, so that nobody else gets the id and these keys with it.
///
/// Shows first what goes, and asks for the environment's name; --yes answers instead, and where nobody is there to answer that
/// is all. The limits in environment.yaml say
/// nothing here: more than 100 deletes need --at-most. Interrupted anywhere, the same command finishes it. A commit that brings
/// the environment back before it is over stops it, and makes the next controller put every key back. History stays under the name
/// (`lockstep history ENV --removed`), and a later `lockstep init ENV` goes on with its numbers. Its token
/// needs the rules of `lockstep acl-policy ENV --init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep env remove staging                           show what goes, ask, and remove it
  lockstep env remove staging --yes --at-most 1200 --reason 'moved to the new cluster'

Exits with 0 when it is removed, or was already; with 1 when it is refused, and says why; with 2 when nobody confirmed it; with 4
when a target or the repository is not reachable.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Refuse to delete more keys than this
    #[arg(long, default_value_t = 100, value_name = "N")]
    at_most: u32,
    /// Why: shown in history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    by: By,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environment = edges.environment(&args.environment)?;
    let outcome = Box::pin(removed(&edges, &environment, args, output)).await;
    edges.close().await;
    output.show(&outcome?)?;
    Ok(Exit::Ok)
}

async fn removed(edges: &Edges, environment: &EnvironmentName, args: &Args, output: &Output) -> Result<Removed, Failure> {
    if let Some(trouble) = &edges.behind {
        return Err(Failure { exit: Exit::Unreachable, ..Failure::new(format!("the repository can't be fetched: {trouble}")) }
            .hint("a commit that has the environment may have come meanwhile; nothing was removed"));
    }
    let target = edges.target(environment)?;
    // A record that is only not the one that is meant, or can't be read, was not removed.
    if let Ok(None) = target.former(environment).await
        && let Ok(lines) = target.history(1).await
        && let Some(said) = lines.first().and_then(|line| line.removal_said(environment))
    {
        match &target {
            AnyTarget::Directory(directory) => directory.end_dissolving().await?,
            AnyTarget::Consul(consul) => consul.end_dissolving().await?,
        }
        return Ok(Removed { text: Some(clean(&said)), ..Removed::of(environment, &target) });
    }
    let by = args.by.name();
    let removing = Removing {
        source: &edges.source,
        target: &target,
        scheduler: &RealTime,
        poll: edges.config.repository.poll,
        by: &by,
        because: args.reason.as_deref().unwrap_or_default(),
    };
    let foreground = Foreground::new(edges, environment, &target)?;
    let mut memory = foreground.memory();
    let shown = removing.look(&mut memory).await?.removal.plan;
    if let AnyTarget::Consul(consul) = &target {
        consul.may_take_away().await?;
    }
    output.beside(&Planned { environment: environment.to_string(), target: target.character().name, plan: &shown });
    within_limit(&shown, environment, args)?;
    confirm(environment, "remove", "removed", args.yes).await?;
    let lease = lead(edges, environment, &target, output).await?;
    let outcome = Box::pin(carried_out(&removing, &mut memory, &lease, &shown, args)).await;
    give_back(&target, lease).await;
    Ok(Removed::with(environment, &target, &outcome?))
}

/// Takes the lease, as soon as whoever has it sees that the environment is retired.
async fn lead(edges: &Edges, environment: &EnvironmentName, target: &AnyTarget, output: &Output) -> Result<AnyLease, Failure> {
    let patience = edges.config.repository.poll + PATIENCE;
    let deadline = Instant::now() + patience;
    let mut is_said = false;
    loop {
        match target.lead().await? {
            Leading::Ours(lease) => return Ok(lease),
            Leading::Theirs(who) if Instant::now() > deadline => {
                return Err(Failure::new(format!("{environment} is led by {who}; nothing was removed")).hint(
                    "a controller gives the lease up as soon as it sees that the environment is retired; run this again then",
                ));
            }
            Leading::Theirs(who) if !is_said => {
                let patience = rough(patience);
                output
                    .note(&format!("{environment} is led by {who}; waiting up to {patience} until it sees that it is retired"));
                is_said = true;
            }
            Leading::Theirs(_) => {}
        }
        sleep(LOOK).await;
    }
}

/// Looks again with the lease and carries it out; only what was shown goes.
async fn carried_out(
    removing: &Removing<'_, GitSource, AnyTarget, RealTime>,
    memory: &mut Memory,
    lease: &AnyLease,
    shown: &Plan,
    args: &Args,
) -> Result<Plan, Failure> {
    let expected: BTreeSet<&KeyPath> = shown.changes.iter().map(|change| &change.key).collect();
    let mut last = None;
    for _ in 0..LOOKS {
        let prospect: Prospect = removing.look(memory).await?;
        let plan = &prospect.removal.plan;
        if let Some(change) = plan.changes.iter().find(|change| !expected.contains(&change.key)) {
            return Err(Failure::new(format!("{} was not there when this began, and would go too", change.key))
                .hint("somebody writes keys of this environment; run this again to see what goes now"));
        }
        match removing.carry_out(memory, lease, &prospect).await {
            Ok(()) => return Ok(with_what_stayed(shown, plan)),
            Err(Unfinished::Failed(error)) if error.kind == EdgeKind::Conflict => last = Some(error),
            Err(Unfinished::Failed(error)) => return Err(again(error.into(), args)),
            Err(Unfinished::Wanted(error)) => return Err(error.into()),
        }
    }
    let failure = last.map_or_else(|| Failure::new("remove the environment"), Failure::from);
    Err(again(failure, args))
}

/// What was shown, but for the keys that lost their mark meanwhile: they stayed.
fn with_what_stayed(shown: &Plan, last: &Plan) -> Plan {
    let released = |key: &KeyPath| shown.changes.iter().any(|change| change.key == *key && change.action == Action::Release);
    // What an earlier look of this removal released has no mark any more either.
    let unmanaged: Vec<KeyPath> = last.unmanaged.iter().filter(|key| !released(key)).cloned().collect();
    let mut whole = shown.clone();
    whole.changes.retain(|change| !unmanaged.contains(&change.key));
    Plan { strays: last.strays.clone(), unmanaged, ..whole }
}

fn again(failure: Failure, args: &Args) -> Failure {
    let hints = failure.hint.iter().cloned();
    let also = format!("what is removed stays removed; `lockstep env remove {}` goes on from there", args.environment);
    let hint = hints.chain([also]).collect::<Vec<_>>().join("; ");
    failure.hint(hint)
}

fn within_limit(plan: &Plan, environment: &EnvironmentName, args: &Args) -> Result<(), Failure> {
    let deletes = plan.counts().deleted;
    if deletes <= args.at_most {
        return Ok(());
    }
    Err(Failure::new(format!("{} would be deleted, and at most {} may be", count(to_usize(deletes), "key"), args.at_most))
        .hint(format!("if that is meant, run `lockstep env remove {environment} --at-most {deletes}`")))
}

/// What would go, for whoever is asked.
#[derive(Serialize)]
struct Planned<'a> {
    environment: String,
    target: String,
    #[serde(skip)]
    plan: &'a Plan,
}

impl View for Planned<'_> {
    fn human(&self, page: &mut Page) {
        let Self { environment, target, plan } = self;
        let counts = plan.counts();
        page.line(format_args!(
            "remove {environment} from {target}: {} deleted, {} released with {}",
            count(to_usize(counts.deleted), "key"),
            counts.released,
            if counts.released == 1 { "its value" } else { "their values" },
        ));
        for (action, sign) in [(Action::Delete, "-"), (Action::Release, "o")] {
            let keys: Vec<_> = plan.changes.iter().filter(|change| change.action == action).collect();
            for change in keys.iter().take(SHOWN) {
                let why = if action == Action::Release { format!("  {}", change.why) } else { String::new() };
                page.line(format_args!("  {sign} {}{why}", clean(change.key.as_str())));
            }
            if keys.len() > SHOWN {
                page.line(format_args!("  {sign} and {} more", keys.len() - SHOWN));
            }
        }
        left(&names(&plan.strays), STRAYS, page);
        left(&names(&plan.unmanaged), UNMANAGED, page);
    }
}

/// Whose mark may be a copy (rule O3).
const STRAYS: &str = "with its mark and in no revision that it reached";
/// Whose mark somebody else's write took off (rule O2), or a removal that was broken off.
const UNMANAGED: &str = "of its last revision and without its mark";

/// Keys that stay, and which they are.
fn left(keys: &[String], which: &str, page: &mut Page) {
    if keys.is_empty() {
        return;
    }
    let stay = one_or(
        keys.len(),
        "stays as it is; delete it by hand if nobody needs it:",
        "stay as they are; delete them by hand if nobody needs them:",
    );
    page.line(format_args!("  {} {which} {stay}", count(keys.len(), "key")));
    keys.iter().take(SHOWN).for_each(|key| page.line(format_args!("    {}", clean(key))));
    if keys.len() > SHOWN {
        page.line(format_args!("    and {} more", keys.len() - SHOWN));
    }
}

fn names(keys: &[KeyPath]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

/// How it ended.
#[derive(Serialize)]
struct Removed {
    version: u32,
    environment: String,
    target: String,
    /// False when it was removed before.
    changed: bool,
    deleted: u32,
    released: u32,
    /// Marked keys of no revision that it reached, which stay.
    strays: Vec<String>,
    /// Keys of its own that stay because they lost their mark.
    unmanaged: Vec<String>,
    /// When and by whom it was removed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl Removed {
    fn of(environment: &EnvironmentName, target: &AnyTarget) -> Self {
        Self {
            version: VERSION,
            environment: environment.to_string(),
            target: target.character().name,
            changed: false,
            deleted: 0,
            released: 0,
            strays: Vec::new(),
            unmanaged: Vec::new(),
            text: None,
        }
    }

    fn with(environment: &EnvironmentName, target: &AnyTarget, plan: &Plan) -> Self {
        let counts = plan.counts();
        Self {
            changed: true,
            deleted: counts.deleted,
            released: counts.released,
            strays: names(&plan.strays),
            unmanaged: names(&plan.unmanaged),
            ..Self::of(environment, target)
        }
    }
}

impl View for Removed {
    fn human(&self, page: &mut Page) {
        let Self { environment, target, changed, deleted, released, strays, unmanaged, text, version: _ } = self;
        if !changed {
            page.line(format_args!("nothing to do: {}", text.as_deref().unwrap_or_default()));
            return;
        }
        page.line(format_args!(
            "{environment} is removed from {target}: {} deleted, {released} released",
            count(to_usize(*deleted), "key")
        ));
        left(strays, STRAYS, page);
        if !strays.is_empty() && target.starts_with("consul") {
            page.line("    nobody else gets the owner id in their mark: its entry below lockstep/owners/ stays too");
        }
        left(unmanaged, UNMANAGED, page);
        page.line(format_args!("its history stays: `lockstep history {environment} --removed`"));
        page.line(format_args!("next: take `environments.{environment}` out of the controller's configuration"));
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
