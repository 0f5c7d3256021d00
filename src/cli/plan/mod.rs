//! `plan`: what a revision would change in each environment, decided as the controller would decide.

mod view;

use std::collections::{BTreeMap, BTreeSet};

use super::edges::{Edges, Freshness};
use super::error::{Exit, Failure};
use super::hiding::{Shown, hidden};
use super::options::Options;
use super::output::{Output, Told, VERSION};
use super::text::clean;
use super::value::Value;
use crate::domain::desired::DesiredState;
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::plan::{Action, Intent, Plan};
use crate::domain::revision::Revision;
use crate::domain::rollout::{Needed, Preview};
use crate::port::Target as _;
use crate::runtime::preview::{Look, Previewed, preview};
use crate::runtime::together::together;

use view::{ChangeView, Environment, Obstacle, Plans, State};

/// Show what a revision would change in each environment; exit 3 if anything
///
/// Fetches the branch, reads record and live state, and makes the same plan under the same guard as an apply would now.
/// Needs read rights only and writes nothing. Values tagged `!sensitive`, there, at the branch head, or when the
/// key was last on the branch, are never shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep plan                           every environment, for the branch head
  lockstep plan production --rev 1a2b3c4  one environment, for a commit
  lockstep plan --output json | jq '.environments[].counts'

Exits with 0 when nothing would change, 3 when something would, 1 when a revision or an environment can't be used,
4 when a target or the repository is not reachable; the other environments are shown all the same.")]
pub(super) struct Args {
    /// The environments; all of the configuration when none is named
    #[arg(value_name = "ENV")]
    environments: Vec<String>,
    /// A commit instead of the branch head: an id, its first digits, HEAD~1
    #[arg(long, value_name = "REV")]
    rev: Option<String>,
    /// Show long values whole
    #[arg(long)]
    full: bool,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environments = edges.environments(&args.environments)?;
    let revision = match &args.rev {
        Some(text) => edges.resolve(text).await?,
        None => edges.head_or("--rev")?,
    };
    if let Some(trouble) = &edges.behind {
        output.note(&format!("the mirror may be behind: {trouble}"));
    }
    let subject = edges.commit(revision).await.map(|commit| commit.subject);
    let plans = together(environments.iter().map(|environment| one(&edges, environment, revision))).await;
    edges.close().await;
    let mut exit = Exit::Ok;
    let environments = environments
        .iter()
        .zip(plans)
        .map(|(environment, plan)| {
            plan.unwrap_or_else(|failure| {
                exit = exit.worst(failure.exit);
                Environment::failed(environment, Told::of(&failure), failure.exit == Exit::Unreachable)
            })
        })
        .collect::<Vec<_>>();
    exit = environments.iter().fold(exit, |exit, environment| {
        exit.worst(match environment.state {
            State::InStep | State::Retired => Exit::Ok,
            State::Changes => Exit::Differences,
            State::Invalid | State::Failed => Exit::Failed,
            State::Unreachable => Exit::Unreachable,
        })
    });
    let plans = Plans {
        version: VERSION,
        repository: edges.repository.to_string(),
        revision: revision.to_string(),
        subject: subject.map(|subject| clean(&subject)),
        environments,
        full: args.full,
    };
    output.show(&plans)?;
    Ok(exit)
}

async fn one(edges: &Edges, environment: &EnvironmentName, revision: Revision) -> Result<Environment, Failure> {
    let target = edges.target(environment)?;
    let fit = edges.fit(environment)?;
    let at = Needed::named(revision);
    let previewed = preview(environment, &edges.repository, fit, &edges.source, &target, at, edges.now()).await?;
    let named = Environment::new(environment, &target.character().name);
    let record_by =
        if target.makes_its_record() { "the first deploy".to_owned() } else { format!("`lockstep init {environment}`") };
    let named = Environment { record_by, ..named };
    let look = match previewed {
        Previewed::Look(look) => look,
        Previewed::Invalid(text) => {
            let hint = Some(edges.how_to_see_problems(revision));
            return Ok(Environment { state: State::Invalid, note: Some(text), hint, ..named });
        }
        Previewed::Unfit(text) => return Ok(Environment { state: State::Invalid, note: Some(text), ..named }),
        Previewed::Retired => {
            let text = "the revision has no such environment; nothing is written or deleted".to_owned();
            return Ok(Environment { state: State::Retired, note: Some(text), ..named });
        }
        Previewed::Missing => {
            let text = "the mirror does not have the commit".to_owned();
            return Ok(Environment { state: State::Failed, note: Some(text), ..named });
        }
    };
    let Preview { plan, first, .. } = &look.preview;
    let keys: Vec<KeyPath> = plan
        .changes
        .iter()
        .chain(first.iter().flat_map(|first| &first.plan.changes))
        // The value of what is adopted is the one that the revision shows.
        .filter(|change| !matches!(change.action, Action::Create | Action::Adopt))
        .map(|change| change.key.clone())
        .collect();
    let hidden = sensitive(edges, environment, revision, &look).await?;
    // Values that nobody may see are not even asked for.
    let visible: Vec<KeyPath> = keys.into_iter().filter(|key| !hidden.contains(key)).collect();
    let values = if visible.is_empty() { BTreeMap::new() } else { target.values(&visible).await? };
    Ok(described(named, &look, &Found { values, hidden }))
}

