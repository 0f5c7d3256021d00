//! `history`: what was done to an environment, by whom, why, and how it ended.

use std::collections::{BTreeMap, BTreeSet};

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::edges::{AnyTarget, Edges, Freshness};
use super::error::{Exit, Failure};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::text::{clean, moment, when};
use crate::domain::name::EnvironmentName;
use crate::domain::plan::Counts;
use crate::domain::revision::Generation;
use crate::domain::rollout::{HistoryLine, Rollout, Stored};
use crate::domain::time::Timestamp;
use crate::port::Target as _;

/// Show every attempt and every decision of a person, with its cause and its end
///
/// The end has its evidence: which checks passed and for how long, or which failed and with what answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep history production
  lockstep history production --limit 100 --output json
  lockstep history staging --removed      what was done to one that is no longer there")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// At most so many lines, the newest first
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Of an environment that was removed from its target: its history stayed there
    #[arg(long)]
    removed: bool,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::AsItIs).await?;
    let environment = edges.environment(&args.environment)?;
    let found = lines(&edges, &environment, usize::from(args.limit), args.removed).await;
    edges.close().await;
    let Found { lines, unread, is_there, was_removed } = found?;
    if args.removed && is_there {
        output.note(&format!(
            "{environment} was not removed: this is what `lockstep history {environment}` shows, without --removed"
        ));
    }
    for name in &unread {
        output.note(&format!(
            "there is more from when it was called {name}, which this token may not read; `lockstep acl-policy {environment}` \
             prints the rule for it"
        ));
    }
    let lines = lines.iter().map(|(line, former)| Line::of(line, former.as_ref())).collect();
    let unread = unread.iter().map(ToString::to_string).collect();
    let (environment, now) = (environment.to_string(), edges.now());
    output.show(&History { version: VERSION, environment, lines, unread, was_removed, now })?;
    Ok(Exit::Ok)
}

/// What there is to show.
#[derive(Default)]
struct Found {
    /// Each with the former name that the environment had then.
    lines: Vec<(HistoryLine, Option<EnvironmentName>)>,
    /// Former names whose history the credential may not read.
    unread: BTreeSet<EnvironmentName>,
    /// There is a record.
    is_there: bool,
    /// There is none, and there was one.
    was_removed: bool,
}

/// The newest lines, of the environment that is there or, if so asked, of one that was removed.
async fn lines(edges: &Edges, environment: &EnvironmentName, at_most: usize, removed: bool) -> Result<Found, Failure> {
    let target = edges.target(environment)?;
    // Not `load`, which reads every key where there is no record.
    if removed && !matches!(target.former(environment).await, Ok(Some(_))) {
        let lines = target.history(at_most).await?.into_iter().map(|line| (line, None)).collect();
        return Ok(Found { lines, ..Found::default() });
    }
    let Some(Stored { record, .. }) = edges.record(environment, &target).await? else {
        let was_removed = target.history(1).await.is_ok_and(|lines| !lines.is_empty());
        return Ok(Found { was_removed, ..Found::default() });
    };
    let then = |line: &HistoryLine| record.formerly_at(line.generation).cloned();
    let (lines, unread) = under_every_name(edges, environment, &target, &record, at_most).await?;
    let lines = lines.into_iter().map(|line| (line.clone(), then(&line))).collect();
    Ok(Found { lines, unread, is_there: true, was_removed: false })
}

/// The newest lines of an environment with this record, newest first, whatever it was called; and the former names whose history
/// the credential may not read.
pub(super) async fn under_every_name(
    edges: &Edges,
    environment: &EnvironmentName,
    target: &AnyTarget,
    record: &Rollout,
    at_most: usize,
) -> Result<(Vec<HistoryLine>, BTreeSet<EnvironmentName>), Failure> {
    let own = target.history(at_most).await?;
    // A directory has one history, and one row of numbers, whatever the environment is called.
    let AnyTarget::Consul(consul) = target else { return Ok((own, BTreeSet::new())) };
    let mut unread = BTreeSet::new();
    let mut ends = if record.former.is_empty() { Vec::new() } else { consul.ends().await? };
    let mut lines: BTreeMap<Generation, HistoryLine> = BTreeMap::new();
    // Each name may have had lines of the same numbers while it was another environment's.
    let mut take = |name: &EnvironmentName, found: Vec<HistoryLine>| {
        let of_it = found.into_iter().filter(|line| record.called_at(line.generation) == name);
        lines.extend(of_it.map(|line| (line.generation, line)));
    };
    take(environment, own);
    for former in &record.former {
        let AnyTarget::Consul(old) = edges.target_under(environment, former.name.clone())? else { continue };
        match old.readable_history(former.until, at_most).await? {
            Some(found) => {
                take(&former.name, found);
                ends.extend(old.ends().await?);
            }
            // What was done under this name is worth telling without.
            None => drop(unread.insert(former.name.clone())),
        }
    }
    // Lines that were opened under one name and closed under a later one are told as they ended.
    for (name, line) in ends {
        take(&name, vec![line]);
    }
    Ok((lines.into_values().rev().take(at_most).collect(), unread))
}

