//! Reads a case's sentence: steps between commas, each a few words, carried out one after the other.

use expect_test::Expect;

use super::world::{Node, OWNER, World};
use crate::domain::desired::sketch::Sketch;
use crate::domain::health::Finding;
use crate::domain::name::{CheckName, KeyPath};
use crate::domain::resource::{Flags, KeyMark, OwnerId};
use crate::domain::revision::Generation;
use crate::domain::rollout::{Answer, HistoryLine, LetPass, Rollout, Verb};
use crate::domain::scope::{KeyPrefix, KeyScope};

/// Carries out a sentence and compares what it shows: the state at each `show` and at the end, then answers and history.
///
/// Steps: `commit WORDS` (the words of [`Sketch::edit`], `good`, `bad`, `unknown` and `flapping` for the key `health`, `readme`,
/// `invalid`, `retired`, `unfit`, `blank`, and `+Trailer=value`), `revert`, `fork rN WORDS`, `rewind rN`, `believe`, `branch gone`,
/// `lose rN`, `find rN`, `narrow rN`, `widen rN`; `settle`, `wait N`, `tick` (a second without a pass), `pass`, `show`; `by hand WORDS`, `copy A B`, `theirs K`, `foreign K`; `deny K`,
/// `allow`, `contend K`, `peace`, `unreachable`, `reachable`, `new rights`, `permitted`, `batch N`, `whole`; `CHECK sick|blind|well`;
/// `take over`, `snapshot`, `restore`; `ask VERB … [by NAME]`.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
pub(in crate::domain) fn check(sentence: &str, expected: Expect) {
    let (world, mut shown) = run(sentence);
    shown.extend(world.state());
    shown.extend(world.answers.iter().map(|answer| {
        let became = if answer.accepted { "done" } else { "refused" };
        world.named(&format!("{became}: {}", answer.text))
    }));
    shown.extend(world.lines());
    expected.assert_eq(&shown.join("\n"));
}

/// The record at the end of a sentence.
#[track_caller]
pub(crate) fn rollout_after(sentence: &str) -> Rollout {
    run(sentence).0.record
}

/// The answers to what was asked in a sentence.
#[track_caller]
pub(super) fn answers_after(sentence: &str) -> Vec<Answer> {
    run(sentence).0.answers
}

/// The lines of history at the end of a sentence, oldest first.
#[track_caller]
pub(crate) fn history_after(sentence: &str) -> Vec<HistoryLine> {
    run(sentence).0.history.into_values().collect()
}

#[track_caller]
fn run(sentence: &str) -> (World, Vec<String>) {
    let mut world = World::new();
    let mut shown = Vec::new();
    for step in sentence.split(',').map(str::trim) {
        let words: Vec<&str> = step.split_whitespace().collect();
        if words == ["show"] {
            shown.extend(world.state());
            shown.push("--".to_owned());
        } else {
            world.tell(step);
        }
    }
    (world, shown)
}

fn key(text: &str) -> KeyPath {
    KeyPath::parse(text).unwrap()
}

fn number(text: &str) -> usize {
    text.trim_start_matches('r').parse().unwrap_or_else(|_| panic!("{text:?} is no revision"))
}

impl World {
    /// Carries out one step.
    #[track_caller]
    pub(super) fn tell(&mut self, step: &str) {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words.as_slice() {
            ["commit", words @ ..] => self.commit_on(self.tip, words),
            ["fork", from, words @ ..] => self.commit_on(Some(number(from)), words),
            ["revert"] => {
                let tip = &self.commits[self.tip.unwrap() - 1];
                let before = self.commits[tip.parent.unwrap() - 1].clone();
                self.commits.push(Node { parent: self.tip, trailers: Vec::new(), ..before });
                self.tip = Some(self.commits.len());
            }
            ["rewind", to] => (self.tip, self.believed) = (Some(number(to)), false),
            ["believe"] => self.believed = true,
            ["branch", "gone"] => self.tip = None,
            ["lose", commit] => drop(self.lost.insert(number(commit))),
            ["find", commit] => drop(self.lost.remove(&number(commit))),
            ["narrow", commit] => drop(self.narrowed.insert(number(commit))),
            ["widen", commit] => drop(self.narrowed.remove(&number(commit))),
            ["settle"] => self.settle(),
            ["wait", seconds] => self.wait(seconds.parse().unwrap()),
            ["pass"] => drop(self.pass()),
            ["tick"] => self.tick(),
            ["by", "hand", words @ ..] => words.iter().for_each(|word| self.by_hand(word)),
            ["copy", from, to] => {
                let (flags, value) = (self.live.entries[&key(from)].flags, self.values[&key(from)].clone());
                self.put(key(to), &value, flags);
            }
            ["theirs", name] => {
                let (owner, generation) = (OwnerId::new(OWNER + 1).unwrap(), Generation::new(1).unwrap());
                self.put(key(name), "theirs", KeyMark { adopted: false, owner, generation }.flags());
            }
            ["foreign", name] => self.put(key(name), "foreign", Flags(42)),
            ["adopted", name] => {
                let (value, owner) = (self.values[&key(name)].clone(), OwnerId::new(OWNER).unwrap());
                let generation = self.record.generation;
                self.put(key(name), &value, KeyMark { adopted: true, owner, generation }.flags());
            }
            ["deny", name] => drop(self.denied.insert(key(name))),
            ["allow"] => self.denied.clear(),
            ["contend", name] => drop(self.contended.insert(key(name))),
            ["peace"] => self.contended.clear(),
            ["unreachable"] => self.unreachable = true,
            ["reachable"] => self.unreachable = false,
            ["new", "rights"] => self.rights += 1,
            ["permitted"] => {
                self.denied.clear();
                self.permitted = true;
            }
            ["batch", size] => self.batch = size.parse().unwrap(),
            ["whole"] => self.batch = usize::MAX,
            [check, "sick"] => self.find(check, Finding::Fail { because: "got 500".to_owned() }),
            [check, "blind"] => self.find(check, Finding::Unknown { because: "no leader".to_owned() }),
            [check, "well"] => drop(self.found.remove(&CheckName::parse(check).unwrap())),
            ["take", "over"] => self.take_over(),
            // What can't be removed says why, where the branch would say what it is on.
            ["remove"] => self.remove(usize::MAX),
            ["remove", changes] => self.remove(changes.parse().unwrap()),
            ["snapshot"] => self.take_snapshot(),
            ["restore"] => self.restore(),
            ["ask", words @ .., "by", by] => self.ask(by, verb(self, words)),
            ["ask", words @ ..] => self.ask("Grace", verb(self, words)),
            _ => panic!("{step:?} is no step of this language"),
        }
    }

