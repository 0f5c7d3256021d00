//! One key of some environments at one revision: what `why`, `kv` and `render` have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::edges::{AnyTarget, Edges, Freshness};
use super::error::{Exit, Failure};
use super::history::under_every_name;
use super::options::Options;
use super::output::Output;
use super::text::clean;
use super::trace::{called, wanted};
use super::value::Value;
use crate::domain::desired::{DesiredState, Entry, FileTree, Problem, heads, read_environment, whole_environment};
use crate::domain::name::{EnvironmentName, KeyPath, KeyRoots};
use crate::domain::plan::Intent;
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{HistoryLine, Rollout, Stored};
use crate::domain::scope::KeyPrefix;
use crate::domain::words::shell_word;
use crate::port::{EdgeError, EdgeKind};

/// More history than an environment has: the newest lines, and one for each generation that a live key carries (rule A5).
const HISTORY: usize = 100_000;
/// A number of fewer digits begins no commit's id.
pub(super) const SHORTEST_ID: usize = 4;

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
        KeyPath::parse(&self.key).map_err(|error| {
            let folder = self.key.strip_suffix('/').is_some_and(|folder| KeyPath::parse(folder).is_ok());
            let hint = if folder {
                format!("that is a folder: `lockstep kv list ENV {}` lists the keys below it", shell_word(&self.key))
            } else {
                "write the key as Consul has it, without a '/' before it or behind: config/app/port".to_owned()
            };
            Failure::usage(error.to_string()).hint(hint)
        })
    }

    /// The environments that are meant.
    pub(super) fn environments(&self, edges: &Edges) -> Result<Vec<EnvironmentName>, Failure> {
        edges.environments(&self.environments)
    }
}

/// What the keys of a list begin with; every key begins with what nobody says.
pub(super) fn beginning(prefix: Option<&String>) -> Result<&str, Failure> {
    let Some(text) = prefix else { return Ok("") };
    // A key may have white space inside a segment, where a prefix may end.
    let begins_one = |text: &str| text.ends_with(' ') && KeyPath::parse(&format!("{text}x")).is_ok();
    match KeyPath::parse(text.strip_suffix('/').unwrap_or(text)) {
        Err(_) if begins_one(text) => Ok(text),
        Err(error) => Err(Failure::usage(format!("no key begins so: {error}"))
            .hint("write what the keys begin with as Consul has it, such as config/app/, or leave it out to list every key")),
        Ok(_) => Ok(text),
    }
}

/// Refuses what no key of the environment can begin with.
pub(super) fn within(prefix: &str, environment: &EnvironmentName, roots: &KeyRoots) -> Result<(), Failure> {
    if roots.contains(prefix) || roots.prefixes().iter().any(|root| root.starts_with(prefix)) {
        return Ok(());
    }
    Err(outside(prefix, environment, roots))
}

/// What is said of a prefix that leads to no key of the environment.
pub(super) fn outside(prefix: &str, environment: &EnvironmentName, roots: &KeyRoots) -> Failure {
    Failure::usage(format!("{prefix} lies outside the roots of {environment}"))
        .hint(format!("its roots are {}", roots.prefixes().join(", ")))
}

/// What is meant by keys and prefixes that a person names.
pub(super) fn prefixes(texts: &[String]) -> Result<Vec<KeyPrefix>, Failure> {
    let parse = |text: &String| {
        KeyPrefix::parse(text).map_err(|error| {
            Failure::usage(error.to_string()).hint("name a key, or a prefix that ends with '/', such as config/app/")
        })
    };
    texts.iter().map(parse).collect()
}

/// The edges, with the branch as it is now; a note says when it may not be.
pub(super) async fn open(options: &Options, output: &Output) -> Result<Edges, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    if let Some(trouble) = &edges.behind {
        output.note(&format!("the mirror may be behind: {trouble}"));
    }
    Ok(edges)
}

/// What a revision says of an environment; of the repository only its layers are read.
pub(super) async fn read(
    edges: &Edges,
    environment: &EnvironmentName,
    at: Revision,
) -> Result<Result<Option<Arc<DesiredState>>, Vec<Problem>>, EdgeError> {
    let heads = edges.source.part(at, heads()).await?;
    let tree = edges.source.part(at, whole_environment(&heads, environment)).await?;
    Ok(read_environment(&tree, environment))
}

/// An entry's value, as far as it may be shown.
pub(super) fn shown(entry: &Entry, sensitive: bool) -> Value {
    if sensitive || entry.sensitive { Value::hidden(false) } else { Value::of(&entry.value) }
}

/// A commit that a person named.
pub(super) struct Named {
    /// The commit.
    pub(super) revision: Revision,
    /// The generation that was of it, where a generation was named.
    pub(super) generation: Option<Generation>,
    /// The generation that was named, where that was somebody's decision and no deployment.
    pub(super) decision: Option<Generation>,
    /// What whoever named it should know.
    pub(super) note: Option<String>,
    /// What the environment was called when it was taken there, where a generation tells.
    pub(super) called: Option<EnvironmentName>,
}

