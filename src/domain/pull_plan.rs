//! What a pull request would do to the environments, as its one comment and its status.
//!
//! All that is shown comes from the repository: the values of the merge result and of the revisions that environments were taken
//! to. Nothing that a target alone holds is ever in a comment, and no value that any of these revisions tags `!sensitive`.

mod text;

pub use text::{MARKER, comment};

use super::commit::Commit;
use super::commit_status::{CommitStatus, StatusState};
use super::desired::{DesiredState, Entry};
use super::live::LiveState;
use super::name::{EnvironmentName, KeyPath};
use super::plan::{Action, Change, Counts, Plan};
use super::rollout::{HeadNote, HeadVerdict, Preview};
use super::words::{count, listed, one_or};

/// What a pull request would do, as far as it could be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullPlan {
    /// It does not merge: these files conflict, as far as they are named.
    Conflicts(Vec<String>),
    /// Nobody can tell now what it merges to, and why.
    Unknown(String),
    /// Each environment's plan for the merge result.
    Merged {
        /// In the order of their names.
        plans: Vec<(EnvironmentName, Forecast)>,
        /// `Lockstep-…` trailers that its commits bring along: what they allow, reviewers should know.
        trailers: Vec<String>,
        /// It comes from a fork, so the plans leave its trailers out.
        from_fork: bool,
    },
}

/// What a merge result would do to one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forecast {
    /// Nothing: it says what the environment is on.
    InStep,
    /// It would be gone to.
    Changes(Changes),
    /// It would not be gone to, and the pull request is why: a guard, a limit or a key that is in the way.
    Refused(Changes, String),
    /// The repository would be invalid for it; one problem a line.
    Invalid(Vec<String>),
    /// It would not have the environment any more.
    Retired,
    /// Nobody can tell now, and why.
    Unknown(String),
}

/// The changes of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// How many.
    pub counts: Counts,
    /// Each of them.
    pub lines: Vec<ChangeShown>,
    /// Checks or health policy change, and no key does.
    pub judgement_only: bool,
    /// What else is to be known: why it would wait, limits that it loosens.
    pub notes: Vec<String>,
}

/// One change as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeShown {
    /// The key.
    pub key: KeyPath,
    /// What is done to it.
    pub action: Action,
    /// What it holds now; none: nothing, or nothing that a revision says.
    pub before: Option<ValueShown>,
    /// What it would hold.
    pub after: Option<ValueShown>,
}

/// A value as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueShown {
    /// A text.
    Text(String),
    /// Too long, or no text: its size in bytes.
    Size(usize),
    /// Tagged `!sensitive`.
    Hidden,
}

impl ValueShown {
    /// A longer value is told by its size.
    pub const LONGEST: usize = 32 << 10;

    fn of(entry: &Entry, is_hidden: bool) -> Self {
        if is_hidden {
            return Self::Hidden;
        }
        match std::str::from_utf8(&entry.value) {
            Ok(text) if text.len() <= Self::LONGEST && !text.contains('\0') => Self::Text(text.to_owned()),
            _ => Self::Size(entry.value.len()),
        }
    }
}

impl Changes {
    /// The changes of a plan. `known` are the revisions that the environment was taken to and the branch head: they say what a key
    /// holds now, and what is to stay hidden.
    #[must_use]
    pub fn of(plan: &Plan, desired: &DesiredState, known: &[&DesiredState], live: &LiveState) -> Self {
        let lines = plan.changes.iter().map(|change| shown(change, desired, known, live)).collect();
        Self { counts: plan.counts(), lines, judgement_only: plan.is_empty(), notes: Vec::new() }
    }
}

fn shown(change: &Change, desired: &DesiredState, known: &[&DesiredState], live: &LiveState) -> ChangeShown {
    let key = &change.key;
    let wanted = desired.entries().get(key);
    let entries = || known.iter().filter_map(|state| state.entries().get(key));
    // A tag that the pull request takes away hides all the same.
    let is_hidden = wanted.into_iter().chain(entries()).any(|entry| entry.sensitive);
    let holds = live.entries.get(key).map(|entry| entry.digest);
    let before = entries().find(|entry| Some(entry.digest) == holds).map(|entry| ValueShown::of(entry, is_hidden));
    let after = wanted.filter(|_| matches!(change.action, Action::Create | Action::Update | Action::Adopt));
    let after = after.map(|entry| ValueShown::of(entry, is_hidden));
    ChangeShown { key: key.clone(), action: change.action, before, after }
}

/// Which keys are in the way. Nothing is said of how they compare with what is proposed: whoever opens pull requests could find out
/// by guessing what a key holds that is not theirs.
fn in_the_way(plan: &Plan) -> String {
    let keys = listed(plan.obstacles.iter().map(|obstacle| obstacle.key.to_string()));
    let are = one_or(plan.obstacles.len(), "is", "are");
    format!("{keys} {are} in the way, held or changed by somebody else; `lockstep plan` says more")
}

