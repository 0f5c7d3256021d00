//! The versions of one key: which commits gave it another value, where the value stood, and when each was live.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::commit::Commit;
use super::desired::{Entry, Origin, Problem, Provenance};
use super::revision::{Generation, Revision, ValueDigest};

/// A value of more bytes is known by its size and digest only: ten thousand versions must fit in memory.
pub const LONGEST_HELD: usize = 4096;

/// One commit at which the files that can name the key changed.
#[derive(Debug, Clone)]
pub struct Step {
    /// The commit.
    pub commit: Commit,
    /// What it says of the key; none: it does not have the environment.
    pub says: Result<Option<Provenance>, Vec<Problem>>,
    /// Revisions that the environment was taken to and that say the same: this commit, and later ones up to the next step.
    pub reached: Vec<Revision>,
}

/// A value that a key had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its bytes, up to [`LONGEST_HELD`] of them; none: it is longer.
    pub bytes: Option<Arc<[u8]>>,
    /// How many bytes it has.
    pub size: usize,
    /// Their digest.
    pub digest: ValueDigest,
}

/// One value that a key had for some commits in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The commit that gave the key this value.
    pub commit: Commit,
    /// The value; none: the key was taken away.
    pub held: Option<Held>,
    /// The value may not be shown: it was tagged `!sensitive` here, or the key was later.
    pub hidden: bool,
    /// Where the value stood, newest first, each with the commit that put it there: a file was renamed, or the key moved to
    /// another file or layer. The line is the newest one in that file.
    pub places: Vec<(Revision, Origin)>,
    /// Commits among these that could not be read for the environment, with the first thing that was wrong.
    pub broken: Vec<(Revision, Problem)>,
    /// The generations that brought this value to the environment, newest first.
    pub generations: Vec<Generation>,
    /// The environment is at it.
    pub live: bool,
}

/// The past of one key, newest first, as far as it was read.
#[derive(Debug, Default)]
pub struct Past {
    versions: Vec<Version>,
    of_revision: BTreeMap<Revision, usize>,
    /// What could not be read and is newer than any version.
    broken: Vec<(Revision, Problem)>,
    /// A newer commit tags the key `!sensitive`: what it was before may well be the secret itself.
    hides: bool,
    /// Whether the newest commit tags it that has or tags it: one that only takes it back has no say.
    newest: Option<bool>,
    /// A commit could not be read that is newer than that one, and may tag it.
    is_unsure: bool,
    /// Values that were tagged somewhere.
    tagged: BTreeSet<ValueDigest>,
}

/// The versions of a key, and the attempts that belong to none of them.
#[derive(Debug)]
pub struct Told {
    /// Newest first.
    pub versions: Vec<Version>,
    /// Attempts whose commit is none of those that were read: it is older, or not of this branch. Oldest first.
    pub astray: Vec<(Generation, Revision)>,
    /// Commits that could not be read for the environment and belong to no version, newest first, each with the first thing that
    /// was wrong.
    pub broken: Vec<(Revision, Problem)>,
}

impl Past {
    /// Goes one step further back.
    pub fn add(&mut self, step: Step) {
        let Step { commit, says, reached } = step;
        let provenance = match says {
            Ok(provenance) => provenance,
            Err(problems) => {
                self.broken.extend(problems.into_iter().next().map(|problem| (commit.revision, problem)));
                self.is_unsure |= self.newest.is_none();
                return;
            }
        };
        if let Some(provenance) = provenance.as_ref().filter(|says| says.sensitive || says.entry.is_some()) {
            self.newest.get_or_insert(provenance.sensitive);
        }
        let (entry, sensitive) = provenance.map_or((None, false), |provenance| (provenance.entry, provenance.sensitive));
        self.hides |= sensitive;
        if sensitive {
            self.tagged.extend(entry.as_ref().map(|entry| entry.digest));
        }
        let place = entry.as_ref().map(|entry| (commit.revision, entry.origin.clone()));
        match self.versions.last_mut() {
            Some(version) if digest(version) == entry.as_ref().map(|entry| entry.digest) => {
                version.commit = commit;
                version.hidden |= self.hides;
                version.broken.append(&mut self.broken);
                match (version.places.last_mut(), place) {
                    (Some((since, at)), Some((revision, place))) if at.file == place.file => *since = revision,
                    (_, place) => version.places.extend(place),
                }
            }
            _ => self.versions.push(Version {
                commit,
                held: entry.map(Held::from),
                hidden: self.hides,
                places: place.into_iter().collect(),
                broken: std::mem::take(&mut self.broken),
                generations: Vec::new(),
                live: false,
            }),
        }
        let version = self.versions.len() - 1;
        self.of_revision.extend(reached.into_iter().map(|revision| (revision, version)));
    }

