//! `diff`: what one revision says of each environment that another does not.

use std::collections::BTreeSet;
use std::sync::Arc;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::edges::Edges;
use super::error::{Exit, Failure};
use super::key::{newest, open};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::text::{clean, count};
use super::value::{Value, difference};
use crate::domain::desired::{DesiredState, Entry, FileTree, Problem, affected, environment_names, heads, read_part};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::Revision;

/// Show what lies between two revisions for each environment
///
/// Keys, checks and rules, not files. A change of a layer shows in every environment that it reaches, and one that a later layer overrides shows in none. No
/// target is asked. Of the repository only what differs is read, and the files that can name the same keys: what is wrong
/// elsewhere in both is not looked for. Values tagged `!sensitive`, in either or at the branch head, are never shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep diff HEAD~1 HEAD                       what the newest commit means
  lockstep diff 1a2b3c4 HEAD --env production

Exits with 0 when the two say the same, 3 when they differ, 1 when one of them can't be read.")]
pub(super) struct Args {
    /// The commit that is gone from: an id, its first digits, HEAD~1
    #[arg(value_name = "A")]
    from: String,
    /// The commit that is gone to
    #[arg(value_name = "B")]
    to: String,
    /// Only this environment; may be given several times
    #[arg(long = "env", value_name = "ENV")]
    environments: Vec<String>,
    /// Show long values whole
    #[arg(long)]
    full: bool,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = open(options, output).await?;
    let (from, to) = (edges.resolve(&args.from).await?, edges.resolve(&args.to).await?);
    let heads = [edges.source.part(from, heads()).await?, edges.source.part(to, heads()).await?];
    let mut known = environment_names(&heads[0]);
    known.extend(environment_names(&heads[1]));
    if let Some(unknown) = args.environments.iter().find(|name| !known.iter().any(|known| known.as_str() == *name)) {
        let known: Vec<&str> = known.iter().map(EnvironmentName::as_str).collect();
        let failure = Failure::usage(format!("neither revision has an environment {unknown:?}"));
        return Err(failure.hint(format!("they have {}", known.join(", "))));
    }
    let is_wanted =
        |name: &EnvironmentName| args.environments.is_empty() || args.environments.iter().any(|wanted| wanted == name.as_str());
    known.retain(is_wanted);
    let environments = compare(&edges, from, to, &heads, &known).await?;
    let exit = environments.iter().fold(Exit::Ok, |exit, environment| exit.worst(environment.exit()));
    let (short_from, short_to) = (from.short(), to.short());
    output.show(&Diff {
        version: VERSION,
        from: from.to_string(),
        to: to.to_string(),
        environments,
        full: args.full,
        title: format!("{short_from} → {short_to}"),
    })?;
    Ok(exit)
}

/// What lies between two revisions for some environments, given what tells the layers of both. Read are only the files that
/// differ, and those that can name the same keys.
async fn compare(
    edges: &Edges,
    from: Revision,
    to: Revision,
    [from_heads, to_heads]: &[FileTree; 2],
    names: &BTreeSet<EnvironmentName>,
) -> Result<Vec<Environment>, Failure> {
    let changed = edges.source.changed(from, to).await?;
    let part = affected(from_heads, to_heads, to_heads, &changed);
    let before = edges.source.part(from, part.files.clone()).await?;
    let after = edges.source.part(to, part.files.clone()).await?;
    let load = async |newer: Revision| {
        let beside = edges.source.part(newer, heads()).await.ok()?;
        let part = affected(from_heads, to_heads, &beside, &changed);
        let tree = edges.source.part(newer, part.files.clone()).await.ok()?;
        Some((newer, part, tree))
    };
    let head = match edges.head() {
        Ok(head) if head != from && head != to => load(head).await,
        Ok(_) | Err(_) => None,
    };
    let mut environments = Vec::new();
    for name in names {
        if !part.environments().any(|reached| reached == name) {
            environments.push(Environment { name: name.to_string(), ..Environment::default() });
            continue;
        }
        let (before, after) = (read_part(&before, name, &part), read_part(&after, name, &part));
        // What the branch head tags `!sensitive` is hidden in earlier revisions too.
        let says = async |newer: Revision| match &head {
            // What the two themselves say counts anyway.
            _ if newer == to => after.is_ok().then_some(None),
            _ if newer == from => before.is_ok().then_some(None),
            Some((head, part, tree)) if *head == newer => read_part(tree, name, part).ok(),
            Some(_) | None => load(newer).await.and_then(|(_, part, tree)| read_part(&tree, name, &part).ok()),
        };
        let newest = newest(edges, says).await.flatten();
        environments.push(Environment::between(name, before, after, newest.as_deref()));
    }
    Ok(environments)
}

#[derive(Serialize)]
struct Diff {
    version: u32,
    from: String,
    to: String,
    environments: Vec<Environment>,
    #[serde(skip)]
    full: bool,
    #[serde(skip)]
    title: String,
}

/// What a revision says of an environment.
type Read = Result<Option<Arc<DesiredState>>, Vec<Problem>>;