/// What a plan shows beside itself.
struct Found {
    /// Live values.
    values: BTreeMap<KeyPath, Vec<u8>>,
    /// Keys whose values nobody may see.
    hidden: BTreeSet<KeyPath>,
}

/// The keys of the plan that some revision hides: one that this environment reached or is to reach, or a newer one.
async fn sensitive(
    edges: &Edges,
    environment: &EnvironmentName,
    revision: Revision,
    look: &Look,
) -> Result<BTreeSet<KeyPath>, Failure> {
    let says = |state: &DesiredState, key: &KeyPath| state.entries().get(key).is_some_and(|entry| entry.sensitive);
    let tags = |key: &KeyPath| says(&look.desired, key) || look.before.iter().any(|state| says(state, key));
    let Preview { plan, first, .. } = &look.preview;
    let first = first.iter().flat_map(|first| &first.plan.changes);
    let changed = plan.changes.iter().chain(first).map(|change| &change.key);
    let in_the_way = plan.obstacles.iter().filter(|obstacle| obstacle.tells_digests()).map(|obstacle| &obstacle.key);
    let keys: BTreeSet<&KeyPath> = changed.chain(in_the_way).collect();
    let (mut tagged, mut others) = (BTreeSet::new(), BTreeSet::new());
    for key in keys {
        if tags(key) {
            tagged.insert(key.clone());
        } else if edges.head() != Some(revision) || !look.desired.entries().contains_key(key) {
            // Of a key that it has, the branch head has the last word.
            others.insert(key.clone());
        }
    }
    tagged.extend(hidden(edges, environment, others, Shown::Live).await?);
    Ok(tagged)
}

/// The changes of a plan with both values of each, as far as they may be seen.
fn changes(plan: &Plan, desired: &DesiredState, look: &Look, found: &Found) -> Vec<ChangeView> {
    let live = &look.live;
    let changes = plan.changes.iter().map(|change| {
        let key = &change.key;
        let sensitive = found.hidden.contains(key);
        let before = live.entries.get(key).map(|entry| {
            if sensitive {
                Value::hidden(false)
            } else {
                found.values.get(key).map_or_else(|| Value::digest_only(&entry.digest), |bytes| Value::of(bytes))
            }
        });
        let wanted = desired.entries().get(key).filter(|_| matches!(change.action, Action::Create | Action::Update));
        let differs = |digest| live.entries.get(key).is_some_and(|found| found.digest != digest);
        let after = wanted.map(|entry| if sensitive { Value::hidden(differs(entry.digest)) } else { Value::of(&entry.value) });
        ChangeView { key: key.to_string(), action: change.action.into(), why: clean(&change.why.to_string()), before, after }
    });
    changes.collect()
}

fn described(named: Environment, look: &Look, found: &Found) -> Environment {
    let Look { record, former, live, desired, before: _, preview, first: goes_first } = look;
    let Preview { plan, hindrance, in_step, loosened, misread, first } = preview;
    let obstacles = plan.obstacles.iter().cloned().map(|obstacle| {
        let obstacle = if found.hidden.contains(&obstacle.key) { obstacle.without_digests() } else { obstacle };
        Obstacle { key: obstacle.key.to_string(), kind: obstacle.kind.into(), why: clean(&obstacle.said()) }
    });
    let texts = |keys: &[KeyPath]| keys.iter().map(ToString::to_string).collect();
    let complete = record.as_ref().and_then(|record| record.complete.as_ref());
    let novelty = match complete {
        // What is under way and goes on is no drift.
        _ if *in_step && plan.intent == Intent::Repair => view::Novelty::Nothing,
        Some(complete) if *in_step || complete.digest == desired.revision_digest() => view::Novelty::Keys,
        Some(complete) if complete.state == desired.state_digest() => view::Novelty::Judgement,
        Some(_) | None => view::Novelty::Keys,
    };
    let differs = !plan.is_empty() || !plan.obstacles.is_empty() || !plan.drifted.is_empty() || !in_step;
    let first = first.as_ref().zip(goes_first.as_ref()).map(|(first, desired)| view::First {
        intent: first.plan.intent.word(),
        revision: first.plan.revision.to_string(),
        waits: first.waits.as_deref().map(clean),
        counts: first.plan.counts().into(),
        changes: changes(&first.plan, desired, look, found),
    });
    Environment {
        state: if differs { State::Changes } else { State::InStep },
        initialised: record.is_some(),
        first_deploy: record.as_ref().is_none_or(|record| record.complete.is_none()),
        from: record.as_ref().and_then(|record| record.goal.as_ref()).map(|goal| goal.revision.to_string()),
        counts: plan.counts().into(),
        changes: changes(plan, desired, look, found),
        first,
        obstacles: obstacles.collect(),
        strays: texts(&plan.strays),
        unmanaged: texts(&plan.unmanaged),
        drifted: texts(&plan.drifted),
        unmanageable: live.unmanageable.iter().map(|key| clean(key)).collect(),
        foreign: view::Foreign::of(plan.foreign(live, desired, record.as_ref().map(|record| record.identity.owner))),
        checks: Some(desired.checks().len()),
        refusal: hindrance.as_ref().map(|note| view::Refusal { verdict: note.verdict.word(), text: clean(&note.text) }),
        loosened: loosened.clone(),
        misread: misread.iter().map(|text| clean(text)).collect(),
        novelty,
        note: former.as_ref().map(|former| format!("it takes over the record and the keys of {former} first")),
        ..named
    }
}
