//! `kv list`: the live keys of an environment, whose each is, and which attempt gave it its value.

use std::collections::BTreeMap;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::cli::edges::{Edges, Freshness};
use crate::cli::error::{Exit, Failure};
use crate::cli::key::history;
use crate::cli::options::Options;
use crate::cli::output::{Output, Page, VERSION, View};
use crate::cli::text::clean;
use crate::domain::name::EnvironmentName;
use crate::domain::resource::Ownership;
use crate::domain::revision::{Generation, Revision};
use crate::port::Target as _;

/// List the live keys of an environment, each with the generation and the revision that gave its value
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep kv list production
  lockstep kv list production config/app/
  lockstep kv list production --changed-since 12          after generation 12
  lockstep kv list production --changed-since 1a2b3c4     after the environment was taken to this commit

Exits with 0 also when there is none.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Only keys that begin so
    #[arg(value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Only keys whose value came after this generation, or after the environment was last taken to this commit
    #[arg(long, value_name = "REV|GENERATION")]
    changed_since: Option<String>,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::AsItIs).await?;
    let environment = edges.environment(&args.environment)?;
    let found = list(&edges, &environment, args).await;
    edges.close().await;
    output.show(&found?)?;
    Ok(Exit::Ok)
}

async fn list(edges: &Edges, environment: &EnvironmentName, args: &Args) -> Result<List, Failure> {
    let target = edges.target(environment)?;
    let record = target.load().await?;
    let owner = record.as_ref().map(|stored| stored.record.identity.owner);
    let lines = history(&target).await?;
    let revisions: BTreeMap<Generation, Revision> = lines.iter().map(|line| (line.generation, line.revision)).collect();
    let since = match &args.changed_since {
        Some(text) => Some(since(edges, environment, text, &revisions).await?),
        None => None,
    };
    let live = target.live().await?;
    let keys = live.entries.iter().filter(|(key, _)| key.as_str().starts_with(&args.prefix)).filter_map(|(key, entry)| {
        let mark = match entry.flags.ownership() {
            Ownership::Marked(mark) if Some(mark.owner) == owner => Some(mark.generation),
            Ownership::Marked(_) | Ownership::Unmarked | Ownership::Foreign => None,
        };
        let revision = mark.and_then(|generation| revisions.get(&generation));
        let newer = since.is_none_or(|since| mark.is_some_and(|generation| generation > since));
        newer.then(|| Key {
            name: key.to_string(),
            managed: mark.is_some(),
            generation: mark.map(Generation::number),
            revision: revision.map(ToString::to_string),
            short: revision.map(Revision::short),
        })
    });
    Ok(List {
        version: VERSION,
        environment: environment.to_string(),
        keys: keys.collect(),
        unmanageable: live.unmanageable.iter().filter(|key| key.starts_with(&args.prefix)).map(|key| clean(key)).collect(),
        partial: live.partial,
    })
}

/// The generation after which a key's value is newer than what a text names.
async fn since(
    edges: &Edges,
    environment: &EnvironmentName,
    text: &str,
    revisions: &BTreeMap<Generation, Revision>,
) -> Result<Generation, Failure> {
    let number = text.parse().ok().and_then(Generation::new);
    if let Some(generation) = number.filter(|generation| text.len() < 4 || revisions.contains_key(generation)) {
        return Ok(generation);
    }
    let revision = edges.resolve(text).await?;
    let reached = revisions.iter().rev().find(|(_, reached)| **reached == revision);
    reached.map(|(generation, _)| *generation).ok_or_else(|| {
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