/// What lies between the two for one environment.
#[derive(Default, Serialize)]
struct Environment {
    #[serde(rename = "environment")]
    name: String,
    /// It comes or goes as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<Whole>,
    keys: Vec<Key>,
    checks: Vec<CheckChange>,
    /// The environment's rules or variables differ.
    rules: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Whole {
    Added,
    Removed,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Added,
    Changed,
    Removed,
}

#[derive(Serialize)]
struct Key {
    #[serde(rename = "key")]
    name: String,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
    /// Where the new value stands, or stood.
    place: String,
}

#[derive(Serialize)]
struct CheckChange {
    check: String,
    action: Action,
}

impl Environment {
    fn between(name: &EnvironmentName, before: Read, after: Read, newest: Option<&DesiredState>) -> Self {
        let nothing = Self { name: name.to_string(), ..Self::default() };
        let (before, after) = match (before, after) {
            (Ok(before), Ok(after)) => (before, after),
            (Err(problems), _) | (_, Err(problems)) => {
                let problems = problems.iter().map(|problem| clean(&problem.to_string())).collect();
                return Self { problems, ..nothing };
            }
        };
        let (before, after) = (before.as_deref(), after.as_deref());
        let whole = match (before, after) {
            (None, Some(_)) => Some(Whole::Added),
            (Some(_), None) => Some(Whole::Removed),
            (Some(_), Some(_)) | (None, None) => None,
        };
        let rules = before.zip(after).is_some_and(|(before, after)| before.environment() != after.environment());
        Self { whole, keys: keys(before, after, newest), checks: checks(before, after), rules, ..nothing }
    }

    fn is_same(&self) -> bool {
        let Self { name: _, whole, keys, checks, rules, problems } = self;
        whole.is_none() && keys.is_empty() && checks.is_empty() && !rules && problems.is_empty()
    }

    fn exit(&self) -> Exit {
        match (self.problems.is_empty(), self.is_same()) {
            (false, _) => Exit::Failed,
            (true, false) => Exit::Differences,
            (true, true) => Exit::Ok,
        }
    }
}

fn action<T: PartialEq>(before: Option<&T>, after: Option<&T>) -> Option<Action> {
    match (before, after) {
        (None, Some(_)) => Some(Action::Added),
        (Some(_), None) => Some(Action::Removed),
        (Some(before), Some(after)) if before != after => Some(Action::Changed),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn keys(before: Option<&DesiredState>, after: Option<&DesiredState>, newest: Option<&DesiredState>) -> Vec<Key> {
    let of = |state: Option<&'_ DesiredState>| state.map(DesiredState::entries).cloned().unwrap_or_default();
    let (before, after) = (of(before), of(after));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let change = |key: &KeyPath| {
        let (old, new): (Option<&Entry>, Option<&Entry>) = (before.get(key), after.get(key));
        // Where a value stands is no part of what it is; what becomes of the key when it is dropped is.
        let said = |entry: &Entry| (entry.digest, entry.keep, entry.sensitive);
        let action = action(old.map(said).as_ref(), new.map(said).as_ref())?;
        let newest = newest.and_then(|newest| newest.entries().get(key));
        let sensitive = [old, new, newest].into_iter().flatten().any(|entry| entry.sensitive);
        let differs = old.map(|entry| entry.digest) != new.map(|entry| entry.digest);
        let shown = |entry: &Entry, changed| if sensitive { Value::hidden(changed) } else { Value::of(&entry.value) };
        let place = new.or(old).map(|entry| clean(&entry.origin.to_string())).unwrap_or_default();
        let (before, after) = (old.map(|entry| shown(entry, false)), new.map(|entry| shown(entry, differs && old.is_some())));
        Some(Key { name: key.to_string(), action, before, after, place })
    };
    names.into_iter().filter_map(change).collect()
}

fn checks(before: Option<&DesiredState>, after: Option<&DesiredState>) -> Vec<CheckChange> {
    let of = |state: Option<&'_ DesiredState>| state.map(DesiredState::checks).cloned().unwrap_or_default();
    let (before, after) = (of(before), of(after));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let change = |name| Some(CheckChange { check: format!("{name}"), action: action(before.get(name), after.get(name))? });
    names.into_iter().filter_map(change).collect()
}

impl View for Diff {
    fn human(&self, page: &mut Page) {
        page.line(&self.title);
        for environment in &self.environments {
            environment.human(self.full, page);
        }
    }
}

impl Environment {
    fn human(&self, full: bool, page: &mut Page) {
        let name = self.name.style(Style::new().bold());
        let what = match self.whole {
            Some(Whole::Added) => format!("a new environment, {}", count(self.keys.len(), "key")),
            Some(Whole::Removed) => "no longer there: it is retired, and nothing is deleted".to_owned(),
            None if !self.problems.is_empty() => format!("{}", "can't be read".style(Style::new().red())),
            None if self.is_same() => "the same".to_owned(),
            None if self.keys.is_empty() => "the same keys".to_owned(),
            None if self.keys.len() == 1 => "1 key differs".to_owned(),
            None => format!("{} differ", count(self.keys.len(), "key")),
        };
        page.line(format_args!("{name}: {what}"));
        for problem in &self.problems {
            page.line(format_args!("  {problem}"));
        }
        for Key { name, action, before, after, place } in &self.keys {
            let (sign, style) = action.sign();
            let place = format!("({place})");
            page.line(format_args!("  {} {}", format!("{sign} {name}").style(style), place.style(Style::new().dimmed())));
            difference(before.as_ref(), after.as_ref(), full, page);
        }
        for CheckChange { check, action } in &self.checks {
            let (sign, style) = action.sign();
            page.line(format_args!("  {}", format!("{sign} check {check}").style(style)));
        }
        if self.rules {
            page.line("  ~ the rules of environment.yaml differ");
        }
    }
}

impl Action {
    const fn sign(self) -> (&'static str, Style) {
        match self {
            Self::Added => ("+", Style::new().green()),
            Self::Changed => ("~", Style::new().yellow()),
            Self::Removed => ("-", Style::new().red()),
        }
    }
}
