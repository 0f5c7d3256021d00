//! `wait`: until a revision is proven in an environment, for pipelines that go on from there.

use std::collections::BTreeMap;
use std::time::Duration;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::ask::duration;
use super::edges::{AnyTarget, Edges, Freshness};
use super::error::{Exit, Failure};
use super::key::read;
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::progress::Steps;
use super::text::{clean, rough};
use crate::domain::name::EnvironmentName;
use crate::domain::revision::{Generation, Revision, RevisionDigest};
use crate::domain::rollout::{Awaited, Needed, Rollout};
use crate::port::{Commit, EdgeError, EdgeKind, Source as _, Target as _, Tip};
use crate::runtime::reading::Readings;
use crate::runtime::succession::{Heir, claim};

/// From one look at the record to the next.
const LOOK: Duration = Duration::from_secs(1);

/// Wait until a revision is live and proven in an environment
///
/// Ends as soon as that is so, or a newer commit on top of it is proven, or it is rejected, refused, held or pinned away. Needs read
/// rights only, and a controller that does the work.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep wait production                                after a merge: until the branch head is proven
  lockstep wait production --revision 1a2b3c4 --timeout 10m

A target that is away for a while, and a rename that is not carried out yet, are waited out. Exits with 0 when it is proven, 1 when
it is not to be or the time is over, 2 when the revision or the environment is unknown, 4 when the target is not reachable at the end.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// The commit: an id, its first digits, HEAD~1 [default: the branch head, fetched now]
    #[arg(long, value_name = "REV")]
    revision: Option<String>,
    /// How long to wait, such as 10m
    #[arg(long, default_value = "30m", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environment = edges.environment(&args.environment)?;
    let outcome = wait(&edges, &environment, args, output).await;
    edges.close().await;
    let waited = outcome?;
    let exit = if waited.proven { Exit::Ok } else { Exit::Failed };
    output.show(&waited)?;
    Ok(exit)
}

async fn wait(edges: &Edges, environment: &EnvironmentName, args: &Args, output: &Output) -> Result<Waited, Failure> {
    let revision = match &args.revision {
        Some(text) => edges.resolve(text).await?,
        None => edges.head_or("--revision")?,
    };
    let digest = digest(edges, environment, revision).await?;
    let steps = Steps::new(output, environment.to_string());
    let deadline = Instant::now() + args.timeout;
    let mut waiting = Waiting {
        edges,
        environment,
        target: edges.target(environment)?,
        readings: Readings::new(environment.clone(), edges.repository.clone(), edges.fit(environment)?),
        absent: None,
        revision,
        digest,
        later: BTreeMap::new(),
        next_fetch: Instant::now(),
    };
    let unseen = format!("look at {environment} in {}", waiting.target.character().name);
    let mut last = Err(EdgeError::new("lockstep", EdgeKind::Transient, unseen).because("there was no answer yet"));
    loop {
        // A look that takes too long says nothing, and what was seen before still stands.
        if let Ok(look) = timeout_at(deadline, waiting.look()).await {
            last = match look? {
                Look::Proven { generation, live, says_the_same } => {
                    let text = if live == revision {
                        format!("{} is proven", revision.short())
                    } else {
                        let how = if says_the_same { "says the same as" } else { "has" };
                        format!("{} is proven, which {how} {}", live.short(), revision.short())
                    };
                    return Ok(Waited::of(environment, revision, Some((live, generation)), &text));
                }
                Look::Lost(text) => return Ok(Waited::of(environment, revision, None, &text)),
                Look::Waits(why) => Ok(why),
                Look::Away(error) => Err(error),
            };
        }
        if Instant::now() + LOOK >= deadline {
            break;
        }
        steps.say(&clean(&last.as_ref().map_or_else(EdgeError::chain, Clone::clone)));
        sleep(LOOK).await;
    }
    let within = rough(args.timeout);
    match last {
        Ok(why) => Ok(Waited::of(environment, revision, None, &format!("not within {within}: {why}"))),
        Err(error) => {
            let Failure { message, causes, hint, .. } = Failure::from(error);
            let causes = std::iter::once(message).chain(causes).collect();
            let message =
                format!("{} was not proven within {within} in {environment}, as far as could be seen", revision.short());
            Err(Failure { causes, hint, exit: Exit::Unreachable, ..Failure::new(message) })
        }
    }
}

async fn digest(edges: &Edges, environment: &EnvironmentName, revision: Revision) -> Result<RevisionDigest, Failure> {
    match read(edges, environment, revision).await? {
        Ok(Some(desired)) => Ok(desired.revision_digest()),
        Ok(None) => Err(Failure::usage(format!("{} has no environment {environment}", revision.short()))),
        Err(problems) => {
            Err(Failure { problems, ..Failure::new(format!("{} can't be applied to {environment}", revision.short())) })
        }
    }
}

enum Look {
    Proven {
        live: Revision,
        generation: Generation,
        /// The one that is waited for says the same and need not be in it; else it is.
        says_the_same: bool,
    },
    Lost(String),
    Waits(String),
    /// The target or the repository did not answer: it may at the next look.
    Away(EdgeError),
}

/// Why there is no record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// There never was one.
    Never,
    /// It is under a former name still.
    Former,
}

