//! How an attempt begins and ends in the record: generations, history lines, and the plan of a revision.

use std::collections::BTreeSet;

use super::fights::Drift;
use super::line::{Attempt, Closed, HistoryLine, Outcome};
use super::observation::Observation;
use super::phase::Phase;
use super::reached::Reached;
use super::record::Rollout;
use super::{Apply, Save, Step};
use crate::domain::desired::DesiredState;
use crate::domain::environment::DriftPolicy;
use crate::domain::name::KeyPath;
use crate::domain::plan::{Intent, Plan, Terms, plan};
use crate::domain::revision::{Generation, Revision};
use crate::domain::scope::KeyScope;
use crate::domain::time::Timestamp;

/// Where an attempt goes and why.
pub(super) struct Aim {
    pub(super) intent: Intent,
    pub(super) revision: Revision,
    pub(super) tip: Revision,
    pub(super) by: String,
    pub(super) because: String,
}

impl Rollout {
    /// The next attempt's number: above every number that was ever seen here (rule A5).
    pub(super) fn next_generation(&self, seen: &Observation<'_>) -> Generation {
        let marked = seen.live.highest_generation(self.identity.owner).unwrap_or_default();
        self.generation.max(seen.remembered).max(marked).next()
    }

    /// The plan that takes live state to a revision.
    pub(super) fn plan(
        &self,
        intent: Intent,
        revision: Revision,
        desired: &DesiredState,
        generation: Generation,
        seen: &Observation<'_>,
    ) -> Plan {
        self.plan_leaving(&BTreeSet::new(), intent, revision, desired, generation, seen)
    }

    /// The same, with some keys left alone.
    pub(super) fn plan_leaving(
        &self,
        leave: &BTreeSet<KeyPath>,
        intent: Intent,
        revision: Revision,
        desired: &DesiredState,
        generation: Generation,
        seen: &Observation<'_>,
    ) -> Plan {
        let reached: Vec<&DesiredState> = [&self.last_good, &self.complete]
            .into_iter()
            .flatten()
            .chain(&self.attempted)
            .filter_map(|reached| seen.books.of(reached))
            .collect();
        let adopts = self.may_adopt(intent, revision, desired, seen);
        let drift = if self.overwrite_drift { DriftPolicy::Correct } else { desired.environment().policy.drift };
        let terms = Terms {
            intent,
            revision,
            generation,
            owner: self.identity.owner,
            desired,
            complete: self.complete.as_ref().and_then(|reached| seen.books.of(reached)),
            proven: self.last_good.as_ref().and_then(|reached| seen.books.of(reached)),
            reached: &reached,
            adopts: &adopts,
            adopted: &self.adopted,
            reverts: self.is_proven(desired.revision_digest()),
            drift,
            half_removed: self.puts_back(),
            leave,
        };
        plan(&terms, seen.live)
    }

    /// Begins an advance or a rollback: the record with its new goal, and the history lines that open and close.
    ///
    /// The record says `Applying`; the lines of whatever was under way are closed as superseded unless they are closed.
    pub(super) fn begin(&self, aim: Aim, desired: &DesiredState, plan: &Plan, now: Timestamp) -> Save {
        let mut record = self.clone();
        let mut history = record.close_open_lines(Outcome::Superseded, &format!("superseded by {}", aim.revision.short()), now);
        let digest = desired.revision_digest();
        // Going back brings back the rules that held there last.
        let good = self.last_good.as_ref().filter(|good| aim.intent == Intent::RollBack && good.digest == digest);
        let goal = Reached {
            revision: aim.revision,
            tip: aim.tip,
            state: desired.state_digest(),
            digest,
            generation: plan.generation,
            rules: good.map_or(aim.revision, |good| good.rules),
        };
        let line = HistoryLine {
            generation: plan.generation,
            intent: aim.intent,
            revision: aim.revision,
            from: self.goal.as_ref().map(|goal| goal.revision),
            by: aim.by,
            because: aim.because,
            counts: plan.counts(),
            started: now,
            closed: None,
        };
        history.push(line.clone());
        record.generation = plan.generation;
        record.phase = Phase::Applying;
        record.attempted.push(Reached { rules: goal.revision, ..goal.clone() });
        record.goal = Some(goal);
        record.attempt = Some(Attempt {
            line,
            applied: None,
            except: Vec::new(),
            drifted_before: plan.drifted.iter().cloned().collect(),
            adopts: KeyScope::default(),
            only_marks: false,
            puts_back: self.puts_back(),
        });
        record.reason = String::new();
        record.drift = Drift::default();
        record.repairs.go_on_under(desired);
        record.note = None;
        record.unproven = None;
        (record.frozen_tip, record.frozen_head, record.back_in_step) = (None, None, None);
        Save { opens: Some(plan.generation), history, ..Save::of(record) }
    }

