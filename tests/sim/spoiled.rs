//! What a planted bug makes of a step that was decided: it is not as it was meant, or saves what the bug only looked at.

use lockstep::domain::live::Fence;
use lockstep::domain::name::KeyPath;
use lockstep::domain::plan::{Action, Change, Intent, Why};
use lockstep::domain::resource::{Flags, KeyMark, Ownership};
use lockstep::domain::revision::Generation;
use lockstep::domain::rollout::{HeadView, Observation, Phase, Rollout, Save, Step, Verb};

use crate::bugs::Bug;

/// Who overrides the guard where the bug does.
pub(crate) const NOBODY: &str = "nobody";

fn is_nobodys(record: &Rollout) -> bool {
    let grants = record
        .permit
        .iter()
        .flat_map(|permit| permit.every_gate.iter().chain(permit.adopts.iter().map(|adoption| &adoption.grant)));
    grants.into_iter().any(|grant| grant.by == NOBODY)
}

/// What the bug only looked at is not saved with it.
#[expect(clippy::wildcard_enum_match_arm, reason = "most bugs look at what they save")]
pub(crate) fn hide(bug: Bug, mut step: Step, stored: &Rollout) -> Step {
    let saves: Vec<&mut Save> = match &mut step {
        Step::Wait(_) => Vec::new(),
        Step::Record(save) => vec![save.as_mut()],
        Step::Apply(apply) => apply.opening.iter_mut().chain([&mut apply.closing]).collect(),
    };
    for Save { record, .. } in saves {
        match bug {
            Bug::RefusesARevert => {
                let new = std::mem::replace(&mut record.proven, stored.proven.clone());
                record.proven.extend(new);
            }
            Bug::CountsTheDeadlineFromTheStart => {
                if let (Some(is), Some(was)) = (&mut record.attempt, &stored.attempt)
                    && is.line.generation == was.line.generation
                    && was.applied.is_some()
                {
                    is.applied = was.applied;
                }
            }
            Bug::SkipsTheGuard | Bug::AdoptsUnasked if is_nobodys(record) => record.permit.clone_from(&stored.permit),
            Bug::TakesBackWhatIsHeldForAnother | Bug::StaysOnWhatTurnsOutBad if record.phase == Phase::HeldUnproven => {
                record.unproven = stored.unproven.or(record.unproven);
            }
            _ => {}
        }
    }
    step
}

pub(crate) fn spoil(bug: Bug, mut step: Step, record: &Rollout, seen: &Observation<'_>) -> Step {
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
        (Step::Apply(apply), Bug::DeletesWhatWasAdopted | Bug::DeletesAdoptedKeysInARevert) => {
            let goes_back = apply.plan.intent != Intent::Advance;
            let wrong = goes_back == (bug == Bug::DeletesWhatWasAdopted);
            for change in apply.plan.changes.iter_mut().filter(|change| wrong && change.action == Action::Release) {
                change.action = Action::Delete;
            }
        }
        (Step::Apply(apply), Bug::ForgetsTheAdoptedBit) => {
            for change in apply.plan.changes.iter_mut().filter(|change| change.action == Action::Update) {
                if let Ownership::Marked(mark) = change.flags.ownership() {
                    change.flags = KeyMark { adopted: false, ..mark }.flags();
                }
            }
        }
        (Step::Apply(apply), Bug::ReusesTheGeneration) => {
            let old = record.generation;
            for change in &mut apply.plan.changes {
                if let Ownership::Marked(mark) = change.flags.ownership() {
                    change.flags = KeyMark { generation: old, ..mark }.flags();
                }
            }
            apply.plan.generation = old;
            for save in apply.opening.iter_mut().chain([&mut apply.closing]) {
                renumber(&mut save.record, old);
            }
        }
        (Step::Apply(apply), Bug::RestartsTheDeadlineAtDrift) if record.phase == Phase::Verifying => {
            for save in apply.opening.iter_mut().chain([&mut apply.closing]) {
                if let Some(attempt) = &mut save.record.attempt {
                    attempt.applied = attempt.applied.map(|_| seen.now);
                }
            }
        }
        (Step::Record(save), Bug::ResumeEndsEveryRejection)
            if seen.requests.first().is_some_and(|request| request.verb == Verb::Resume) && !save.answers.is_empty() =>
        {
            save.record.rejected.clear();
        }
        (step, Bug::InterruptsForAnInvalidHead)
            if record.phase == Phase::Verifying && matches!(seen.head, HeadView::Invalid(..)) =>
        {
            let reason = "the head can't be read".to_owned();
            *step = Step::Record(Box::new(Save::of(Rollout { phase: Phase::HeldRefused, reason, ..record.clone() })));
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

fn change(key: &KeyPath, action: Action, fence: Fence) -> Change {
    Change { key: key.clone(), action, fence, flags: Flags::default(), why: Why::Said("") }
}
