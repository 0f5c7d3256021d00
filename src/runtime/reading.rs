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
use crate::domain::rollout::{Former, Needed, Reached, Rollout};
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
    kept_former: BTreeMap<Needed, Reading>,
    /// The revision that gives no former name, where that was looked for last and nothing else of it was read.
    pub(super) unclaimed: Option<Revision>,
    /// The names before the former one that a revision gives, where that was looked for last.
    pub(super) names_before: Option<(Revision, Vec<EnvironmentName>)>,
    /// As which environment it goes on across names that a revision does not have, and the former name that this one gives, where
    /// that was looked for last.
    pub(super) heir_across: Option<(Revision, Option<(EnvironmentName, EnvironmentName)>)>,
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
            unclaimed: None,
            names_before: None,
            heir_across: None,
        }
    }

    /// Whose they are.
    #[must_use]
    pub fn environment(&self) -> &EnvironmentName {
        &self.environment
    }

    /// What the environment's target takes.
    #[must_use]
    pub fn fit(&self) -> &Fit {
        &self.fit
    }

    /// Reads what was reached under the names of this record too.
    pub fn known_as(&mut self, record: &Rollout) {
        let mut former: Vec<EnvironmentName> = Vec::new();
        for Former { name, .. } in record.former.iter().rev() {
            if *name != self.environment && !former.contains(name) {
                former.push(name.clone());
            }
        }
        if former != self.former {
            self.kept_former.clear();
            self.former = former;
        }
    }

    /// What a revision says that the environment may have reached under a former name (rule O9). What it said when it was
    /// reached decides under which: the name that the environment has now may have been another one's there.
    ///
    /// # Errors
    /// When the mirror can't be read.
    pub async fn reached<S: Source>(&mut self, needed: Needed, source: &S) -> Result<Reading, EdgeError> {
        let own = self.of(needed.revision, source).await?;
        let is_meant = |reading: &Reading| match (reading, needed.digest) {
            (Reading::Valid(desired), Some(digest)) => desired.revision_digest() == digest,
            (reading, None) => !matches!(reading, Reading::Retired),
            (Reading::Invalid(_) | Reading::Retired | Reading::Missing, Some(_)) => false,
        };
        if self.former.is_empty() || matches!(own, Reading::Missing) || is_meant(&own) {
            return Ok(own);
        }
        if let Some(reading) = self.kept_former.get(&needed) {
            return Ok(reading.clone());
        }
        let mut found = vec![(&self.environment, own)];
        for name in &self.former {
            let mut readings = Self::new(name.clone(), self.repository.clone(), self.fit.clone());
            let reading = readings.of(needed.revision, source).await?;
            let is_it = is_meant(&reading);
            found.push((name, reading));
            if is_it {
                found.drain(..found.len() - 1);
                break;
            }
        }
        found.retain(|(_, reading)| !matches!(reading, Reading::Retired));
        let reading = match found.as_slice() {
            [] => Reading::Retired,
            // Another version of lockstep may have given the same content another digest.
            [(_, reading)] => reading.clone(),
            several => Reading::Invalid(of_several(several)),
        };
        self.kept_former.insert(needed, reading.clone());
        Ok(reading)
    }

    /// Whether what the revision says is known, and costs nothing to ask for.
    pub(super) fn has_read(&self, revision: Revision) -> bool {
        self.kept.contains_key(&revision)
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
        let own = || self.kept.get(&reached.revision).and_then(|kept| state(&kept.reading));
        let named = match self.kept_former.get(&Needed::reached(reached.revision, reached.digest)) {
            Some(reading) => state(reading),
            None => own().filter(|desired| self.former.is_empty() || same(desired)),
        };
        let all = || self.kept.values().map(|kept| &kept.reading).chain(self.kept_former.values());
        named.or_else(|| all().filter_map(state).find(same))
    }

    /// Forgets all but these.
    pub fn keep_only(&mut self, needed: &BTreeSet<Needed>) {
        let revisions: BTreeSet<Revision> = needed.iter().map(|one| one.revision).collect();
        self.kept.retain(|revision, _| revisions.contains(revision));
        self.kept_former.retain(|one, _| needed.contains(one));
    }
}