    /// How many versions are known from their beginning on: what was read last may have begun earlier.
    #[must_use]
    pub fn complete(&self) -> usize {
        self.versions.len().saturating_sub(1)
    }

    /// Whether the newest commit tags the key `!sensitive` that has or tags it; none: no commit did yet, or a newer one can't be
    /// read for the environment, of which this part of the past does not know what it says of the key.
    #[must_use]
    pub fn newest_tag(&self) -> Option<bool> {
        self.newest.filter(|_| !self.is_unsure)
    }

    /// The versions, each with the generations that brought it, given the environment's attempts, oldest first.
    /// `from_the_start`: there is no earlier commit, so that a key which the oldest ones do not have was not there yet.
    #[must_use]
    pub fn told(mut self, attempts: &[(Generation, Revision)], from_the_start: bool) -> Told {
        let (mut at, mut astray) = (None, Vec::new());
        for (generation, revision) in attempts {
            let version = self.of_revision.get(revision).copied();
            match version {
                Some(version) if at != Some(version) => self.versions[version].generations.insert(0, *generation),
                Some(_) => {}
                None => astray.push((*generation, *revision)),
            }
            at = version;
        }
        if let Some(version) = at {
            self.versions[version].live = true;
        }
        for version in &mut self.versions {
            version.hidden |= version.held.as_ref().is_some_and(|held| self.tagged.contains(&held.digest));
        }
        let mut broken = Vec::new();
        if from_the_start && let Some(never) = self.versions.pop_if(|oldest| oldest.held.is_none()) {
            broken = never.broken;
        }
        broken.append(&mut self.broken);
        Told { versions: self.versions, astray, broken }
    }
}

impl Told {
    /// Whether the value of any version may be shown.
    #[must_use]
    pub fn shows_any(&self) -> bool {
        self.versions.iter().any(|version| version.held.is_some() && !version.hidden)
    }

    /// Hides every value: a commit that is newer than all of these tags the key `!sensitive`.
    pub fn hide(&mut self) {
        self.versions.iter_mut().for_each(|version| version.hidden = true);
    }
}

impl From<Entry> for Held {
    fn from(entry: Entry) -> Self {
        let size = entry.value.len();
        Self { bytes: (size <= LONGEST_HELD).then_some(entry.value), size, digest: entry.digest }
    }
}

