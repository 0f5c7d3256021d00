//! `apply --once`: environments taken to the branch head now, and judged, in the foreground.

use std::time::Duration;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::ask::{Foreground, duration, give_back, submit};
use super::edges::{AnyTarget, Edges, Freshness};
use super::error::{Exit, Failure};
use super::options::Options;
use super::output::{Output, Page, Told, VERSION, View};
use super::text::{clean, rough};
use crate::domain::desired::read_environment;
use crate::domain::name::EnvironmentName;
use crate::domain::report;
use crate::domain::rollout::{Phase, Rollout, Verb};
use crate::port::{Leading, Source as _, Target as _, Tip};
use crate::runtime::observe::no_record;
use crate::runtime::once::Progress;
use crate::runtime::together::together;

/// From one look at somebody else's progress to the next.
const LOOK: Duration = Duration::from_millis(500);

/// What becomes of an apply that stops half-way.
const GOES_ON: &str = "the next `apply --once`, or a controller, goes on from where it stands";

/// Take environments to the branch head now and judge them, then stop
///
/// Makes the passes that the controller would make. Takes the lease if it is free. While another controller leads, that one does the work and this waits for it. Drift is put
/// right as the environment's policy says; --overwrite-drift does it once although the policy is to report.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep apply --once
  lockstep apply --once test --timeout 5m

