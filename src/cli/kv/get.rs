//! `kv get`: one key as it is live, or as some revision or generation has it.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cli::edges::Edges;
use crate::cli::error::{Exit, Failure};
use crate::cli::hiding::{Shown, is_hidden};
use crate::cli::key::{KeyArgs, Named, named, open, outside};
use crate::cli::options::Options;
use crate::cli::output::{Output, Page, VERSION, View};
use crate::cli::text::clean;
use crate::cli::trace::wanted;
use crate::cli::value::{Value, print};
use crate::domain::desired::provenance;
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::{Generation, Revision};
use crate::domain::words::shell_word;
use crate::port::Target as _;

/// Print a key's value: as it is live, or as a revision or a generation has it
///
/// The value is printed byte for byte, with nothing added; on a terminal with a line end, and without what a terminal would obey:
/// a value that is no text is shown by size and digest there. What is tagged `!sensitive`, at that commit, at the branch head, or
/// when the key was last on the branch, is never printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep kv get config/app/port --env production
  lockstep kv get config/app/port --env production --at HEAD~3    as a commit has it
  lockstep kv get config/app/port --env production --at 12        as generation 12 had it
  lockstep kv get config/app/keytab --env production > keytab     bytes are written as they are

Exits with 1 when there is no such key, and with 2 when it lies outside the environment's roots (`keys:` of the configuration) and no
commit is asked for that has it: what is there is somebody else's.")]
pub(super) struct Args {
    #[command(flatten)]
    key: KeyArgs,
    /// A commit (an id, its first digits, HEAD~1) or the number of a generation, as `history` lists them; that of a decision
    /// stands for what was live then
    #[arg(long, value_name = "REV|GENERATION")]
    at: Option<String>,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let key = args.key.key()?;
    let edges = open(options, output).await?;
    let found = match args.key.environments(&edges)?.as_slice() {
        [environment] => one(&edges, environment, &key, args.at.as_deref()).await,
        several => {
            let names: Vec<&str> = several.iter().map(EnvironmentName::as_str).collect();
            Err(Failure::usage("a key has a value in each environment")
                .hint(format!("say which: --env {}", names.join(", --env "))))
        }
    };
    edges.close().await;
    let found = found?;
    if let Some(note) = &found.note {
        output.note(note);
    }
    if output.is_human() {
        print(&found.bytes, output)?;
    } else {
        output.show(&found)?;
    }
    Ok(Exit::Ok)
}

async fn one(edges: &Edges, environment: &EnvironmentName, key: &KeyPath, at: Option<&str>) -> Result<Found, Failure> {
    match at {
        None => live(edges, environment, key).await,
        Some(text) => {
            let asked = named(edges, std::slice::from_ref(environment), text).await?;
            let found = then(edges, environment, key, &asked).await?;
            let Named { generation, decision, note, .. } = asked;
            let [generation, decision] = [generation, decision].map(|number| number.map(Generation::number));
            Ok(Found { generation, decision, note, ..found })
        }
    }
}

/// What the commit says that a person named, or that a generation was of.
async fn then(edges: &Edges, environment: &EnvironmentName, key: &KeyPath, asked: &Named) -> Result<Found, Failure> {
    let at = asked.revision;
    let (name, tree) = asked.picked(edges, environment, key).await.map_err(|error| asked.unread(environment, error))?;
    let said = provenance(&tree, &name, key)
        .map_err(|problems| Failure { problems, ..Failure::new(format!("{} can't be read for {environment}", at.short())) })?;
    let Some(said) = said else { return Err(Failure::new(format!("{} has no environment {environment}", at.short()))) };
    let Some(entry) = said.entry else {
        within_roots(edges, environment, key)?;
        let hint = format!("`lockstep kv log {key} --env {environment}` tells which commits had it");
        return Err(Failure::new(format!("{environment} has no {key} at {}", at.short())).hint(hint));
    };
    if said.sensitive {
        return Err(hidden(key, &clean(&entry.origin.to_string())));
    }
    if is_hidden(edges, environment, key, Shown::At(&[at])).await? {
        return Err(hidden(key, "at a newer commit"));
    }
    let (file, line) = (entry.origin.file.to_string(), entry.origin.line);
    let found = Found::of(environment, key, entry.value.to_vec());
    Ok(Found { revision: Some(at.to_string()), file: Some(file), line: Some(line), ..found })
}

