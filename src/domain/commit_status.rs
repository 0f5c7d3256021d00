//! Station 8, told to a forge: what an environment has to say of each commit, as a commit status.
//!
//! The statuses that a forge should show are derived from the record and the newest lines of history, as a desired state is from
//! a commit: whoever leads after a crash derives the same, and what is already there is not written again.

use std::collections::BTreeMap;
use std::fmt;

use super::name::EnvironmentName;
use super::plan::Intent;
use super::report::{LONGEST_HEADLINE, clipped};
use super::revision::{Generation, Revision};
use super::rollout::{HeadNote, HeadVerdict, HistoryLine, Outcome, Phase, Rollout, Unproven};
use super::shown::one_way;

/// Under which name a status stands at a commit; the newest of one name counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusContext(String);

impl StatusContext {
    /// What all of lockstep's contexts begin with.
    pub const PREFIX: &str = "lockstep/";
    /// The part after [`Self::PREFIX`] that no environment of a repository with a forge may have as its name.
    pub const PLAN: &str = "plan";

    /// The context of an environment.
    #[must_use]
    pub fn of(environment: &EnvironmentName) -> Self {
        Self(format!("{}{environment}", Self::PREFIX))
    }

    /// The context of plans for pull requests.
    #[must_use]
    pub fn plan() -> Self {
        Self(format!("{}{}", Self::PREFIX, Self::PLAN))
    }

    /// Whether it is that of plans.
    #[must_use]
    pub fn is_plan(&self) -> bool {
        self.0.strip_prefix(Self::PREFIX) == Some(Self::PLAN)
    }

    /// One of ours, as a forge has it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix(Self::PREFIX).filter(|rest| !rest.is_empty()).map(|_| Self(text.to_owned()))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StatusContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a status says, in the words that GitHub and Gitea share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusState {
    /// Under way, or waiting for somebody or something.
    Pending,
    /// Live and proven.
    Success,
    /// The commit is at fault: unhealthy, refused or invalid.
    Failure,
    /// There is no verdict: superseded, or stopped by something that the commit can't help.
    Error,
}

impl StatusState {
    /// The word that forges use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }

    /// What a forge's word means; Gitea has more of them than GitHub.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Every state, for tables and parsers.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Success, Self::Failure, Self::Error];
}

/// A status of one commit, as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// What it says.
    pub state: StatusState,
    /// Why, in one line of at most [`Self::LONGEST`] characters.
    pub text: String,
    /// The attempt that it is about, for a link.
    pub generation: Option<Generation>,
}

/// A status as it stands at a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// What it says; none: a word that is none of ours.
    pub state: Option<StatusState>,
    /// Why.
    pub text: String,
    /// Where more is said.
    pub link: Option<String>,
}

impl CommitStatus {
    /// The longest text in characters: GitHub refuses longer ones.
    pub const LONGEST: usize = LONGEST_HEADLINE;

    /// A status without a link.
    #[must_use]
    pub fn new(state: StatusState, text: &str) -> Self {
        Self { state, text: clipped(&one_way(text), Self::LONGEST), generation: None }
    }

    /// What a pending status becomes of which nothing will come any more.
    #[must_use]
    pub fn superseded() -> Self {
        Self::new(StatusState::Error, "superseded by a newer commit")
    }
}

