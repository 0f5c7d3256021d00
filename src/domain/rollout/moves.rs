//! The moves that several phases make: to a candidate, back to last good, to a proven goal, to a hold.

use std::time::Duration;

use super::attempt::Aim;
use super::head::Candidate;
use super::observation::Observation;
use super::record::{HistoryLine, Outcome, Phase, Proof, Reached, Rejection, Rollout, Unproven};
use super::{Save, Step};
use crate::domain::desired::DesiredState;
use crate::domain::health::{HealthVerdict, Standard, judge};
use crate::domain::plan::{Intent, Plan};
use crate::domain::time::Timestamp;

impl Rollout {
    /// Goes to a candidate whose plan the guard let pass.
    pub(super) fn advance(&self, candidate: &Candidate<'_>, plan: Plan, seen: &Observation<'_>) -> Step {
        let digest = candidate.desired.revision_digest();
        let mut before = self.clone();
        if candidate.retried {
            before.rejected.retain(|rejection| rejection.digest != digest);
        }
        if let Some(failing) = self.failing_on_last_good(seen) {
            before.baseline = failing;
        }
        before.allowed_deletes = 0;
        let overridden = before.overridden.take();
        before.pin = None;
        before.refused = None;
        let commit = seen.books.head.as_ref().filter(|commit| commit.revision == candidate.tip);
        let by = commit.map_or_else(|| "unknown".to_owned(), |commit| commit.author.clone());
        let mut because = commit.map_or_else(String::new, |commit| commit.subject.clone());
        if let Some(reason) = overridden {
            because = format!("{because} (gates overridden by {reason})");
        }
        let aim = Aim { intent: Intent::Advance, revision: candidate.tip, tip: candidate.tip, by, because };
        Self::carry(before.begin(aim, candidate.desired, &plan, seen.now), plan)
    }

    /// Last good, if the environment stands on it and nothing is under way: then its checks say what failed before (rule H5).
    #[must_use]
    pub fn standing_on_last_good(&self) -> Option<&Reached> {
        let (goal, good) = (self.goal.as_ref()?, self.last_good.as_ref()?);
        let resting = matches!(self.phase, Phase::Steady | Phase::HeldAfterRollback | Phase::HeldRefused);
        (resting && goal.digest == good.digest).then_some(good)
    }

    /// Checks that failed all along while the environment stood on last good: not the next commit's fault (rule H5).
    pub(super) fn failing_on_last_good(
        &self,
        seen: &Observation<'_>,
    ) -> Option<std::collections::BTreeSet<crate::domain::name::CheckName>> {
        let desired = seen.books.of(self.standing_on_last_good()?)?;
        Some(seen.health.failing_throughout(desired.environment().policy.rollout.fail_after))
    }

    /// Goes back to last good; none when there is nothing to go back to.
    pub(super) fn roll_back(&self, ended: Outcome, evidence: &str, seen: &Observation<'_>) -> Option<Step> {
        let good = self.last_good.as_ref()?;
        let desired = seen.books.of(good)?;
        let mut before = self.clone();
        let closed = before.close_open_lines(ended, evidence, seen.now);
        let plan = before.plan(Intent::RollBack, good.revision, desired, before.next_generation(seen), seen);
        let tip = self.goal.as_ref().map_or(good.tip, |goal| self.believed_tip(seen, goal));
        let aim = Aim {
            intent: Intent::RollBack,
            revision: good.revision,
            tip,
            by: "lockstep".to_owned(),
            because: evidence.to_owned(),
        };
        let opening = before.begin(aim, desired, &plan, seen.now).with_lines(closed);
        if seen.trouble.is_some_and(|trouble| trouble.retry > seen.now) {
            // Opened by itself, so that what was denied is left or waited for instead of tried again with the opening.
            return Some(Step::Record(Box::new(opening)));
        }
        Some(Self::carry(opening, plan))
    }

    /// Remembers that a digest is bad (rule R2).
    pub(super) fn reject(&mut self, reached: &Reached, reason: &str, seen: &Observation<'_>) {
        self.rejected.retain(|rejection| rejection.digest != reached.digest);
        self.proven.retain(|proof| proof.digest != reached.digest);
        let tip = self.believed_tip(seen, reached);
        self.rejected.push(Rejection {
            digest: reached.digest,
            revision: reached.revision,
            tip,
            reason: reason.to_owned(),
            at: seen.now,
        });
        let surplus = self.rejected.len().saturating_sub(Self::REJECTIONS);
        self.rejected.drain(..surplus);
    }

