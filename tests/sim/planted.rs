//! The real decision with a planted bug around it: what it is shown, or what it says, is not as it should be.

use lockstep::domain::desired::read_environment;
use lockstep::domain::health::{Finding, HealthLog, Sample};
use lockstep::domain::live::{LiveEntry, LiveState};
use lockstep::domain::plan::Intent;
use lockstep::domain::resource::KeyMark;
use lockstep::domain::revision::{Generation, Revision, RevisionDigest};
use lockstep::domain::rollout::{
    Adoption, Books, Grant, HeadVerdict, HeadView, Needed, Observation, Permit, Phase, RepairLog, Rollout, Step, Trouble,
    TroubleKind, Unproven, Waiting,
};
use lockstep::domain::scope::KeyScope;
use lockstep::domain::time::Timestamp;

use crate::bugs::Bug;
use crate::edges::Edge;
use crate::repository::named;
use crate::spoiled::{NOBODY, hide, spoil};

/// The real decision with a bug around it.
pub(crate) struct Planted<'a> {
    pub(crate) edge: &'a Edge,
}

impl Planted<'_> {
    pub(crate) fn decide(&self, record: &Rollout, seen: &Observation<'_>) -> Step {
        let Some(bug) = self.edge.bug else { return record.decide(seen) };
        let (stored, true_to_life) = (record, seen);
        let mut record = record.clone();
        let mut seen = seen.clone();
        self.mislead(bug, &mut record, &mut seen);
        let trouble = seen.trouble.cloned().map(|trouble| match (bug, record.phase, trouble.kind) {
            (Bug::TakesUnreachableForDenied, Phase::Applying, TroubleKind::Transient) => {
                Trouble { kind: TroubleKind::Denied, retry: seen.now + std::time::Duration::from_mins(1), ..trouble }
            }
            _ => trouble,
        });
        seen.trouble = trouble.as_ref();
        let looked_past = Self::looking_past_others(bug, &record, &seen);
        if let Some(live) = &looked_past {
            seen.live = live;
        }
        let misjudged = self.by_other_checks(bug, &record, &seen);
        if let Some(books) = &misjudged {
            seen.books = books;
        }
        let health = self.health(bug, &record, &seen);
        seen.health = &health;
        let step = record.decide(&seen);
        if bug == Bug::WritesWhatIsRetired && !matches!(step, Step::Apply(_)) {
            return stored.decide(true_to_life);
        }
        let step = if bug == Bug::RemembersARefusal { self.unless_refused(step, &record) } else { step };
        hide(bug, spoil(bug, step, &record, &seen), stored)
    }

    /// The step, unless it goes to what was refused before.
    fn unless_refused(&self, step: Step, record: &Rollout) -> Step {
        let mut refused = self.edge.refused.lock().unwrap();
        let note = record.note.as_ref().filter(|note| note.verdict == HeadVerdict::Refused);
        refused.extend(note.and_then(|note| note.revision));
        let goes = match &step {
            Step::Apply(apply) => apply.plan.intent == Intent::Advance && refused.contains(&apply.plan.revision),
            Step::Record(_) | Step::Wait(_) => false,
        };
        if goes { Step::Wait(Waiting::default()) } else { step }
    }

    /// What the decision takes the record and the branch for.
    #[expect(clippy::wildcard_enum_match_arm, reason = "each bug changes one place; a new one is planted where it belongs")]
    fn mislead(&self, bug: Bug, record: &mut Rollout, seen: &mut Observation<'_>) {
        if record.phase == Phase::Applying {
            Self::mislead_half_way(bug, record, seen);
        }
        match bug {
            Bug::ForgetsRejections => record.rejected.clear(),
            Bug::ForgetsTheFreeze if record.phase == Phase::Frozen => record.phase = Phase::HeldUnproven,
            Bug::ForgetsTheSuspension => record.suspension = None,
            Bug::LetsAnotherHeadPass => {
                if let (Some((tip, digest)), Some(permit)) = (new_head(record, seen), &mut record.permit) {
                    (permit.revision, permit.digest) = (tip, digest);
                }
            }
            Bug::ForgetsThePin => record.pin = None,
            Bug::BlamesTheBaseline if record.phase == Phase::Verifying => record.baseline.clear(),
            Bug::RepairsWithoutBackOff => record.repairs = RepairLog::default(),
            Bug::WritesDriftUnderReport => record.overwrite_drift = true,
            Bug::RollsBackARollback if record.phase == Phase::Verifying => {
                if let Some(attempt) = &mut record.attempt {
                    attempt.line.intent = Intent::Advance;
                }
            }
            Bug::TrustsEveryStamp => seen.led_since = Timestamp::from_millis(0),
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
            Bug::BelievesAPermissionForEver if record.refused.is_some() && self.edge.was_permitted() => {
                seen.permitted = true;
                seen.trouble =
                    seen.trouble.filter(|trouble| (trouble.kind, trouble.intent) != (TroubleKind::Denied, Intent::Advance));
            }
            Bug::TakesAPermissionForEveryKey if seen.permitted => {
                seen.trouble = seen.trouble.filter(|trouble| trouble.kind != TroubleKind::Denied);
            }
            Bug::SkipsTheGuard | Bug::AdoptsUnasked => {
                let nobody = Grant { by: NOBODY.to_owned(), reason: String::new(), at: seen.now };
                if let Some((revision, digest)) = new_head(record, seen) {
                    let every_gate = (bug == Bug::SkipsTheGuard).then(|| nobody.clone());
                    let adopts = (bug == Bug::AdoptsUnasked).then(|| Adoption { scope: KeyScope::every(), grant: nobody });
                    record.permit = Some(Permit { revision, digest, deletes: None, every_gate, adopts });
                }
            }
            Bug::ForgetsWhatWasAdopted => record.adopted = KeyScope::default(),
            Bug::ForgetsWhatARemovalGaveBack if record.repair.as_ref().is_some_and(|line| line.intent == Intent::Remove) => {
                record.adopted = KeyScope::default();
            }
            Bug::SpendsAnAllowanceTwice => {
                let mut known = self.edge.permitted.lock().unwrap();
                if record.permit.is_some() {
                    known.clone_from(&record.permit);
                } else if let (Some(permit), Some((revision, digest))) = (known.clone(), new_head(record, seen)) {
                    record.permit = Some(Permit { revision, digest, ..permit });
                }
            }
            Bug::RefusesARevert => record.proven.clear(),
            Bug::CountsTheDeadlineFromTheStart if record.phase == Phase::Verifying => {
                if let Some(attempt) = &mut record.attempt {
                    attempt.applied = Some(attempt.line.started);
                }
            }
            Bug::RollsBackPastANewerCommit if record.phase == Phase::Verifying => {
                if let Some(goal) = &record.goal {
                    seen.head = HeadView::At(goal.revision);
                }
            }
            Bug::TakesBackWhatIsHeldForAnother if record.unproven.is_some() => record.unproven = Some(Unproven::Unknown),
            Bug::WritesWhatIsRetired => {
                if let HeadView::Retired(_) = seen.head {
                    seen.head = HeadView::None("looked away".to_owned());
                }
            }
            Bug::CountsAReadme => {
                if let (HeadView::At(tip), Some(goal)) = (&seen.head, &mut record.goal)
                    && *tip != goal.revision
                    && record.phase == Phase::Steady
                    && seen.books.desired(*tip).is_some_and(|state| state.revision_digest() == goal.digest)
                {
                    goal.digest = RevisionDigest::of([b"another".as_slice()]);
                }
            }
            Bug::StaysOnWhatTurnsOutBad if record.unproven == Some(Unproven::Unknown) => {
                record.unproven = Some(Unproven::AutoRevertOff);
            }
            _ => {}
        }
    }

    /// The same of an attempt that is being written.
    #[expect(clippy::wildcard_enum_match_arm, reason = "each bug changes one place; a new one is planted where it belongs")]
    fn mislead_half_way(bug: Bug, record: &mut Rollout, seen: &Observation<'_>) {
        match bug {
            Bug::ProvesMoreThanMarks => {
                let written = record.complete.as_ref().map(|complete| complete.generation);
                if let Some(attempt) = record.attempt.as_mut().filter(|attempt| Some(attempt.line.generation) == written) {
                    attempt.only_marks = true;
                }
            }
            Bug::NeverGivesUpHalfWay => {
                if let Some(attempt) = &mut record.attempt {
                    attempt.line.started = seen.now;
                }
            }
            Bug::SupersedesARollbackHalfWay => {
                if let Some(attempt) = &mut record.attempt {
                    attempt.line.intent = Intent::Advance;
                }
            }
            Bug::ForgetsWhatItAttempted => record.attempted.clear(),
            _ => {}
        }
    }

    /// Books in which the goal has the checks of another revision.
    fn by_other_checks(&self, bug: Bug, record: &Rollout, seen: &Observation<'_>) -> Option<Books> {
        let goal = record.goal.as_ref().filter(|_| record.phase == Phase::Verifying)?;
        let intent = record.attempt.as_ref()?.line.intent;
        let other = match (bug, intent) {
            (Bug::JudgesARollbackByTheBadCommit, Intent::RollBack) => record.rejected.last()?.revision,
            (Bug::JudgesAnAdvanceByTheChecksBefore, Intent::Advance) => record.last_good.as_ref()?.revision,
            _ => return None,
        };
        let mut content = self.edge.world().origin.content(goal.revision).clone();
        let with = self.edge.world().origin.content(other).clone();
        (content.checked, content.follows) = (with.checked, with.follows);
        let hybrid = read_environment(&content.tree(), &named(content.name)).ok().flatten()?;
        let mut books = seen.books.clone();
        let [revision, rules] = [goal.revision, goal.rules].map(|one| Needed::reached(one, goal.digest));
        books.desired.remove(&rules);
        books.desired.insert(revision, hybrid);
        Some(books)
    }

    /// What the decision takes the samples for.
    fn health(&self, bug: Bug, record: &Rollout, seen: &Observation<'_>) -> HealthLog {
        let mut early = seen.health.clone();
        if matches!(bug, Bug::CountsSamplesTooEarly | Bug::ProvesAtTheFirstPass) && record.phase == Phase::Verifying {
            let finding = self.edge.world().probe();
            let back = if bug == Bug::ProvesAtTheFirstPass { 5_000 } else { 30_000 };
            let at = Timestamp::from_millis(seen.now.as_millis() - back);
            early = HealthLog::counting_from(at);
            if finding == Finding::Pass {
                for check in record.goal.iter().filter_map(|goal| seen.books.of(goal)).flat_map(|state| state.checks().keys()) {
                    for at in [at, seen.now] {
                        early.take(&Sample { check: check.clone(), at, finding: finding.clone() });
                    }
                }
            }
        }
        let newer = matches!(seen.head, HeadView::At(tip) if record.goal.as_ref().is_some_and(|goal| goal.tip != tip));
        if bug == Bug::SupersedesAProofUnderWay && record.phase == Phase::Verifying && newer
            || bug == Bug::StopsCheckingWhatIsHeld && record.phase == Phase::HeldUnproven
        {
            early = HealthLog::counting_from(seen.now);
        }
        early
    }

    /// Live state in which keys of others look as if they were as they should be.
    fn looking_past_others(bug: Bug, record: &Rollout, seen: &Observation<'_>) -> Option<LiveState> {
        let back = record.attempt.as_ref().is_some_and(|attempt| attempt.line.intent == Intent::RollBack);
        let judged = matches!(record.phase, Phase::Verifying | Phase::HeldUnproven);
        let fights = &record.repairs.contested;
        let wanted = match (bug, &seen.head) {
            (Bug::ProvesWhatIsFoughtOver, _) if judged && !fights.is_empty() => record.goal.as_ref()?.revision,
            (Bug::BeginsDespiteAnObstacle | Bug::AdoptsWhatDiffers, HeadView::At(tip)) => *tip,
            (Bug::ProvesARollbackThatLeftKeys, _) if back && judged => record.goal.as_ref()?.revision,
            _ => return None,
        };
        let (desired, owner) = (seen.books.desired(wanted)?, record.identity.owner);
        let mut live = seen.live.clone();
        for (key, entry) in desired.entries() {
            let of_others = |found: &&mut LiveEntry| {
                found.flags.mark_of(owner).is_none() && (bug != Bug::ProvesWhatIsFoughtOver || fights.contains_key(key))
            };
            if let Some(found) = live.entries.get_mut(key).filter(of_others) {
                found.digest = entry.digest;
                if bug == Bug::AdoptsWhatDiffers {
                    continue;
                }
                found.flags = KeyMark { adopted: false, owner, generation: record.generation }.flags();
            }
        }
        Some(live)
    }
}

/// The head, and what it says, where that is something else than the goal.
fn new_head(record: &Rollout, seen: &Observation<'_>) -> Option<(Revision, RevisionDigest)> {
    let HeadView::At(tip) = seen.head else { return None };
    let digest = seen.books.desired(tip)?.revision_digest();
    (!record.is_in_step_with(digest)).then_some((tip, digest))
}
