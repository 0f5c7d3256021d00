//! `kv list`: the live keys of an environment, whose each is, and which attempt gave it its value.

use std::collections::{BTreeMap, BTreeSet};

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::cli::edges::{Edges, Freshness};
use crate::cli::error::{Exit, Failure};
use crate::cli::key::{beginning, history, within};
use crate::cli::options::Options;
use crate::cli::output::{Output, Page, VERSION, View};
use crate::cli::text::{clean, count};
use crate::domain::live::LiveEntry;
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::Generation;
use crate::domain::rollout::{HistoryLine, Needed, Rollout};
use crate::port::Target as _;
use crate::runtime::reading::{Reading, Readings};

use super::since::since;

/// List the live keys of an environment, each with the generation and the revision that gave its value
///
/// A stray is a marked copy that no revision has which the environment reached: its value came with none.
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
    if found.unread > 0 {
        output.note(&format!(
            "{} that the environment reached can't be read here: strays are not told apart",
            count(found.unread, "revision")
        ));
    }
    if found.keys.is_empty() && found.unmanageable.is_empty() {
        output.note(&found.why_none(args.changed_since.as_deref(), prefix));
    }
    Ok(Exit::Ok)
}

async fn list(edges: &Edges, environment: &EnvironmentName, args: &Args, prefix: &str) -> Result<List, Failure> {
    within(prefix, environment, &edges.fit(environment)?.roots)?;
    let target = edges.target(environment)?;
    let (record, lines) = history(edges, environment, &target).await?;
    let owner = record.as_ref().map(|record| record.identity.owner);
    let since = match &args.changed_since {
        Some(text) => since(edges, environment, text, record.as_ref(), &lines).await?,
        None => None,
    };
    let lines: BTreeMap<Generation, HistoryLine> = lines.into_iter().map(|line| (line.generation, line)).collect();
    let live = target.live().await?;
    let found = || live.entries.iter().filter(|(key, _)| key.as_str().starts_with(prefix));
    let generation = |entry: &LiveEntry| Some(entry.flags.mark_of(owner?)?.generation);
    let marked = found().filter(|(_, entry)| generation(entry).is_some()).map(|(key, _)| key.clone()).collect();
    let Strays { keys: strays, unread } = match &record {
        Some(record) => strays(edges, environment, record, marked).await?,
        None => Strays::default(),
    };
    let keys = found().filter_map(|(key, entry)| {
        let is_stray = strays.contains(key);
        let mark = generation(entry).filter(|_| !is_stray);
        let revision = mark.and_then(|generation| lines.get(&generation)).map(|line| line.revision);
        let newer = args.changed_since.is_none() || mark.is_some_and(|generation| Some(generation) > since);
        newer.then(|| Key {
            name: key.to_string(),
            managed: mark.is_some(),
            stray: is_stray,
            generation: mark.map(Generation::number),
            revision: revision.map(|revision| revision.to_string()),
            short: revision.map(|revision| revision.short()),
        })
    });
    // Of keys that nobody manages nobody knows since when they have their values.
    let unmanageable = live.unmanageable.iter().filter(|key| args.changed_since.is_none() && key.starts_with(prefix));
    Ok(List {
        version: VERSION,
        environment: environment.to_string(),
        keys: keys.collect(),
        unmanageable: unmanageable.map(|key| clean(key)).collect(),
        partial: live.partial,
        deployed: record.is_some_and(|record| record.goal.is_some()),
        unread,
    })
}

/// Marked copies.
#[derive(Default)]
struct Strays {
    keys: BTreeSet<KeyPath>,
    /// So many revisions that may have them can't be read here, and nobody can say which are strays.
    unread: usize,
}

/// Those of the marked keys that no revision has which the environment reached (rule O3).
async fn strays(
    edges: &Edges,
    environment: &EnvironmentName,
    record: &Rollout,
    mut keys: BTreeSet<KeyPath>,
) -> Result<Strays, Failure> {
    let mut reached: Vec<Needed> = record.revisions_needed(&[]).into_iter().collect();
    if reached.is_empty() {
        // The record was made anew from the marks, and knows of no revision yet.
        return Ok(Strays::default());
    }
    // The goal has nearly always all of them, and then no other is read.
    reached.sort_by_key(|one| record.goal.as_ref().is_none_or(|goal| goal.revision != one.revision));
    let mut readings = Readings::new(environment.clone(), edges.repository.clone(), edges.fit(environment)?);
    readings.known_as(record);
    let mut unread = 0;
    for one in reached {
        if keys.is_empty() {
            return Ok(Strays::default());
        }
        match readings.reached(one, &edges.source).await? {
            Reading::Valid(desired) => keys.retain(|key| !desired.entries().contains_key(key)),
            Reading::Invalid(_) | Reading::Retired | Reading::Missing => unread += 1,
        }
    }
    Ok(match unread {
        _ if keys.is_empty() => Strays::default(),
        0 => Strays { keys, unread },
        _ => Strays { keys: BTreeSet::new(), unread },
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
    /// So many revisions can't be read that may have what looks like a stray.
    #[serde(skip)]
    unread: usize,
}

#[derive(Serialize)]
struct Key {
    #[serde(rename = "key")]
    name: String,
    /// It carries this environment's mark, and is no stray.
    managed: bool,
    /// It is a copy: it carries the mark, and no revision has it which the environment reached.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stray: bool,
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
        for Key { name, generation, short, stray, .. } in &self.keys {
            match generation {
                Some(generation) => {
                    let from = short.as_deref().unwrap_or("?");
                    page.line(format_args!("{generation:>6}  {from:<7}  {name}"));
                }
                None if *stray => page.line(format_args!("{:>6}  {:<7}  {name}", "-", "stray".style(Style::new().yellow()))),
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
