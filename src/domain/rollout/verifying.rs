//! While samples are being judged: proven, taken back, held, or superseded (rules H1 to H6, R1, R5, R7, R8).

use super::line::{Attempt, Outcome};
use super::observation::Observation;
use super::phase::Unproven;
use super::reached::Reached;
use super::record::Rollout;
use super::{Care, Step};
use crate::domain::desired::DesiredState;
use crate::domain::health::{Finding, HealthVerdict};
use crate::domain::name::KeyPath;
use crate::domain::plan::Intent;
use crate::domain::time::Timestamp;
use crate::domain::words::{is_kept, listed};

/// What keeps a healthy goal from being proven.
pub(super) struct Obstacle {
    why: Unproven,
    text: String,
    /// The keys that were left, with why.
    except: Vec<String>,
}

impl Obstacle {
    const fn new(why: Unproven, text: String) -> Self {
        Self { why, text, except: Vec::new() }
    }
}

impl Rollout {
    /// The step while the phase is `Verifying`.
    pub(super) fn while_verifying(&self, seen: &Observation<'_>) -> Step {
        let (Some(goal), Some(attempt)) = (&self.goal, &self.attempt) else {
            return Step::wait("the record says verifying without an attempt; run `lockstep release`", None);
        };
        let Some(desired) = seen.books.of(goal) else {
            return self.without_its_goal(goal, seen);
        };
        let suspended = self.is_suspended(seen.now);
        let (verdict, deadline) = self.verdict(desired, seen);
        if !suspended {
            // While every check passes, the running attempt may finish its proof first.
            let nearly_proven = matches!(&verdict, HealthVerdict::Healthy | HealthVerdict::Unknown { healthy_at: Some(_), .. });
            let unhealthy = matches!(verdict, HealthVerdict::Unhealthy { .. });
            if !nearly_proven
                && !unhealthy
                && let Some(step) = self.supersede(seen)
            {
                return step;
            }
            if !unhealthy && let Care::Step(step) = self.repair(desired, seen) {
                return step;
            }
        }
        // What was found while suspended may be left still, or put right by now.
        let drift = if suspended || self.drift.keys > 0 { self.left(desired, seen) } else { self.drift.clone() };
        let (note, reason) = (self.head_note(seen), self.not_passing(desired, seen));
        let goes_on = suspended || matches!(verdict, HealthVerdict::Unknown { .. });
        if goes_on && (&reason, &note, &drift) != (&self.reason, &self.note, &self.drift) {
            return Step::record(Self { reason, note, drift, ..self.clone() });
        }
        match verdict {
            HealthVerdict::Healthy => self.passed(attempt, desired, seen),
            HealthVerdict::Unhealthy { because } if suspended => {
                Step::wait(format!("suspended while unhealthy: {because}"), self.suspended_until())
            }
            HealthVerdict::Unhealthy { because } => self.failed(goal, attempt, desired, &because, seen),
            HealthVerdict::Unknown { because, healthy_at } => {
                let overdue = deadline.is_some_and(|deadline| seen.now >= deadline) && healthy_at.is_none();
                if overdue { self.undecided(attempt, &because, seen) } else { wait(because, healthy_at, deadline, seen.now) }
            }
        }
    }

    /// Which counted checks have not passed since the apply, or fail for good while nothing may follow from it; empty when there
    /// are none. What one of them found stays as it was said first: a record is not written at the pace of samples.
    fn not_passing(&self, desired: &DesiredState, seen: &Observation<'_>) -> String {
        let (baseline, fail_after) = (self.not_counted(desired, seen), desired.environment().policy.rollout.fail_after);
        let found = desired.checks().keys().filter(|name| !baseline.contains(*name)).filter_map(|name| {
            let track = seen.health.track(name)?;
            let (_, finding) = track.last.as_ref()?;
            let fails = track.passed_last.is_none() || track.failures >= fail_after.max(1);
            match finding {
                Finding::Fail { because } if fails => Some((name, because.clone())),
                Finding::Unknown { because } if fails => Some((name, format!("could not be checked: {because}"))),
                Finding::Fail { .. } | Finding::Unknown { .. } | Finding::Pass => None,
            }
        });
        let found: Vec<_> = found.collect();
        let Some((first, because)) = found.first() else { return String::new() };
        let names = format!("not passing: {}", listed(found.iter().map(|(name, _)| name.to_string())));
        if self.reason.strip_prefix(&names).is_some_and(|rest| rest.starts_with(" (")) {
            return self.reason.clone();
        }
        let which = if found.len() > 1 { format!("{first}: ") } else { String::new() };
        let reason = format!("{names} ({which}{because})");
        if is_kept(&self.reason, &reason) { self.reason.clone() } else { reason }
    }

