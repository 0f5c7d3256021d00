//! What must hold of deletes: the guard's limits, whatever came between a commit, its allowance and its writes (rules G1, G2).

use std::collections::BTreeSet;
use std::sync::Arc;

use lockstep::domain::desired::DesiredState;
use lockstep::domain::environment::DeleteLimits;
use lockstep::domain::plan::{Action, Change, Intent};
use lockstep::domain::revision::{Generation, Revision, RevisionDigest};
use lockstep::domain::rollout::{HeadVerdict, Permit, Rollout};
use lockstep::domain::scope::KeyScope;

use super::desired;
use crate::world::World;

/// What a person let one head do.
#[derive(Debug)]
pub(super) struct Permitted {
    /// What that head says.
    pub(super) digest: RevisionDigest,
    pub(super) deletes: u32,
    pub(super) overriding: bool,
    pub(super) adopts: KeyScope,
}

impl Permitted {
    /// As a restored record has it.
    pub(super) fn of(permit: &Permit) -> Self {
        let adopts = permit.adopts.as_ref().map_or_else(KeyScope::default, |adoption| adoption.scope.clone());
        Self { digest: permit.digest, deletes: permit.allowed_deletes(), overriding: permit.every_gate.is_some(), adopts }
    }
}

/// What the advance under way may delete, as it was when it began, and what it has deleted.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    generation: Generation,
    limits: DeleteLimits,
    by_trailers: u32,
    by_person: u32,
    /// Proven before, or a person passed every gate.
    exempt: Option<&'static str>,
    /// What it may take from: last good, or complete before anything is proven.
    base: Option<Arc<DesiredState>>,
    lost: BTreeSet<String>,
}

impl Allowance {
    /// Whether so many deletes keep to the limits.
    fn permits(&self, lost: usize, allowance: u32) -> bool {
        let lost = u32::try_from(lost).unwrap_or(u32::MAX).saturating_sub(allowance);
        let keys = self.base.as_ref().map_or(0, |base| base.entries().len());
        let share = u64::from(lost) * 100 <= u64::from(self.limits.at_most_percent) * keys as u64;
        lost <= self.limits.at_most && (lost <= DeleteLimits::FREE || share)
    }

    /// For going to this commit from this record.
    fn of(world: &mut World, before: &Rollout, tip: Revision) -> Self {
        let said = |world: &mut World, revision: Option<Revision>| revision.and_then(|revision| desired(world, revision));
        let good = said(world, before.last_good.as_ref().map(|good| good.revision));
        let complete = said(world, before.complete.as_ref().map(|complete| complete.revision));
        let rules = said(world, before.complete.as_ref().map(|complete| complete.rules)).or_else(|| complete.clone());
        let new = desired(world, tip);
        let limits = new.iter().chain(&rules).map(|state| state.environment().policy.deletes.clone());
        let limits = limits.reduce(|a, b| DeleteLimits {
            at_most: a.at_most.min(b.at_most),
            at_most_percent: a.at_most_percent.min(b.at_most_percent),
        });
        let from = before.complete.as_ref().map(|complete| complete.revision);
        let old: BTreeSet<Revision> = from.into_iter().flat_map(|from| world.origin.ancestry(from)).collect();
        let new_commits = world.origin.ancestry(tip).take_while(|commit| !old.contains(commit));
        let by_trailers = new_commits.map(|commit| world.origin.describe(commit).allowed_deletes()).sum();
        let digest = new.map(|new| new.revision_digest());
        let proven = digest.is_some_and(|digest| before.is_proven(digest));
        let permitted = world.truth.permitted.as_ref().filter(|permitted| Some(permitted.digest) == digest);
        let overridden = permitted.is_some_and(|permitted| permitted.overriding);
        let exempt = if proven { Some("proven") } else { overridden.then_some("overridden") };
        Self {
            generation: Generation::default(),
            limits: limits.unwrap_or_default(),
            by_trailers,
            by_person: permitted.map_or(0, |permitted| permitted.deletes),
            exempt,
            base: good.or(complete),
            lost: BTreeSet::new(),
        }
    }
}