Exits with 0 when every environment ends on the branch head, proven; with 1 when one is rolled back, held or refused, and
says why; with 4 when a target or the repository is not reachable.")]
pub(super) struct Args {
    /// The environments; all of the configuration when none is named
    #[arg(value_name = "ENV")]
    environments: Vec<String>,
    /// Stop when nothing more is to be done (`lockstep run` goes on)
    #[arg(long, required = true)]
    once: bool,
    /// Put drift right once, although the policy is to report it
    #[arg(long)]
    overwrite_drift: bool,
    /// How long it may take, such as 5m
    #[arg(long, default_value = "30m", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
    /// Who asks, as history shows it
    #[arg(long, env = "USER", hide_env = true, default_value = "somebody", value_name = "NAME")]
    by: String,
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
    let ends = environments.iter().zip(ends).map(|(environment, end)| {
        let end = match end {
            Ok(record) => End::of(environment, &record),
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

async fn one(edges: &Edges, environment: &EnvironmentName, args: &Args, output: &Output) -> Result<Rollout, Failure> {
    let target = edges.target(environment)?;
    if target.load().await?.is_none() {
        match &target {
            // A directory may make its own record: its path can't be another environment's by mistake (rule O6).
            AnyTarget::Directory(directory) => drop(directory.initialise().await?),
            AnyTarget::Consul(_) => return Err(no_record(&target).into()),
        }
    }
    if args.overwrite_drift {
        submit(edges, &target, Verb::OverwriteDrift, "apply --overwrite-drift", &args.by).await?;
    }
    let progress = output.progress();
    let mut tell = |news: Progress<'_>| {
        let text = match news {
            Progress::Moved(record) => record.phase.word().to_owned(),
            Progress::Waiting(why) => clean(why),
            Progress::Trouble(error) => clean(&error.chain()),
        };
        progress.set_message(format!("{environment}: {text}"));
    };
    let late = || Failure::new(format!("{environment} did not come to rest within {}", rough(args.timeout))).hint(GOES_ON);
    let outcome = match target.lead().await {
        Ok(Leading::Ours(lease)) => {
            let led = lead(edges, environment, &target, &lease, &mut tell);
            let outcome = tokio::select! {
                outcome = timeout(args.timeout, led) => outcome.unwrap_or_else(|_| Err(late())),
                _ = tokio::signal::ctrl_c() => Err(Failure::new(format!("{environment} was interrupted")).hint(GOES_ON)),
            };
            give_back(&target, lease).await;
            outcome
        }
        Ok(Leading::Theirs(who)) => {
            output.note(&format!("{environment} is led by {who}, which does the work; waiting for it"));
            timeout(args.timeout, follow(edges, environment, &target)).await.unwrap_or_else(|_| Err(late()))
        }
        Err(error) => Err(error.into()),
    };
    progress.finish_and_clear();
    outcome
}

async fn lead(
    edges: &Edges,
    environment: &EnvironmentName,
    target: &AnyTarget,
    lease: &<AnyTarget as crate::port::Target>::Lease,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Rollout, Failure> {
    let foreground = Foreground::new(edges, environment, target)?;
    let record = foreground.once().until_rest(&mut foreground.memory(), lease, tell).await?;
    Ok(record)
}

/// Waits until whoever leads has taken the environment to the branch head, or has said why not.
async fn follow(edges: &Edges, environment: &EnvironmentName, target: &AnyTarget) -> Result<Rollout, Failure> {
    let tip = match &edges.tip {
        Tip::At(tip) => Some(*tip),
        Tip::NoBranch(_) | Tip::Gone(_) | Tip::Empty | Tip::Unfetched => None,
    };
    let wanted = match tip {
        Some(tip) => read_environment(&edges.source.tree(tip).await?, environment).ok().flatten(),
        None => None,
    };
    loop {
        if let Some(stored) = target.load().await? {
            let record = stored.record;
            let under_way = matches!(record.phase, Phase::Applying | Phase::Verifying);
            let on_head = record.goal.as_ref().map(|goal| goal.digest) == wanted.as_ref().map(|state| state.revision_digest());
            let judged = record.note.as_ref().is_some_and(|note| note.revision == tip);
            if !under_way && (on_head || judged) && target.requests().await?.is_empty() {
                return Ok(record);
            }
        }
        sleep(LOOK).await;
    }
}

#[derive(Serialize)]
struct Ends {
    version: u32,
    environments: Vec<End>,
}

#[derive(Serialize)]
struct End {
    environment: String,
    /// On the branch head, and proven.
    in_step: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    generation: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Told>,
}

impl End {
    fn of(environment: &EnvironmentName, record: &Rollout) -> Self {
        let note = record.note.as_ref().map(|note| note.text.as_str());
        let evidence =
            record.attempt.as_ref().and_then(|attempt| attempt.line.closed.as_ref()).map(|closed| closed.text.as_str());
        let in_step = record.phase == Phase::Steady && record.note.is_none();
        // Why the head is not followed is what the caller asked; what else ails the environment comes after it.
        let drifted = report::drifted(record);
        let texts =
            [note, Some(record.reason.as_str()), drifted.as_deref(), evidence.filter(|text| !in_step || *text != "healthy")];
        let mut texts = texts.into_iter().flatten().filter(|text| !text.is_empty());
        // How a freeze ends says nothing of why it is frozen.
        let frozen = Some(&record.reason).filter(|reason| record.phase == Phase::Frozen && !reason.is_empty());
        let reason = match (frozen, texts.next()) {
            (Some(why), Some(text)) if why != text => Some(clean(&format!("{why}; {text}"))),
            (_, text) => text.map(clean),
        };
        Self {
            environment: environment.to_string(),
            in_step,
            phase: Some(record.phase.word()),
            revision: record.goal.as_ref().map(|goal| goal.revision.to_string()),
            generation: record.goal.as_ref().map_or(record.generation, |goal| goal.generation).number(),
            reason,
            error: None,
        }
    }

    fn failed(environment: &EnvironmentName, error: Told) -> Self {
        Self {
            environment: environment.to_string(),
            in_step: false,
            phase: None,
            revision: None,
            generation: 0,
            reason: None,
            error: Some(error),
        }
    }
}

impl View for Ends {
    fn human(&self, page: &mut Page) {
        for End { environment, in_step, phase, revision, generation, reason, error } in &self.environments {
            let name = environment.style(Style::new().bold()).to_string();
            if let Some(error) = error {
                page.line(format_args!("{name}  failed"));
                error.human(page);
                continue;
            }
            let phase = phase.unwrap_or_default();
            let phase = if *in_step { phase.style(Style::new().green()) } else { phase.style(Style::new().yellow()) };
            let at = revision.as_deref().and_then(|revision| revision.get(..7)).unwrap_or("nothing");
            page.line(format_args!("{name}  {phase} on {at}, generation {generation}"));
            if let Some(reason) = reason {
                page.line(format_args!("  {reason}"));
            }
        }
    }
}
