//! Planted bugs, one for each rule that timing can break. Every one must be noticed, or the invariants are too weak.

use lockstep::domain::live::Fence;
use lockstep::domain::plan::{Action, Change, Intent};
use lockstep::domain::resource::{Flags, Ownership};
use lockstep::domain::revision::Generation;
use lockstep::domain::rollout::{HeadView, Observation, Phase, RepairLog, Rollout, Step};

use crate::edges::Edge;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// L1: no check of the session.
    WritesWithoutTheLease,
    /// A2: no compare-and-set on keys.
    OverwritesHandEdits,
    /// A1: reads right after a restart show part of the keys.
    ReadsPartOfTheKeys,
    /// A4: `complete` in the first batch.
    SaysCompleteTooEarly,
    /// A5: a new attempt under the old number.
    ReusesTheGeneration,
    /// O2: writes keys that are not ours.
    TakesUnmanagedKeys,
    /// O3: the mark alone is enough for a delete.
    DeletesStrays,
    /// R1: rolls back to the commit before instead of last good.
    RollsBackToTheCommitBefore,
    /// R2: rejections live in memory only.
    ForgetsRejections,
    /// R4: drift is judged against the head.
    JudgesDriftByTheHead,
    /// R6: a freeze is like any other hold.
    ForgetsTheFreeze,
    /// R11: a suspension is forgotten.
    ForgetsTheSuspension,
    /// R11: a pin is forgotten.
    ForgetsThePin,
    /// H2: samples count at once.
    CountsSamplesTooEarly,
    /// H4: what can't be told counts as failing.
    TakesUnknownForFailure,
    /// H4: what can't be told counts as healthy.
    TakesUnknownForHealthy,
    /// H3: one pass is proof enough.
    ProvesAtTheFirstPass,
    /// S1: every fetched head is followed at once.
    BelievesEveryHead,
    /// S2: commits of the record are not kept in the mirror.
    KeepsNothing,
    /// L3: stamps of other clocks are trusted.
    TrustsEveryStamp,
    /// A6: what a restored target has forgotten is given out again.
    OverlooksARestore,
    /// H2, R9: after a repair the checks ask for the generation of the attempt.
    ChecksTheOldGeneration,
    /// H5: what failed before counts against the commit.
    BlamesTheBaseline,
    /// L2: a request that has its answer is carried out again.
    AnswersTwice,
    /// R5: a rollback that is unhealthy is taken for an advance.
    RollsBackARollback,
    /// R9: nobody remembers what was repaired.
    RepairsWithoutBackOff,
    /// R10: drift is put right whatever the policy says.
    WritesDriftUnderReport,
    /// R7: writes go on when a newer commit is there, and the attempt is never closed.
    NeverClosesTheLine,
    /// A5: lines of history go by age alone.
    ForgetsLinesThatKeysName,
}

impl Bug {
    pub(crate) const ALL: [Self; 29] = [
        Self::WritesWithoutTheLease,
        Self::OverwritesHandEdits,
        Self::ReadsPartOfTheKeys,
        Self::SaysCompleteTooEarly,
        Self::ReusesTheGeneration,
        Self::TakesUnmanagedKeys,
        Self::DeletesStrays,
        Self::RollsBackToTheCommitBefore,
        Self::ForgetsRejections,
        Self::JudgesDriftByTheHead,
        Self::ForgetsTheFreeze,
        Self::ForgetsTheSuspension,
        Self::ForgetsThePin,
        Self::CountsSamplesTooEarly,
        Self::TakesUnknownForFailure,
        Self::TakesUnknownForHealthy,
        Self::ProvesAtTheFirstPass,
        Self::BelievesEveryHead,
        Self::KeepsNothing,
        Self::TrustsEveryStamp,
        Self::OverlooksARestore,
        Self::NeverClosesTheLine,
        Self::ForgetsLinesThatKeysName,
        Self::ChecksTheOldGeneration,
        Self::BlamesTheBaseline,
        Self::AnswersTwice,
        Self::RollsBackARollback,
        Self::RepairsWithoutBackOff,
        Self::WritesDriftUnderReport,
    ];
}

/// The real decision with a bug around it.
pub(crate) struct Planted<'a> {
    pub(crate) edge: &'a Edge,
}

