//! What must hold of keys that were there before lockstep: taken over with their values and on somebody's word, never deleted by
//! going back, and known for what they are for as long as they are there (rule O8).

use std::collections::BTreeSet;

use lockstep::domain::plan::{Action, Change, Intent};
use lockstep::domain::resource::Flags;
use lockstep::domain::revision::{Generation, Revision};
use lockstep::domain::rollout::{Phase, Rollout};
use lockstep::domain::scope::KeyScope;

use super::{Truth, desired};
use crate::world::{Store, World};

/// What the advance under way may take over, and what it wrote.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    generation: Generation,
    by_trailers: KeyScope,
    by_person: KeyScope,
    /// Restored in the middle of it: nobody knows what it was allowed and has written.
    unknown: bool,
    adopted: usize,
    wrote_values: bool,
    /// Nothing was ever applied, or what is live is proven and judged as the new revision will be.
    nothing_to_judge: bool,
}

impl Adoption {
    /// For going to this commit from this record.
    fn of(world: &mut World, replica: usize, before: &Rollout, generation: Generation, tip: Revision) -> Self {
        let said = |commits: Vec<Revision>| {
            KeyScope::of(commits.iter().flat_map(|commit| world.origin.describe(*commit).adopts().collect::<Vec<_>>()))
        };
        // Where the mirror lost what the environment is on, nobody can say what came after it: the head's own words count.
        let complete = before.complete.as_ref().filter(|complete| world.mirrors[replica].known.contains(&complete.revision));
        let by_trailers = match complete {
            None => said(vec![tip]),
            Some(complete) => {
                let old: BTreeSet<Revision> = world.origin.ancestry(complete.revision).collect();
                said(world.origin.ancestry(tip).take_while(|commit| !old.contains(commit)).collect())
            }
        };
        let new = desired(world, tip);
        let digest = new.as_ref().map(|new| new.revision_digest());
        let permitted = world.truth.permitted.as_ref().filter(|permitted| Some(permitted.digest) == digest);
        let by_person = permitted.map_or_else(KeyScope::default, |permitted| permitted.adopts.clone());
        let good = before.last_good.as_ref().filter(|good| before.goal.as_ref().is_some_and(|goal| goal.digest == good.digest));
        // Under the rules that hold for it now, where a later commit changed nothing else.
        let ruled = good.and_then(|good| desired(world, good.rules).filter(|state| state.revision_digest() == good.digest));
        let live = ruled.or_else(|| good.and_then(|good| desired(world, good.revision)));
        let alike = live.zip(new).is_some_and(|(live, new)| {
            live.checks() == new.checks() && live.environment().policy.rollout == new.environment().policy.rollout
        });
        let nothing_to_judge = before.goal.is_none() || alike && before.unproven.is_none();
        Self { generation, by_trailers, by_person, nothing_to_judge, ..Self::default() }
    }

    fn covers(&self, key: &lockstep::domain::name::KeyPath) -> bool {
        self.unknown || self.by_trailers.covers(key) || self.by_person.covers(key)
    }
}

/// The advance under way, as far as this write begins or continues one.
pub(super) fn looks_at_the_attempt(world: &mut World, replica: usize, before: &Rollout, after: &Rollout) {
    let Some(line) = after.attempt.as_ref().map(|attempt| &attempt.line).filter(|line| line.intent == Intent::Advance) else {
        return;
    };
    if world.truth.adoption.generation == line.generation {
        return;
    }
    let known = before.attempt.as_ref().is_some_and(|attempt| attempt.line.generation == line.generation);
    let new = Adoption::of(world, replica, before, line.generation, line.revision);
    world.truth.adoption = Adoption { unknown: known, ..new };
}

