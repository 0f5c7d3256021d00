//! Taking over keys that were there before lockstep, with their values (rule O8).
//!
//! An adoption is what one advance may do beyond the guard, by the word of a person or of a commit's trailer. It writes marks
//! and no value, so nobody who reads the keys notices; what it took over is told apart from what lockstep made itself, by a
//! bit of the mark, for as long as the key is there.

use super::Step;
use super::head::Candidate;
use super::observation::Observation;
use super::people::{Adoption, Grant, Permit};
use super::phase::Phase;
use super::record::Rollout;
use crate::domain::commit::Commit;
use crate::domain::desired::DesiredState;
use crate::domain::name::KeyPath;
use crate::domain::plan::{Action, Intent, Obstacle, Plan};
use crate::domain::revision::Revision;
use crate::domain::scope::{KeyPrefix, KeyScope};
use crate::domain::words::{by_reason, count};

/// Keys that an answer names at most.
const SHOWN: usize = 5;

impl Rollout {
    /// The commits whose trailers count for going to this head: those after complete. On the first deploy it is the head's own.
    pub(super) fn commits_to<'s>(&self, tip: Revision, seen: &'s Observation<'_>) -> &'s [Commit] {
        match &self.complete {
            Some(complete) => seen.books.after(complete.revision, tip),
            None => seen.books.head.as_ref().filter(|head| head.revision == tip).map_or(&[], std::slice::from_ref),
        }
    }

    /// What the trailers on the way to this head say may be adopted.
    pub(super) fn adopted_by_trailers(&self, tip: Revision, seen: &Observation<'_>) -> KeyScope {
        KeyScope::of(self.commits_to(tip, seen).iter().flat_map(Commit::adopts))
    }

    /// Which unmanaged keys an attempt at this revision may take over. One that has begun goes on with what it began with.
    pub(super) fn may_adopt(
        &self,
        intent: Intent,
        revision: Revision,
        desired: &DesiredState,
        seen: &Observation<'_>,
    ) -> KeyScope {
        if intent != Intent::Advance {
            return KeyScope::default();
        }
        let digest = desired.revision_digest();
        if self.is_in_step_with(digest) {
            let open = self.attempt.as_ref().filter(|attempt| attempt.line.closed.is_none());
            return open.map_or_else(KeyScope::default, |attempt| attempt.adopts.clone());
        }
        let by_trailers = self.adopted_by_trailers(revision, seen);
        let by_person = self.permit_for(digest).and_then(|permit| permit.adopts.as_ref());
        by_person.map_or(by_trailers.clone(), |adoption| KeyScope::of(adoption.scope.iter().chain(by_trailers.iter()).cloned()))
    }

    /// The record of an advance that has just begun, with what it takes over. `before` it stood where it stands.
    pub(super) fn adopting(mut self, before: &Self, candidate: &Candidate<'_>, plan: &Plan, seen: &Observation<'_>) -> Self {
        if plan.changes.iter().all(|change| change.action != Action::Adopt) {
            return self;
        }
        let scope = before.may_adopt(Intent::Advance, candidate.tip, candidate.desired, seen);
        let only_marks = writes_only_marks(plan) && before.has_nothing_to_judge(candidate, seen);
        if let Some(attempt) = &mut self.attempt {
            attempt.adopts = scope;
            attempt.only_marks = only_marks;
        }
        self.knowing_adopted(plan)
    }

    /// The record with the keys that a plan takes over among those that were ever adopted: before it is written, since nobody
    /// could tell it afterwards. A key may have come while its attempt was under way.
    pub(super) fn knowing_adopted(mut self, plan: &Plan) -> Self {
        let adopted = plan.changes.iter().filter(|change| change.action == Action::Adopt).map(|change| &change.key);
        let keys: Vec<&KeyPath> = adopted.filter(|key| !self.adopted.covers(key)).collect();
        if keys.is_empty() {
            return self;
        }
        // The keys themselves where they are few; else what was said of them, and in the end every key: more than was adopted
        // may be named, never less.
        let exactly = Some(&keys).filter(|keys| keys.len() <= KeyScope::MOST);
        let exactly = exactly.and_then(|keys| self.adopted.and(keys.iter().map(|key| KeyPrefix::key(key))));
        let widely = || self.adopted.and(self.attempt.as_ref()?.adopts.iter().cloned());
        self.adopted = exactly.or_else(widely).unwrap_or_else(KeyScope::every);
        self
    }

