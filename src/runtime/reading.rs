//! What a revision says of one environment, read once and kept as long as a decision may need it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::desired::{
    Affected, DesiredState, FileTree, Problem, Size, deadline_too_short, head_of, long_segments, nested_keys, outside_roots,
    own_files, read_for, renewal,
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

/// With so many changed files reading everything costs no more.
const MANY_CHANGES: usize = 1_000;

/// A reading that is kept.
#[derive(Debug)]
struct Kept {
    reading: Reading,
    /// How much the revision has of the environment at most, and how much it might have.
    size: Size,
    limit: Size,
}

/// The readings of one environment.
#[derive(Debug)]
pub struct Readings {
    environment: EnvironmentName,
    repository: RepositoryName,
    fit: Fit,
    kept: BTreeMap<Revision, Kept>,
    /// The one that was read last: the next is most like it.
    last: Option<Revision>,
    /// What the environment was called before, the newest name first.
    former: Vec<EnvironmentName>,
    /// What revisions say of it that were reached under such a name.
    kept_former: BTreeMap<Revision, Reading>,
    /// The names before the former one that a revision gives, where that was looked for last.
    pub(super) names_before: Option<(Revision, Vec<EnvironmentName>)>,
}

impl Readings {
    /// None yet.
    #[must_use]
    pub fn new(environment: EnvironmentName, repository: RepositoryName, fit: Fit) -> Self {
        Self {
            environment,
            repository,
            fit,
            kept: BTreeMap::new(),
            last: None,
            former: Vec::new(),
            kept_former: BTreeMap::new(),
            names_before: None,
        }
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
        if let Some(kept) = self.kept.get(&revision) {
            return Ok(kept.reading.clone());
        }
        let kept = match self.renewed(revision, source).await {
            Some(kept) => kept,
            None => match self.read(revision, source).await? {
                Some(kept) => kept,
                None => return Ok(Reading::Missing),
            },
        };
        let reading = kept.reading.clone();
        self.kept.insert(revision, kept);
        self.last = Some(revision);
        Ok(reading)
    }

    /// Reads all that says something of the environment; none when the mirror lacks the commit.
    async fn read<S: Source>(&self, revision: Revision, source: &S) -> Result<Option<Kept>, EdgeError> {
        let name = &self.environment;
        let read = async {
            let head = source.some_files(revision, &head_of(name)).await?;
            if let Some(files) = own_files(&head, name) {
                let kept = self.judged(&source.some_files(revision, &files).await?);
                if matches!(kept.reading, Reading::Valid(_)) {
                    return Ok::<_, EdgeError>(kept);
                }
            }
            // What is wrong, and whether the environment is gone, is told by all files.
            Ok(self.judged(&source.tree(revision).await?))
        };
        match read.await {
            Ok(kept) => Ok(Some(kept)),
            Err(error) if error.kind == EdgeKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What these files say.
    fn judged(&self, tree: &FileTree) -> Kept {
        let repository = read_for(tree, &self.environment);
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
        Kept { reading, size: tree.size, limit: tree.limit }
    }

    /// The same from the files that differ from a revision that was read before; none when that does not tell all.
    async fn renewed<S: Source>(&self, revision: Revision, source: &S) -> Option<Kept> {
        let valid = |(revision, kept): (&Revision, &Kept)| match &kept.reading {
            Reading::Valid(desired) => Some((*revision, Arc::clone(desired), kept.size, kept.limit)),
            Reading::Invalid(_) | Reading::Retired | Reading::Missing => None,
        };
        let last = self.last.and_then(|last| self.kept.get_key_value(&last)).and_then(valid);
        let (before, earlier, size, limit) = last.or_else(|| self.kept.iter().find_map(valid))?;
        // Whatever fails here fails again, and is told, when everything is read.
        let changed = source.differing(before, revision).await.ok()?.filter(|changed| changed.len() <= MANY_CHANGES)?;
        let renewal = renewal(&earlier, &changed)?;
        let Some(files) = renewal.files() else {
            return Some(Kept { reading: Reading::Valid(earlier), size, limit });
        };
        let tree = source.some_files(revision, files).await.ok()?;
        let size = size.and(tree.size);
        let (part, whole) = renewal.read(&tree).filter(|_| size.is_within(limit))?;
        // Files have to do with each other by their paths; all else concerns a key by itself.
        let problems = self.fit.problems(if self.fit.files { &whole } else { &part });
        problems.is_empty().then_some(Kept { reading: Reading::Valid(whole), size, limit })
    }

    /// The desired state of a reached revision, or of another commit that says the same, if it was read.
    #[must_use]
    pub fn valid(&self, reached: &Reached) -> Option<Arc<DesiredState>> {
        let state = |reading: &Reading| match reading {
            Reading::Valid(desired) => Some(Arc::clone(desired)),
            Reading::Invalid(_) | Reading::Retired | Reading::Missing => None,
        };
        let same = |desired: &Arc<DesiredState>| desired.revision_digest() == reached.digest;
        let named = self.kept.get(&reached.revision).and_then(|kept| state(&kept.reading));
        let all = || self.kept.values().map(|kept| &kept.reading).chain(self.kept_former.values());
        named.or_else(|| all().filter_map(state).find(same))
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
