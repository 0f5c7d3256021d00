//! Station 5: samples become a verdict (rules H2 to H5).
//!
//! Of each check only what a verdict needs is kept: since when it passes without a break, how often in a row it failed, and
//! what it said last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::check::Check;
use super::name::CheckName;
use super::time::Timestamp;

/// What one sample of one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// As expected.
    Pass,
    /// The check was made and its answer is not as expected.
    Fail {
        /// What was found instead: bounded, without secrets, for people.
        because: String,
    },
    /// The check could not be made, so it says nothing about the revision (rule H4).
    Unknown {
        /// Why not.
        because: String,
    },
}

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Of which check.
    pub check: CheckName,
    /// When it was started.
    pub at: Timestamp,
    /// What it found.
    pub finding: Finding,
}

/// What the samples of one check come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Track {
    /// Since when it passes without a break.
    pub passing_since: Option<Timestamp>,
    /// When it passed last.
    pub passed_last: Option<Timestamp>,
    /// Failures in a row; a sample that could not be made neither adds to them nor ends them.
    pub failures: u32,
    /// How many samples there were.
    pub taken: u32,
    /// The last sample.
    pub last: Option<(Timestamp, Finding)>,
}

/// The samples taken since a revision was applied, or since this process began to lead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthLog {
    counting_from: Timestamp,
    /// Checks that were asked anew since, and from when on their samples count.
    restarted: BTreeMap<CheckName, Timestamp>,
    tracks: BTreeMap<CheckName, Track>,
}

impl HealthLog {
    /// A log in which samples count that were started at this moment or later (rule H2).
    #[must_use]
    pub fn counting_from(at: Timestamp) -> Self {
        Self { counting_from: at, restarted: BTreeMap::new(), tracks: BTreeMap::new() }
    }

    /// From when on samples count.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        self.counting_from
    }

    /// Forgets a check: only samples of it count that were started at this moment or later.
    pub fn restart(&mut self, check: &CheckName, from: Timestamp) {
        self.tracks.remove(check);
        self.restarted.insert(check.clone(), from);
    }

    /// From when on samples of this check count.
    #[must_use]
    pub fn start_of(&self, check: &CheckName) -> Timestamp {
        self.restarted.get(check).map_or(self.counting_from, |from| self.counting_from.max(*from))
    }

    /// Takes a sample in; one that was started too early is dropped.
    pub fn take(&mut self, sample: &Sample) {
        if sample.at < self.start_of(&sample.check) {
            return;
        }
        let track = self.tracks.entry(sample.check.clone()).or_default();
        if track.last.as_ref().is_some_and(|(at, _)| *at > sample.at) {
            return; // Samples may overtake each other; only the newest says how things are.
        }
        match &sample.finding {
            Finding::Pass => {
                track.passing_since = track.passing_since.or(Some(sample.at));
                track.passed_last = Some(sample.at);
                track.failures = 0;
            }
            Finding::Fail { .. } => {
                track.passing_since = None;
                track.failures = track.failures.saturating_add(1);
            }
            Finding::Unknown { .. } => track.passing_since = None,
        }
        track.taken = track.taken.saturating_add(1);
        track.last = Some((sample.at, sample.finding.clone()));
    }

    /// What is known of a check.
    #[must_use]
    pub fn track(&self, check: &CheckName) -> Option<&Track> {
        self.tracks.get(check)
    }

    /// When the next sample of a check is due that may still show whether it fails throughout; none once a sample has passed or
    /// `fail_after` were taken (rule H5).
    #[must_use]
    pub fn awaited(&self, check: &Check, fail_after: u32) -> Option<Timestamp> {
        let Some(track) = self.tracks.get(&check.name) else { return Some(self.start_of(&check.name)) };
        let open = track.passed_last.is_none() && track.taken < fail_after.max(1);
        track.last.as_ref().filter(|_| open).map(|(at, _)| *at + check.interval)
    }

    /// Checks whose last `fail_after` samples all failed: no commit is blamed for them (rule H5).
    #[must_use]
    pub fn failing_throughout(&self, fail_after: u32) -> BTreeSet<CheckName> {
        self.tracks.iter().filter(|(_, track)| track.failures >= fail_after.max(1)).map(|(name, _)| name.clone()).collect()
    }
}

/// What is judged, and by which rules.
#[derive(Debug, Clone, Copy)]
pub struct Standard<'a> {
    /// The checks of the revision.
    pub checks: &'a BTreeMap<CheckName, Check>,
    /// Checks that don't count.
    pub baseline: &'a BTreeSet<CheckName>,
    /// How long all must pass without a break.
    pub min_healthy_time: Duration,
    /// How many failures in a row after a pass are enough.
    pub fail_after: u32,
    /// When a failing check is enough by itself; none: never.
    pub deadline: Option<Timestamp>,
}

/// How a revision does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthVerdict {
    /// Every counted check passed without a break for long enough.
    Healthy,
    /// A counted check failed for good.
    Unhealthy {
        /// The evidence, for people.
        because: String,
    },
    /// Neither, so far.
    Unknown {
        /// What is missing, for people.
        because: String,
        /// Every counted check passes now, only not yet for long enough: healthy at this moment if nothing changes.
        healthy_at: Option<Timestamp>,
    },
}

/// Judges a revision by the samples taken of it so far.
#[must_use]
pub fn judge(standard: &Standard<'_>, log: &HealthLog, now: Timestamp) -> HealthVerdict {
    let counted = || standard.checks.keys().filter(|name| !standard.baseline.contains(*name));
    let overdue = standard.deadline.is_some_and(|deadline| now >= deadline);
    let mut healthy_at = log.start() + standard.min_healthy_time;
    let mut ripe = true;
    let mut waiting: Option<String> = None;
    for name in counted() {
        let track = log.track(name);
        let last = track.and_then(|track| track.last.as_ref());
        match (track, last) {
            (Some(track), Some((_, Finding::Fail { because }))) => {
                let failed_again = track.passed_last.is_some() && track.failures >= standard.fail_after;
                if overdue || failed_again {
                    let how =
                        if failed_again { format!("{} times in a row", track.failures) } else { "at the deadline".to_owned() };
                    return HealthVerdict::Unhealthy { because: format!("{name} failed {how}: {because}") };
                }
                waiting.get_or_insert_with(|| format!("{name} fails: {because}"));
            }
            (Some(_), Some((_, Finding::Unknown { because }))) => {
                waiting.get_or_insert_with(|| format!("{name} could not be checked: {because}"));
            }
            (Some(Track { passing_since: Some(since), passed_last: Some(last), .. }), _) => {
                // Proof needs a pass at both ends: one pass long ago is not "without a break".
                let due = *since + standard.min_healthy_time;
                ripe &= *last >= due;
                healthy_at = healthy_at.max(due);
            }
            _ => {
                waiting.get_or_insert_with(|| format!("{name} was not sampled yet"));
            }
        }
    }
    match waiting {
        Some(because) => HealthVerdict::Unknown { because, healthy_at: None },
        None if ripe && now >= healthy_at => HealthVerdict::Healthy,
        None => HealthVerdict::Unknown {
            because: format!("healthy for {:.0} s more to be proven", healthy_at.since(now).as_secs_f32().ceil()),
            healthy_at: Some(healthy_at.max(now)),
        },
    }
}

#[cfg(test)]
mod tests;
