//! An attempt and its line of history: what it was for, and how it ended (rule A5).

use std::collections::BTreeSet;

use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::plan::{Act, Counts, Intent};
use crate::domain::revision::{Generation, Revision};
use crate::domain::scope::KeyScope;
use crate::domain::time::Timestamp;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Healthy for long enough.
    Proven,
    /// Unhealthy: taken back to last good.
    RolledBack,
    /// A newer commit took its place.
    Superseded,
    /// Could not be proven; the environment stays there and checks on.
    Unproven,
    /// Stopped half-way: a conflict or a denial.
    Refused,
    /// A rollback that was unhealthy.
    Frozen,
    /// Drift was put right.
    Repaired,
    /// The target was found restored from a snapshot.
    Restored,
    /// What a person decided holds from here on.
    Done,
    /// The environment is gone from the target.
    Removed,
}

impl Outcome {
    /// The word for it in history and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::RolledBack => "rolled-back",
            Self::Superseded => "superseded",
            Self::Unproven => "unproven",
            Self::Refused => "refused",
            Self::Frozen => "frozen",
            Self::Repaired => "repaired",
            Self::Restored => "restored",
            Self::Done => "done",
            Self::Removed => "removed",
        }
    }

    /// Every outcome, for tables and parsers.
    pub const ALL: [Self; 10] = [
        Self::Proven,
        Self::RolledBack,
        Self::Superseded,
        Self::Unproven,
        Self::Refused,
        Self::Frozen,
        Self::Repaired,
        Self::Restored,
        Self::Done,
        Self::Removed,
    ];
}

/// One line of history: one generation, created when its attempt starts, closed when it ends (rule A5). What a person decides
/// has a number and a line too, closed as it is made (rule R11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLine {
    /// The attempt's number.
    pub generation: Generation,
    /// What it was for.
    pub intent: Intent,
    /// The revision gone to.
    pub revision: Revision,
    /// The goal before it.
    pub from: Option<Revision>,
    /// Who caused it: the commit's author, or the person behind a request.
    pub by: String,
    /// Why, for people; for a rollback, the evidence. Empty where a person gave no reason.
    pub because: String,
    /// What it planned to write at its start.
    pub counts: Counts,
    /// When it started.
    pub started: Timestamp,
    /// When it ended and how; none while it is under way.
    pub closed: Option<Closed>,
}

impl HistoryLine {
    /// Whether it took the environment to its revision, or back there. What people decide has a number and names a revision
    /// too, of which nothing need ever have been live, and what a removal names goes.
    #[must_use]
    pub const fn is_deployment(&self) -> bool {
        match self.intent {
            Intent::Advance | Intent::Repair | Intent::RollBack | Intent::Restored => true,
            Intent::Remove | Intent::Act(_) => false,
        }
    }

    /// Who lockstep itself is in [`Self::by`].
    pub const LOCKSTEP: &str = "lockstep";

    /// What stands between the two names in the line of a rename.
    const GOES_ON_AS: &str = " goes on as ";

    /// What the line of a rename says, which lies under both names.
    #[must_use]
    pub(super) fn renames(before: &EnvironmentName, name: &EnvironmentName) -> String {
        format!("{before}{}{name}", Self::GOES_ON_AS)
    }

    /// The former and the new name, of the line of a rename.
    #[must_use]
    pub(super) fn renaming(&self) -> Option<(EnvironmentName, EnvironmentName)> {
        let (before, name) = self.because.split_once(Self::GOES_ON_AS).filter(|_| self.intent == Intent::Act(Act::Rename))?;
        Some((EnvironmentName::parse(before).ok()?, EnvironmentName::parse(name).ok()?))
    }

    /// Whether the environment was gone from the target with this line.
    #[must_use]
    pub(super) fn is_removal(&self) -> bool {
        self.closed.as_ref().is_some_and(|closed| closed.outcome == Outcome::Removed)
    }

    /// That the environment of this name was removed with this line or got another name, when and by whom, of the newest line where
    /// there is no record; none when it was not, also where this is the name that it got.
    #[must_use]
    pub fn removal_said(&self, environment: &EnvironmentName) -> Option<String> {
        if self.intent == Intent::Act(Act::Rename) {
            let came_here = self.renaming().is_some_and(|(_, name)| name == *environment);
            return (!came_here).then(|| format!("the environment is gone from here: at {} {}", self.started, self.because));
        }
        let closed = self.closed.as_ref().filter(|_| self.is_removal())?;
        let why = if self.because.is_empty() { String::new() } else { format!(": {}", self.because) };
        Some(format!("the environment was removed from here at {} by {}{why}", closed.at, self.by))
    }

    /// Why, and on whose word where it is not lockstep's own.
    #[must_use]
    pub fn cause(&self) -> String {
        match (self.by.as_str(), self.because.as_str()) {
            (Self::LOCKSTEP, because) => because.to_owned(),
            (by, "") => format!("asked for by {by}"),
            (by, because) => format!("asked for by {by}: {because}"),
        }
    }
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// The evidence, for people.
    pub text: String,
}

/// The advance or rollback under way, from its first write to its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its line of history, open.
    pub line: HistoryLine,
    /// When the plan was first empty: the deadlines of the verdict count from here (rule H6).
    pub applied: Option<Timestamp>,
    /// Keys that a rollback had to leave, with who holds them (rule A9); such a rollback is not proven.
    pub except: Vec<String>,
    /// Keys that had drifted, under `drift: report`, before it began: they don't stand in the way of its proof (rule R10).
    pub drifted_before: BTreeSet<KeyPath>,
    /// Unmanaged keys that it may take over until everything is written (rule O8).
    pub adopts: KeyScope,
    /// It writes marks and no value, to an environment that has nothing unproven: nothing is to be judged (rule O8).
    pub only_marks: bool,
    /// A removal was broken off before it: until everything is written, what that took is no drift (rule O9).
    pub puts_back: bool,
}
