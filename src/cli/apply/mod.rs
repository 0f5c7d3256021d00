//! `apply --once`: environments taken to the branch head now, and judged, in the foreground.

mod end;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use self::end::{Came, End, Ends, Left};
use super::ask::{By, Foreground, duration, give_back, reason, stays, submit};
use super::edges::{AnyTarget, Edges, Freshness};
use super::error::{Exit, Failure};
use super::hiding::tellable;
use super::options::Options;
use super::output::{Output, Told, VERSION};
use super::progress::Steps;
use super::text::{clean, rough};
use crate::domain::desired::{DesiredState, read_environment};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{Needed, Phase, RequestId, Rollout, Verb};
use crate::port::{Leading, Source as _, Target as _, Tip};
use crate::runtime::observe::no_record;
use crate::runtime::once::Progress;
use crate::runtime::preview::{Previewed, preview};
use crate::runtime::reading::Readings;
use crate::runtime::succession::{Place, Taken, is_missing, take_over};
use crate::runtime::together::together;

/// From one look at somebody else's progress to the next.
const LOOK: Duration = Duration::from_millis(500);
/// So many looks, and then: does somebody lead still?
const LOOKS: u32 = 10;

/// What becomes of an apply that stops half-way.
const GOES_ON: &str = "the next `apply --once`, or a controller, goes on from where it stands";

/// Take environments to the branch head now and judge them, then stop
///
/// Makes the passes that the controller would make. Takes the lease if it is free. While another controller leads, that one does the work and this waits for it. Drift is put
/// right as the environment's policy says; --overwrite-drift does it once although the policy is to report.
///
/// Of a suspended environment nothing is written: this ends at once and says so, also where the suspension has an end. Who
/// suspended it until then means until then; run this again afterwards.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep apply --once
  lockstep apply --once test --timeout 5m
  lockstep apply --once test --overwrite-drift --reason 'the edits of last night are in git'

Exits with 0 when every environment ends on the branch head, proven, and with --overwrite-drift as that says; with 1 when one
is rolled back, held, refused or stopped by a suspension, when the branch head does not have it any more (it is retired, and nothing
of it is written), or when a key stays that was to be overwritten, and says why; with 4 when a target or the repository is not
reachable.")]
pub(super) struct Args {
    /// The environments; all of the configuration when none is named
    #[arg(value_name = "ENV")]
    environments: Vec<String>,
    /// Stop when nothing more is to be done (`lockstep run` goes on)
    #[arg(long, required = true)]
    once: bool,
    /// Put drift right once, although the policy is to report it; asked like `rollback`, by name and with a line of history
    #[arg(long)]
    overwrite_drift: bool,
    /// Why drift is overwritten: shown in history
    #[arg(long, value_name = "TEXT", value_parser = reason, requires = "overwrite_drift")]
    reason: Option<String>,
    /// How long it may take, such as 5m
    #[arg(long, default_value = "30m", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    by: By,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environments = edges.environments(&args.environments)?;
    if let Some(trouble) = &edges.behind {
        output.note(&format!("the mirror may be behind: {trouble}"));
    }
    let ends = together(environments.iter().map(|environment| one(&edges, environment, args, output))).await;
    edges.close().await;
    let mut exit = Exit::Ok;
    let now = edges.now();
    let ends = environments.iter().zip(ends).map(|(environment, end)| {
        let end = match end {
            Ok(came) => End::of(environment, &came, now),
            Err(failure) => {
                exit = exit.worst(failure.exit);
                End::failed(environment, Told::of(&failure))
            }
        };
        if !end.in_step {
            exit = exit.worst(Exit::Failed);
        }
        end
    });
    let ends = Ends { version: VERSION, environments: ends.collect() };
    output.show(&ends)?;
    Ok(exit)
}