/// Looks again and again.
struct Waiting<'e> {
    edges: &'e Edges,
    environment: &'e EnvironmentName,
    target: AnyTarget,
    readings: Readings,
    /// What it means that there is no record, as far as that was found out.
    absent: Option<Absent>,
    revision: Revision,
    digest: RevisionDigest,
    /// What came after the verdicts that were met, up to the revision.
    later: BTreeMap<Revision, Vec<Commit>>,
    next_fetch: Instant,
}

impl Waiting<'_> {
    async fn look(&mut self) -> Result<Look, Failure> {
        match self.seen().await {
            // A target elects its leader, somebody writes: neither ends a wait.
            Err(error) if matches!(error.kind, EdgeKind::Transient | EdgeKind::Conflict) => Ok(Look::Away(error)),
            seen => Ok(seen?),
        }
    }

    /// The record, or what there is in its place.
    async fn record(&mut self) -> Result<Result<Rollout, Look>, EdgeError> {
        // To find out what it means that there is none may take a look at every key: that is done once.
        let found = match self.absent {
            None => self.target.load().await,
            Some(_) => self.target.former(self.environment).await,
        };
        let none = match found {
            Ok(Some(stored)) => {
                self.absent = None;
                return Ok(Ok(stored.record));
            }
            Err(error) if error.kind != EdgeKind::Refused => return Err(error),
            none => none,
        };
        if let Some(Heir { former, .. }) = self.heir().await? {
            self.absent = Some(Absent::Former);
            return Ok(Err(Look::Waits(format!("{} has still to take over the record of {former}", self.environment))));
        }
        none?;
        // Without the former name it has to be found out again.
        self.absent = if self.absent == Some(Absent::Former) { None } else { Some(Absent::Never) };
        Ok(Err(Look::Waits("nothing was applied here yet".to_owned())))
    }

    /// The record that is to be taken over. Whether it can be is for whoever does it to say.
    async fn heir(&mut self) -> Result<Option<Heir>, EdgeError> {
        let source = &self.edges.source;
        let Tip::At(tip) = source.head().await?.tip else { return Ok(None) };
        self.readings.keep_only(&[Needed::named(tip)].into());
        claim(&mut self.readings, source, &self.target, tip).await
    }

    async fn seen(&mut self) -> Result<Look, EdgeError> {
        let record = match self.record().await? {
            Ok(record) => record.as_of(self.edges.now()).into_owned(),
            Err(look) => return Ok(look),
        };
        for tip in record.verdict_tips(self.digest) {
            // Where the repository does not have it nobody can say what came after, and the verdict stands.
            if !self.later.contains_key(&tip) && self.is_in(tip).await?.is_some() {
                let commits = self.edges.source.commits(Some(tip), self.revision).await?;
                self.later.insert(tip, commits);
            }
        }
        Ok(match record.awaited(self.revision, self.digest, &self.later) {
            Awaited::Proven(generation) => {
                let live = record.goal.map_or(self.revision, |goal| goal.revision);
                Look::Proven { live, generation, says_the_same: true }
            }
            Awaited::Lost(why) => Look::Lost(why),
            Awaited::Waits(why) => match record.goal.as_ref().filter(|_| record.is_on_proven()) {
                // A newer commit took its place and was proven with it.
                Some(goal) => match self.is_in(goal.revision).await? {
                    Some(true) => Look::Proven { live: goal.revision, generation: goal.generation, says_the_same: false },
                    Some(false) => Look::Waits(why),
                    None => {
                        Look::Waits(format!("{why}; {} is live, which is not in the repository here", goal.revision.short()))
                    }
                },
                None => Look::Waits(why),
            },
        })
    }

    /// Whether a commit has the one that is waited for; none where this machine lacks it although it asked the repository. One
    /// that came after the wait began is fetched, and again after each poll interval at most.
    async fn is_in(&mut self, newer: Revision) -> Result<Option<bool>, EdgeError> {
        let source = &self.edges.source;
        let known = |answer: Result<bool, EdgeError>| match answer {
            Err(error) if error.kind == EdgeKind::NotFound => Ok(None),
            answer => answer.map(Some),
        };
        let answer = known(source.descends(newer, self.revision).await)?;
        if answer.is_some() || Instant::now() < self.next_fetch {
            return Ok(answer);
        }
        self.next_fetch = Instant::now() + self.edges.config.repository.poll;
        source.fetch().await?;
        known(source.descends(newer, self.revision).await)
    }
}

/// How it ended.
#[derive(Serialize)]
struct Waited {
    version: u32,
    environment: String,
    revision: String,
    proven: bool,
    /// The proven commit that is live: the one that was waited for, one that says the same, or a newer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    text: String,
}

impl Waited {
    fn of(environment: &EnvironmentName, revision: Revision, proven: Option<(Revision, Generation)>, text: &str) -> Self {
        Self {
            version: VERSION,
            environment: environment.to_string(),
            revision: revision.to_string(),
            proven: proven.is_some(),
            live: proven.map(|(live, _)| live.to_string()),
            generation: proven.map(|(_, generation)| generation.number()),
            text: clean(text),
        }
    }
}

impl View for Waited {
    fn human(&self, page: &mut Page) {
        let name = self.environment.style(Style::new().bold());
        match self.generation {
            Some(generation) => {
                let proven = "proven".style(Style::new().green());
                page.line(format_args!("{name}  {proven}, generation {generation}: {}", self.text));
            }
            None => page.line(format_args!("{name}  {}: {}", "not proven".style(Style::new().yellow()), self.text)),
        }
    }
}
