//! One key of some environments at one revision: what `why` and `kv` have in common.

use super::edges::{AnyTarget, Edges, Freshness};
use super::error::Failure;
use super::options::Options;
use super::output::Output;
use super::value::Value;
use crate::client::git::Wanted;
use crate::domain::desired::{Entry, environment_file, files_of, provenance};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::Revision;
use crate::domain::rollout::HistoryLine;
use crate::port::{EdgeError, Target as _};

/// As much history as an environment keeps for certain (rule A5).
const HISTORY: usize = 1000;

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
/// only after somebody noticed that it should be.
pub(super) async fn hidden_at_head(edges: &Edges, environment: &EnvironmentName, key: &KeyPath) -> bool {
    let Ok(head) = edges.head() else { return false };
    let Ok(tree) = edges.source.pick(head, wanted(environment, key)).await else { return false };
    provenance(&tree, environment, key).is_ok_and(|says| says.is_some_and(|says| says.sensitive))
}

/// What was done to an environment, newest first; nothing where it has no record yet.
pub(super) async fn history(target: &AnyTarget) -> Result<Vec<HistoryLine>, EdgeError> {
    match target.load().await? {
        None => Ok(Vec::new()),
        Some(_) => target.history(HISTORY).await,
    }
}
