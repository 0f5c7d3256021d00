//! Keys of others that a commit wants: taken over with every byte of their values, or left alone.

use std::collections::BTreeMap;

use super::Dice;
use super::found::{self, Baseline};
use super::play::Play;
use super::theirs::{Whole, everything};
use crate::daemon::service::BAD;
use crate::daemon::site::{APP, app};

impl Play {
    /// With the environment's other keys as they were, or other values as well; killed in the middle or not.
    pub(super) fn adopts_by_trailer(&mut self, dice: &mut Dice) -> String {
        let Some(group) = self.found.free(dice) else { return self.gives_back_by_a_revert(dice) };
        let is_killed = dice.once_in(2);
        self.hold(group);
        let seed = if dice.once_in(2) { dice.next() } else { self.baseline.seed };
        let commits = |play: &mut Self, _: &mut Dice| {
            play.commit_state("Adopts", seed, &play.found.wanted(), true);
            format!("group {group}")
        };
        let said = if is_killed { self.kills_in(dice, commits) } else { commits(self, dice) };
        self.comes_to_rest();
        self.took_over(group);
        said
    }

    /// First nobody says that it may.
    pub(super) fn adopts_by_verb(&mut self, dice: &mut Dice) -> String {
        let Some(group) = self.found.free(dice) else { return self.gives_back_by_a_revert(dice) };
        let mut groups = self.found.wanted();
        groups.insert(group, found::values(group, &self.theirs));
        let baseline = self.baseline.clone();
        self.commit_state("Wants", self.baseline.seed, &groups, false);
        self.until_refused("lockstep adopt");
        self.hold_since(group, Some(baseline));
        let prefix = found::trailer(group);
        let prefix = prefix.trim_start_matches("Lockstep-Adopt: ").trim_end();
        let environment = self.site.environment;
        let said = self.site.run(&["adopt", environment, prefix, "--reason", "random", "--output", "json"]).exits(0).json();
        assert_eq!((&said["accepted"], &said["changed"]), (&true.into(), &true.into()), "{said:#}");
        self.comes_to_rest();
        self.took_over(group);
        format!("group {group}")
    }

    /// One key of a group has another value: none of it is taken over, until somebody agrees or the commit is taken back.
    pub(super) fn is_refused_another_value(&mut self, dice: &mut Dice) -> String {
        let Some(group) = self.found.free(dice) else { return self.gives_back_by_a_revert(dice) };
        let mut values = found::values(group, &self.theirs);
        let at = dice.below(values.len());
        values[at].push('!');
        let baseline = self.baseline.clone();
        let mut groups = self.found.wanted();
        groups.insert(group, values.clone());
        self.commit_state("Wants another value", baseline.seed, &groups, true);
        self.until_refused("with another value");
        let asked = self.site.run(&["adopt", self.site.environment]).exits(1);
        assert!(asked.out.contains("refused: ") && asked.out.contains("nothing was adopted"), "{asked:?}");
        self.check_theirs(&everything(&self.agent));
        self.tally.refused += 1;
        if dice.once_in(2) {
            let key = found::keys(group).nth(at).unwrap();
            self.theirs.put(&self.agent, &[(key, values[at].clone().into_bytes(), 0)]);
            self.hold_since(group, Some(baseline));
            self.comes_to_rest();
            self.took_over(group);
            return format!("group {group}, until its owner wrote that value");
        }
        self.commit_state("Wants it no more", dice.next(), &self.found.wanted(), true);
        self.comes_to_rest();
        format!("group {group}")
    }

    /// Taken over beside a version that is no good: given back with it.
    pub(super) fn adopts_beside_a_bad_version(&mut self, dice: &mut Dice) -> String {
        let Some(group) = self.found.free(dice) else { return self.gives_back_by_a_revert(dice) };
        let before = everything(&self.agent);
        let (path, text) = (found::path(group), found::file(&found::values(group, &self.theirs)));
        self.hold(group);
        let what = format!("Adopts, and is bad\n\n{}", found::trailer(group));
        self.commit(&what, &[(&path, &text), (APP, &app(BAD))]);
        let tip = self.site.repo.tip();
        self.site.until("it is rejected", |status| {
            let rejected = status["rejected"].as_array().unwrap();
            let is_rejected = rejected.iter().any(|rejected| rejected["revision"] == tip.to_string().as_str());
            is_rejected && status["phase"] == "held-after-rollback"
        });
        self.took_over(group);
        let keys: Vec<String> = found::keys(group).collect();
        self.were_given_back(&keys, &before);
        self.found.let_go(group);
        self.commit_state("Does without", dice.next(), &self.found.wanted(), true);
        self.comes_to_rest();
        format!("group {group}")
    }

    fn hold(&mut self, group: usize) {
        let baseline = self.baseline.clone();
        self.hold_since(group, Some(baseline));
    }

    fn hold_since(&mut self, group: usize, baseline: Option<Baseline>) {
        self.found.hold(group, &mut self.theirs, baseline);
    }

    fn took_over(&mut self, group: usize) {
        self.tally.adopted += found::keys(group).count();
    }

    /// Waits until the head is refused, and asserts that nothing of theirs was touched for it.
    fn until_refused(&mut self, because: &str) {
        let tip = self.site.repo.tip().to_string();
        self.site.until("it is refused", |status| {
            let head = &status["head"];
            let is_held = status["phase"] == "held-refused" && head["revision"] == tip.as_str();
            is_held && head.to_string().contains(because)
        });
        self.check_theirs(&everything(&self.agent));
    }

    /// Asserts that these keys are what they were before, without a mark: those that were adopted, or never were. From now on
    /// they are theirs again.
    pub(super) fn were_given_back(&mut self, keys: &[String], before: &BTreeMap<String, Whole>) {
        let live = everything(&self.agent);
        for key in keys {
            let (was, is) = (&before[key], live.get(key));
            let is_so = is.is_some_and(|is| is.is_without_mark(was));
            assert!(is_so, "{key} was to be given back as it was: {was:?}, and it is {is:?}");
            self.theirs.keep(key, live[key].clone());
        }
        self.tally.given_back += keys.len();
        self.check_theirs(&live);
    }
}