    /// Adds to a permit that a head may adopt these keys, and says how many there are to adopt; none: nothing is, and the permit
    /// stays as it was.
    ///
    /// # Errors
    /// When one of them can't be adopted as it is, with why: an adoption takes over all that it names or nothing.
    pub(super) fn adoptable(
        &self,
        permit: &mut Permit,
        candidate: &Candidate<'_>,
        adopts: &KeyScope,
        grant: Grant,
        seen: &Observation<'_>,
    ) -> Result<Option<usize>, String> {
        let before = permit.adopts.as_ref().map(|adoption| &adoption.scope);
        let scope = before.cloned().unwrap_or_default().and(adopts.iter().cloned()).ok_or_else(|| {
            let (most, longest) = (KeyScope::MOST, KeyScope::LONGEST);
            format!("that would be more than {most} prefixes of {longest} bytes in all; name fewer and wider ones")
        })?;
        let asked = Permit { adopts: Some(Adoption { scope, grant }), ..permit.clone() };
        let (plan, _) = Self { permit: Some(asked.clone()), ..self.clone() }.weigh(candidate, seen);
        let named = |obstacle: &&Obstacle| adopts.covers(&obstacle.key);
        let held: Vec<(&str, String)> =
            plan.obstacles.iter().filter(named).map(|obstacle| (obstacle.key.as_str(), obstacle.said())).collect();
        if !held.is_empty() {
            let held = by_reason(held.iter().map(|(key, why)| (*key, why.as_str())), SHOWN);
            return Err(format!("{held}; nothing was adopted: only keys that have the wanted values already can be"));
        }
        let keys = plan.changes.iter().filter(|change| change.action == Action::Adopt && adopts.covers(&change.key)).count();
        if let Some((key, folder)) = adopts.iter().find_map(|prefix| meant_for_a_folder(prefix, candidate.desired)) {
            return Err(format!("{key} is no key of the head; for all that lies below it name `{folder}`"));
        }
        if keys > 0 {
            *permit = asked;
        }
        Ok(Some(keys).filter(|keys| *keys > 0))
    }

    /// Whether a plan that changes no value leaves nothing to judge: it is the first one ever, or what is live is proven and is
    /// judged as before.
    fn has_nothing_to_judge(&self, candidate: &Candidate<'_>, seen: &Observation<'_>) -> bool {
        if self.goal.is_none() {
            return true;
        }
        let judged_alike = |good: &DesiredState| {
            good.checks() == candidate.desired.checks()
                && good.environment().policy.rollout == candidate.desired.environment().policy.rollout
        };
        let good = self.last_good.as_ref().filter(|_| self.is_on_proven() && self.phase != Phase::HeldUnproven);
        !candidate.retried && good.and_then(|good| seen.books.of(good)).is_some_and(judged_alike)
    }

    /// Everything is written, and it was marks alone: last good at once.
    pub(super) fn prove_marks(&self, seen: &Observation<'_>) -> Step {
        let adopted = self.attempt.as_ref().map_or(0, |attempt| attempt.line.counts.adopted);
        self.prove_by((format!("adopted {}; nothing changed value", count(adopted, "key")), true), seen)
    }
}

/// A prefix without a `/` at its end that is no key of this state and has keys below it, and how to name those.
fn meant_for_a_folder(prefix: &KeyPrefix, desired: &DesiredState) -> Option<(String, String)> {
    let folder = KeyPrefix::parse(&format!("{prefix}/")).ok().filter(|_| !prefix.is_every())?;
    let has = |prefix: &KeyPrefix| desired.entries().keys().any(|key| prefix.covers(key));
    (!has(prefix) && has(&folder)).then(|| (prefix.to_string(), folder.to_string()))
}

/// Whether a plan takes keys over and does nothing else.
pub(super) fn writes_only_marks(plan: &Plan) -> bool {
    !plan.is_empty() && plan.changes.iter().all(|change| change.action == Action::Adopt)
}