    /// The goal is proven: it becomes last good.
    pub(super) fn prove(&self, seen: &Observation<'_>) -> Step {
        let Some(goal) = self.goal.clone() else { return Step::wait("no goal", None) };
        // Whatever a rollback had to leave at first is as it should be by now.
        let mut record = self.clone().completed();
        record.rejected.retain(|rejection| rejection.digest != goal.digest);
        if !record.is_proven(goal.digest) {
            record.proven.push(Proof { digest: goal.digest, revision: goal.revision, at: seen.now });
            let surplus = record.proven.len().saturating_sub(Self::PROOFS);
            record.proven.drain(..surplus);
        }
        let unchecked = seen.books.of(&goal).is_some_and(|desired| desired.checks().is_empty());
        let mut text = if unchecked { "applied; no checks" } else { "healthy" }.to_owned();
        let drifted = record.attempt.as_ref().map_or(0, |attempt| attempt.drifted_before.len());
        if drifted > 0 {
            text = format!("{text}, with drift ({drifted} keys)");
        }
        record.last_good = Some(goal);
        record.refused = record.refused.filter(|refused| Some(refused.digest) != record.goal.as_ref().map(|goal| goal.digest));
        record.baseline.clear();
        record.unproven = None;
        record.reason = String::new();
        record.phase = Phase::Steady;
        let history = record.close_attempt(Outcome::Proven, &text, seen.now).into_iter().collect();
        Step::Record(Box::new(Save { history, ..Save::of(record) }))
    }

    /// Stays on a goal that is not proven.
    pub(super) fn hold_unproven(&self, why: Unproven, text: &str, seen: &Observation<'_>) -> Step {
        let mut record = self.clone();
        record.phase = Phase::HeldUnproven;
        record.unproven = Some(why);
        text.clone_into(&mut record.reason);
        let history = record.close_attempt(Outcome::Unproven, text, seen.now).into_iter().collect();
        Step::Record(Box::new(Save { history, ..Save::of(record) }))
    }

    /// No automatic move any more, until a person acts (rules R5, R6).
    pub(super) fn freeze(&self, evidence: &str, seen: &Observation<'_>) -> Step {
        let mut record = self.clone();
        record.phase = Phase::Frozen;
        record.reason = format!("the rollback is unhealthy too: {evidence}");
        record.unproven = None;
        record.frozen_tip = self.goal.as_ref().map(|goal| self.believed_tip(seen, goal));
        let history = record.close_attempt(Outcome::Frozen, evidence, seen.now).into_iter().collect();
        Step::Record(Box::new(Save { history, ..Save::of(record) }))
    }

    /// When samples of the goal count from (rules H2, L3).
    ///
    /// The runtime starts its log of samples with this; a new leader starts a new one.
    #[must_use]
    pub fn samples_count_from(
        &self,
        desired: &DesiredState,
        settle: Duration,
        led_since: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        let settle = desired.environment().policy.rollout.settle.unwrap_or(settle);
        self.applied(desired, led_since, now).map_or(led_since, |applied| (applied + settle).max(led_since))
    }

    /// When the goal was applied, as far as the stamp can be trusted.
    fn applied(&self, desired: &DesiredState, led_since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let applied = self.attempt.as_ref()?.applied?;
        Some(trusted(applied, desired.environment().policy.rollout.healthy_deadline, led_since, now))
    }

    /// How the goal does, by its own checks and policy (rule H1).
    pub(super) fn verdict(&self, desired: &DesiredState, seen: &Observation<'_>) -> (HealthVerdict, Option<Timestamp>) {
        let policy = &desired.environment().policy.rollout;
        // A check that is new or changed since last good has no baseline (rule H5).
        let good = self.last_good.as_ref().and_then(|good| seen.books.of(good));
        let unchanged = |name| good.is_some_and(|good| good.checks().get(name) == desired.checks().get(name));
        let baseline = self.baseline.iter().filter(|name| unchanged(*name)).cloned().collect();
        let slowest = desired.checks().values().map(|check| check.interval).max().unwrap_or_default();
        let deadline = self.applied(desired, seen.led_since, seen.now).map(|applied| {
            let granted = seen.health.start().max(seen.led_since) + policy.min_healthy_time + slowest * 2;
            (applied + policy.healthy_deadline).max(if seen.led_since > applied { granted } else { applied })
        });
        let standard = Standard {
            checks: desired.checks(),
            baseline: &baseline,
            min_healthy_time: policy.min_healthy_time,
            fail_after: policy.fail_after,
            deadline,
        };
        (judge(&standard, seen.health, seen.now), deadline)
    }
}

/// A stamp of this term, or of an earlier one if it lies back by at most the deadline (rule L3). Any other came from a clock
/// that went wrong, and the term's own start takes its place.
pub(super) fn trusted(stamp: Timestamp, deadline: Duration, led_since: Timestamp, now: Timestamp) -> Timestamp {
    let own = stamp >= led_since && stamp <= now;
    let recent = stamp < led_since && led_since.since(stamp) <= deadline;
    if own || recent { stamp } else { led_since }
}

impl Save {
    /// With lines that were closed on the way here, before the ones that open.
    pub(super) fn with_lines(mut self, mut closed: Vec<HistoryLine>) -> Self {
        closed.append(&mut self.history);
        self.history = closed;
        self
    }
}
