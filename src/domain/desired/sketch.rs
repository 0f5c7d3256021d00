//! Desired states for the tables of other stations, drawn from words: `a=1 b=2!keep ?build @percent=10`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::state::{DesiredState, Entry, Origin};
use crate::domain::check::{Check, CheckKind};
use crate::domain::environment::{DriftPolicy, Environment, Policy};
use crate::domain::name::{CheckName, EnvironmentName, KeyPath};
use crate::domain::revision::ValueDigest;

/// A desired state that words can change one at a time.
#[derive(Debug, Clone)]
pub(in crate::domain) struct Sketch {
    policy: Policy,
    entries: BTreeMap<KeyPath, Entry>,
    checks: BTreeMap<CheckName, Check>,
}

impl Sketch {
    /// Nothing but a policy of short deadlines: settle 2 s, healthy for 4 s, deadlines after 20 s and 60 s.
    pub(in crate::domain) fn blank() -> Self {
        let mut policy = Policy::default();
        policy.rollout.settle = Some(Duration::from_secs(2));
        policy.rollout.min_healthy_time = Duration::from_secs(4);
        policy.rollout.healthy_deadline = Duration::from_secs(20);
        policy.rollout.apply_deadline = Duration::from_mins(1);
        Self { policy, entries: BTreeMap::new(), checks: BTreeMap::new() }
    }

    /// Changes it by one word: `key=value`, `-key`, `key*count` (so many keys below it), `-key*`, `?check`, `?check=program`,
    /// `-?check`, `@policy=value`; a value may end in `!keep` or `!sensitive`.
    #[track_caller]
    pub(in crate::domain) fn edit(&mut self, word: &str) {
        if let Some(rule) = word.strip_prefix('@') {
            self.rule(rule);
        } else if let Some(check) = word.strip_prefix("-?") {
            self.checks.remove(&CheckName::parse(check).unwrap());
        } else if let Some(text) = word.strip_prefix('?') {
            let (name, program) = text.split_once('=').unwrap_or((text, text));
            let name = CheckName::parse(name).unwrap();
            let kind = CheckKind::Exec { program: program.to_owned(), subject: None };
            let second = Duration::from_secs(1);
            self.checks.insert(name.clone(), Check { name, kind, interval: second, timeout: second });
        } else if let Some(prefix) = word.strip_prefix('-').and_then(|word| word.strip_suffix('*')) {
            self.entries.retain(|key, _| !key.as_str().starts_with(prefix));
        } else if let Some(key) = word.strip_prefix('-') {
            self.entries.remove(key).unwrap_or_else(|| panic!("there is no {key} to take away"));
        } else if let Some((prefix, count)) = word.split_once('*') {
            for number in 0..count.parse::<u32>().unwrap() {
                self.set(&format!("{prefix}/{number:04}"), "v");
            }
        } else {
            let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("{word:?} is no word of this language"));
            self.set(key, value);
        }
    }

    fn set(&mut self, key: &str, text: &str) {
        let (value, tag) = text.split_once('!').unwrap_or((text, ""));
        let entry = Entry {
            value: value.as_bytes().into(),
            digest: ValueDigest::of(value.as_bytes()),
            keep: tag == "keep",
            sensitive: tag == "sensitive",
            origin: Origin { file: "base/kv/x.yaml".into(), line: 1, column: 1 },
        };
        self.entries.insert(KeyPath::parse(key).unwrap(), entry);
    }

    #[track_caller]
    fn rule(&mut self, rule: &str) {
        let (name, value) = rule.split_once('=').unwrap_or_else(|| panic!("@{rule} has no value"));
        let seconds = || Duration::from_secs(value.parse().unwrap());
        match name {
            "at_most" => self.policy.deletes.at_most = value.parse().unwrap(),
            "percent" => self.policy.deletes.at_most_percent = value.parse().unwrap(),
            "auto_revert" => self.policy.rollout.auto_revert = value == "on",
            "fail_after" => self.policy.rollout.fail_after = value.parse().unwrap(),
            "drift" => self.policy.drift = if value == "report" { DriftPolicy::Report } else { DriftPolicy::Correct },
            "settle" => self.policy.rollout.settle = Some(seconds()),
            "min_healthy_time" => self.policy.rollout.min_healthy_time = seconds(),
            "healthy_deadline" => self.policy.rollout.healthy_deadline = seconds(),
            "apply_deadline" => self.policy.rollout.apply_deadline = seconds(),
            other => panic!("there is no policy {other}"),
        }
    }

    /// The desired state of the environment `test`.
    pub(in crate::domain) fn state(&self) -> DesiredState {
        let environment = Environment {
            name: EnvironmentName::parse("test").unwrap(),
            layers: Vec::new(),
            variables: BTreeMap::new(),
            policy: self.policy.clone(),
            formerly: None,
        };
        DesiredState::new(environment, self.entries.clone().into(), self.checks.clone())
    }
}

/// The desired state that some words draw.
#[track_caller]
pub(in crate::domain) fn desired(words: &str) -> DesiredState {
    let mut sketch = Sketch::blank();
    for word in words.split_whitespace() {
        sketch.edit(word);
    }
    sketch.state()
}
