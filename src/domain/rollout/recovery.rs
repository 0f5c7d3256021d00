//! A lost record made anew from what is left: the marks on the keys, owner entries, history (rule A6).
//!
//! Nothing is known of the environment then but whose keys are whose and which numbers were given out. So the new record has no
//! goal and no last good, and it starts above every number that can be seen. What the branch head has is kept or put right by
//! the next pass; a marked key of no revision is a stray, which is listed and never deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::line::{Closed, HistoryLine, Outcome};
use super::record::Rollout;
use super::succession::Former;
use super::{Identity, Save, TargetId};
use crate::domain::live::LiveState;
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::plan::{Act, Counts, Intent};
use crate::domain::resource::{OwnerId, Ownership};
use crate::domain::revision::{Generation, Revision};
use crate::domain::scope::KeyScope;
use crate::domain::time::Timestamp;
use crate::domain::words::count;

/// What a target without the record still has of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remains {
    /// Owner ids whose entry names this environment, each with the id of the target as the entry knows it.
    pub entries: BTreeMap<OwnerId, Option<TargetId>>,
    /// Owner ids whose entry names somebody else, and whom.
    pub others: BTreeMap<OwnerId, String>,
    /// The keys below the roots with a lockstep mark, by owner.
    pub marks: BTreeMap<OwnerId, Marks>,
    /// The newest line of history.
    pub newest: Option<Generation>,
    /// Lines that nobody closed: what the lost record had under way.
    pub open: Vec<HistoryLine>,
    /// The names that the environment had before, the oldest first, as far as history says so.
    pub former: Vec<Former>,
    /// That the environment was removed from here, or went on under another name, when and by whom, where its newest line says so.
    pub removed: Option<String>,
}

/// The keys with one owner's mark.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// How many.
    pub keys: usize,
    /// The highest generation among them.
    pub highest: Generation,
    /// The first few.
    pub some: Vec<KeyPath>,
}

/// What a new record is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Whose marks are the environment's.
    pub owner: OwnerId,
    /// The id that the target had; none: nobody knows it, and it gets another.
    pub target: Option<TargetId>,
    /// Above every number that can be seen.
    pub generation: Generation,
    /// How many keys carry the owner's mark.
    pub keys: usize,
    /// Other owners' marks below the roots, which stay as foreign as they are: how many keys each.
    pub rivals: BTreeMap<OwnerId, usize>,
    /// Lines of history to be closed: nobody goes on with what they began.
    pub open: Vec<HistoryLine>,
    /// The names that the environment had before, the oldest first.
    pub former: Vec<Former>,
}

impl Marks {
    /// Keys that are named.
    const NAMED: usize = 3;

    /// The marks below the roots, by owner.
    #[must_use]
    pub fn of(live: &LiveState) -> BTreeMap<OwnerId, Self> {
        let mut all: BTreeMap<OwnerId, Self> = BTreeMap::new();
        for (key, entry) in &live.entries {
            let Ownership::Marked(mark) = entry.flags.ownership() else { continue };
            let marks = all.entry(mark.owner).or_default();
            marks.keys += 1;
            marks.highest = marks.highest.max(mark.generation);
            if marks.some.len() < Self::NAMED {
                marks.some.push(key.clone());
            }
        }
        all
    }
}

impl Remains {
    /// So many of the newest lines of history have those that were left open: the last attempt's, the repair's beside it, and what
    /// people decided meanwhile.
    pub const LINES: usize = 64;

    /// The lines among these that nobody closed.
    #[must_use]
    pub fn open(lines: Vec<HistoryLine>) -> Vec<HistoryLine> {
        lines.into_iter().filter(|line| line.closed.is_none()).collect()
    }

    /// The name that an environment had before this one, as the history under this one says, newest first. What was before a removal
    /// was another environment.
    #[must_use]
    pub fn came_from(lines: &[HistoryLine], name: &EnvironmentName) -> Option<Former> {
        let newest = lines.iter().find(|line| line.is_removal() || line.intent == Intent::Act(Act::Rename))?;
        let (before, _) = newest.renaming().filter(|(_, now)| now == name)?;
        let until = Generation::new(newest.generation.number().checked_sub(1)?)?;
        Some(Former { name: before, until })
    }

    /// All such names, the oldest first, where the lines under every name are one history.
    #[must_use]
    pub fn names_in(lines: &[HistoryLine], name: &EnvironmentName) -> Vec<Former> {
        let (mut name, mut rest) = (name.clone(), lines);
        let mut former = Vec::new();
        while former.len() < Rollout::FORMER
            && let Some(before) = Self::came_from(rest, &name)
        {
            rest = &rest[rest.partition_point(|line| line.generation > before.until)..];
            name.clone_from(&before.name);
            former.push(before);
        }
        former.reverse();
        former
    }

