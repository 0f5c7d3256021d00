//! What was adopted is given back with its value, or removed by a commit that says so.

use std::collections::{BTreeMap, BTreeSet};

use lockstep::domain::resource::Flags;

use super::Dice;
use super::found::{self, Baseline};
use super::play::{Play, record};
use super::theirs::{Whole, everything};

impl Play {
    /// The branch goes back to what was proven before the adoption.
    pub(super) fn gives_back_by_a_revert(&mut self, dice: &mut Dice) -> String {
        let Some((baseline, gone)) = self.way_back(dice) else { return self.removes_what_it_adopted(dice) };
        let before = everything(&self.agent);
        for group in &gone {
            self.found.let_go(*group);
        }
        for (group, values) in &baseline.found {
            self.found.wants(*group, values.clone());
        }
        self.commit_state("Revert", baseline.seed, &baseline.found, false);
        self.baseline = baseline;
        self.until_steady();
        self.part_with(&gone, &before);
        self.must_be_at_rest();
        format!("groups {gone:?}")
    }

    /// A person goes back to what was proven before the adoption, and a commit later agrees.
    pub(super) fn gives_back_by_a_rollback(&mut self, dice: &mut Dice) -> String {
        let Some((baseline, gone)) = self.way_back(dice) else { return self.removes_what_it_adopted(dice) };
        let before = everything(&self.agent);
        let to = baseline.revision.as_str();
        self.site.run(&["rollback", self.site.environment, "--to", to, "--reason", "random", "--timeout", "20s"]).exits(0);
        for group in &gone {
            self.found.let_go(*group);
        }
        self.site.until("it is rolled back", |status| status["phase"] == "held-after-rollback");
        self.part_with(&gone, &before);
        self.commit_state("Agrees", dice.next(), &self.found.wanted(), true);
        self.comes_to_rest();
        format!("groups {gone:?}")
    }

    /// A commit that no revert is removes what is live: that deletes even what was adopted. Its owner writes it again.
    pub(super) fn removes_what_it_adopted(&mut self, dice: &mut Dice) -> String {
        let Some(group) = self.found.any_held(dice) else { return self.adopts_by_trailer(dice) };
        self.found.let_go(group);
        self.commit_state("Has no use for it", dice.next(), &self.found.wanted(), true);
        let keys: Vec<String> = found::keys(group).collect();
        self.until_steady();
        let live = everything(&self.agent);
        let left: Vec<&String> = keys.iter().filter(|key| live.contains_key(*key)).collect();
        assert!(left.is_empty(), "a commit removed these, and they are left: {left:?}");
        self.tally.deleted += keys.len();
        found::rewrite(group, &mut self.theirs, &self.agent, dice);
        self.must_be_at_rest();
        format!("group {group}")
    }

    /// A state that was proven before some groups were adopted and that has no group which is not ours now; and the groups that
    /// it is without. Where there is none, something is adopted first.
    fn way_back(&mut self, dice: &mut Dice) -> Option<(Baseline, BTreeSet<usize>)> {
        if self.ways_back().is_empty() && self.found.free(dice).is_some() {
            self.adopts_by_trailer(dice);
        }
        let mut ways = self.ways_back();
        (!ways.is_empty()).then(|| ways.swap_remove(dice.below(ways.len())))
    }

    fn ways_back(&self) -> Vec<(Baseline, BTreeSet<usize>)> {
        let held = self.found.wanted();
        // A rejection, a removal and a loss of the record end a proof.
        let record = record(&self.agent, &self.site).unwrap();
        let proven: BTreeSet<&str> =
            record["proven"].as_array().unwrap().iter().filter_map(|proof| proof["revision"].as_str()).collect();
        let baselines = held.keys().filter_map(|group| self.found.baseline(*group));
        let usable = baselines.filter(|baseline| {
            proven.contains(&*baseline.revision) && baseline.found.keys().all(|group| held.contains_key(group))
        });
        usable
            .map(|baseline| {
                let gone = held.keys().filter(|group| !baseline.found.contains_key(group)).copied().collect();
                (baseline.clone(), gone)
            })
            .collect()
    }

    /// Asserts that adopted keys of these groups are what they were before without the mark, and that others, made
    /// anew by lockstep after somebody had deleted them, are gone; their owner writes those again.
    fn part_with(&mut self, groups: &BTreeSet<usize>, before: &BTreeMap<String, Whole>) {
        let is_adopted = |key: &String| Flags(before[key].flags).mark_of(self.owner).is_some_and(|mark| mark.adopted);
        let all = groups.iter().flat_map(|group| found::keys(*group));
        let (adopted, own): (Vec<String>, Vec<String>) = all.partition(is_adopted);
        self.were_given_back(&adopted, before);
        let live = everything(&self.agent);
        let left: Vec<&String> = own.iter().filter(|key| live.contains_key(*key)).collect();
        assert!(left.is_empty(), "these were lockstep's own, and are left: {left:?}");
        let entries: Vec<_> = own.into_iter().map(|key| (key, b"mine again".to_vec(), 0)).collect();
        self.theirs.put(&self.agent, &entries);
    }
}