    fn find(&mut self, check: &str, finding: Finding) {
        self.found.insert(CheckName::parse(check).unwrap(), finding);
    }

    #[track_caller]
    fn commit_on(&mut self, parent: Option<usize>, words: &[&str]) {
        let mut node = match parent {
            Some(parent) => Node { parent: Some(parent), trailers: Vec::new(), ..self.commits[parent - 1].clone() },
            None => Node { parent, sketch: first(), trailers: Vec::new(), invalid: false, retired: false, unfit: false },
        };
        (node.invalid, node.retired, node.unfit) = (false, false, false);
        for word in words {
            match *word {
                "good" | "bad" | "unknown" | "flapping" => node.sketch.edit(&format!("health={word}")),
                "readme" => {}
                "invalid" => node.invalid = true,
                "retired" => node.retired = true,
                "unfit" => node.unfit = true,
                "blank" => node.sketch = Sketch::blank(),
                word => match word.strip_prefix('+').and_then(|trailer| trailer.split_once('=')) {
                    Some((name, value)) => node.trailers.push((format!("Lockstep-{name}"), value.to_owned())),
                    None => node.sketch.edit(word),
                },
            }
        }
        self.commits.push(node);
        self.believed = false;
        self.tip = Some(self.commits.len());
    }

    fn by_hand(&mut self, word: &str) {
        if let Some(name) = word.strip_prefix('-') {
            self.live.entries.remove(name).unwrap();
            self.values.remove(name);
        } else {
            let (name, value) = word.split_once('=').unwrap();
            self.put(key(name), value, Flags(0));
        }
    }
}

/// Where every repository begins: one key, a health that a check goes by, and the check.
fn first() -> Sketch {
    let mut sketch = Sketch::blank();
    for word in ["a=1", "health=good", "?build"] {
        sketch.edit(word);
    }
    sketch
}

#[track_caller]
fn verb(world: &World, words: &[&str]) -> Verb {
    let at = |commit: &str| super::world::revision(number(commit));
    // Whoever lets a head pass means the one that the branch is at as they ask.
    let tip = world.tip.map(super::world::revision);
    let release = |revision: Option<_>, allow_deletes: Option<u32>, overriding| {
        let lets_pass = revision.or(tip).and_then(|head| LetPass::new(head, allow_deletes, overriding));
        Verb::Release { revision, lets_pass }
    };
    match words {
        ["rollback"] => Verb::RollBack { to: None },
        ["rollback", to] => Verb::RollBack { to: Some(at(to)) },
        ["release"] => release(None, None, false),
        ["release", "deletes", deletes] => release(None, Some(deletes.parse().unwrap()), false),
        ["release", "override"] => release(None, None, true),
        ["release", commit] => release(Some(at(commit)), None, false),
        ["release", commit, "deletes", deletes] => release(Some(at(commit)), Some(deletes.parse().unwrap()), false),
        ["release", commit, "override"] => release(Some(at(commit)), None, true),
        ["adopt", prefixes @ ..] => {
            let prefixes = prefixes.iter().map(|text| KeyPrefix::parse(text).unwrap());
            let scope = if prefixes.len() == 0 { KeyScope::every() } else { KeyScope::of(prefixes) };
            Verb::Release { revision: None, lets_pass: tip.map(|tip| LetPass::adopting(tip, scope)) }
        }
        ["suspend"] => Verb::Suspend { until: None },
        ["suspend", seconds] => Verb::Suspend { until: Some(world.at(seconds.parse().unwrap())) },
        ["resume"] => Verb::Resume,
        ["overwrite", "drift"] => Verb::OverwriteDrift,
        _ => panic!("{words:?} can't be asked"),
    }
}