/// What the target has. Whether that may be shown is what the revisions say that the environment reached.
async fn live(edges: &Edges, environment: &EnvironmentName, key: &KeyPath) -> Result<Found, Failure> {
    within_roots(edges, environment, key)?;
    let target = edges.target(environment)?;
    let Some(record) = edges.record(environment, &target).await?.map(|stored| stored.record) else {
        let hint = format!("`lockstep why {key} --env {environment}` tells what the repository says of it");
        return Err(Failure::new(format!("nothing was ever applied to {environment}")).hint(hint));
    };
    let written: Vec<Revision> =
        [&record.goal, &record.complete].into_iter().flatten().map(|reached| reached.revision).collect();
    let reached = [&record.goal, &record.complete, &record.last_good].into_iter().flatten().chain(&record.attempted);
    let mut revisions: Vec<Revision> = reached.map(|reached| reached.revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    // Whatever it was called there: another environment of one of its names only hides more.
    let names: BTreeSet<&EnvironmentName> = record.former.iter().map(|former| &former.name).chain([environment]).collect();
    for (revision, name) in revisions.into_iter().flat_map(|revision| names.iter().map(move |name| (revision, *name))) {
        let tree = match edges.source.pick(revision, wanted(name, key)).await {
            Ok(tree) => tree,
            Err(error) if written.contains(&revision) => {
                let message = format!("whether {key} may be shown is not known without {}, which is live", revision.short());
                return Err(Failure::new(message).because(&error));
            }
            Err(_) => continue,
        };
        if let Ok(Some(said)) = provenance(&tree, name, key)
            && said.sensitive
        {
            return Err(hidden(key, &revision.short()));
        }
    }
    // A directory target refuses to read a folder as a value.
    let found = target.values(std::slice::from_ref(key)).await.map(|mut values| values.remove(key));
    if !matches!(found, Ok(Some(_))) {
        let below = format!("{key}/");
        let is_folder = target.live().await.is_ok_and(|live| live.entries.keys().any(|key| key.as_str().starts_with(&below)));
        if is_folder {
            return Err(folder(environment, key));
        }
    }
    let Some(value) = found? else {
        let hint = format!("`lockstep why {key} --env {environment}` tells what the repository says of it");
        return Err(Failure::new(format!("{environment} has no {key} live")).hint(hint));
    };
    if is_hidden(edges, environment, key, Shown::Live).await? {
        return Err(hidden(key, "at the branch head, or when it was last there"));
    }
    Ok(Found::of(environment, key, value))
}

/// Refuses a key that the environment can't have: what is there is somebody else's, and none of what lockstep shows.
fn within_roots(edges: &Edges, environment: &EnvironmentName, key: &KeyPath) -> Result<(), Failure> {
    let roots = edges.fit(environment)?.roots;
    let below = format!("{key}/");
    match key.as_str() {
        key if roots.contains(key) => Ok(()),
        _ if roots.prefixes().iter().any(|root| root.starts_with(&below)) => Err(folder(environment, key)),
        outer => Err(outside(outer, environment, &roots)),
    }
}

fn folder(environment: &EnvironmentName, key: &KeyPath) -> Failure {
    let hint = format!("`lockstep kv list {environment} {}` lists the keys below it", shell_word(&format!("{key}/")));
    Failure::new(format!("{key} is a folder in {environment} and no key")).hint(hint)
}

fn hidden(key: &KeyPath, by: &str) -> Failure {
    Failure::new(format!("{key} is tagged !sensitive and is never printed ({by})"))
        .hint("read it from the target itself, with rights of your own")
}

#[derive(Serialize)]
struct Found {
    version: u32,
    environment: String,
    key: String,
    value: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    /// The generation that was asked for, where that was a decision and brought nothing live.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip)]
    note: Option<String>,
    #[serde(skip)]
    bytes: Vec<u8>,
}

impl Found {
    fn of(environment: &EnvironmentName, key: &KeyPath, bytes: Vec<u8>) -> Self {
        Self {
            version: VERSION,
            environment: environment.to_string(),
            key: key.to_string(),
            value: Value::of(&bytes),
            generation: None,
            decision: None,
            revision: None,
            file: None,
            line: None,
            note: None,
            bytes,
        }
    }
}

impl View for Found {
    /// People get the bytes themselves.
    fn human(&self, _: &mut Page) {}
}
