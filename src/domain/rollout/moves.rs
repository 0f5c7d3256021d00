//! The moves that several phases make: to a candidate, back to last good, to a proven goal, to a hold.

use std::time::Duration;

use super::attempt::Aim;
use super::head::Candidate;
use super::line::{HistoryLine, Outcome};
use super::observation::{HeadView, Observation};
use super::people::{Adoption, Allowance, Permit};
use super::phase::{Phase, Unproven};
use super::reached::{Proof, Reached, Rejection};
use super::record::Rollout;
use super::{Save, Step};
use crate::domain::desired::DesiredState;
use crate::domain::health::{HealthVerdict, Standard, judge};
use crate::domain::plan::{Intent, Plan};
use crate::domain::time::Timestamp;
use crate::domain::words::{count, listed};

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
        let permit = before.permit.take().filter(|permit| permit.digest == digest);
        before.pin = None;
        before.refused = None;
        let commit = seen.books.head.as_ref().filter(|commit| commit.revision == candidate.tip);
        let by = commit.map_or_else(|| "unknown".to_owned(), |commit| commit.author.clone());
        let mut because = commit.map_or_else(String::new, |commit| commit.subject.clone());
        // Only what let it pass is named, and not what it would have passed without.
        if let Some(Permit { deletes, every_gate, adopts, .. }) =
            permit.map(|permit| self.needed(&permit, candidate, &plan, seen))
        {
            if let Some(Allowance { count: more, grant }) = deletes {
                because = format!("{because} ({} allowed by {})", count(more.get(), "more delete"), grant.who());
            }
            if let Some(Adoption { grant, .. }) = adopts {
                because = format!("{because} ({} adopted by {})", count(plan.counts().adopted, "key"), grant.who());
            }
            if let Some(grant) = every_gate {
                because = format!("{because} (gates overridden by {})", grant.who());
            }
        }
        let aim = Aim { intent: Intent::Advance, revision: candidate.tip, tip: candidate.tip, by, because };
        let mut opening = before.begin(aim, candidate.desired, &plan, seen.now);
        opening.record = opening.record.adopting(self, candidate, &plan, seen);
        Self::carry(opening, plan)
    }

    /// Goes back to last good; none when there is nothing to go back to.
    pub(super) fn roll_back(&self, ended: Outcome, evidence: &str, seen: &Observation<'_>) -> Option<Step> {
        let good = self.last_good.as_ref()?;
        let desired = seen.books.of(good)?;
        let mut before = self.clone();
        let plan = before.plan(Intent::RollBack, good.revision, desired, before.next_generation(seen), seen);
        let closed = before.close_open_lines(ended, evidence, seen.now);
        let tip = self.goal.as_ref().map_or(good.tip, |goal| self.believed_tip(seen, goal));
        let aim = Aim {
            intent: Intent::RollBack,
            revision: good.revision,
            tip,
            by: HistoryLine::LOCKSTEP.to_owned(),
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
        if let Some(pin) = &mut self.pin {
            pin.rejected.remove(&reached.digest);
        }
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
        let desired = self.goal.as_ref().and_then(|goal| seen.books.of(goal));
        let evidence = desired.map_or_else(|| ("healthy".to_owned(), true), |desired| self.evidence(desired, seen));
        self.prove_by(evidence, seen)
    }

    /// The same by this evidence, which may be nothing unusual.
    pub(super) fn prove_by(&self, (mut text, mut is_plain): (String, bool), seen: &Observation<'_>) -> Step {
        let Some(goal) = self.goal.clone() else { return Step::wait("no goal", None) };
        // Whatever a rollback had to leave at first is as it should be by now.
        let mut record = self.clone().completed();
        record.rejected.retain(|rejection| rejection.digest != goal.digest);
        // Proven again, it is what was proven last: a revert is newer than what it takes back.
        record.proven.retain(|proof| proof.digest != goal.digest);
        record.proven.push(Proof { digest: goal.digest, revision: goal.revision, at: seen.now });
        let surplus = record.proven.len().saturating_sub(Self::PROOFS);
        record.proven.drain(..surplus);
        let drifted = record.attempt.as_ref().map_or(0, |attempt| attempt.drifted_before.len());
        if drifted > 0 {
            text = format!("{text}, with drift ({})", count(drifted, "key"));
            is_plain = false;
        }
        record.last_good = Some(goal);
        record.refused = record.refused.filter(|refused| Some(refused.digest) != record.goal.as_ref().map(|goal| goal.digest));
        record.baseline.clear();
        record.unproven = None;
        record.phase = Phase::Steady;
        let line = record.close_attempt(Outcome::Proven, &text, seen.now);
        // The line of an attempt that was held is closed already; what its proof rests on is said here until the next pass.
        record.reason = if line.is_none() && !is_plain { text } else { String::new() };
        Step::Record(Box::new(Save { history: line.into_iter().collect(), ..Save::of(record) }))
    }

    /// What a proof rests on: which checks passed and for how long; that nothing is checked, or that a failing check did not
    /// count, must be said (rules H1, H5). And whether there is nothing unusual about it.
    fn evidence(&self, desired: &DesiredState, seen: &Observation<'_>) -> (String, bool) {
        let left_out = self.not_counted(desired, seen);
        let names = || listed(left_out.iter().map(ToString::to_string));
        let counted: Vec<_> = desired.checks().keys().filter(|name| !left_out.contains(*name)).collect();
        let passed = listed(counted.iter().map(|name| {
            let track = seen.health.track(name);
            let since = track.and_then(|track| Some((track.passing_since?, track.passed_last?)));
            since.map_or_else(|| name.to_string(), |(since, last)| format!("{name} passed for {}", seconds(last.since(since))))
        }));
        match (counted.len(), left_out.is_empty()) {
            (0, true) => ("applied; no checks".to_owned(), false),
            (0, false) => (format!("no check counted: {} failed before", names()), false),
            (_, true) => (format!("healthy ({passed})"), true),
            (_, false) => (format!("healthy ({passed}), not counting {} (failed before)", names()), false),
        }
    }

    /// Stays on a goal that is not proven.
    pub(super) fn hold_unproven(&self, why: Unproven, text: &str, seen: &Observation<'_>) -> Step {
        self.hold_except(why, text, Vec::new(), seen)
    }

    /// The same, because of these keys.
    pub(super) fn hold_except(&self, why: Unproven, text: &str, except: Vec<String>, seen: &Observation<'_>) -> Step {
        let mut record = self.clone();
        if let Some(attempt) = record.attempt.as_mut().filter(|_| !except.is_empty()) {
            attempt.except = except;
        }
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
        record.frozen_head = if let HeadView::Rewound(head) = seen.head { Some(head) } else { None };
        let history = record.close_attempt(Outcome::Frozen, evidence, seen.now).into_iter().collect();
        Step::Record(Box::new(Save { history, ..Save::of(record) }))
    }

    /// When the goal was applied, as far as the stamp can be trusted.
    pub(super) fn applied(&self, desired: &DesiredState, led_since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let applied = self.attempt.as_ref()?.applied?;
        Some(trusted(applied, desired.environment().policy.rollout.healthy_deadline, led_since, now))
    }

    /// How the goal does, by its own checks and policy (rule H1).
    pub(super) fn verdict(&self, desired: &DesiredState, seen: &Observation<'_>) -> (HealthVerdict, Option<Timestamp>) {
        let policy = &desired.environment().policy.rollout;
        let baseline = self.not_counted(desired, seen);
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

fn seconds(duration: Duration) -> String {
    format!("{} s", (duration.as_secs_f64() * 10.0).floor() / 10.0)
}

impl Save {
    /// With lines that were closed on the way here, before the ones that open.
    pub(super) fn with_lines(mut self, mut closed: Vec<HistoryLine>) -> Self {
        closed.append(&mut self.history);
        self.history = closed;
        self
    }
}
