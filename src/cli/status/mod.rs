//! `status`: where every environment stands, at a glance.

mod people;
mod view;
mod human;

use std::collections::BTreeMap;

use super::edges::{Edges, Freshness};
use super::error::{Exit, Failure};
use super::hiding::tellable_record;
use super::options::Options;
use super::output::{Output, Told, VERSION};
use super::text::clean;
use crate::domain::commit;
use crate::domain::name::EnvironmentName;
use crate::domain::revision::Revision;
use crate::domain::rollout::{HeadVerdict, Phase, Reached, Rollout};
use crate::port::{Source as _, Target as _, Tip};
use crate::runtime::observe::no_head;
use crate::runtime::reading::{Reading, Readings};
use crate::runtime::together::together;

use view::{Environment, HeadView, Rules, Statuses, Subjects};

/// Show where environments stand: phase, revision, whether it is proven, and what to do
///
/// Reads records only. The mirror is used as an earlier fetch left it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep status                       every environment
  lockstep status production --output json
  lockstep status --exit-code           1 when any environment is not steady, for scripts

Exits with 0, with 1 when an environment can't be looked at (phase `failed`), or with 4 when a target is not reachable; --exit-code
adds 1 for any phase but steady.")]
pub(super) struct Args {
    /// The environments; all of the configuration when none is named
    #[arg(value_name = "ENV")]
    environments: Vec<String>,
    /// Exit with 1 when any environment is not steady
    #[arg(long)]
    exit_code: bool,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::AsItIs).await?;
    let environments = edges.environments(&args.environments)?;
    let found = together(environments.iter().map(|environment| one(&edges, environment))).await;
    edges.close().await;
    let mut exit = Exit::Ok;
    let environments = environments
        .iter()
        .zip(found)
        .map(|(environment, status)| {
            status.unwrap_or_else(|failure| {
                exit = exit.worst(failure.exit);
                Environment::failed(environment, Told::of(&failure), failure.exit == Exit::Unreachable)
            })
        })
        .collect::<Vec<_>>();
    if args.exit_code && environments.iter().any(|environment| environment.phase != Phase::Steady.word()) {
        exit = exit.worst(Exit::Failed);
    }
    output.show(&Statuses { version: VERSION, repository: edges.repository.to_string(), environments, now: edges.now() })?;
    Ok(exit)
}

async fn one(edges: &Edges, environment: &EnvironmentName) -> Result<Environment, Failure> {
    let target = edges.target(environment)?;
    let name = target.character().name;
    let Some(stored) = edges.record(environment, &target).await? else {
        return Ok(Environment::uninitialised(environment, name, target.makes_its_record()));
    };
    let waiting = target.requests().await.map_or(0, |requests| requests.len());
    let record = tellable_record(edges, environment, stored.record.as_of(edges.now()).into_owned()).await;
    let named = [&record.goal, &record.complete, &record.last_good].into_iter().flatten().map(|reached| reached.revision);
    let note = record.note.as_ref().and_then(|note| note.revision);
    let mut subjects = Subjects(BTreeMap::new());
    for revision in named.chain(note) {
        if let Some(subject) = subject(edges, revision).await {
            subjects.0.insert(revision, subject);
        }
    }
    let rules = match &record.goal {
        Some(goal) => rules(edges, environment, goal).await,
        None => None,
    };
    let mut status = Environment::of(environment, name, &record, &subjects, rules.as_ref(), waiting, edges.now());
    let invalid = record.note.as_ref().filter(|note| note.verdict == HeadVerdict::Invalid).and_then(|note| note.revision);
    if let (Some(head), Some(revision)) = (&mut status.head, invalid) {
        head.hint = Some(edges.how_to_see_problems(revision));
    }
    if status.head.is_none() {
        status.head = match &edges.tip {
            Tip::At(_) => followed_head(edges, environment, &record).await,
            tip @ (Tip::NoBranch(_) | Tip::Gone(_) | Tip::Empty) => Some(HeadView::none(no_head(tip))),
            Tip::Unfetched => None,
        };
    }
    status.misread = misread(edges, &record).await;
    status.leader = target.leader().await?.map(|leader| clean(&leader));
    Ok(status)
}

/// The branch head of an environment whose record has nothing against it, as far as this mirror knows the branch (rule R3).
/// Nothing where that can't be told: the rest of status is worth as much without.
async fn followed_head(edges: &Edges, environment: &EnvironmentName, record: &Rollout) -> Option<HeadView> {
    let Tip::At(tip) = edges.tip else { return None };
    let goal = record.goal.as_ref()?;
    let not_yet = |why: &str| Some(format!("nothing of it is written while {} {why}", goal.revision.short()));
    let under_way = match record.phase {
        Phase::Applying if record.is_pending() => not_yet("waits"),
        Phase::Applying if tip == goal.tip || tip == goal.revision => Some("being written".to_owned()),
        Phase::Applying => not_yet("is being written"),
        Phase::Verifying => not_yet("is being judged"),
        Phase::Idle | Phase::Steady | Phase::HeldAfterRollback | Phase::HeldUnproven | Phase::HeldRefused | Phase::Frozen => {
            None
        }
    };
    // A mirror that is behind the record knows nothing of the head.
    if tip != goal.tip && !edges.source.descends(tip, goal.tip).await.ok()? {
        return None;
    }
    let mut readings = Readings::new(environment.clone(), edges.repository.clone(), edges.fit(environment).ok()?);
    let in_step = match readings.of(tip, &edges.source).await.ok()? {
        Reading::Valid(desired) => record.is_in_step_with(desired.revision_digest()),
        Reading::Invalid(_) | Reading::Retired | Reading::Missing => false,
    };
    let in_step = in_step.then_some(goal.revision).filter(|_| record.being_written().is_none());
    Some(HeadView::followed(tip, subject(edges, tip).await, in_step, environment, under_way.as_deref()))
}

/// Trailers of the commits that lead from what is live to the head, as far as this mirror knows them, that say nothing.
async fn misread(edges: &Edges, record: &Rollout) -> Vec<String> {
    let Tip::At(tip) = edges.tip else { return Vec::new() };
    let live = record.complete.as_ref().map(|complete| complete.revision);
    let commits = match live {
        Some(live) if live == tip => Vec::new(),
        live => edges.source.commits(live, tip).await.unwrap_or_default(),
    };
    commit::misread(&commits).iter().map(|text| clean(text)).collect()
}

async fn subject(edges: &Edges, revision: Revision) -> Option<String> {
    Some(edges.commit(revision).await?.subject)
}

/// How the environment's goal is judged, if the mirror has it: by the newest commit that says the same (rule G4).
async fn rules(edges: &Edges, environment: &EnvironmentName, goal: &Reached) -> Option<Rules> {
    for revision in [goal.rules, goal.revision] {
        if let Ok(tree) = edges.source.tree(revision).await {
            let desired = crate::domain::desired::read_environment(&tree, environment).ok()??;
            return Some(Rules::from(desired.as_ref()));
        }
    }
    None
}