    /// Whose marks the environment's may be.
    #[must_use]
    pub fn candidates(&self) -> BTreeSet<OwnerId> {
        let unexplained = self.marks.keys().filter(|owner| !self.others.contains_key(owner));
        self.entries.keys().chain(unexplained).copied().collect()
    }

    /// Whose marks the environment's are, and the number that comes after all that can be seen.
    ///
    /// # Errors
    /// When nothing is left; when several owners could be meant and none is chosen; when the chosen one is not among them. Each
    /// names what was found.
    pub fn recovery(&self, chosen: Option<OwnerId>) -> Result<Recovery, String> {
        let candidates = self.candidates();
        let owner = match (chosen, candidates.len()) {
            (Some(owner), _) if candidates.contains(&owner) => owner,
            (Some(owner), _) => {
                let whose = self.others.get(&owner).map_or_else(
                    || "no key below the roots and no owner entry of this environment names it".to_owned(),
                    |whose| format!("it belongs to {whose}"),
                );
                return Err(format!("owner {owner} can't be meant: {whose}"));
            }
            (None, 0) => {
                return Err(
                    "nothing of it is left here: no owner entry names it, and no key below its roots carries a mark of \
                            nobody else"
                        .to_owned(),
                );
            }
            (None, 1) => candidates.into_iter().next().ok_or("one owner is one owner")?,
            (None, _) => {
                let all: Vec<String> = candidates.iter().map(|owner| self.told(*owner)).collect();
                return Err(format!("several owners could be meant: {}", all.join("; ")));
            }
        };
        let marked = self.marks.get(&owner);
        let highest = marked.map(|marks| marks.highest).max(self.newest).unwrap_or_default();
        let rivals = self.marks.iter().filter(|(other, _)| **other != owner);
        Ok(Recovery {
            owner,
            target: self.entries.get(&owner).cloned().flatten(),
            generation: highest.next(),
            keys: marked.map_or(0, |marks| marks.keys),
            rivals: rivals.map(|(other, marks)| (*other, marks.keys)).collect(),
            open: self.open.clone(),
            former: self.former.clone(),
        })
    }

    /// One owner that could be meant, for people.
    fn told(&self, owner: OwnerId) -> String {
        let entry = if self.entries.contains_key(&owner) { "its entry names this environment" } else { "no entry" };
        match self.marks.get(&owner) {
            None => format!("owner {owner} ({entry}): no key"),
            Some(Marks { keys, highest, some }) => {
                let some: Vec<String> = some.iter().map(ToString::to_string).collect();
                let keys = count(keys, "key");
                format!("owner {owner} ({entry}): {keys} up to generation {highest}, such as {}", some.join(", "))
            }
        }
    }
}