/// Why nobody can say which of several environments of a commit was reached: each name is or was this one's there.
fn of_several(found: &[(&EnvironmentName, Reading)]) -> String {
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let problems = found.iter().filter_map(|(name, reading)| match reading {
        Reading::Invalid(text) => Some(format!("; of {name}: {text}")),
        Reading::Valid(_) | Reading::Retired | Reading::Missing => None,
    });
    let problems: String = problems.collect();
    format!("it has {}, all of them names of this environment, and none says what was reached{problems}", names.join(" and "))
}

/// The first problem, and how many there are.
fn summary(problems: &[&Problem]) -> String {
    let first = problems.first().map_or_else(String::new, std::string::ToString::to_string);
    match problems.len() {
        0 | 1 => format!("invalid: {first}"),
        more => format!("invalid: {more} problems, the first: {first}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resource::OwnerId;
    use crate::domain::revision::Generation;
    use crate::domain::rollout::{Identity, TargetId};
    use crate::port::Head;
    use crate::runtime::imagined::{Branch, Imagined, commit, stands_at};

    /// A mirror with one commit, which has these environments, each with a key of its name's value.
    struct Mirror(&'static [&'static str]);

    impl Branch for Mirror {
        fn head(&self) -> Head {
            stands_at(commit(1))
        }

        fn tree(&self, _: Revision) -> Result<FileTree, EdgeError> {
            let mut files = vec![("lockstep.yaml".to_owned(), "name: demo\nlockstep: \"^1\"\n".to_owned())];
            for name in self.0 {
                files.push((format!("environments/{name}/environment.yaml"), "layers: []\n".to_owned()));
                files.push((format!("environments/{name}/files/config/a"), (*name).to_owned()));
            }
            Ok(FileTree::of_files(files))
        }
    }

    fn named(name: &str) -> EnvironmentName {
        EnvironmentName::parse(name).unwrap()
    }

    fn readings(environment: &str) -> Readings {
        let fit = Fit { roots: KeyRoots::all(), files: false, settle: Duration::ZERO };
        Readings::new(named(environment), RepositoryName::parse("demo").unwrap(), fit)
    }

    /// What `now`, which was called `before`, finds in a commit with these environments where it reached what one of this name
    /// says: the name whose keys they are, or a part of why nobody can say.
    async fn check(has: &'static [&'static str], reached: &'static str, expected: &str) {
        let said = readings(reached).of(commit(1), &Imagined(Mirror(Box::leak(Box::new([reached]))))).await.unwrap();
        let Reading::Valid(said) = said else { panic!("{said:?}") };
        let reached = Reached {
            revision: commit(1),
            tip: commit(1),
            state: said.state_digest(),
            digest: said.revision_digest(),
            generation: Generation::default(),
            rules: commit(1),
        };
        let identity = Identity {
            repository: RepositoryName::parse("demo").unwrap(),
            environment: named("now"),
            target: TargetId::parse("test-target").unwrap(),
            owner: OwnerId::new(1).unwrap(),
        };
        let former = ["now", "before"].map(|name| Former { name: named(name), until: Generation::default() });
        let mut readings = readings("now");
        readings.known_as(&Rollout { former: former.to_vec(), ..Rollout::new(identity) });
        let found = readings.reached(Needed::reached(commit(1), reached.digest), &Imagined(Mirror(has))).await.unwrap();
        let whose = |desired: &DesiredState| desired.environment().name.to_string();
        match &found {
            Reading::Valid(desired) => assert_eq!(whose(desired), expected),
            Reading::Invalid(text) => assert!(text.contains(expected), "{text}"),
            Reading::Retired => assert_eq!(expected, "retired"),
            Reading::Missing => panic!("{has:?}"),
        }
        // The samples are of the same checks.
        let sampled = readings.valid(&reached).map(|desired| whose(&desired));
        assert_eq!(sampled.is_some(), matches!(found, Reading::Valid(_)));
        assert!(sampled.is_none_or(|name| name == expected), "{has:?}");
    }

    #[tokio::test]
    async fn what_was_reached_decides_which_of_its_names_an_environment_had_in_a_commit() {
        check(&["now"], "now", "now").await;
        check(&["before"], "before", "before").await;
        check(&["before", "now"], "before", "before").await;
        check(&["before", "now"], "now", "now").await;
        check(&["other"], "now", "retired").await;
        // Neither: where one only can be meant, another version of lockstep gave it another digest.
        check(&["now"], "other", "now").await;
        check(&["before", "other"], "other", "before").await;
        check(&["before", "now"], "other", "it has now and before, all of them names of this environment").await;
    }
}