/// G1: an advance deletes no more than it may of what last good has.
pub(super) fn deletes_keep_to_the_limits(world: &mut World, before: &Rollout, after: &Rollout, changes: &[Change]) {
    let Some(attempt) = after.attempt.as_ref().filter(|attempt| attempt.line.intent == Intent::Advance) else { return };
    let (generation, tip) = (attempt.line.generation, attempt.line.revision);
    let mut allowance = std::mem::take(&mut world.truth.allowance);
    let known = before.attempt.as_ref().is_some_and(|attempt| attempt.line.generation == generation);
    if allowance.generation != generation && known {
        // Restored in the middle of it: nobody knows what it had deleted.
        return;
    }
    if allowance.generation != generation {
        allowance = Allowance { generation, ..Allowance::of(world, before, tip) };
        world.truth.permitted = None;
    }
    let base = allowance.base.clone();
    let counts = |change: &&Change| {
        change.action == Action::Delete && base.as_ref().is_some_and(|base| base.entries().contains_key(&change.key))
    };
    let lost = changes.iter().filter(counts).map(|change| change.key.to_string());
    allowance.lost.extend(lost);
    let lost = allowance.lost.len();
    let (person, trailers) = (allowance.by_person, allowance.by_trailers);
    match allowance.exempt {
        _ if allowance.permits(lost, 0) => {}
        Some("proven") => world.reached("a proven revision passed the guard"),
        Some(_) => world.reached("a person overrode the guard"),
        None if allowance.permits(lost, trailers) => world.reached("a trailer allowed deletes"),
        None if allowance.permits(lost, trailers.saturating_add(person)) => world.reached("a person allowed deletes"),
        None => world.violated(format!("G1: {} deletes {lost} keys, which nothing allows", tip.short())),
    }
    world.truth.allowance = allowance;
}

/// G2: what was proven, or what a person lets pass, is not refused for its deletes.
pub(super) fn refusals_are_right(world: &mut World, before: &Rollout, record: &Rollout) {
    if before.note == record.note {
        return;
    }
    let refused = record.note.as_ref().filter(|note| note.verdict == HeadVerdict::Refused);
    let Some(note) = refused.filter(|note| note.text.starts_with("it would delete")) else { return };
    world.reached(if note.text.contains("percent") { "the guard refused a share" } else { "the guard refused a number" });
    let Some(tip) = note.revision else { return };
    let ended = has_ended(world, before, tip);
    if let Some(exempt) = Allowance::of(world, before, tip).exempt.filter(|exempt| *exempt == "proven" || !ended) {
        world.violated(format!("G2: {} is {exempt}, and its deletes are refused", tip.short()));
    }
}

/// Whether what a person let this head do is over for who leads: another head may have come between, which only they saw. To
/// end too early is safe; that it holds at all, the situations prove.
fn has_ended(world: &mut World, record: &Rollout, tip: Revision) -> bool {
    desired(world, tip).is_none_or(|state| record.permit_for(state.revision_digest()).is_none())
}

/// G3: a refusal ends when nothing is left to refuse.
pub(crate) fn is_refused_rightly(world: &mut World, record: &Rollout, tip: Revision) -> bool {
    let mut allowance = Allowance::of(world, record, tip);
    if has_ended(world, record, tip) {
        allowance.by_person = 0;
    }
    let good = record.last_good.as_ref().or(record.complete.as_ref()).map(|base| base.revision);
    if good.is_some_and(|good| world.controllers().iter().any(|mirror| !mirror.known.contains(&good))) {
        // Who does not know what last good has counts every delete.
        world.reached("deletes while last good is in no mirror");
        return true;
    }
    let Some((base, new)) = allowance.base.clone().zip(desired(world, tip)) else { return true };
    let gone = base.entries().keys().filter(|key| !new.entries().contains_key(*key));
    let marked = |key: &str| {
        let stored = world.store.keys.get(key);
        stored.is_some_and(|stored| lockstep::domain::resource::Flags(stored.flags).mark_of(record.identity.owner).is_some())
    };
    let lost = gone.filter(|key| marked(key.as_str())).count();
    !allowance.permits(lost, allowance.by_trailers.saturating_add(allowance.by_person))
}