    /// Writes a plan after its attempt began; an empty plan needs no target.
    pub(super) fn carry(opening: Save, plan: Plan) -> Step {
        if plan.is_empty() {
            return Step::Record(Box::new(opening));
        }
        let closing = Save::of(opening.record.clone().after_writing(&plan));
        Step::Apply(Box::new(Apply { opening: Some(opening), plan, closing }))
    }

    /// The record once this plan of the attempt is written. One that leaves keys is not complete: what it left would count as
    /// ours, and be overwritten (rules O2, A9).
    pub(super) fn after_writing(mut self, plan: &Plan) -> Self {
        self.has_put_back(plan);
        if plan.obstacles.is_empty() { self.completed() } else { self }
    }

    /// The record once the goal is written completely: nothing else is reached any more (rule R7).
    pub(super) fn completed(mut self) -> Self {
        self.complete = self.goal.clone();
        self.attempted.clear();
        self.overwrite_drift = false;
        if let Some(attempt) = &mut self.attempt {
            attempt.adopts = KeyScope::default();
            attempt.puts_back = false;
        }
        self
    }

    /// Closes the lines of the attempt and the repair under way and returns them.
    pub(super) fn close_open_lines(&mut self, outcome: Outcome, text: &str, now: Timestamp) -> Vec<HistoryLine> {
        let mut closed: Vec<HistoryLine> = self.close_repair(Outcome::Superseded, text, now).into_iter().collect();
        closed.extend(self.close_attempt(outcome, text, now));
        closed
    }

    /// Closes the line of the attempt under way, if there is one.
    pub(super) fn close_attempt(&mut self, outcome: Outcome, text: &str, now: Timestamp) -> Option<HistoryLine> {
        let attempt = self.attempt.as_mut().filter(|attempt| attempt.line.closed.is_none())?;
        attempt.line.closed = Some(Closed { at: now, outcome, text: text.to_owned() });
        Some(attempt.line.clone())
    }

    /// Closes the line of the repair under way, if there is one.
    pub(super) fn close_repair(&mut self, outcome: Outcome, text: &str, now: Timestamp) -> Option<HistoryLine> {
        let mut line = self.repair.take()?;
        // A removal that somebody broke off: the environment is wanted again, and its keys are put right under that number.
        let broken_off = line.intent == Intent::Remove && outcome == Outcome::Repaired;
        let outcome = if broken_off { Outcome::Superseded } else { outcome };
        let text = if broken_off { format!("broken off; the environment is wanted again: {text}") } else { text.to_owned() };
        if let Some(attempt) = self.attempt.as_mut().filter(|_| line.intent == Intent::Remove) {
            // Whoever takes the removal's place goes on with putting back.
            attempt.puts_back = !broken_off;
            // An attempt that it found half written is written now: its health counts from here (rule H6).
            if broken_off && self.phase == Phase::HeldUnproven {
                attempt.applied.get_or_insert(now);
            }
        }
        line.closed = Some(Closed { at: now, outcome, text });
        Some(line)
    }

    /// Says in history that the target was restored, under a number of its own (rule A6).
    pub(super) fn note_restored(&self, seen: &Observation<'_>) -> Step {
        let generation = self.next_generation(seen);
        let mut record = self.clone();
        record.generation = generation;
        // Nothing was ever applied and there is no head: no commit that a line could name.
        let Some(revision) = self.revision_here(seen) else { return Step::record(record) };
        let line = HistoryLine {
            generation,
            intent: Intent::Restored,
            revision,
            from: None,
            by: HistoryLine::LOCKSTEP.to_owned(),
            because: "the record is older than what was written here after it".to_owned(),
            counts: crate::domain::plan::Counts::default(),
            started: seen.now,
            closed: Some(Closed { at: seen.now, outcome: Outcome::Restored, text: "target was restored".to_owned() }),
        };
        Step::Record(Box::new(Save::opening(record, line)))
    }
}
