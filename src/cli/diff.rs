//! `diff`: what one revision says of each environment that another does not.

use std::collections::BTreeSet;
use std::sync::Arc;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::edges::Edges;
use super::error::{Exit, Failure};
use super::hiding::{Shown, hidden};
use super::key::{Named, named, open, read};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::renames::{Pair, Side, pairs};
use super::text::{clean, count};
use super::value::{Value, difference};
use crate::domain::desired::{DesiredState, Entry, Problem, affected, read_part};
use crate::domain::environment::{self as domain, Policy};
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::Generation;

/// Show what lies between two revisions for each environment
///
/// Keys, checks and rules, not files. A change of a layer shows in every environment that it reaches, and one that a later layer
/// overrides shows in none. An environment that was renamed between the two (`formerly:`) is one that goes on. No target is asked,
/// unless a generation is named, or the branch does not have one of the two: what the environment is on may tag what that shows. Of the repository only
/// what differs is read, and the files that can name the same keys: what is wrong
/// elsewhere in both is not looked for. Values tagged `!sensitive`, in either, at the branch head, or when
/// the key was last on the branch, are never shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep diff HEAD~1 HEAD                       what the newest commit means
  lockstep diff 1a2b3c4 HEAD --env production
  lockstep diff 11 12 --env production            what generation 12 changed

Exits with 0 when the two say the same, 3 when they differ, 1 when one of them can't be read.")]
pub(super) struct Args {
    /// The commit that is gone from (an id, its first digits, HEAD~1), or, with one --env, the number of a generation of it
    #[arg(value_name = "A")]
    from: String,
    /// The commit or the generation that is gone to
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
    let (from_named, from) = side(&edges, args, &args.from, output).await?;
    let (to_named, to) = side(&edges, args, &args.to, output).await?;
    let mut pairs = pairs(&edges, &from, &to).await?;
    if let Some(pair) = called_then(&edges, args, [&from_named, &to_named], &pairs) {
        pairs = vec![pair];
    } else if let Some(unknown) = args.environments.iter().find(|name| !pairs.iter().any(|pair| pair.is(name))) {
        let known: BTreeSet<&EnvironmentName> = from.names.union(&to.names).collect();
        let known: Vec<&str> = known.into_iter().map(EnvironmentName::as_str).collect();
        let failure = Failure::usage(format!("neither revision has an environment {unknown:?}"));
        return Err(failure.hint(format!("they have {}", known.join(", "))));
    }
    pairs.retain(|pair| args.environments.is_empty() || args.environments.iter().any(|wanted| pair.is(wanted)));
    let environments = compare(&edges, &from, &to, &pairs).await?;
    let exit = environments.iter().fold(Exit::Ok, |exit, environment| exit.worst(environment.exit()));
    let [from_generation, to_generation] = [&from_named, &to_named].map(|named| named.generation.map(Generation::number));
    output.show(&Diff {
        version: VERSION,
        from: from.revision.to_string(),
        to: to.revision.to_string(),
        from_generation,
        to_generation,
        environments,
        full: args.full,
        title: format!("{} → {}", from_named.title(), to_named.title()),
    })?;
    Ok(exit)
}

/// The environment that was asked about, by the names that it had: a generation tells its own, whatever else has had it since.
/// None: no generation was named.
fn called_then(edges: &Edges, args: &Args, [from, to]: [&Named; 2], pairs: &[Pair]) -> Option<Pair> {
    let name = args.environments.first().and_then(|name| edges.environment(name).ok())?;
    if from.called.is_none() && to.called.is_none() {
        return None;
    }
    let said = pairs.iter().find(|pair| pair.is(name.as_str()));
    let before = from.called.clone().or_else(|| said?.before.clone());
    let after = to.called.clone().or_else(|| said?.after.clone());
    let formerly = [&before, &after].into_iter().flatten().find(|other| **other != name).cloned();
    Some(Pair { before, after, name, formerly })
}