impl Planted<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "each bug changes one place; a new one is planted where it belongs")]
    pub(crate) fn decide(&self, record: &Rollout, seen: &Observation<'_>) -> Step {
        let Some(bug) = self.edge.bug else { return record.decide(seen) };
        let mut record = record.clone();
        let mut seen = seen.clone();
        match bug {
            Bug::ForgetsRejections => record.rejected.clear(),
            Bug::ForgetsTheFreeze if record.phase == Phase::Frozen => record.phase = Phase::HeldUnproven,
            Bug::ForgetsTheSuspension => record.suspension = None,
            Bug::ForgetsThePin => record.pin = None,
            Bug::BlamesTheBaseline if record.phase == Phase::Verifying => record.baseline.clear(),
            Bug::RepairsWithoutBackOff => record.repairs = RepairLog::default(),
            Bug::WritesDriftUnderReport => record.overwrite_drift = true,
            Bug::RollsBackARollback if record.phase == Phase::Verifying => {
                if let Some(attempt) = &mut record.attempt {
                    attempt.line.intent = Intent::Advance;
                }
            }
            Bug::TrustsEveryStamp => seen.led_since = lockstep::domain::time::Timestamp::from_millis(0),
            Bug::OverlooksARestore => {
                seen.restored = false;
                seen.remembered = Generation::default();
            }
            Bug::RollsBackToTheCommitBefore if record.phase == Phase::Verifying => {
                let parent = record.goal.as_ref().and_then(|goal| self.edge.world().origin.commits[&goal.revision].parent);
                if let (Some(parent), Some(good)) = (parent, &mut record.last_good) {
                    good.revision = parent;
                }
            }
            Bug::JudgesDriftByTheHead => {
                if let (HeadView::At(tip), Some(goal), Phase::HeldAfterRollback) = (&seen.head, &mut record.goal, record.phase)
                {
                    goal.revision = *tip;
                }
            }
            _ => {}
        }
        let mut early = seen.health.clone();
        if matches!(bug, Bug::CountsSamplesTooEarly | Bug::ProvesAtTheFirstPass) && record.phase == Phase::Verifying {
            let finding = self.edge.world().probe();
            let back = if bug == Bug::ProvesAtTheFirstPass { 5_000 } else { 30_000 };
            let at = lockstep::domain::time::Timestamp::from_millis(seen.now.as_millis() - back);
            early = lockstep::domain::health::HealthLog::counting_from(at);
            if finding == lockstep::domain::health::Finding::Pass {
                for check in record
                    .goal
                    .iter()
                    .filter_map(|goal| seen.books.desired.get(&goal.revision))
                    .flat_map(|state| state.checks().keys())
                {
                    for at in [at, seen.now] {
                        early.take(&lockstep::domain::health::Sample { check: check.clone(), at, finding: finding.clone() });
                    }
                }
            }
        }
        seen.health = &early;
        let step = record.decide(&seen);
        spoil(bug, step, &record, &seen)
    }
}

fn spoil(bug: Bug, mut step: Step, record: &Rollout, seen: &Observation<'_>) -> Step {
    let owner = record.identity.owner;
    match (&mut step, bug) {
        (Step::Apply(apply), Bug::DeletesStrays) => {
            let strays: Vec<Change> =
                apply.plan.strays.iter().map(|key| change(key, Action::Delete, seen.live.fence(key))).collect();
            apply.plan.changes.extend(strays);
        }
        (Step::Apply(apply), Bug::TakesUnmanagedKeys) => {
            let others: Vec<Change> = seen
                .live
                .entries
                .iter()
                .filter(|(_, entry)| entry.flags.mark_of(owner).is_none())
                .filter(|(key, _)| apply.plan.changes.iter().all(|change| change.key != **key))
                .map(|(key, entry)| change(key, Action::Delete, entry.fence))
                .collect();
            apply.plan.changes.extend(others);
        }
        (Step::Apply(apply), Bug::ReusesTheGeneration) => {
            let old = record.generation;
            for change in &mut apply.plan.changes {
                if let Ownership::Marked(mark) = change.flags.ownership() {
                    change.flags = lockstep::domain::resource::KeyMark { generation: old, ..mark }.flags();
                }
            }
            apply.plan.generation = old;
            for save in apply.opening.iter_mut().chain([&mut apply.closing]) {
                renumber(&mut save.record, old);
            }
        }
        (Step::Record(save), Bug::NeverClosesTheLine) => save.history.retain(|line| line.closed.is_none()),
        (Step::Apply(apply), Bug::NeverClosesTheLine) => {
            if let Some(opening) = &mut apply.opening {
                opening.history.retain(|line| line.closed.is_none());
            }
        }
        _ => {}
    }
    step
}

fn renumber(record: &mut Rollout, generation: Generation) {
    record.generation = generation;
}

fn change(key: &lockstep::domain::name::KeyPath, action: Action, fence: Fence) -> Change {
    Change { key: key.clone(), action, fence, flags: Flags::default(), why: String::new() }
}
