//! `kv list`: the live keys of an environment, whose each is, and which attempt gave it its value.

use std::collections::BTreeMap;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::cli::edges::{Edges, Freshness};
use crate::cli::error::{Exit, Failure};
use crate::cli::key::{beginning, history, unknown_generation};
use crate::cli::options::Options;
use crate::cli::output::{Output, Page, VERSION, View};
use crate::cli::text::{before, clean};
use crate::domain::name::EnvironmentName;
use crate::domain::resource::Ownership;
use crate::domain::revision::Generation;
use crate::domain::rollout::HistoryLine;
use crate::port::Target as _;

/// List the live keys of an environment, each with the generation and the revision that gave its value
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep kv list production
  lockstep kv list production config/app/
  lockstep kv list production --changed-since 12          after generation 12
  lockstep kv list production --changed-since 1a2b3c4     after the environment was taken to this commit
  lockstep kv list production --changed-since 2h          or 2026-12-27, or 2026-12-27T08:00:00Z

Keys that were deleted since are none of them: `lockstep diff` shows what lies between two commits. Exits with 0 also when there
is none.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Only keys that begin so
    #[arg(value_name = "PREFIX")]
    prefix: Option<String>,
    /// Only keys whose value came after this generation, after the environment was last taken to this commit, or since this
    /// moment
    #[arg(long, value_name = "GENERATION|REV|MOMENT")]
    changed_since: Option<String>,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let prefix = beginning(args.prefix.as_ref())?;
    let edges = Edges::open(options, Freshness::AsItIs).await?;
    let environment = edges.environment(&args.environment)?;
    let found = list(&edges, &environment, args, prefix).await;
    edges.close().await;
    let found = found?;
    output.show(&found)?;
    if found.keys.is_empty() && found.unmanageable.is_empty() {
        output.note(&found.why_none(args.changed_since.as_deref(), prefix));
    }
    Ok(Exit::Ok)
}

async fn list(edges: &Edges, environment: &EnvironmentName, args: &Args, prefix: &str) -> Result<List, Failure> {
    let target = edges.target(environment)?;
    let (record, lines) = history(edges, environment, &target).await?;
    let owner = record.as_ref().map(|record| record.identity.owner);
    let lines: BTreeMap<Generation, HistoryLine> = lines.into_iter().map(|line| (line.generation, line)).collect();
    let since = match &args.changed_since {
        Some(text) => since(edges, environment, text, record.as_ref().map(|record| record.generation), &lines).await?,
        None => None,
    };
    let live = target.live().await?;
    let keys = live.entries.iter().filter(|(key, _)| key.as_str().starts_with(prefix)).filter_map(|(key, entry)| {
        let mark = match entry.flags.ownership() {
            Ownership::Marked(mark) if Some(mark.owner) == owner => Some(mark.generation),
            Ownership::Marked(_) | Ownership::Unmarked | Ownership::Foreign => None,
        };
        let revision = mark.and_then(|generation| lines.get(&generation)).map(|line| line.revision);
        let newer = args.changed_since.is_none() || mark.is_some_and(|generation| Some(generation) > since);
        newer.then(|| Key {
            name: key.to_string(),
            managed: mark.is_some(),
            generation: mark.map(Generation::number),
            revision: revision.map(|revision| revision.to_string()),
            short: revision.map(|revision| revision.short()),
        })
    });
    Ok(List {
        version: VERSION,
        environment: environment.to_string(),
        keys: keys.collect(),
        unmanageable: live.unmanageable.iter().filter(|key| key.starts_with(prefix)).map(|key| clean(key)).collect(),
        partial: live.partial,
        deployed: record.is_some_and(|record| record.goal.is_some()),
    })
}

/// The generation after which a key's value is newer than what a text names; none: every generation is.
async fn since(
    edges: &Edges,
    environment: &EnvironmentName,
    text: &str,
    newest: Option<Generation>,
    lines: &BTreeMap<Generation, HistoryLine>,
) -> Result<Option<Generation>, Failure> {
    let number = text.parse().ok().and_then(Generation::new);
    // A long number could begin a commit's id as well.
    if let Some(generation) = number.filter(|generation| text.len() < 4 || lines.contains_key(generation)) {
        // One that history forgot is older than all that it has.
        return if newest.is_some_and(|newest| generation <= newest) {
            Ok(Some(generation))
        } else {
            Err(unknown_generation(environment, generation, newest))
        };
    }
    let revision = match edges.resolve(text).await {
        Ok(revision) => revision,
        Err(unknown) => {
            let Some(moment) = before(text, edges.now()) else {
                // History forgot it, so it is older than all that it has.
                if let Some(generation) = number.filter(|generation| newest.is_some_and(|newest| *generation <= newest)) {
                    return Ok(Some(generation));
                }
                return Err(
                    unknown.hint("name a generation, a commit, a moment such as 2026-12-27T08:00:00Z, or 2h for two hours ago")
                );
            };
            return Ok(lines.values().filter(|line| line.started < moment).map(|line| line.generation).max());
        }
    };
    let reached = lines.values().rev().find(|line| line.is_deployment() && line.revision == revision);
    reached.map(|line| Some(line.generation)).ok_or_else(|| {
        Failure::usage(format!("{environment} was never taken to {}", revision.short()))
            .hint(format!("`lockstep history {environment}` lists its generations and their commits"))
    })
}

#[derive(Serialize)]
struct List {
    version: u32,
    environment: String,
    keys: Vec<Key>,
    /// Keys that can't be named safely, and that lockstep never touches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unmanageable: Vec<String>,
    /// The credential may not surely read everything.
    partial: bool,
    /// Anything was ever applied to the environment.
    deployed: bool,
}

#[derive(Serialize)]
struct Key {
    #[serde(rename = "key")]
    name: String,
    /// It carries this environment's mark.
    managed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(skip)]
    short: Option<String>,
}

impl List {
    fn why_none(&self, since: Option<&str>, prefix: &str) -> String {
        let name = &self.environment;
        match (since, prefix) {
            _ if !self.deployed => format!("nothing was ever applied to {name}"),
            (Some(since), "") => format!("no key of {name} has a newer value than {since}"),
            (Some(since), prefix) => format!("no key of {name} below {prefix} has a newer value than {since}"),
            (None, "") => format!("{name} has no keys"),
            (None, prefix) => format!("{name} has no key that begins with {prefix}"),
        }
    }
}

impl View for List {
    fn human(&self, page: &mut Page) {
        for Key { name, generation, short, .. } in &self.keys {
            match generation {
                Some(generation) => {
                    let from = short.as_deref().unwrap_or("?");
                    page.line(format_args!("{generation:>6}  {from:<7}  {name}"));
                }
                None => page.line(format_args!("{:>6}  {:<7}  {name}", "-", "unmanaged".style(Style::new().dimmed()))),
            }
        }
        for key in &self.unmanageable {
            page.line(format_args!("{:>6}  {:<7}  {key}", "-", "not manageable".style(Style::new().dimmed())));
        }
        if self.partial {
            page.line("there may be more: the token may not surely read everything below the roots");
        }
    }
}