async fn one(edges: &Edges, environment: &EnvironmentName, args: &Args, output: &Output) -> Result<Came, Failure> {
    let target = edges.target(environment)?;
    let mut found = target.load().await;
    if is_missing(&found) && taken_over(edges, environment, &target, output).await? {
        output.note(&format!("{environment} goes on with the record of its former name"));
        found = target.load().await;
    }
    if found?.is_none() {
        match &target {
            AnyTarget::Directory(_) if retired(edges, environment).await? => {
                let text = format!("{environment} has no record, and the branch head has no such environment");
                return Err(Failure::new(text).hint("nothing is made, written or deleted"));
            }
            // A directory may make its own record: its path can't be another environment's by mistake (rule O6).
            AnyTarget::Directory(directory) => drop(directory.initialise().await?),
            AnyTarget::Consul(_) => return Err(no_record(&target).into()),
        }
    }
    let wanted = wanted(edges, environment).await?;
    let asked = if args.overwrite_drift {
        let why = args.reason.as_deref().unwrap_or_default();
        Some(submit(edges, &target, Verb::OverwriteDrift, why, &args.by.name()).await?)
    } else {
        None
    };
    let steps = Steps::new(output, environment.to_string());
    let mut tell = |news: Progress<'_>| {
        steps.say(&match news {
            Progress::Moved(record) => record.phase.word().to_owned(),
            Progress::Waiting(why) => clean(why),
            Progress::Trouble(error) => clean(&error.chain()),
        });
    };
    let way = Way { edges, environment, target: &target, asked: asked.as_ref(), wanted };
    let came = way.to_rest(args.timeout, &mut tell, output).await;
    drop(steps);
    let mut came = match (came, &asked) {
        (Err(failure), Some(id)) if target.answer(id).await.is_ok_and(|answer| answer.is_none()) => {
            let hints: Vec<String> = failure.hint.iter().cloned().chain([stays(id, environment)]).collect();
            return Err(failure.hint(hints.join("; ")));
        }
        (came, _) => came?,
    };
    if asked.is_some() && !came.record.is_suspended(edges.now()) {
        came.left = way.left(&came.record).await?;
    }
    Ok(came)
}

/// Takes the record of a former name over, if there is one; whether it did. A head that may be an old one is fetched once more,
/// one poll interval later (rule S1).
async fn taken_over(
    edges: &Edges,
    environment: &EnvironmentName,
    target: &AnyTarget,
    output: &Output,
) -> Result<bool, Failure> {
    let fit = edges.fit(environment)?;
    let place = Place { environment, repository: &edges.repository, fit: &fit };
    let mut readings = Readings::new(environment.clone(), edges.repository.clone(), fit.clone());
    let mut is_fetched_again = false;
    let nothing = Generation::default();
    loop {
        match take_over(&mut readings, place, &edges.source, target, nothing, edges.now()).await? {
            Taken::Over(_) => return Ok(true),
            Taken::Nothing | Taken::NotThere => return Ok(false),
            Taken::NotYet(error) if is_fetched_again => return Err(error.into()),
            Taken::NotYet(error) => {
                let poll = edges.config.repository.poll;
                output.note(&format!("{}; looking again in {}", error.chain(), rough(poll)));
                tokio::time::sleep(poll).await;
                edges.source.fetch().await?;
                is_fetched_again = true;
            }
        }
    }
}

/// What the branch head says of the environment, if it says anything.
async fn wanted(edges: &Edges, environment: &EnvironmentName) -> Result<Option<Arc<DesiredState>>, Failure> {
    let Some(tip) = tip(edges) else { return Ok(None) };
    Ok(read_environment(&edges.source.tree(tip).await?, environment).ok().flatten())
}

/// Whether the branch head is valid and does not have the environment (rule O9).
async fn retired(edges: &Edges, environment: &EnvironmentName) -> Result<bool, Failure> {
    let Some(tip) = tip(edges) else { return Ok(false) };
    Ok(matches!(read_environment(&edges.source.tree(tip).await?, environment), Ok(None)))
}

fn tip(edges: &Edges) -> Option<Revision> {
    match edges.tip {
        Tip::At(tip) => Some(tip),
        Tip::NoBranch(_) | Tip::Gone(_) | Tip::Empty | Tip::Unfetched => None,
    }
}

/// One environment on its way.
struct Way<'a> {
    edges: &'a Edges,
    environment: &'a EnvironmentName,
    target: &'a AnyTarget,
    /// What was asked beforehand: no end counts before its answer, whoever gives it.
    asked: Option<&'a RequestId>,
    wanted: Option<Arc<DesiredState>>,
}

