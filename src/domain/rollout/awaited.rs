//! Whether a revision that somebody waits for is proven, never will be, or may be yet.

use super::note::HeadVerdict;
use super::phase::Phase;
use super::record::Rollout;
use crate::domain::revision::{Generation, Revision, RevisionDigest};

/// What became of a revision that somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// The environment is on what it says, and that is proven, since this generation.
    Proven(Generation),
    /// It does not come by itself any more, and why.
    Lost(String),
    /// It may come yet, and what it waits for.
    Waits(String),
}

impl Rollout {
    /// Whether what the environment is on is proven, and nothing else is under way.
    #[must_use]
    pub fn is_on_proven(&self) -> bool {
        let Some((goal, good)) = self.goal.as_ref().zip(self.last_good.as_ref()) else { return false };
        goal.digest == good.digest
            && self.unproven.is_none()
            && !matches!(self.phase, Phase::Applying | Phase::Verifying | Phase::Frozen)
    }

    /// What became of this revision, which says this of the environment.
    #[must_use]
    pub fn awaited(&self, revision: Revision, digest: RevisionDigest) -> Awaited {
        let short = revision.short();
        let is_goal = self.is_in_step_with(digest);
        if let Some(goal) = self.goal.as_ref().filter(|_| is_goal && self.is_on_proven()) {
            return Awaited::Proven(goal.generation);
        }
        if let Some(rejection) = self.rejection(digest) {
            return Awaited::Lost(format!("{short} is rejected: {}", rejection.reason));
        }
        match (self.phase, &self.note) {
            (Phase::Frozen, _) => Awaited::Lost(format!("the environment is frozen: {}", self.reason)),
            (Phase::HeldUnproven, _) if is_goal => {
                Awaited::Lost(format!("{short} is live and stays unproven: {}", self.reason))
            }
            (_, Some(note)) if note.revision == Some(revision) => match note.verdict {
                HeadVerdict::Refused
                | HeadVerdict::Invalid
                | HeadVerdict::Retired
                | HeadVerdict::Pinned
                | HeadVerdict::Rejected => {
                    Awaited::Lost(format!("{short} is not followed ({}): {}", note.verdict.word(), note.text))
                }
                HeadVerdict::Suspended | HeadVerdict::NotBelieved | HeadVerdict::Frozen => Awaited::Waits(note.text.clone()),
            },
            (Phase::Applying, _) if is_goal => Awaited::Waits(format!("{short} is being written")),
            (Phase::Verifying, _) if is_goal && self.reason.is_empty() => Awaited::Waits(format!("{short} is being judged")),
            (Phase::Verifying, _) if is_goal => Awaited::Waits(format!("{short} is being judged, {}", self.reason)),
            _ => Awaited::Waits(format!("nothing of {short} is written yet")),
        }
    }
}