fn digest(version: &Version) -> Option<ValueDigest> {
    version.held.as_ref().map(|held| held.digest)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::domain::desired::Said;
    use crate::domain::time::Timestamp;

    fn revision(number: u8) -> Revision {
        Revision::from_bytes([number; 20])
    }

    /// A step by words: `7 value@file:line` at commit 7, `7 -` without the key, `7 0` where a layer takes it back, `7 ?` without the environment, `7 !` that is
    /// broken, `7 value@file:line 8 9` that commits 8 and 9 were reached with;
    /// a value behind `*` is tagged.
    fn step(words: &str) -> Step {
        let mut words = words.split(' ');
        let at = revision(words.next().unwrap().parse().unwrap());
        let commit = Commit {
            revision: at,
            author: "Ann".into(),
            subject: "s".into(),
            trailers: Vec::new(),
            unread: 0,
            at: Timestamp::from_millis(0),
        };
        let says = match words.next().unwrap() {
            "-" => Ok(Some(Provenance { said: Vec::new(), entry: None, sensitive: false })),
            "0" => {
                let origin = Origin { file: Arc::from("f"), line: 1, column: 1 };
                let said = vec![Said { layer: "web".into(), origin, value: None }];
                Ok(Some(Provenance { said, entry: None, sensitive: false }))
            }
            "?" => Ok(None),
            "!" => Err(vec![Problem {
                file: "f".into(),
                line: 1,
                column: 1,
                message: "broken".into(),
                hint: None,
                environments: crate::domain::desired::Affected::All,
            }]),
            text => {
                let sensitive = text.starts_with('*');
                let (value, place) = text.trim_start_matches('*').split_once('@').unwrap();
                let (file, line) = place.split_once(':').unwrap();
                let entry = Entry {
                    value: value.as_bytes().into(),
                    digest: ValueDigest::of(value.as_bytes()),
                    keep: false,
                    sensitive,
                    origin: Origin { file: Arc::from(file), line: line.parse().unwrap(), column: 1 },
                };
                Ok(Some(Provenance { said: Vec::new(), entry: Some(entry), sensitive }))
            }
        };
        Step { commit, says, reached: words.map(|word| revision(word.parse().unwrap())).collect() }
    }

    /// Steps newest first, the commits that the environment was taken to, and the versions that come of them.
    #[track_caller]
    fn check(steps: &[&str], attempts: &[u8], expected: &[&str]) {
        let mut past = Past::default();
        for words in steps {
            past.add(step(words));
        }
        let attempts: Vec<_> =
            (1..).zip(attempts).map(|(number, at)| (Generation::new(number).unwrap(), revision(*at))).collect();
        let Told { versions, astray, broken } = past.told(&attempts, true);
        let told = versions.into_iter().map(|version| {
            let bytes = version.held.map(|held| held.bytes.unwrap().to_vec());
            let value = bytes.map_or("-".to_owned(), |bytes| String::from_utf8(bytes).unwrap());
            let mut text = format!("{value} since {}", version.commit.revision.as_bytes()[0]);
            if version.hidden {
                text = format!("*{text}");
            }
            for (since, place) in version.places {
                write!(text, ", {place} since {}", since.as_bytes()[0]).unwrap();
            }
            for (at, _) in version.broken {
                write!(text, ", broken at {}", at.as_bytes()[0]).unwrap();
            }
            if !version.generations.is_empty() {
                let generations: Vec<u32> = version.generations.iter().map(|generation| generation.number()).collect();
                write!(text, ", generations {generations:?}").unwrap();
            }
            if version.live { text + ", live" } else { text }
        });
        let astray = astray.iter().map(|(generation, _)| format!("generation {generation} astray"));
        let broken = broken.iter().map(|(at, _)| format!("broken at {}", at.as_bytes()[0]));
        assert_eq!(told.chain(astray).chain(broken).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn equal_values_in_a_row_are_one_version_wherever_they_stand() {
        check(&[], &[], &[]);
        check(&["1 a@x:1"], &[], &["a since 1, x:1 since 1"]);
        check(
            &["4 b@x:1", "3 a@y:1", "2 a@x:2", "1 a@x:7"],
            &[],
            &["b since 4, x:1 since 4", "a since 1, y:1 since 3, x:2 since 1"],
        );
        check(
            &["3 a@x:1", "2 b@x:1", "1 a@x:1"],
            &[],
            &["a since 3, x:1 since 3", "b since 2, x:1 since 2", "a since 1, x:1 since 1"],
        );
    }

    #[test]
    fn a_key_that_was_taken_away_has_a_version_of_nothing_but_not_before_it_was_there() {
        check(&["3 -", "2 a@x:1", "1 -"], &[], &["- since 3", "a since 2, x:1 since 2"]);
        check(&["3 ?", "2 a@x:1", "1 ?"], &[], &["- since 3", "a since 2, x:1 since 2"]);
        check(&["2 -", "1 ?"], &[], &[]);
    }

    #[test]
    fn what_could_not_be_read_parts_no_version() {
        check(&["3 a@x:1", "2 !", "1 a@x:1"], &[], &["a since 1, x:1 since 1, broken at 2"]);
        check(&["2 !", "1 -"], &[], &["broken at 2"]);
        check(&["1 !"], &[], &["broken at 1"]);
        check(&["3 !", "2 b@x:1", "1 a@x:1"], &[], &["b since 2, x:1 since 2, broken at 3", "a since 1, x:1 since 1"]);
    }

    #[test]
    fn a_version_knows_each_attempt_that_came_to_it_from_another() {
        check(
            &["5 b@x:1 5 6", "1 a@x:1 1 2"],
            &[1, 2, 6, 1, 5],
            &["b since 5, x:1 since 5, generations [5, 3], live", "a since 1, x:1 since 1, generations [4, 1]"],
        );
        check(&["1 a@x:1 1"], &[1, 99], &["a since 1, x:1 since 1, generations [1]", "generation 2 astray"]);
        check(&["1 a@x:1 1"], &[1, 99, 1], &["a since 1, x:1 since 1, generations [3, 1], live", "generation 2 astray"]);
    }

    #[test]
    fn a_value_is_hidden_where_it_was_ever_tagged_and_so_is_what_the_key_was_before_the_tag() {
        check(&["1 *a@x:1"], &[], &["*a since 1, x:1 since 1"]);
        check(
            &["4 a@x:1", "3 c@x:1", "2 *b@x:1", "1 a@x:1"],
            &[],
            &["a since 4, x:1 since 4", "c since 3, x:1 since 3", "*b since 2, x:1 since 2", "*a since 1, x:1 since 1"],
        );
        check(
            &["3 a@x:1", "2 b@x:1", "1 *a@x:1"],
            &[],
            &["*a since 3, x:1 since 3", "b since 2, x:1 since 2", "*a since 1, x:1 since 1"],
        );
        check(&["2 a@x:1", "1 *a@x:1"], &[], &["*a since 1, x:1 since 1"]);
        let mut past = Past::default();
        past.add(step("1 a@x:1"));
        let mut told = past.told(&[], true);
        assert!(told.shows_any());
        told.hide();
        assert!(told.versions[0].hidden && !told.shows_any(), "the head tags it");
    }

    #[test]
    fn the_newest_commit_that_says_anything_of_the_key_tells_whether_it_is_tagged() {
        for (steps, expected) in [
            (&["3 -", "2 ?", "1 !"][..], None),
            (&["2 a@x:1", "1 *a@x:1"], Some(false)),
            // What can't be read may tag it as well as not.
            (&["4 !", "3 -", "2 *a@x:1", "1 a@x:1"], None),
            (&["3 -", "2 !", "1 a@x:1"], None),
            (&["3 a@x:1", "2 !", "1 *a@x:1"], Some(false)),
            (&["3 0", "2 *a@x:1", "1 a@x:1"], Some(true)),
            (&["2 0", "1 a@x:1"], Some(false)),
        ] {
            let mut past = Past::default();
            for words in steps {
                past.add(step(words));
            }
            assert_eq!(past.newest_tag(), expected, "{steps:?}");
        }
    }

    #[test]
    fn of_a_long_value_only_size_and_digest_are_kept() {
        for (size, is_kept) in [(LONGEST_HELD, true), (LONGEST_HELD + 1, false)] {
            let mut past = Past::default();
            past.add(step(&format!("1 {}@x:1", "x".repeat(size))));
            let held = past.told(&[], true).versions.remove(0).held.unwrap();
            assert_eq!((held.size, held.bytes.is_some()), (size, is_kept));
            assert_eq!(held.digest, ValueDigest::of("x".repeat(size).as_bytes()));
        }
    }
}