#[derive(Serialize)]
struct History {
    version: u32,
    environment: String,
    lines: Vec<Line>,
    /// Former names whose history the credential may not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<String>,
    #[serde(skip)]
    was_removed: bool,
    #[serde(skip)]
    now: Timestamp,
}

#[derive(Serialize)]
struct Line {
    generation: u32,
    /// The name that the environment had then.
    #[serde(skip_serializing_if = "Option::is_none")]
    formerly: Option<String>,
    intent: &'static str,
    revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    by: String,
    because: String,
    created: u32,
    updated: u32,
    adopted: u32,
    deleted: u32,
    released: u32,
    started: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<String>,
    #[serde(skip)]
    short: String,
    #[serde(skip)]
    at: Timestamp,
}

impl Line {
    fn of(line: &HistoryLine, former: Option<&EnvironmentName>) -> Self {
        let HistoryLine { generation, intent, revision, from, by, because, counts, started, closed } = line;
        let Counts { created, updated, adopted, deleted, released } = *counts;
        Self {
            generation: generation.number(),
            formerly: former.map(ToString::to_string),
            intent: intent.word(),
            revision: revision.to_string(),
            from: from.map(|from| from.to_string()),
            by: clean(by),
            because: clean(because),
            created,
            updated,
            adopted,
            deleted,
            released,
            started: moment(*started),
            ended: closed.as_ref().map(|closed| moment(closed.at)),
            outcome: closed.as_ref().map(|closed| closed.outcome.word()),
            evidence: closed.as_ref().map(|closed| clean(&closed.text)).filter(|text| !text.is_empty()),
            short: revision.short(),
            at: *started,
        }
    }
}

impl View for History {
    fn human(&self, page: &mut Page) {
        let name = &self.environment;
        if self.was_removed {
            page.line(format_args!("{name} was removed: `lockstep history {name} --removed` shows what was done to it"));
        } else if self.lines.is_empty() {
            page.line(format_args!("nothing was ever done to {name}"));
        }
        for line in &self.lines {
            let outcome = line.outcome.unwrap_or("under way");
            let style = match outcome {
                "proven" | "repaired" | "done" => Style::new().green(),
                "rolled-back" | "frozen" | "removed" => Style::new().red(),
                "under way" => Style::new().cyan(),
                _ => Style::new().yellow(),
            };
            let Line { generation, intent, short, by, because, created, updated, adopted, deleted, released, at, .. } = line;
            let written = [("+", created), ("~", updated), ("=", adopted), ("-", deleted), ("o", released)];
            let written: Vec<String> =
                written.iter().filter(|(_, count)| **count > 0).map(|(sign, count)| format!("{sign}{count}")).collect();
            let written = written.join(" ");
            let number = format!("{generation:>5}").style(Style::new().bold()).to_string();
            let formerly = line.formerly.as_ref().map_or_else(String::new, |name| format!("as {name}"));
            let parts = [format!("{intent:<8} {short}"), written, outcome.style(style).to_string(), formerly];
            let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            page.line(format_args!("{number}  {}", parts.join("  ")));
            let why = if because.is_empty() { String::new() } else { format!(": {because}") };
            page.line(format_args!("       {} by {by}{why}", when(*at, self.now)));
            if let Some(evidence) = line.evidence.as_ref().filter(|evidence| *evidence != because) {
                page.line(format_args!("       {}", evidence.style(Style::new().dimmed())));
            }
        }
    }
}