/// What an environment has to say of each commit. `lines` are the newest lines of its history, oldest first; `in_step` is a head
/// that changes nothing, where such heads are to have a status too (rule R3).
#[must_use]
pub fn commit_statuses(record: &Rollout, lines: &[HistoryLine], in_step: Option<Revision>) -> BTreeMap<Revision, CommitStatus> {
    let mut said: BTreeMap<Revision, CommitStatus> = BTreeMap::new();
    // The record knows best of the last attempt, whose line may not be among the newest for all the repairs after it.
    let last = record.attempt.as_ref().map(|attempt| &attempt.line);
    let before = |line: &&HistoryLine| last.is_none_or(|last| line.generation < last.generation);
    let after = |line: &&HistoryLine| last.is_some_and(|last| line.generation > last.generation);
    for line in lines.iter().filter(before).chain(last).chain(lines.iter().filter(after)) {
        let about = match line.intent {
            Intent::Advance => Some((line.revision, of_advance(line, record))),
            // It says nothing of where it went, and all of what it left.
            Intent::RollBack => line.from.filter(|bad| *bad != line.revision).map(|bad| (bad, of_rollback(line, record))),
            Intent::Repair | Intent::Restored | Intent::Remove | Intent::Act(_) => None,
        };
        said.extend(about.map(|(revision, status)| (revision, CommitStatus { generation: Some(line.generation), ..status })));
    }
    for head in record.back_in_step.into_iter().chain(in_step) {
        if let Some(status) = of_head_in_step(record) {
            said.entry(head).or_insert(status);
        }
    }
    if let Some((head, status)) = record.note.as_ref().and_then(|note| Some((note.revision?, of_note(note, record)?))) {
        // That it was taken back says more than that it is not tried again.
        let waits = !matches!(record.note.as_ref().map(|note| note.verdict), Some(HeadVerdict::Invalid | HeadVerdict::Refused));
        let was_taken_back = said.get(&head).is_some_and(|told| told.state == StatusState::Failure);
        if !(waits && was_taken_back) {
            said.insert(head, status);
        }
    }
    said
}

/// What an attempt to go to a commit came to.
fn of_advance(line: &HistoryLine, record: &Rollout) -> CommitStatus {
    use StatusState::{Error, Failure, Pending, Success};
    let is_current = record.attempt.as_ref().is_some_and(|attempt| attempt.line.generation == line.generation);
    let Some(closed) = &line.closed else {
        return match record.phase {
            _ if !is_current => CommitStatus::new(Error, "no verdict: what was under way was lost"),
            Phase::Applying => CommitStatus::new(Pending, "applying"),
            Phase::Verifying => CommitStatus::new(Pending, "applied; its checks decide"),
            Phase::HeldRefused => CommitStatus::new(Error, &format!("stopped half-way: {}", record.reason)),
            Phase::Idle | Phase::Steady | Phase::HeldAfterRollback | Phase::HeldUnproven | Phase::Frozen => {
                CommitStatus::new(Pending, "under way")
            }
        };
    };
    let text = &closed.text;
    match closed.outcome {
        Outcome::Proven => CommitStatus::new(Success, &format!("proven: {text}")),
        Outcome::RolledBack => CommitStatus::new(Failure, &format!("unhealthy: {text}")),
        Outcome::Superseded => CommitStatus::new(Error, &format!("{text} before it was proven")),
        Outcome::Refused => CommitStatus::new(Error, &format!("stopped half-way: {text}")),
        Outcome::Unproven if is_current => of_unproven(record),
        Outcome::Unproven => CommitStatus::new(Error, &format!("was not proven: {text}")),
        Outcome::Frozen | Outcome::Repaired | Outcome::Restored | Outcome::Done | Outcome::Removed => {
            CommitStatus::new(Error, &format!("no verdict: {text}"))
        }
    }
}

/// What is said of a goal whose attempt ended without a proof, and which may have been proven since (rule R8).
fn of_unproven(record: &Rollout) -> CommitStatus {
    use StatusState::{Failure, Pending, Success};
    let reason = &record.reason;
    if is_proven(record) {
        let text = if record.phase == Phase::Steady && !reason.is_empty() { reason } else { "healthy" };
        return CommitStatus::new(Success, &format!("proven: {text}"));
    }
    match record.unproven {
        Some(Unproven::NothingToGoBackTo | Unproven::AutoRevertOff) => {
            CommitStatus::new(Failure, &format!("unhealthy: {reason}"))
        }
        Some(Unproven::Empty) => CommitStatus::new(Success, &format!("live; {reason}")),
        Some(Unproven::Unknown | Unproven::RollbackUnknown | Unproven::Except | Unproven::Drifted | Unproven::Released)
        | None => CommitStatus::new(Pending, &format!("not proven yet: {reason}")),
    }
}