impl Forecast {
    /// What a look at the merge result came to.
    #[must_use]
    pub fn of(preview: &Preview, desired: &DesiredState, known: &[&DesiredState], live: &LiveState) -> Self {
        let Preview { plan, hindrance, in_step, loosened, misread, first: _ } = preview;
        if *in_step {
            return Self::InStep;
        }
        let mut changes = Changes::of(plan, desired, known, live);
        changes.notes.extend(loosened.iter().chain(misread).cloned());
        match hindrance {
            Some(HeadNote { verdict: HeadVerdict::Refused, .. }) if !plan.obstacles.is_empty() => {
                Self::Refused(changes, in_the_way(plan))
            }
            Some(HeadNote { verdict: HeadVerdict::Refused | HeadVerdict::Rejected | HeadVerdict::Invalid, text, .. }) => {
                Self::Refused(changes, text.clone())
            }
            // The pull request can't help that.
            Some(note) => {
                changes.notes.insert(0, format!("it would wait: {}", note.text));
                Self::Changes(changes)
            }
            None => Self::Changes(changes),
        }
    }

    /// In a few words: `2 to create, 1 to delete`.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::InStep => "no changes".to_owned(),
            Self::Changes(changes) => changes.said(),
            Self::Refused(_, text) => format!("refused: {text}"),
            Self::Invalid(problems) => match problems.as_slice() {
                [] => "invalid".to_owned(),
                [first, ..] => format!("invalid, {}: {first}", count(problems.len(), "problem")),
            },
            Self::Retired => "the environment is gone: nothing is written or deleted".to_owned(),
            Self::Unknown(text) => format!("not known: {text}"),
        }
    }
}

impl Changes {
    fn said(&self) -> String {
        let Counts { created, updated, adopted, deleted, released } = self.counts;
        let parts = [
            ("to create", created),
            ("to update", updated),
            ("to adopt", adopted),
            ("to delete", deleted),
            ("to release", released),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(_, number)| *number > 0).map(|(what, number)| format!("{number} {what}")).collect();
        match (parts.is_empty(), self.judgement_only) {
            (false, _) => parts.join(", "),
            (true, true) => "no key changes; checks or health policy do".to_owned(),
            (true, false) => "no key changes".to_owned(),
        }
    }
}

impl PullPlan {
    /// The trailers of these commits that lockstep reads, each once.
    #[must_use]
    pub fn trailers(commits: &[Commit]) -> Vec<String> {
        const SHOWN: usize = 20;
        let mut texts: Vec<String> = Vec::new();
        for (name, value) in commits.iter().rev().flat_map(|commit| &commit.trailers) {
            let text = format!("{name}: {value}");
            if texts.len() < SHOWN && !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }

    /// Whether there is nothing that a comment could say.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Conflicts(_) | Self::Unknown(_) => false,
            Self::Merged { plans, trailers, from_fork: _ } => {
                trailers.is_empty() && plans.iter().all(|(_, plan)| *plan == Forecast::InStep)
            }
        }
    }

    /// Whether some of it could not be found out.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        match self {
            Self::Conflicts(_) => false,
            Self::Unknown(_) => true,
            Self::Merged { plans, .. } => plans.iter().any(|(_, plan)| matches!(plan, Forecast::Unknown(_))),
        }
    }

    /// The status of the pull request's head.
    #[must_use]
    pub fn status(&self) -> CommitStatus {
        let plans = match self {
            Self::Conflicts(_) => {
                return CommitStatus::new(StatusState::Error, "it conflicts with the branch, so there is nothing to plan");
            }
            Self::Unknown(text) => return CommitStatus::new(StatusState::Error, &format!("not known: {text}")),
            Self::Merged { plans, .. } => plans,
        };
        let first = |is_meant: fn(&Forecast) -> bool| plans.iter().find(|(_, plan)| is_meant(plan));
        let told = |state, (environment, plan): &(EnvironmentName, Forecast)| {
            CommitStatus::new(state, &format!("{environment}: {}", plan.said()))
        };
        if let Some(refused) = first(|plan| matches!(plan, Forecast::Refused(..) | Forecast::Invalid(_))) {
            return told(StatusState::Failure, refused);
        }
        if let Some(unknown) = first(|plan| matches!(plan, Forecast::Unknown(_))) {
            return told(StatusState::Error, unknown);
        }
        let changed: Vec<String> = plans
            .iter()
            .filter(|(_, plan)| *plan != Forecast::InStep)
            .map(|(environment, plan)| format!("{environment}: {}", plan.said()))
            .collect();
        let text = if changed.is_empty() { "no changes".to_owned() } else { changed.join("; ") };
        CommitStatus::new(StatusState::Success, &text)
    }
}

#[cfg(test)]
mod tests;