impl Way<'_> {
    /// Leads, or waits for whoever does, until nothing more is to be done.
    async fn to_rest(
        &self,
        limit: Duration,
        tell: &mut (dyn FnMut(Progress<'_>) + Send),
        output: &Output,
    ) -> Result<Came, Failure> {
        let Self { environment, target, .. } = self;
        let deadline = Instant::now() + limit;
        let late = |_| Failure::new(format!("{environment} did not come to rest within {}", rough(limit))).hint(GOES_ON);
        let mut is_said = false;
        loop {
            match target.lead().await? {
                Leading::Ours(lease) => {
                    let outcome = tokio::select! {
                        outcome = timeout_at(deadline, self.lead(&lease, tell)) => outcome.map_err(late).flatten(),
                        _ = tokio::signal::ctrl_c() => Err(Failure::new(format!("{environment} was interrupted")).hint(GOES_ON)),
                    };
                    give_back(target, lease).await;
                    return outcome;
                }
                Leading::Theirs(who) if !is_said => {
                    output.note(&format!("{environment} is led by {who}, which does the work; waiting for it"));
                    is_said = true;
                }
                Leading::Theirs(_) => {}
            }
            if let Some(came) = timeout_at(deadline, self.follow()).await.map_err(late)?? {
                return Ok(came);
            }
        }
    }

    async fn lead(
        &self,
        lease: &<AnyTarget as crate::port::Target>::Lease,
        tell: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Came, Failure> {
        let foreground = Foreground::new(self.edges, self.environment, self.target)?;
        let (once, mut memory) = (foreground.once(), foreground.memory());
        let answer = match self.asked {
            Some(id) => Some(once.until_answered(&mut memory, lease, id).await?),
            None => None,
        };
        let record = once.until_rest(&mut memory, lease, tell).await?;
        Ok(Came { record, behind: false, answer, left: Vec::new() })
    }

    /// Looks for a while whether whoever leads has taken the environment to the branch head, or has said why not.
    async fn follow(&self) -> Result<Option<Came>, Failure> {
        for _ in 0..LOOKS {
            // First the answer: the record that is read after it is no older.
            let answer = match self.asked {
                Some(id) => self.target.answer(id).await?,
                None => None,
            };
            if (self.asked.is_none() || answer.is_some())
                && let Some(stored) = self.target.load().await?
            {
                let record = stored.record;
                let behind = self.is_behind(&record);
                let under_way = matches!(record.phase, Phase::Applying | Phase::Verifying) || record.overwrite_drift;
                let rests = !under_way && !behind && self.target.requests().await?.is_empty();
                if rests || record.is_suspended(self.edges.now()) {
                    return Ok(Some(Came { record, behind, answer, left: Vec::new() }));
                }
            }
            sleep(LOOK).await;
        }
        Ok(None)
    }

    /// Whether nobody has taken the environment to the branch head or judged that yet.
    fn is_behind(&self, record: &Rollout) -> bool {
        let tip = tip(self.edges);
        let on_head = record.goal.as_ref().map(|goal| goal.digest) == self.wanted.as_ref().map(|state| state.revision_digest());
        let is_judged = record.note.as_ref().is_some_and(|note| note.revision == tip);
        !on_head && !is_judged
    }

    /// The keys that still differ from what the environment is on.
    async fn left(&self, record: &Rollout) -> Result<Vec<Left>, Failure> {
        let Some(goal) = &record.goal else { return Ok(Vec::new()) };
        let Self { edges, environment, target, .. } = self;
        let (repository, fit) = (&edges.repository, edges.fit(environment)?);
        let at = Needed::reached(goal.rules, goal.digest);
        let seen = preview(environment, repository, fit, &edges.source, *target, at, edges.now()).await?;
        let plan = match seen {
            Previewed::Look(look) => look.preview.plan,
            // The commit is in no mirror or can't be used by now; the phase and its reason say what that means.
            Previewed::Invalid(_) | Previewed::Unfit(_) | Previewed::Retired | Previewed::Missing => return Ok(Vec::new()),
        };
        let changed = plan.changes.iter().map(|change| Left::new(&change.key, &change.why.to_string()));
        let reported = plan.drifted.iter().map(|key| Left::new(key, "changed by hand, and drift is only reported here"));
        let obstacles = tellable(edges, environment, plan.obstacles).await?;
        let held = obstacles.iter().map(|obstacle| Left::new(&obstacle.key, &obstacle.said()));
        Ok(held.chain(reported).chain(changed).collect())
    }
}