impl Named {
    /// What the environment was called there: by that name a commit may have another one as well.
    ///
    /// # Errors
    /// As [`called`].
    pub(super) async fn called(&self, edges: &Edges, environment: &EnvironmentName) -> Result<EnvironmentName, EdgeError> {
        match &self.called {
            Some(name) => Ok(name.clone()),
            None => called(edges, environment, self.revision).await,
        }
    }

    /// The files of it that can say anything of a key, and the name that the environment had there.
    ///
    /// # Errors
    /// As [`called`].
    pub(super) async fn picked(
        &self,
        edges: &Edges,
        environment: &EnvironmentName,
        key: &KeyPath,
    ) -> Result<(EnvironmentName, FileTree), EdgeError> {
        let name = self.called(edges, environment).await?;
        let tree = edges.source.pick(self.revision, wanted(&name, key)).await?;
        Ok((name, tree))
    }

    /// Why its files can't be read.
    pub(super) fn unread(&self, environment: &EnvironmentName, error: EdgeError) -> Failure {
        match self.generation {
            Some(generation) if error.kind == EdgeKind::NotFound => lost(environment, generation, self.revision),
            _ => error.into(),
        }
    }

    /// How a title names it.
    pub(super) fn title(&self) -> String {
        let short = self.revision.short();
        self.generation.map_or_else(|| short.clone(), |generation| format!("{short} (generation {generation})"))
    }

    /// A commit, and nothing that is known of it.
    pub(super) const fn commit(revision: Revision) -> Self {
        Self { revision, generation: None, decision: None, note: None, called: None }
    }
}

/// The commit that a text names for these environments, directly or by a generation, or else the branch head.
pub(super) async fn at(edges: &Edges, environments: &[EnvironmentName], text: Option<&String>) -> Result<Named, Failure> {
    match text {
        Some(text) => named(edges, environments, text).await,
        None => Ok(Named::commit(edges.head_or("--at")?)),
    }
}

/// The commit that a text names, directly or by a generation, which is one environment's.
pub(super) async fn named(edges: &Edges, environments: &[EnvironmentName], text: &str) -> Result<Named, Failure> {
    let number = text.parse().ok().and_then(Generation::new);
    match (environments, number) {
        (_, None) => Ok(Named::commit(edges.resolve(text).await?)),
        ([environment], Some(generation)) => numbered(edges, environment, text, generation).await,
        (_, Some(_)) => {
            let names = edges.environments(&[])?;
            let names: Vec<&str> = names.iter().map(EnvironmentName::as_str).collect();
            let which = format!("say which: --env {}", names.join(", --env "));
            let is = "is the number of a generation, and each environment has its own";
            if text.len() < SHORTEST_ID {
                return Err(Failure::usage(format!("{text} {is}")).hint(which));
            }
            edges.resolve(text).await.map(Named::commit).map_err(|none| match none.exit {
                Exit::Usage => none.hint(format!("if {text} {is}, {which}")),
                Exit::Ok | Exit::Failed | Exit::Differences | Exit::Unreachable => none,
            })
        }
    }
}

/// The commit that a number names, as a generation or as the first digits of an id. A number of up to three digits is a
/// generation; a longer one is one if history has it, since it could begin a commit's id as well. A decision has a generation
/// and brought nothing live: it names what was live then.
async fn numbered(edges: &Edges, environment: &EnvironmentName, text: &str, generation: Generation) -> Result<Named, Failure> {
    let target = edges.target(environment)?;
    let (record, lines) = history(edges, environment, &target).await?;
    let newest = record.as_ref().map(|record| record.generation);
    if let Some(at) = lines.iter().position(|line| line.generation == generation) {
        let named = live_with(environment, &lines[at], &lines[at + 1..])?;
        let called = record.and_then(|record| names_when_reached(&record, &lines[at..]).remove(&named.revision));
        return Ok(Named { called, ..named });
    }
    let unknown = unknown_generation(environment, generation, newest);
    if text.len() < SHORTEST_ID {
        return Err(unknown);
    }
    let is_past = newest.is_some_and(|newest| generation <= newest);
    edges.resolve(text).await.map(Named::commit).map_err(|no_commit| if is_past { unknown } else { no_commit })
}

/// What the environment was called when it last advanced to each revision: to put that right or to go back to it takes a number of
/// its own, and maybe under another name. The lines are newest first.
pub(super) fn names_when_reached(record: &Rollout, lines: &[HistoryLine]) -> BTreeMap<Revision, EnvironmentName> {
    let oldest_first = lines.iter().rev().filter(|line| line.intent == Intent::Advance);
    oldest_first.map(|line| (line.revision, record.called_at(line.generation).clone())).collect()
}

