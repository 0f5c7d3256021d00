//! What lies between two revisions, for people and for programs.

use std::collections::BTreeSet;
use std::sync::Arc;

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::cli::error::Exit;
use crate::cli::output::{Page, View};
use crate::cli::text::{clean, count};
use crate::cli::value::{Value, difference};
use crate::domain::desired::{DesiredState, Entry, Problem};
use crate::domain::environment::{self as domain, Policy};
use crate::domain::name::{EnvironmentName, KeyPath};

#[derive(Serialize)]
pub(super) struct Diff {
    pub(super) version: u32,
    pub(super) from: String,
    pub(super) to: String,
    /// The generation that was of it, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from_generation: Option<u32>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to_generation: Option<u32>,
    pub(super) environments: Vec<Environment>,
    #[serde(skip)]
    pub(super) full: bool,
    #[serde(skip)]
    pub(super) title: String,
}

/// What a revision says of an environment.
pub(super) type Read = Result<Option<Arc<DesiredState>>, Vec<Problem>>;

/// What lies between the two for one environment.
#[derive(Default, Serialize)]
pub(super) struct Environment {
    #[serde(rename = "environment")]
    pub(super) name: String,
    /// What the older of the two revisions calls it, where that is another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    formerly: Option<String>,
    /// It comes or goes as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<Whole>,
    pub(super) keys: Vec<Key>,
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
pub(super) struct Key {
    #[serde(rename = "key")]
    name: String,
    #[serde(skip)]
    pub(super) path: KeyPath,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Value>,
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
    pub(super) fn is_shown(&self) -> bool {
        [&self.before, &self.after].into_iter().flatten().any(|value| !matches!(value, Value::Sensitive { .. }))
    }

    pub(super) fn hide(&mut self) {
        let differs = self.before.is_some() && self.differs;
        self.before = self.before.take().map(|_| Value::hidden(false));
        self.after = self.after.take().map(|_| Value::hidden(differs));
    }
}

impl Environment {
    /// One of which both say the same.
    pub(super) fn same(name: &EnvironmentName) -> Self {
        Self { name: name.to_string(), ..Self::default() }
    }

    pub(super) fn between(name: &EnvironmentName, formerly: Option<&EnvironmentName>, before: Read, after: Read) -> Self {
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

    pub(super) fn exit(&self) -> Exit {
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
