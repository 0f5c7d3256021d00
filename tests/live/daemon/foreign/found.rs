//! Keys of others that are set aside to be adopted: whose each of them is now, and what it may be.
//!
//! As long as nobody wants them they are among [`Theirs`]. From the commit that adopts a group until it is given back they are
//! here: at rest each is exactly what the branch head says, and meanwhile never anything that nobody ever said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lockstep::domain::resource::{Flags, OwnerId};

use super::Dice;
use super::theirs::{Theirs, Whole};
use crate::support::Agent;

/// So many keys each: one, a few, one transaction's, and several transactions'.
const SIZES: [usize; 5] = [1, 3, 50, 150, 300];
/// What all of them lie below.
pub(super) const BELOW: &str = "config/many/found";
/// So long a key that somebody changed by hand is left alone: fought over, it would be put right late.
const PEACE: Duration = Duration::from_mins(11);

/// What a commit says of one group: its keys' values in the order of their names.
pub(super) type Values = Vec<String>;

/// A state that was proven while some groups were not adopted yet.
#[derive(Debug, Clone)]
pub(super) struct Baseline {
    /// The commit that first said so, which is what its proof names.
    pub(super) revision: String,
    /// What the commit's own values follow from.
    pub(super) seed: u64,
    /// The groups that it has.
    pub(super) found: BTreeMap<usize, Values>,
}

/// A group that commits have.
#[derive(Debug)]
struct Held {
    /// What the branch head says, at rest.
    wanted: Values,
    before: BTreeMap<String, Whole>,
    /// What people wrote over them since they were last at rest.
    by_hand: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// Deleted by hand since: what lockstep makes anew may be its own.
    deleted: BTreeSet<String>,
    /// What was proven just before; none: nothing.
    baseline: Option<Baseline>,
}

/// Every group, by its number.
#[derive(Debug, Default)]
pub(super) struct Found {
    held: BTreeMap<usize, Held>,
    /// All values that a commit ever gave a key: a rollback may go back to any.
    said: BTreeMap<String, BTreeSet<Vec<u8>>>,
    edited: BTreeMap<String, Instant>,
}

/// The keys of a group.
pub(super) fn keys(group: usize) -> impl Iterator<Item = String> {
    (0..SIZES[group]).map(move |number| format!("{BELOW}{group}/k{number:03}"))
}

/// What adopts a group.
pub(super) fn trailer(group: usize) -> String {
    let key = if SIZES[group] == 1 { "k000" } else { "" };
    format!("Lockstep-Adopt: {BELOW}{group}/{key}\n")
}

/// The file that has a group's keys.
pub(super) fn path(group: usize) -> String {
    format!("base/kv/{BELOW}{group}.yaml")
}

/// That file's content.
pub(super) fn file(values: &Values) -> String {
    let mut text = String::new();
    for (number, value) in values.iter().enumerate() {
        writeln!(text, "k{number:03}: {}", serde_json::Value::from(value.as_str())).unwrap();
    }
    text
}

/// The numbers of all groups.
pub(super) fn groups() -> impl Iterator<Item = usize> {
    0..SIZES.len()
}

/// A text such as people have in keys, and ones that a careless reader would change.
pub(super) fn word(dice: &mut Dice) -> String {
    const ODD: [&str; 12] =
        ["", " ", "on", "0755", "1.10", "null", "~", "a: b # c", "two\nlines\n", "\ttab", "Größe ≤ 1", "{\"a\": [1, 2]}"];
    if dice.once_in(3) { ODD[dice.below(ODD.len())].to_owned() } else { format!("v{}", dice.below(1_000_000)) }
}

impl Found {
    /// Writes all groups as somebody else has them.
    pub(super) fn fill(theirs: &mut Theirs, agent: &Agent, dice: &mut Dice) -> Self {
        for group in groups() {
            rewrite(group, theirs, agent, dice);
        }
        Self::default()
    }

    pub(super) fn is_held(&self, group: usize) -> bool {
        self.held.contains_key(&group)
    }

    /// A group that no commit has.
    pub(super) fn free(&self, dice: &mut Dice) -> Option<usize> {
        let free: Vec<usize> = groups().filter(|group| !self.is_held(*group)).collect();
        free.get(dice.below(free.len())).copied()
    }

    /// A group that commits have.
    pub(super) fn any_held(&self, dice: &mut Dice) -> Option<usize> {
        let held: Vec<usize> = self.held.keys().copied().collect();
        held.get(dice.below(held.len())).copied()
    }

    /// What commits say of every group that they have.
    pub(super) fn wanted(&self) -> BTreeMap<usize, Values> {
        self.held.iter().map(|(group, held)| (*group, held.wanted.clone())).collect()
    }

    pub(super) fn baseline(&self, group: usize) -> Option<&Baseline> {
        self.held[&group].baseline.as_ref()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.held.values().any(|held| held.before.contains_key(key))
    }

