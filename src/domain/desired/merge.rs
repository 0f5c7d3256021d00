//! Layers become one desired state: later wins over earlier, variables are filled in, digests are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::domain::check::Check;
use crate::domain::environment::Environment;
use crate::domain::keymap::KeyMap;
use crate::domain::name::{CheckName, KeyPath};
use crate::domain::revision::ValueDigest;

use super::LARGEST_VALUE;
use super::checks;
use super::layer::{CheckFile, Layer, Told};
use super::problem::{Affected, FileProblems, Place, Problem};
use super::selection::Scope;
use super::state::{DesiredState, Entry, Origin};
use super::values::{self, Action, Value, checked_size};
use super::variables::{self, Site, has_reference};
use super::yaml::{Content, Node, Tag};

/// How many bytes filled-in variables may still make: short variables in many values can make gigabytes of a small tree.
#[derive(Debug)]
pub(super) struct Budget {
    repository: usize,
    environment: usize,
}

/// Of one environment.
pub(super) const PER_ENVIRONMENT: usize = 16 * 1024 * 1024;
const PER_REPOSITORY: usize = 256 * 1024 * 1024;

impl Budget {
    pub(super) const fn new() -> Self {
        Self { repository: PER_REPOSITORY, environment: 0 }
    }

    fn next_environment(&mut self) {
        self.environment = PER_ENVIRONMENT.min(self.repository);
    }

    fn spend(&mut self, bytes: usize) -> bool {
        let enough = bytes <= self.environment;
        self.environment -= bytes.min(self.environment);
        self.repository -= bytes.min(self.repository);
        enough
    }
}

/// Merges the layers of one environment, its own directory last, as far as the keys are in the scope.
///
/// # Errors
/// Every problem that only shows in this environment: unknown variables, checks that are wrong with its variables, and
/// keys taken back that no earlier layer has.
pub(super) fn merge(
    environment: &Environment,
    layers: &[&Layer],
    scope: &Scope,
    budget: &mut Budget,
) -> Result<DesiredState, Vec<Problem>> {
    budget.next_environment();
    let begin = budget.environment;
    let mut merging = Merging { variables: &environment.variables, budget, exhausted: false, problems: BTreeMap::new() };
    // A layer that lost keys to a problem is no ground to say that there is nothing to take back.
    let whole = layers.iter().all(|layer| layer.problems.is_empty());
    let entries = merging.entries(layers, scope, whole);
    let (checks, origins) = merging.checks(layers, whole);
    if merging.problems.is_empty() {
        let filled = begin - merging.budget.environment;
        let state = DesiredState::new(environment.clone(), entries, checks).with_check_origins(origins);
        return Ok(state.with_filled(filled));
    }
    let affected = Affected::one(&environment.name);
    Err(merging.problems.into_values().flat_map(|problems| problems.finish(&affected)).collect())
}

struct Merging<'a> {
    variables: &'a BTreeMap<String, String>,
    budget: &'a mut Budget,
    exhausted: bool,
    problems: BTreeMap<Arc<str>, FileProblems>,
}

