//! An environment's own rules, as `environment.yaml` states them: deadlines, limits on deletes, what to do about drift.

use std::collections::BTreeMap;
use std::time::Duration;

use super::name::EnvironmentName;
use super::time::written;

/// One environment as a revision describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The name of its directory below `environments/`.
    pub name: EnvironmentName,
    /// Directories merged first to last; the environment's own comes after them.
    pub layers: Vec<String>,
    /// What `${name}` stands for in KV values and checks.
    pub variables: BTreeMap<String, String>,
    /// Its rules.
    pub policy: Policy,
    /// The name that it had before: its record and its keys are taken over from there (rule O9).
    pub formerly: Option<EnvironmentName>,
}

/// The rules of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// How a revision is applied and judged.
    pub rollout: RolloutPolicy,
    /// How much one commit may delete.
    pub deletes: DeleteLimits,
    /// What happens when live state differs from the goal.
    pub drift: DriftPolicy,
}

/// Deadlines and thresholds of one attempt (rules H2, H3, H6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutPolicy {
    /// How long writing may take before a conflict holds the attempt; it is never a rejection.
    pub apply_deadline: Duration,
    /// Before samples count. Not given: 30 s on Consul, nothing on a directory.
    pub settle: Option<Duration>,
    /// How long every check must pass without a break.
    pub min_healthy_time: Duration,
    /// From the moment the plan is empty until a failing check rejects the revision.
    pub healthy_deadline: Duration,
    /// Failures in a row, after a pass, that reject the revision before the deadline.
    pub fail_after: u32,
    /// Whether an unhealthy revision is rolled back; if not, it is held.
    pub auto_revert: bool,
}

impl RolloutPolicy {
    /// Why health could never be proven, if so (rule H3): `settle` and `min_healthy_time` must fit before the deadline.
    /// The target gives what `settle` is when the environment does not say.
    #[must_use]
    pub fn deadline_problem(&self, default_settle: Duration) -> Option<String> {
        let settle = self.settle.unwrap_or(default_settle);
        let needed = settle.saturating_add(self.min_healthy_time);
        (needed >= self.healthy_deadline).then(|| {
            let (healthy, deadline) = (written(self.min_healthy_time), written(self.healthy_deadline));
            if settle.is_zero() {
                format!("min_healthy_time ({healthy}) does not fit before healthy_deadline ({deadline})")
            } else {
                let settle = written(settle);
                format!("settle ({settle}) and min_healthy_time ({healthy}) do not fit before healthy_deadline ({deadline})")
            }
        })
    }
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        Self {
            apply_deadline: Duration::from_mins(10),
            settle: None,
            min_healthy_time: Duration::from_secs(10),
            healthy_deadline: Duration::from_mins(5),
            fail_after: 3,
            auto_revert: true,
        }
    }
}

/// How many deletes one commit may carry (rule G1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteLimits {
    /// At most so many keys.
    pub at_most: u32,
    /// At most this share of the keys of last good, counted only above [`Self::FREE`] deletes.
    pub at_most_percent: u32,
}

impl DeleteLimits {
    /// Up to so many deletes the percentage does not count: a small environment loses half its keys in an ordinary commit.
    pub const FREE: u32 = 10;
}

impl Default for DeleteLimits {
    fn default() -> Self {
        Self { at_most: 50, at_most_percent: 20 }
    }
}

/// What happens when live state differs from the goal (rules R9, R10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriftPolicy {
    /// It is put right.
    #[default]
    Correct,
    /// It is reported and left.
    Report,
}