    /// The next commit adopts a group.
    pub(super) fn hold(&mut self, group: usize, theirs: &mut Theirs, baseline: Option<Baseline>) {
        let wanted = values(group, theirs);
        let before = keys(group).map(|key| (key.clone(), theirs.take(&key))).collect();
        let held = Held { wanted: Values::new(), before, by_hand: BTreeMap::new(), deleted: BTreeSet::new(), baseline };
        self.held.insert(group, held);
        self.wants(group, wanted);
    }

    /// The next commit gives a group these values.
    pub(super) fn wants(&mut self, group: usize, values: Values) {
        for (key, value) in keys(group).zip(&values) {
            self.said.entry(key).or_default().insert(value.clone().into_bytes());
        }
        self.held.get_mut(&group).unwrap().wanted = values;
    }

    /// No commit has it any more.
    pub(super) fn let_go(&mut self, group: usize) {
        self.held.remove(&group);
    }

    /// A key that somebody may change by hand now.
    pub(super) fn editable(&mut self, dice: &mut Dice) -> Option<String> {
        let group = self.any_held(dice)?;
        let key = keys(group).nth(dice.below(SIZES[group]))?;
        if self.edited.get(&key).is_some_and(|at| at.elapsed() < PEACE) {
            return None;
        }
        self.edited.insert(key.clone(), Instant::now());
        Some(key)
    }

    /// Somebody is about to write, or delete, a key that commits have.
    pub(super) fn by_hand(&mut self, key: &str, value: Option<&[u8]>) {
        let held = self.held.values_mut().find(|held| held.before.contains_key(key)).unwrap();
        match value {
            Some(value) => drop(held.by_hand.entry(key.to_owned()).or_default().insert(value.to_vec())),
            None => drop(held.deleted.insert(key.to_owned())),
        }
    }

    /// The keys that are not ours and do not have what the branch head says, with that and the index to write it at.
    pub(super) fn disputed(&self, live: &BTreeMap<String, Whole>) -> Vec<(String, String, u64)> {
        let all = self.held.iter().flat_map(|(group, held)| keys(*group).zip(&held.wanted));
        let differs = all.filter_map(|(key, wanted)| {
            let whole = live.get(&key).filter(|whole| whole.flags == 0 && whole.value != wanted.as_bytes())?;
            Some((key, wanted.clone(), whole.modify))
        });
        differs.collect()
    }

    /// What is wrong with any of them while anything may be under way.
    pub(super) fn trouble_under_way(&self, live: &BTreeMap<String, Whole>, owner: OwnerId) -> Option<String> {
        let mut each = self.held.values().flat_map(|held| held.before.iter().map(move |(key, before)| (held, key, before)));
        each.find_map(|(held, key, before)| {
            let was_deleted = held.deleted.contains(key);
            let Some(whole) = live.get(key) else {
                return (!was_deleted).then(|| format!("{key} is gone, which nobody said"));
            };
            let is_known = |values: Option<&BTreeSet<Vec<u8>>>| values.is_some_and(|values| values.contains(&whole.value));
            let mark = Flags(whole.flags).mark_of(owner);
            if whole.flags != 0 && mark.is_none_or(|mark| !mark.adopted && !was_deleted) {
                return Some(format!("{key} has a mark that says nothing of an adoption: {whole:?}, before {before:?}"));
            }
            if whole.create != before.create && !was_deleted {
                return Some(format!("{key} was deleted and made anew: {whole:?}, before {before:?}"));
            }
            let is_said = is_known(self.said.get(key)) || is_known(held.by_hand.get(key));
            (!is_said).then(|| format!("{key} has what nobody ever wrote: {whole:?}, before {before:?}"))
        })
    }

    /// What is wrong with any of them where all is at rest.
    pub(super) fn trouble_at_rest(&self, live: &BTreeMap<String, Whole>, owner: OwnerId) -> Option<String> {
        let all = self.held.iter().flat_map(|(group, held)| keys(*group).zip(&held.wanted));
        let is_so = |(key, wanted): &(String, &String)| {
            let whole = live.get(key);
            whole.is_some_and(|whole| whole.value == wanted.as_bytes() && Flags(whole.flags).mark_of(owner).is_some())
        };
        let wrong = all.into_iter().find(|each| !is_so(each));
        wrong
            .map(|(key, wanted)| format!("{key} is {:?} and not ours with {wanted:?}", live.get(&key)))
            .or_else(|| self.trouble_under_way(live, owner))
    }

    /// All is at rest: what people wrote before is gone.
    pub(super) fn rest(&mut self) {
        for held in self.held.values_mut() {
            held.by_hand.clear();
        }
    }
}

/// What a group's keys are as long as they are theirs.
pub(super) fn values(group: usize, theirs: &Theirs) -> Values {
    keys(group).map(|key| String::from_utf8(theirs.value(&key).to_vec()).unwrap()).collect()
}

/// Their owner writes a group anew.
pub(super) fn rewrite(group: usize, theirs: &mut Theirs, agent: &Agent, dice: &mut Dice) {
    let entries: Vec<_> = keys(group).map(|key| (key, word(dice).into_bytes(), 0)).collect();
    theirs.put(agent, &entries);
}
