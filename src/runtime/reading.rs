//! What a revision says of one environment, read once and kept as long as a decision may need it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::desired::{
    Affected, DesiredState, Problem, deadline_too_short, long_segments, nested_keys, outside_roots, read_for,
};
use crate::domain::name::{EnvironmentName, KeyRoots, RepositoryName};
use crate::domain::revision::Revision;
use crate::domain::rollout::{Reached, Rollout};
use crate::port::{EdgeError, EdgeKind, Source};

/// What one revision says of one environment.
#[derive(Debug, Clone)]
pub enum Reading {
    /// Its desired state.
    Valid(Arc<DesiredState>),
    /// It can't be read; counts and names the problems.
    Invalid(String),
    /// It is valid and has no such environment.
    Retired,
    /// The mirror does not have the commit.
    Missing,
}

/// What an environment's target takes, beyond what the format allows.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The only roots that may be written (rule O7).
    pub roots: KeyRoots,
    /// Keys are files: none may be a prefix of another, and segments are short (rule D3).
    pub files: bool,
    /// The settle time where the environment gives none (rule H2).
    pub settle: Duration,
}

impl Fit {
    /// Every reason why a desired state can't be taken there.
    #[must_use]
    pub fn problems(&self, desired: &DesiredState) -> Vec<Problem> {
        let mut problems = outside_roots(desired, &self.roots);
        if self.files {
            problems.extend(nested_keys(desired));
            problems.extend(long_segments(desired));
        }
        problems.extend(deadline_too_short(desired, self.settle));
        problems
    }
}

/// The readings of one environment.
#[derive(Debug)]
pub struct Readings {
    environment: EnvironmentName,
    repository: RepositoryName,
    fit: Fit,
    kept: BTreeMap<Revision, Reading>,
    /// What the environment was called before, the newest name first.
    former: Vec<EnvironmentName>,
    /// What revisions say of it that were reached under such a name.
    kept_former: BTreeMap<Revision, Reading>,
}

impl Readings {
    /// None yet.
    #[must_use]
    pub fn new(environment: EnvironmentName, repository: RepositoryName, fit: Fit) -> Self {
        Self { environment, repository, fit, kept: BTreeMap::new(), former: Vec::new(), kept_former: BTreeMap::new() }
    }

    /// What the environment's target takes.
    #[must_use]
    pub fn fit(&self) -> &Fit {
        &self.fit
    }

    /// Reads what was reached under the names of this record too.
    pub fn known_as(&mut self, record: &Rollout) {
        let former: Vec<EnvironmentName> = record.former.iter().rev().map(|former| former.name.clone()).collect();
        if former != self.former {
            self.kept_former.clear();
            self.former = former;
        }
    }

    /// What a revision says that the environment may have reached under a former name (rule O9).
    ///
    /// # Errors
    /// When the mirror can't be read.
    pub async fn reached<S: Source>(&mut self, revision: Revision, source: &S) -> Result<Reading, EdgeError> {
        let own = self.of(revision, source).await?;
        if self.former.is_empty() || !matches!(own, Reading::Retired) {
            return Ok(own);
        }
        if let Some(reading) = self.kept_former.get(&revision) {
            return Ok(reading.clone());
        }
        for name in &self.former {
            let mut readings = Self::new(name.clone(), self.repository.clone(), self.fit.clone());
            let reading = readings.of(revision, source).await?;
            if !matches!(reading, Reading::Retired) {
                self.kept_former.insert(revision, reading.clone());
                return Ok(reading);
            }
        }
        Ok(own)
    }

    /// What the revision says; a commit that the mirror lacks is looked for again each time.
    ///
    /// # Errors
    /// When the mirror can't be read.
    pub async fn of<S: Source>(&mut self, revision: Revision, source: &S) -> Result<Reading, EdgeError> {
        if let Some(reading) = self.kept.get(&revision) {
            return Ok(reading.clone());
        }
        let tree = match source.tree(revision).await {
            Ok(tree) => tree,
            Err(error) if error.kind == EdgeKind::NotFound => return Ok(Reading::Missing),
            Err(error) => return Err(error),
        };
        let repository = read_for(&tree, &self.environment);
        let reading = match (repository.name(), repository.environment(&self.environment)) {
            (Some(name), _) if *name != self.repository => Reading::Invalid(format!(
                "lockstep.yaml says the repository is {name}, but this environment belongs to {}; the name is its identity and can't \
                 change",
                self.repository
            )),
            (_, Ok(Some(desired))) => match self.fit.problems(desired) {
                none if none.is_empty() => Reading::Valid(Arc::clone(desired)),
                problems => Reading::Invalid(summary(&problems.iter().collect::<Vec<_>>())),
            },
            (_, Ok(None)) => Reading::Retired,
            // An empty tree, above all: whoever pushed it wants to know what becomes of the keys.
            (_, Err(problems)) if problems.iter().any(|problem| problem.environments == Affected::All) => {
                Reading::Invalid(format!("{}; nothing of it is applied, and nothing is deleted", summary(&problems)))
            }
            (_, Err(problems)) => Reading::Invalid(summary(&problems)),
        };
        self.kept.insert(revision, reading.clone());
        Ok(reading)
    }

    /// The desired state of a reached revision, or of another commit that says the same, if it was read.
    #[must_use]
    pub fn valid(&self, reached: &Reached) -> Option<Arc<DesiredState>> {
        let state = |reading: &Reading| match reading {
            Reading::Valid(desired) => Some(Arc::clone(desired)),
            Reading::Invalid(_) | Reading::Retired | Reading::Missing => None,
        };
        let same = |desired: &Arc<DesiredState>| desired.revision_digest() == reached.digest;
        let all = || self.kept.values().chain(self.kept_former.values());
        self.kept.get(&reached.revision).and_then(state).or_else(|| all().filter_map(state).find(same))
    }

    /// Forgets all but these.
    pub fn keep_only(&mut self, needed: &BTreeSet<Revision>) {
        self.kept.retain(|revision, _| needed.contains(revision));
        self.kept_former.retain(|revision, _| needed.contains(revision));
    }
}

/// The first problem, and how many there are.
fn summary(problems: &[&Problem]) -> String {
    let first = problems.first().map_or_else(String::new, std::string::ToString::to_string);
    match problems.len() {
        0 | 1 => format!("invalid: {first}"),
        more => format!("invalid: {more} problems, the first: {first}"),
    }
}
