//! One key of some environments at one revision: what `why`, `kv` and `render` have in common.

use std::collections::BTreeSet;

use super::edges::{AnyTarget, Edges, Freshness};
use super::error::Failure;
use super::options::Options;
use super::output::Output;
use super::value::Value;
use crate::client::git::{TrailEnd, Wanted};
use crate::domain::desired::{Entry, FileTree, environment_file, files_of, provenance};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::HistoryLine;
use crate::port::{EdgeError, Target as _};

/// More history than an environment has: the newest lines, and one for each generation that a live key carries (rule A5).
const HISTORY: usize = 100_000;
/// So many commits are looked at for the newest one that can be read.
const LOOK_BACK: usize = 20;
/// So many commits at which something changed are looked at at a time for the newest one that can be read.
const STEPS: usize = 8;

/// A key, and where it is looked for.
#[derive(Debug, clap::Args)]
pub(super) struct KeyArgs {
    /// The key, as Consul has it: config/app/port
    #[arg(value_name = "KEY")]
    key: String,
    /// The environment; may be given several times [default: every environment of the configuration]
    #[arg(long = "env", value_name = "ENV")]
    environments: Vec<String>,
}

impl KeyArgs {
    /// The key itself.
    pub(super) fn key(&self) -> Result<KeyPath, Failure> {
        KeyPath::parse(&self.key).map_err(|error| Failure::usage(format!("{:?} names no key", self.key)).because(&error))
    }

    /// The environments that are meant.
    pub(super) fn environments(&self, edges: &Edges) -> Result<Vec<EnvironmentName>, Failure> {
        edges.environments(&self.environments)
    }
}

/// The edges, with the branch as it is now; a note says when it may not be.
pub(super) async fn open(options: &Options, output: &Output) -> Result<Edges, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    if let Some(trouble) = &edges.behind {
        output.note(&format!("the mirror may be behind: {trouble}"));
    }
    Ok(edges)
}

/// The commit that a person named, or the branch head.
pub(super) async fn revision(edges: &Edges, at: Option<&String>) -> Result<Revision, Failure> {
    match at {
        Some(text) => edges.resolve(text).await,
        None => edges.head(),
    }
}

/// The files that can say anything of a key.
pub(super) fn wanted(environment: &EnvironmentName, key: &KeyPath) -> Wanted {
    let (environment, key) = (environment.clone(), key.clone());
    let first = environment_file(&environment);
    Wanted { first, then: Box::new(move |file| files_of(&environment, file, &key)) }
}

/// An entry's value, as far as it may be shown.
pub(super) fn shown(entry: &Entry, sensitive: bool) -> Value {
    if sensitive || entry.sensitive { Value::hidden(false) } else { Value::of(&entry.value) }
}

/// Whether the branch head tags the key `!sensitive`: then no earlier commit shows it either, since a value is often tagged
/// only after somebody noticed that it should be. Where the head can't be read or has the key no more, the newest commit
/// decides that can be and has.
pub(super) async fn hidden_by_newest(edges: &Edges, environment: &EnvironmentName, key: &KeyPath) -> Result<bool, Failure> {
    let Ok(mut from) = edges.head() else { return Ok(false) };
    let tagged = |tree: &FileTree| {
        let says = provenance(tree, environment, key).ok().flatten();
        says.filter(|says| !says.said.is_empty()).map(|says| says.sensitive)
    };
    if let Some(tagged) = tagged(&edges.source.pick(from, wanted(environment, key)).await?) {
        return Ok(tagged);
    }
    loop {
        let trail = edges.source.trail(from, wanted(environment, key), BTreeSet::new(), STEPS).await?;
        if let Some(tagged) = trail.steps.iter().find_map(|step| tagged(&step.tree)) {
            return Ok(tagged);
        }
        match trail.end {
            TrailEnd::More(next) => from = next,
            TrailEnd::Root => return Ok(false),
        }
    }
}

/// What the newest commit of the branch says that can be read: the head, or one of the last few before it.
pub(super) async fn newest<T>(edges: &Edges, says: impl AsyncFn(Revision) -> Option<T>) -> Option<T> {
    let mut at = edges.head().ok()?;
    for _ in 0..LOOK_BACK {
        if let Some(said) = says(at).await {
            return Some(said);
        }
        at = edges.source.resolve(&format!("{at}~1")).await.ok()?;
    }
    None
}

/// The commit that a text names, directly or by a generation of the environment. A number of up to three digits is a
/// generation; a longer one is one if history has it, since it could begin a commit's id as well.
pub(super) async fn named(
    edges: &Edges,
    environment: &EnvironmentName,
    text: &str,
) -> Result<(Revision, Option<Generation>), Failure> {
    let Some(generation) = text.parse().ok().and_then(Generation::new) else { return Ok((edges.resolve(text).await?, None)) };
    let target = edges.target(environment)?;
    let newest = target.load().await?.map(|stored| stored.record.generation);
    let lines = if newest.is_some() { target.history(HISTORY).await? } else { Vec::new() };
    if let Some(line) = lines.iter().find(|line| line.generation == generation) {
        return Ok((line.revision, Some(generation)));
    }
    let unknown = unknown_generation(environment, generation, newest);
    if text.len() < 4 {
        return Err(unknown);
    }
    let is_past = newest.is_some_and(|newest| generation <= newest);
    edges.resolve(text).await.map(|revision| (revision, None)).map_err(|no_commit| if is_past { unknown } else { no_commit })
}

/// Why nobody can say what a generation was.
pub(super) fn unknown_generation(environment: &EnvironmentName, asked: Generation, newest: Option<Generation>) -> Failure {
    let lists = format!("`lockstep history {environment}` lists them");
    match newest {
        None => Failure::usage(format!("{environment} has no generation {asked}: nothing was ever applied to it")),
        Some(newest) if asked > newest => {
            Failure::usage(format!("{environment} has no generation {asked} yet: the newest is {newest}")).hint(lists)
        }
        Some(_) => {
            Failure::usage(format!("the history of {environment} does not have generation {asked} any more")).hint(format!(
                "it keeps the newest thousand, and those that a live key carries; `lockstep kv log` has every commit, {lists}"
            ))
        }
    }
}

/// Why the files of a generation's commit can't be read.
pub(super) fn lost(environment: &EnvironmentName, generation: Generation, revision: Revision) -> Failure {
    let short = revision.short();
    Failure::new(format!("generation {generation} of {environment} was of {short}, which the mirror does not have"))
        .hint("the branch was rewritten since; somebody's clone may still have that commit")
}

/// What was done to an environment, newest first; nothing where it has no record yet.
pub(super) async fn history(target: &AnyTarget) -> Result<Vec<HistoryLine>, EdgeError> {
    match target.load().await? {
        None => Ok(Vec::new()),
        Some(_) => target.history(HISTORY).await,
    }
}