/// What was live with a line of history, given those before it, newest first.
fn live_with(environment: &EnvironmentName, asked: &HistoryLine, before: &[HistoryLine]) -> Result<Named, Failure> {
    let number = asked.generation;
    if asked.is_deployment() {
        return Ok(Named { generation: Some(number), ..Named::commit(asked.revision) });
    }
    let hint = format!("`lockstep history {environment}` lists the deployments: take the number of one");
    if asked.intent == Intent::Remove {
        let is = format!("generation {number} of {environment} is its removal: nothing of it was live from then on");
        return Err(Failure::usage(is).hint(hint));
    }
    let what = asked.intent.word();
    let is = format!("generation {number} of {environment} is a decision and no deployment ({what} by {})", clean(&asked.by));
    // A number that history forgot may have been a deployment.
    let numbers = (1..number.number()).rev();
    let known = || before.iter().zip(numbers.clone()).take_while(|(line, number)| line.generation.number() == *number);
    match known().map(|(line, _)| line).find(|line| line.is_deployment() || line.intent == Intent::Remove) {
        Some(line) if line.is_deployment() => {
            let note = format!("{is}: live then was generation {}, of {}", line.generation, line.revision.short());
            let (generation, decision) = (Some(line.generation), Some(number));
            Ok(Named { generation, decision, note: Some(note), ..Named::commit(line.revision) })
        }
        None if known().count() < numbers.len() => {
            Err(Failure::usage(format!("{is}: history does not have what was live then any more")).hint(hint))
        }
        Some(_) | None => Err(Failure::usage(format!("{is}: nothing was live then")).hint(hint)),
    }
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
fn lost(environment: &EnvironmentName, generation: Generation, revision: Revision) -> Failure {
    let short = revision.short();
    Failure::new(format!("generation {generation} of {environment} was of {short}, which the mirror does not have"))
        .hint("the branch was rewritten since; somebody's clone may still have that commit")
}

/// The record of an environment, and what was done to it, newest first, whatever it was called; nothing where it has no record yet.
pub(super) async fn history(
    edges: &Edges,
    environment: &EnvironmentName,
    target: &AnyTarget,
) -> Result<(Option<Rollout>, Vec<HistoryLine>), Failure> {
    let Some(Stored { record, .. }) = edges.record(environment, target).await? else { return Ok((None, Vec::new())) };
    let (lines, unread) = under_every_name(edges, environment, target, &record, HISTORY).await?;
    for name in &unread {
        tracing::warn!(former = %name, "the history under a former name can't be read with this token");
    }
    Ok((Some(record), lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{Act, Counts};
    use crate::domain::time::Timestamp;

    /// Lines of history by their numbers and intents, newest first; the first is asked for.
    #[track_caller]
    fn check(lines: &[(u32, Intent)], expected: Result<u32, &str>) {
        let line = |(number, intent): &(u32, Intent)| HistoryLine {
            generation: Generation::new(*number).unwrap(),
            intent: *intent,
            revision: Revision::from_bytes([u8::try_from(*number).unwrap(); 20]),
            from: None,
            by: "ann".to_owned(),
            because: String::new(),
            counts: Counts::default(),
            started: Timestamp::from_millis(0),
            closed: None,
        };
        let lines: Vec<HistoryLine> = lines.iter().map(line).collect();
        let name = EnvironmentName::parse("test").unwrap();
        match (live_with(&name, &lines[0], &lines[1..]), expected) {
            (Ok(named), Ok(number)) => {
                assert_eq!(named.generation.map(Generation::number), Some(number));
                assert_eq!(named.decision.is_some(), number != lines[0].generation.number());
                assert_eq!(named.note.is_some(), named.decision.is_some());
            }
            (Err(failure), Err(says)) => assert!(failure.message.contains(says), "{}", failure.message),
            (found, _) => panic!("{lines:?}: {:?}", found.map(|named| named.generation).map_err(|failure| failure.message)),
        }
    }

    #[test]
    fn a_decision_stands_for_the_deployment_before_it_where_that_is_known() {
        let (suspend, resume) = (Intent::Act(Act::Suspend), Intent::Act(Act::Resume));
        check(&[(2, Intent::RollBack), (1, Intent::Advance)], Ok(2));
        check(&[(3, resume), (2, suspend), (1, Intent::Advance)], Ok(1));
        check(&[(2, suspend), (1, resume)], Err("nothing was live then"));
        check(&[(1, suspend)], Err("nothing was live then"));
        check(&[(3, suspend), (2, Intent::Remove), (1, Intent::Advance)], Err("nothing was live then"));
        check(&[(2, Intent::Remove), (1, Intent::Advance)], Err("is its removal"));
        check(&[(4, suspend), (2, Intent::Advance)], Err("history does not have what was live then any more"));
        check(&[(4, suspend)], Err("history does not have what was live then any more"));
    }
}