/// What a rollback says of the commit that it left.
fn of_rollback(line: &HistoryLine, record: &Rollout) -> CommitStatus {
    let (to, cause) = (line.revision.short(), line.cause());
    let what = match line.closed.as_ref().map(|closed| closed.outcome) {
        None if record.phase == Phase::Applying => format!("rolling back to {to}"),
        Some(Outcome::Frozen) => format!("rolled back to {to}, unhealthy too: frozen"),
        Some(Outcome::Refused) => format!("rollback to {to} stopped half-way"),
        Some(Outcome::Superseded) => "taken back".to_owned(),
        Some(Outcome::Unproven) if !except(line, record).is_empty() => {
            format!("rolled back to {to} except {}", except(line, record).join(", "))
        }
        None
        | Some(
            Outcome::Proven
            | Outcome::Unproven
            | Outcome::RolledBack
            | Outcome::Repaired
            | Outcome::Restored
            | Outcome::Done
            | Outcome::Removed,
        ) => format!("rolled back to {to}"),
    };
    CommitStatus::new(StatusState::Failure, &format!("{what}: {cause}"))
}

/// The keys that the rollback of this line had to leave, while it is the last attempt.
fn except<'r>(line: &HistoryLine, record: &'r Rollout) -> &'r [String] {
    let attempt = record.attempt.as_ref().filter(|attempt| attempt.line.generation == line.generation);
    attempt.map_or(&[], |attempt| &attempt.except)
}

/// What is said of a branch head that changes nothing, or takes back what was taken back already.
fn of_head_in_step(record: &Rollout) -> Option<CommitStatus> {
    use StatusState::{Error, Pending, Success};
    let goal = record.goal.as_ref()?;
    let short = goal.revision.short();
    let status = match record.phase {
        Phase::Frozen => CommitStatus::new(Error, &format!("in step with {short}, frozen there: {}", record.reason)),
        _ if is_proven(record) => CommitStatus::new(Success, &format!("in step, unchanged since {short}")),
        Phase::HeldRefused => CommitStatus::new(Error, &format!("in step with {short}, stopped half-way: {}", record.reason)),
        Phase::Idle | Phase::Applying | Phase::Verifying | Phase::Steady | Phase::HeldAfterRollback | Phase::HeldUnproven => {
            CommitStatus::new(Pending, &format!("in step with {short}, which is not proven yet"))
        }
    };
    Some(CommitStatus { generation: Some(goal.generation), ..status })
}

/// What is said of a head that is not followed; none where nothing is to be said at a commit.
fn of_note(note: &HeadNote, record: &Rollout) -> Option<CommitStatus> {
    use StatusState::{Error, Failure, Pending};
    let HeadNote { text, verdict, .. } = note;
    let name = &record.identity.environment;
    Some(match verdict {
        HeadVerdict::Invalid => CommitStatus::new(Failure, &format!("invalid: {text}")),
        // The token lacks a right: the commit can't help that.
        HeadVerdict::Refused if record.refused.as_ref().is_some_and(|refused| refused.text == *text) => {
            CommitStatus::new(Error, &format!("denied: {text}"))
        }
        HeadVerdict::Refused => CommitStatus::new(Failure, &format!("refused: {text}")),
        HeadVerdict::Rejected => CommitStatus::new(Failure, text),
        HeadVerdict::Pinned | HeadVerdict::Suspended => CommitStatus::new(Pending, &format!("waiting, {text}")),
        // Short enough to hold the trailer whole, whatever the name (rule R6).
        HeadVerdict::Frozen => CommitStatus::new(
            Pending,
            &format!("waiting, frozen: a commit with the trailer `Lockstep-Release: {name}` moves on"),
        ),
        HeadVerdict::NotBelieved | HeadVerdict::Retired => return None,
    })
}

/// Whether the environment is on what was proven last.
fn is_proven(record: &Rollout) -> bool {
    let good = record.last_good.as_ref().map(|good| good.digest);
    good.is_some()
        && good == record.goal.as_ref().map(|goal| goal.digest)
        && matches!(record.phase, Phase::Steady | Phase::HeldAfterRollback | Phase::HeldRefused | Phase::Idle)
}

#[cfg(test)]
mod tests;
