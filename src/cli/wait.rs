//! `wait`: until a revision is proven in an environment, for pipelines that go on from there.

use std::time::Duration;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::ask::duration;
use super::edges::{AnyTarget, Edges, Freshness};
use super::error::{Exit, Failure};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::progress::Steps;
use super::text::{clean, rough};
use crate::domain::desired::read_environment;
use crate::domain::name::EnvironmentName;
use crate::domain::revision::{Generation, Revision, RevisionDigest};
use crate::domain::rollout::Awaited;
use crate::port::{Source as _, Target as _};

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

Exits with 0 when it is proven, 1 when it is not to be or the time is over, 2 when the revision or the environment is unknown,
4 when the target is not reachable.")]
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
        None => edges.head()?,
    };
    let digest = digest(edges, environment, revision).await?;
    let target = edges.target(environment)?;
    let steps = Steps::new(output, environment.to_string());
    let deadline = Instant::now() + args.timeout;
    let waited = loop {
        let why = match look(edges, &target, revision, digest).await? {
            Look::Proven { generation, live } => {
                let text = if live == revision {
                    format!("{} is proven", revision.short())
                } else {
                    format!("{} is proven, which has {}", live.short(), revision.short())
                };
                break Waited::of(environment, revision, Some((live, generation)), &text);
            }
            Look::Lost(text) => break Waited::of(environment, revision, None, &text),
            Look::Waits(why) => why,
        };
        if Instant::now() + LOOK >= deadline {
            let text = format!("not proven within {}: {why}", rough(args.timeout));
            break Waited::of(environment, revision, None, &text);
        }
        steps.say(&clean(&why));
        sleep(LOOK).await;
    };
    Ok(waited)
}

async fn digest(edges: &Edges, environment: &EnvironmentName, revision: Revision) -> Result<RevisionDigest, Failure> {
    match read_environment(&edges.source.tree(revision).await?, environment) {
        Ok(Some(desired)) => Ok(desired.revision_digest()),
        Ok(None) => Err(Failure::usage(format!("{} has no environment {environment}", revision.short()))),
        Err(problems) => {
            Err(Failure { problems, ..Failure::new(format!("{} can't be applied to {environment}", revision.short())) })
        }
    }
}

enum Look {
    Proven { live: Revision, generation: Generation },
    Lost(String),
    Waits(String),
}

async fn look(edges: &Edges, target: &AnyTarget, revision: Revision, digest: RevisionDigest) -> Result<Look, Failure> {
    let Some(record) = target.load().await?.map(|stored| stored.record.as_of(edges.now()).into_owned()) else {
        return Ok(Look::Waits("nothing was applied here yet".to_owned()));
    };
    Ok(match record.awaited(revision, digest) {
        Awaited::Proven(generation) => Look::Proven { live: record.goal.map_or(revision, |goal| goal.revision), generation },
        Awaited::Lost(why) => Look::Lost(why),
        Awaited::Waits(why) => match record.goal.as_ref().filter(|_| record.is_on_proven()) {
            // A newer commit took its place and was proven with it.
            Some(goal) if edges.source.descends(goal.revision, revision).await? => {
                Look::Proven { live: goal.revision, generation: goal.generation }
            }
            Some(_) | None => Look::Waits(why),
        },
    })
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