impl Merging<'_> {
    fn problems_of(&mut self, file: &Arc<str>) -> &mut FileProblems {
        self.problems.entry(Arc::clone(file)).or_insert_with(|| FileProblems::of(file))
    }

    fn entries(&mut self, layers: &[&Layer], scope: &Scope, whole: bool) -> KeyMap<Entry> {
        type Set<'l> = (&'l Value, bool, &'l Origin);
        let mut merged: BTreeMap<&KeyPath, Set<'_>> = BTreeMap::new();
        // A key that one layer calls sensitive stays so: a later layer that forgets the tag must not show the value.
        let mut sensitive_keys: BTreeSet<&KeyPath> = BTreeSet::new();
        for layer in layers {
            for (key, Told { action, origin }) in layer.keys.iter().filter(|(key, _)| scope.contains(key)) {
                match action {
                    Action::Set { value, keep, sensitive } => {
                        if *sensitive {
                            sensitive_keys.insert(key);
                        }
                        merged.insert(key, (value, *keep, origin));
                    }
                    Action::Absent => {
                        if merged.remove(key).is_none() && whole {
                            self.nothing_to_take_back(&format!("the key {key}"), origin);
                        }
                    }
                }
            }
        }
        let mut entries = KeyMap::new();
        for (key, (value, keep, origin)) in merged {
            let sensitive = sensitive_keys.contains(key);
            let (value, digest) = match value {
                Value::Ready(bytes, digest) => (Arc::clone(bytes), *digest),
                Value::Template(content) => {
                    let Some(bytes) = self.filled(content, origin) else { continue };
                    let digest = ValueDigest::of(&bytes);
                    (bytes, digest)
                }
            };
            entries.insert(key.clone(), Entry { value, digest, keep, sensitive, origin: origin.clone() });
        }
        entries
    }

    fn nothing_to_take_back(&mut self, what: &str, origin: &Origin) {
        let place = Place { line: origin.line, column: origin.column };
        let hint = "!absent takes back what an earlier layer of this environment says; remove it, or look at the name";
        self.problems_of(&origin.file).report_with_hint(place, format!("no earlier layer has {what}"), hint);
    }

    fn filled(&mut self, content: &Content, origin: &Origin) -> Option<Arc<[u8]>> {
        let place = Place { line: origin.line, column: origin.column };
        let mut wrong = false;
        let text = values::text(content, &mut |text| {
            let filled = self.fill(text, Site::Value, &origin.file, place);
            wrong |= filled.is_none();
            // Goes on to tell what is wrong with the list's other items, unless no more may be filled in.
            if self.exhausted { None } else { Some(filled.unwrap_or_default()) }
        })?;
        if wrong {
            return None;
        }
        if text.len() > LARGEST_VALUE && !checked_size(text.len(), place, self.problems_of(&origin.file)) {
            return None;
        }
        Some(text.into_bytes().into())
    }

    fn fill(&mut self, text: &str, site: Site, file: &Arc<str>, place: Place) -> Option<String> {
        match variables::fill(text, self.variables, site) {
            Ok(filled) if self.budget.spend(filled.len()) => Some(filled),
            Ok(_) => {
                if !std::mem::replace(&mut self.exhausted, true) {
                    let message = "variables fill in to more than this environment may hold".to_owned();
                    self.problems_of(file).report_with_hint(place, message, "use shorter variables, or fewer of them");
                }
                None
            }
            Err(wrong) => {
                let problems = self.problems_of(file);
                for variables::Unfilled { message, hint } in wrong {
                    match hint {
                        Some(hint) => problems.report_with_hint(place, message, hint),
                        None => problems.report(place, message),
                    }
                }
                None
            }
        }
    }

    fn checks(&mut self, layers: &[&Layer], whole: bool) -> (BTreeMap<CheckName, Check>, BTreeMap<CheckName, Origin>) {
        let mut merged: BTreeMap<&CheckName, &CheckFile> = BTreeMap::new();
        for layer in layers {
            for (name, file) in &layer.checks {
                if file.root.tag == Some(Tag::Absent) && matches!(file.root.content, Content::Nothing) {
                    if merged.remove(name).is_none() && whole {
                        let origin = Origin { file: Arc::clone(&file.file), line: 0, column: 0 };
                        self.nothing_to_take_back(&format!("the check {name}"), &origin);
                    }
                } else {
                    merged.insert(name, file);
                }
            }
        }
        let (mut checks, mut origins) = (BTreeMap::new(), BTreeMap::new());
        for (name, CheckFile { file, root }) in merged {
            let Some(root) = self.filled_node(root, file) else { continue };
            let mut problems = self.problems.remove(file).unwrap_or_else(|| FileProblems::of(file));
            if let Some(check) = checks::read(name, &root, &mut problems) {
                let Place { line, column } = checks::place_of_subject(&check.kind, &root);
                origins.insert(name.clone(), Origin { file: Arc::clone(file), line, column });
                checks.insert(name.clone(), check);
            }
            if problems.count() > 0 {
                self.problems.insert(Arc::clone(file), problems);
            }
        }
        (checks, origins)
    }

    /// The node with every variable in it filled in; none when one is wrong, all of which are reported.
    fn filled_node(&mut self, node: &Node, file: &Arc<str>) -> Option<Node> {
        let content = match &node.content {
            Content::Nothing => Content::Nothing,
            Content::Scalar { text, plain } => {
                let text =
                    if text.contains('$') { self.fill(text, Site::Check, file, node.place)?.into() } else { Rc::clone(text) };
                Content::Scalar { text, plain: *plain }
            }
            Content::List(items) => {
                let items: Vec<Option<Node>> = items.iter().map(|item| self.filled_node(item, file)).collect();
                Content::List(items.into_iter().collect::<Option<Vec<Node>>>()?.into())
            }
            Content::Mapping(entries) => {
                let mut filled = Vec::with_capacity(entries.len());
                let mut whole = true;
                for (name, item) in entries.iter() {
                    if has_reference(name) {
                        let message = "the name of a field refers to a variable";
                        self.problems_of(file).report_with_hint(item.place, message, "${…} stands in values only");
                        whole = false;
                    }
                    match self.filled_node(item, file) {
                        Some(item) => filled.push((Rc::clone(name), item)),
                        None => whole = false,
                    }
                }
                Content::Mapping(whole.then_some(filled)?.into())
            }
        };
        Some(Node { place: node.place, tag: node.tag, content })
    }
}