/// One of the two commits. A generation is of the environment that was named.
async fn side(edges: &Edges, args: &Args, text: &str, output: &Output) -> Result<(Named, Side), Failure> {
    // The configuration may lack one that a commit has: that one has no generations.
    let known: Vec<EnvironmentName> = args.environments.iter().filter_map(|name| edges.environment(name).ok()).collect();
    let named = named(edges, &known, text).await?;
    if let Some(note) = &named.note {
        output.note(note);
    }
    let unread = |error| match known.first() {
        Some(name) => named.unread(name, error),
        None => error.into(),
    };
    let side = Side::of(edges, named.revision).await.map_err(unread)?;
    Ok((named, side))
}

/// What lies between two revisions for some environments. Of one that both call the same, only the files are read that differ,
/// and those that can name the same keys.
async fn compare(edges: &Edges, from: &Side, to: &Side, pairs: &[Pair]) -> Result<Vec<Environment>, Failure> {
    let changed = edges.source.changed(from.revision, to.revision).await?;
    let part = affected(from.heads(), to.heads(), &changed);
    let before = edges.source.part(from.revision, part.files.clone()).await?;
    let after = edges.source.part(to.revision, part.files.clone()).await?;
    let mut environments = Vec::new();
    for pair in pairs {
        let Pair { name, formerly, .. } = pair;
        let mut environment = if pair.before == pair.after {
            if !part.environments().any(|reached| reached == name) {
                environments.push(Environment { name: name.to_string(), ..Environment::default() });
                continue;
            }
            Environment::between(name, None, read_part(&before, name, &part), read_part(&after, name, &part))
        } else {
            let (before, after) =
                (whole(edges, from, pair.before.as_ref()).await?, whole(edges, to, pair.after.as_ref()).await?);
            Environment::between(name, formerly.as_ref(), before, after)
        };
        // Of a key that the branch head has, it has the last word.
        let said = |key: &Key| match edges.head() {
            Some(head) => head == to.revision && key.after.is_some() || head == from.revision && key.before.is_some(),
            None => false,
        };
        let shown = environment.keys.iter().filter(|key| key.is_shown() && !said(key)).map(|key| key.path.clone()).collect();
        let hidden = hidden(edges, name, shown, Shown::At(&[from.revision, to.revision])).await?;
        environment.keys.iter_mut().filter(|key| hidden.contains(&key.path)).for_each(Key::hide);
        environments.push(environment);
    }
    Ok(environments)
}

/// All that a revision says of an environment that it has by this name.
async fn whole(edges: &Edges, side: &Side, name: Option<&EnvironmentName>) -> Result<Read, Failure> {
    match name {
        Some(name) => Ok(read(edges, name, side.revision).await?),
        None => Ok(Ok(None)),
    }
}

#[derive(Serialize)]
struct Diff {
    version: u32,
    from: String,
    to: String,
    /// The generation that was of it, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_generation: Option<u32>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_generation: Option<u32>,
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
    /// What the older of the two revisions calls it, where that is another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    formerly: Option<String>,
    /// It comes or goes as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<Whole>,
    keys: Vec<Key>,
    checks: Vec<CheckChange>,
    /// The environment's rules or variables differ.
    rules: bool,
    /// Which: the fields of `environment.yaml`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules_that_differ: Vec<&'static str>,
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
    #[serde(skip)]
    path: KeyPath,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
    /// Where the new value stands, or stood.
    place: String,
    /// The bytes are others.
    #[serde(skip)]
    differs: bool,
}

#[derive(Serialize)]
struct CheckChange {
    check: String,
    action: Action,
}

impl Key {
    fn is_shown(&self) -> bool {
        [&self.before, &self.after].into_iter().flatten().any(|value| !matches!(value, Value::Sensitive { .. }))
    }

    fn hide(&mut self) {
        let differs = self.before.is_some() && self.differs;
        self.before = self.before.take().map(|_| Value::hidden(false));
        self.after = self.after.take().map(|_| Value::hidden(differs));
    }
}