impl Recovery {
    /// The record, with the line of history that says who made it and why, and the lines that nobody closed.
    #[must_use]
    pub fn save(&self, identity: Identity, revision: Revision, by: &str, because: &str, now: Timestamp) -> Save {
        let text = format!("recovered: {} with the mark of owner {}", count(self.keys, "key"), self.owner);
        let line = HistoryLine {
            generation: self.generation,
            intent: Intent::Act(Act::Recover),
            revision,
            from: None,
            by: by.to_owned(),
            because: because.to_owned(),
            counts: Counts::default(),
            started: now,
            closed: Some(Closed { at: now, outcome: Outcome::Done, text }),
        };
        let lost = Closed { at: now, outcome: Outcome::Superseded, text: "the record was lost meanwhile".to_owned() };
        let closed = self.open.iter().map(|line| HistoryLine { closed: Some(lost.clone()), ..line.clone() }).collect();
        let record = Rollout {
            generation: self.generation,
            adopted: KeyScope::every(),
            former: self.former.clone(),
            ..Rollout::new(identity)
        };
        Save::opening(record, line).with_lines(closed)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn owner(number: u16) -> OwnerId {
        OwnerId::new(number).unwrap()
    }

    fn generation(number: u32) -> Generation {
        Generation::new(number).unwrap()
    }

    /// `entry 7`, `entry 7 old-target`, `other 8`, `mark 7 12`, `line 9`.
    fn remains(script: &str) -> Remains {
        let mut remains = Remains::default();
        for (at, step) in script.split(", ").filter(|step| !step.is_empty()).enumerate() {
            let words: Vec<&str> = step.split(' ').collect();
            let number: u16 = words[1].parse().unwrap();
            match words[0] {
                "entry" => {
                    let target = words.get(2).map(|id| TargetId::parse(id).unwrap());
                    remains.entries.insert(owner(number), target);
                }
                "other" => drop(remains.others.insert(owner(number), "staging of the repository demo".to_owned())),
                "mark" => {
                    let marks = remains.marks.entry(owner(number)).or_default();
                    marks.keys += 1;
                    marks.highest = marks.highest.max(generation(words[2].parse().unwrap()));
                    marks.some.push(KeyPath::parse(&format!("k{at}")).unwrap());
                }
                "line" => remains.newest = Some(generation(number.into())),
                other => panic!("{other}"),
            }
        }
        remains
    }

    #[track_caller]
    fn check(script: &str, chosen: Option<u16>, expected: &Expect) {
        let said = match remains(script).recovery(chosen.map(owner)) {
            Ok(Recovery { owner, target, generation, keys, rivals, open: _, former: _ }) => {
                format!("owner {owner} on {target:?} from {generation}, keys {keys}, rivals {rivals:?}")
            }
            Err(why) => why,
        };
        expected.assert_eq(&said);
    }

    #[test]
    fn the_owner_is_whoever_alone_can_be_meant_and_the_number_is_above_all_that_are_seen() {
        check(
            "entry 7 old-target, mark 7 4, mark 7 9, mark 7 2",
            None,
            &expect!["owner 7 on Some(old-target) from 10, keys 3, rivals {}"],
        );
        check("mark 7 4, line 12", None, &expect!["owner 7 on None from 13, keys 1, rivals {}"]);
        check("entry 7", None, &expect!["owner 7 on None from 1, keys 0, rivals {}"]);
        check("mark 7 4, mark 8 60, other 8", None, &expect!["owner 7 on None from 5, keys 1, rivals {OwnerId(8): 1}"]);
    }

    /// History as `8 rename one uno, 3 remove`, newest first; the names before this one as `one until 7`.
    #[track_caller]
    fn check_names(script: &str, name: &str, expected: &str) {
        let line = |step: &str| {
            let words: Vec<&str> = step.split(' ').collect();
            let (intent, outcome, because) = match words[1] {
                "rename" => (Intent::Act(Act::Rename), Outcome::Done, format!("{} goes on as {}", words[2], words[3])),
                "remove" => (Intent::Remove, Outcome::Removed, String::new()),
                _ => (Intent::Advance, Outcome::Proven, "eins goes on as uno".to_owned()),
            };
            let (at, text) = (Timestamp::from_millis(0), String::new());
            HistoryLine {
                generation: generation(words[0].parse().unwrap()),
                intent,
                revision: Revision::from_bytes([1; 20]),
                from: None,
                by: HistoryLine::LOCKSTEP.to_owned(),
                because,
                counts: Counts::default(),
                started: at,
                closed: Some(Closed { at, outcome, text }),
            }
        };
        let lines: Vec<HistoryLine> = script.split(", ").map(line).collect();
        let names = Remains::names_in(&lines, &EnvironmentName::parse(name).unwrap());
        let told: Vec<String> = names.iter().map(|former| format!("{} until {}", former.name, former.until)).collect();
        assert_eq!(told.join(", "), expected, "{script}");
    }

    #[test]
    fn the_names_before_are_those_that_the_lines_of_renames_lead_back_to() {
        check_names("2 advance, 1 advance", "uno", "");
        check_names("9 advance, 8 rename one uno, 7 advance", "uno", "one until 7");
        check_names("8 rename one uno, 4 rename eins one, 1 advance", "uno", "eins until 3, one until 7");
        check_names("8 rename one uno, 4 rename uno one, 1 advance", "uno", "uno until 3, one until 7");
        // It went on elsewhere, or is another environment than the one before a removal.
        check_names("8 rename uno due, 4 rename one uno", "uno", "");
        check_names("9 advance, 8 remove, 4 rename one uno", "uno", "");
        check_names("8 rename one uno, 5 remove, 4 rename eins one", "uno", "one until 7");
        check_names("8 rename ../one uno, 4 rename eins uno", "uno", "");
    }

    #[test]
    fn nobody_guesses_between_rivals_and_none_is_taken_from_another_environment() {
        check(
            "",
            None,
            &expect![
                "nothing of it is left here: no owner entry names it, and no key below its roots carries a mark of nobody else"
            ],
        );
        check(
            "other 8, mark 8 3, line 4",
            None,
            &expect![
                "nothing of it is left here: no owner entry names it, and no key below its roots carries a mark of nobody else"
            ],
        );
        check(
            "entry 7, mark 8 3",
            None,
            &expect![
                "several owners could be meant: owner 7 (its entry names this environment): no key; owner 8 (no entry): 1 key up to generation 3, such as k1"
            ],
        );
        check("entry 7, mark 8 3", Some(8), &expect!["owner 8 on None from 4, keys 1, rivals {}"]);
        check("mark 7 5, mark 8 3", Some(7), &expect!["owner 7 on None from 6, keys 1, rivals {OwnerId(8): 1}"]);
        check(
            "mark 7 5, mark 8 3, other 8",
            Some(8),
            &expect!["owner 8 can't be meant: it belongs to staging of the repository demo"],
        );
        check(
            "mark 7 5",
            Some(9),
            &expect!["owner 9 can't be meant: no key below the roots and no owner entry of this environment names it"],
        );
    }
}
