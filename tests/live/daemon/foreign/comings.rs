//! The environment goes and comes back, goes on under another name, and loses its record.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep::domain::resource::Flags;

use super::Dice;
use super::found::{self, groups};
use super::play::{Play, RULES, is_state, owner, place, record};
use super::theirs::{Whole, everything};
use crate::repo::Change;
use crate::support::eventually;

impl Play {
    /// Retired by a commit, removed by a person, who may be killed in the middle, and brought back: as a new environment, or,
    /// before its removal is over, as the one that it was.
    pub(super) fn removes_the_environment(&mut self, dice: &mut Dice) -> String {
        let before = everything(&self.agent);
        self.tally.commits += 1;
        self.site.repo.remove("Not needed any more", &[&self.place()]);
        self.until_retired();
        let retired = everything(&self.agent);
        assert_eq!(keys(&retired), keys(&before), "a retired environment is left as it is");

        let remove = ["env", "remove", self.site.environment, "--yes", "--at-most", "100000", "--reason", "random"];
        let mut said = "removed".to_owned();
        if dice.once_in(2) {
            let mut removal = self.over_the_proxy(&remove);
            self.killer.arm(removal.id(), dice.below(6), dice.once_in(2));
            eventually("it ends", || !removal.runs());
            self.tally.kills += usize::from(self.killer.has_struck());
            self.killer.disarm();
            self.end_the_lease();
            said = "removed, killed in the middle".into();
            if record(&self.agent, &self.site).is_some() && dice.once_in(2) {
                // Every key that went comes back, and every one that was released is ours as before.
                self.commit_state("Needed again", dice.next(), &self.found.wanted(), false);
                self.comes_to_rest();
                return "removal killed, and taken back".into();
            }
        }
        self.site.run(&remove).exits(0);
        self.tally.removals += 1;
        self.went(&before);
        assert!(record(&self.agent, &self.site).is_none(), "the record is gone");

        self.stop();
        self.site.forget_pin();
        self.theirs.explain_marks(&self.agent, true);
        self.site.init();
        self.theirs.explain_marks(&self.agent, false);
        self.owner = owner(&self.agent, &self.site);
        self.was_recovered = false;
        // The first deploy adopts some of what was released, or none of it.
        if let Some(group) = self.found.free(dice).filter(|_| dice.once_in(2)) {
            self.found.hold(group, &mut self.theirs, None);
            self.tally.adopted += found::keys(group).count();
        }
        self.commit_state("Needed again", dice.next(), &self.found.wanted(), true);
        self.start();
        self.comes_to_rest();
        said
    }

    /// Asserts what a removal made of everything that was there: what was adopted is theirs again, what lockstep made is gone,
    /// and all else is as it was.
    fn went(&mut self, before: &BTreeMap<String, Whole>) {
        let live = everything(&self.agent);
        let mut released = Vec::new();
        for (key, was) in keys(before) {
            let is = live.get(key);
            match Flags(was.flags).mark_of(self.owner).filter(|_| !self.theirs.has(key)) {
                None => assert_eq!(is, Some(was), "{key} is not the environment's"),
                Some(mark) if mark.adopted => released.push(key.clone()),
                Some(_) => assert!(is.is_none(), "{key} was made by lockstep, and is left: {is:?}"),
            }
        }
        let (found, own): (Vec<String>, Vec<String>) = released.into_iter().partition(|key| self.found.has(key));
        self.were_given_back(&found, before);
        assert!(own.is_empty() || self.was_recovered, "lockstep's own keys were released: {own:?}");
        for key in own {
            assert!(live.get(&key).is_some_and(|is| is.is_without_mark(&before[&key])), "{key} is {:?}", live.get(&key));
            // It would stand in the way of the next commit that wants it.
            self.agent.delete(&key);
        }
        for group in groups().filter(|group| self.found.is_held(*group)).collect::<Vec<_>>() {
            self.found.let_go(group);
            // Made anew by lockstep after somebody had deleted it, and gone with it: its owner writes it again.
            let gone = found::keys(group).filter(|key| !live.contains_key(key));
            let entries: Vec<_> = gone.map(|key| (key, b"mine again".to_vec(), 0)).collect();
            self.theirs.put(&self.agent, &entries);
        }
    }

    /// From one name to the other, by the branch alone, while the controller is stopped, killed, or killed once more in the
    /// middle; no key is written.
    pub(super) fn renames_the_environment(&mut self, dice: &mut Dice) -> String {
        let before = everything(&self.agent);
        let (old, new) = (self.site.environment, if self.site.environment == "test" { "preview" } else { "test" });
        let rules = format!("{RULES}formerly: {old}\n");
        let (from, to) = (place(old), place(new));
        let is_killed = dice.once_in(2);
        if is_killed {
            self.tally.kills += 1;
            self.controller.kill();
            self.end_the_lease();
        } else {
            self.stop();
        }
        self.tally.commits += 1;
        let changes = [(from.as_str(), Change::Gone), (to.as_str(), Change::File(rules.as_bytes()))];
        self.site.repo.change(&format!("{old} is {new}"), &changes);
        self.site.environment = new;
        self.start();
        if is_killed {
            std::thread::sleep(Duration::from_millis(dice.below(700).try_into().unwrap()));
            self.controller.kill();
            self.site.environment = old;
            self.end_the_lease();
            self.site.environment = new;
            self.end_the_lease();
            self.start();
        }
        self.site.until_in_step();
        self.tally.renames += 1;
        let live = everything(&self.agent);
        assert_eq!(keys(&live), keys(&before), "a rename writes no key");
        self.must_be_at_rest();
        format!("{old} is {new}")
    }

    /// Somebody deletes the record by hand, and somebody makes it anew; no key is written.
    pub(super) fn recovers_the_record(&mut self, dice: &mut Dice) -> String {
        let before = everything(&self.agent);
        self.agent.delete(&self.state("record"));
        let said = if dice.once_in(2) {
            self.kill();
            "beside a new controller"
        } else {
            "beside the controller"
        };
        let owner = self.owner.to_string();
        let recover = ["recover", self.site.environment, "--yes", "--owner", &owner, "--reason", "random", "--output", "json"];
        let recovered = self.site.run(&recover).exits(0).json();
        assert_eq!(recovered["changed"], true, "{recovered:#}");
        self.was_recovered = true;
        self.tally.recoveries += 1;
        self.until_steady();
        let live = everything(&self.agent);
        assert_eq!(keys(&live), keys(&before), "to recover the record writes no key");
        // What is live is proven anew, and nothing else is any more.
        self.baseline.revision = self.site.repo.tip().to_string();
        self.must_be_at_rest();
        said.into()
    }
}

/// All keys but those that lockstep itself has.
fn keys(all: &BTreeMap<String, Whole>) -> BTreeMap<&String, &Whole> {
    all.iter().filter(|(key, _)| !is_state(key)).collect()
}