impl Environment {
    fn between(name: &EnvironmentName, formerly: Option<&EnvironmentName>, before: Read, after: Read) -> Self {
        let nothing = Self { name: name.to_string(), formerly: formerly.map(ToString::to_string), ..Self::default() };
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
        let between = before.zip(after);
        let rules_that_differ = between.map_or_else(Vec::new, |(before, after)| rules_that_differ(before, after, formerly));
        let rules = !rules_that_differ.is_empty();
        Self { whole, keys: keys(before, after), checks: checks(before, after), rules, rules_that_differ, ..nothing }
    }

    fn is_same(&self) -> bool {
        let Self { name: _, formerly, whole, keys, checks, rules, rules_that_differ: _, problems } = self;
        formerly.is_none() && whole.is_none() && keys.is_empty() && checks.is_empty() && !rules && problems.is_empty()
    }

    fn exit(&self) -> Exit {
        match (self.problems.is_empty(), self.is_same()) {
            (false, _) => Exit::Failed,
            (true, false) => Exit::Differences,
            (true, true) => Exit::Ok,
        }
    }
}

/// The fields of `environment.yaml` that differ. In one that was renamed the names always do.
fn rules_that_differ(before: &DesiredState, after: &DesiredState, renamed: Option<&EnvironmentName>) -> Vec<&'static str> {
    let (before, after) = (before.environment(), after.environment());
    let domain::Environment { name, layers, variables, policy, formerly } = before;
    let Policy { rollout, deletes, drift } = policy;
    let fields = [
        ("name", renamed.is_none() && *name != after.name),
        ("formerly", renamed.is_none() && *formerly != after.formerly),
        ("layers", *layers != after.layers),
        ("variables", *variables != after.variables),
        ("rollout", *rollout != after.policy.rollout),
        ("deletes", *deletes != after.policy.deletes),
        ("drift", *drift != after.policy.drift),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
}

fn action<T: PartialEq>(before: Option<&T>, after: Option<&T>) -> Option<Action> {
    match (before, after) {
        (None, Some(_)) => Some(Action::Added),
        (Some(_), None) => Some(Action::Removed),
        (Some(before), Some(after)) if before != after => Some(Action::Changed),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn keys(before: Option<&DesiredState>, after: Option<&DesiredState>) -> Vec<Key> {
    let of = |state: Option<&'_ DesiredState>| state.map(DesiredState::entries).cloned().unwrap_or_default();
    let (before, after) = (of(before), of(after));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let change = |key: &KeyPath| {
        let (old, new): (Option<&Entry>, Option<&Entry>) = (before.get(key), after.get(key));
        // Where a value stands is no part of what it is; what becomes of the key when it is dropped is.
        let said = |entry: &Entry| (entry.digest, entry.keep, entry.sensitive);
        let action = action(old.map(said).as_ref(), new.map(said).as_ref())?;
        let shown = |entry: &Entry| Value::of(&entry.value);
        let mut key = Key {
            name: key.to_string(),
            path: key.clone(),
            action,
            before: old.map(shown),
            after: new.map(shown),
            place: new.or(old).map(|entry| clean(&entry.origin.to_string())).unwrap_or_default(),
            differs: old.map(|entry| entry.digest) != new.map(|entry| entry.digest),
        };
        if [old, new].into_iter().flatten().any(|entry| entry.sensitive) {
            key.hide();
        }
        Some(key)
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
        let formerly = self.formerly.as_ref().map_or_else(String::new, |former| format!(" (formerly {former})"));
        page.line(format_args!("{name}{formerly}: {what}"));
        for problem in &self.problems {
            page.line(format_args!("  {problem}"));
        }
        for Key { name, action, before, after, place, path: _, differs: _ } in &self.keys {
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
            page.line(format_args!("  ~ the rules of environment.yaml differ: {}", self.rules_that_differ.join(", ")));
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