    /// Healthy for long enough: proven, unless something other than health stands against it.
    fn passed(&self, attempt: &Attempt, desired: &DesiredState, seen: &Observation<'_>) -> Step {
        match self.obstacle_to_proof(attempt, desired, seen) {
            None => self.prove(seen),
            Some(Obstacle { why, text, except }) => self.hold_except(why, &text, except, seen),
        }
    }

    /// What keeps a healthy goal from being proven (rules A9, G5, R10).
    pub(super) fn obstacle_to_proof(
        &self,
        attempt: &Attempt,
        desired: &DesiredState,
        seen: &Observation<'_>,
    ) -> Option<Obstacle> {
        if desired.is_empty() {
            return Some(Obstacle::new(
                Unproven::Empty,
                "the desired state is empty; it is never taken for last good".to_owned(),
            ));
        }
        let goal = self.goal.as_ref()?;
        let plan = self.plan(attempt.line.intent, goal.revision, desired, goal.generation, seen);
        let rolling_back = attempt.line.intent == Intent::RollBack;
        // What a rollback was not allowed to write is as much left out as what somebody else holds.
        if !plan.obstacles.is_empty() || (rolling_back && !plan.is_empty()) {
            let unwritten = plan.changes.iter().take(5).map(|change| format!("{} (could not be written)", change.key));
            let mut kept = super::applying::except(&plan);
            kept.extend(unwritten.filter(|_| rolling_back));
            let what = if rolling_back { "rolled back" } else { "applied" };
            let text = format!("{what} except {}", kept.join(", "));
            return Some(Obstacle { except: kept, ..Obstacle::new(Unproven::Except, text) });
        }
        // Drift that is not put right at once: the environment is retired or suspended, the key contested, or given up for the
        // head (rules O9, R11, R9, O2). A proof would be one of values that are not the revision's.
        if !plan.is_empty() {
            let changed: Vec<&str> = plan.changes.iter().map(|change| change.key.as_str()).take(5).collect();
            let text = format!("healthy, but changed by hand meanwhile: {}", changed.join(", "));
            return Some(Obstacle::new(Unproven::Drifted, text));
        }
        let fresh: Vec<&str> =
            plan.drifted.iter().filter(|key| !attempt.drifted_before.contains(*key)).map(KeyPath::as_str).take(5).collect();
        if !fresh.is_empty() && rolling_back {
            let text = format!("rolled back except {} (changed by hand, and drift is only reported here)", fresh.join(", "));
            let except = fresh.iter().map(|key| format!("{key} (changed by hand)")).collect();
            return Some(Obstacle { except, ..Obstacle::new(Unproven::Except, text) });
        }
        if !fresh.is_empty() {
            let text = format!("healthy, but changed by hand meanwhile: {}", fresh.join(", "));
            return Some(Obstacle::new(Unproven::Drifted, text));
        }
        None
    }

    fn failed(&self, goal: &Reached, attempt: &Attempt, desired: &DesiredState, because: &str, seen: &Observation<'_>) -> Step {
        if attempt.line.intent == Intent::RollBack {
            return self.freeze(because, seen);
        }
        if self.last_good.is_none() {
            return self.hold_unproven(Unproven::NothingToGoBackTo, &format!("{because}; nothing to go back to"), seen);
        }
        let mut rejected = self.clone();
        rejected.reject(goal, because, seen);
        // A fix that came meanwhile needs no detour.
        if let Some(step) = rejected.supersede(seen) {
            return step;
        }
        if !desired.environment().policy.rollout.auto_revert {
            return rejected.hold_unproven(Unproven::AutoRevertOff, &format!("{because}; auto_revert is off"), seen);
        }
        rejected.roll_back(Outcome::RolledBack, because, seen).unwrap_or_else(|| {
            let why = self.last_good.as_ref().map_or_else(String::new, |good| seen.books.why_unknown(good.revision));
            rejected.hold_unproven(Unproven::NothingToGoBackTo, &format!("{because}; last good {why}"), seen)
        })
    }

    /// Neither healthy nor unhealthy at the deadline: held, and checked on.
    fn undecided(&self, attempt: &Attempt, because: &str, seen: &Observation<'_>) -> Step {
        let why = if attempt.line.intent == Intent::RollBack { Unproven::RollbackUnknown } else { Unproven::Unknown };
        self.hold_unproven(why, because, seen)
    }
}

fn wait(because: String, healthy_at: Option<Timestamp>, deadline: Option<Timestamp>, now: Timestamp) -> Step {
    // A moment that has passed is nothing to wait for: then it is the next sample that matters.
    let until = healthy_at.into_iter().chain(deadline).filter(|at| *at > now).min();
    Step::wait(because, until)
}