/// O8: keys are taken over as they are and on somebody's word; what was taken over is given back by whatever goes back.
pub(super) fn keeps_what_was_there(
    world: &mut World,
    replica: usize,
    record: &Rollout,
    after: &Rollout,
    changes: &[(Change, Option<Vec<u8>>)],
) {
    let Some((intent, _)) = world.truth.eyes[replica].writing else { return };
    let goal = after.goal.as_ref().map(|goal| goal.digest);
    let reverts = goal.is_some_and(|goal| record.is_proven(goal));
    let complete = record.complete.as_ref().and_then(|complete| desired(world, complete.revision));
    for (change, value) in changes {
        let key = change.key.as_str();
        let found = world.store.keys.get(key).cloned();
        let foundling = world.truth.foundlings.contains(key);
        if intent == Intent::Advance && !matches!(change.action, Action::Adopt | Action::Release) {
            world.truth.adoption.wrote_values = true;
        }
        match change.action {
            Action::Adopt => {
                if found.as_ref().is_none_or(|found| found.flags != 0) {
                    world.violated(format!("O8: {key} is somebody's, or gone, and was adopted"));
                }
                if found.as_ref().map(|found| &found.value) != value.as_ref() {
                    world.violated(format!("O8: {key} was given another value by its adoption"));
                }
                if intent != Intent::Advance || !world.truth.adoption.covers(&change.key) {
                    world.violated(format!("O8: {key} was adopted, and nobody said so"));
                }
                let by_trailers = world.truth.adoption.by_trailers.covers(&change.key);
                world.reached(if by_trailers { "a trailer adopted a key" } else { "a person adopted a key" });
                world.truth.adoption.adopted += 1;
                world.truth.foundlings.insert(key.to_owned());
            }
            Action::Delete if foundling => {
                let has = complete.as_ref().is_some_and(|state| state.entries().contains_key(&change.key));
                if intent != Intent::Advance || reverts || !has {
                    world.violated(format!(
                        "O8: {key} was there before lockstep and was deleted by going on with {}",
                        intent.word()
                    ));
                }
                world.reached("a commit removed what was adopted");
                world.truth.foundlings.remove(key);
            }
            // Until the record goes as well, it may be taken back as what it was.
            Action::Release if intent == Intent::Remove => {
                if foundling {
                    world.reached("a removal gave back what was adopted");
                    world.truth.given_back.insert(key.to_owned());
                }
            }
            Action::Release => {
                if world.truth.foundlings.remove(key) {
                    world.reached(match intent {
                        Intent::RollBack => "a rollback gave back what was adopted",
                        Intent::Advance => "a revert gave back what was adopted",
                        Intent::Repair | Intent::Remove | Intent::Restored | Intent::Act(_) => {
                            "a repair gave back what was adopted"
                        }
                    });
                }
            }
            Action::Create | Action::Update if foundling => {
                let mark = change.flags.mark_of(record.identity.owner);
                if mark.is_some_and(|mark| !mark.adopted) {
                    world.violated(format!("O8: nobody knows any more that {key} was there before lockstep"));
                }
                if found.is_some_and(|found| Flags(found.flags).mark_of(record.identity.owner).is_none()) {
                    world.reached("an adopted key got its lost mark back");
                    if world.truth.given_back.remove(key) {
                        world.reached("what a removal gave back was taken back");
                    }
                }
            }
            Action::Create | Action::Update | Action::Delete => {}
        }
    }
}

/// O8: whether what was just proven is an adoption that changed nothing which a check could see.
pub(super) fn was_only_adopted(world: &mut World, before: &Rollout, record: &Rollout) -> bool {
    let adoption = &world.truth.adoption;
    let this = record.attempt.as_ref().is_some_and(|attempt| attempt.line.generation == adoption.generation);
    let marks = adoption.adopted > 0 && !adoption.wrote_values && adoption.nothing_to_judge;
    if before.phase != Phase::Applying || !this || !(marks || adoption.unknown) {
        return false;
    }
    world.reached("an adoption was last good at once");
    true
}

/// Whether the advance under way may take this key over, as it is now.
pub(super) fn may_be_adopted(world: &World, key: &lockstep::domain::name::KeyPath, wanted: &[u8]) -> bool {
    let found = world.store.keys.get(key.as_str());
    found.is_some_and(|found| found.flags == 0 && found.value == wanted) && world.truth.adoption.covers(key)
}

impl Truth {
    /// A person took a key away: whatever comes in its place was not there before.
    pub(crate) fn is_gone(&mut self, key: &str) {
        self.foundlings.remove(key);
        self.given_back.remove(key);
    }

    /// Whether a key that was there before is held now.
    pub(crate) fn has_adopted(&self) -> bool {
        !self.foundlings.is_empty()
    }

    /// Whether a removal that is not over gave a key back.
    pub(crate) fn has_given_back(&self) -> bool {
        !self.given_back.is_empty()
    }

    /// After a restore the keys that were adopted are those whose marks say so.
    pub(super) fn recall_foundlings(&mut self, store: &Store) {
        self.adoption = Adoption::default();
        let Some(owner) = store.record.as_ref().map(|(record, _)| record.identity.owner) else { return };
        let adopted =
            store.keys.iter().filter(|(_, stored)| Flags(stored.flags).mark_of(owner).is_some_and(|mark| mark.adopted));
        self.foundlings = adopted.map(|(key, _)| key.clone()).collect();
    }
}
