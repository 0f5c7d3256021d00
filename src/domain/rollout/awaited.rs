//! Whether a revision that somebody waits for is proven, never will be, or may be yet.

use std::collections::BTreeMap;

use super::note::HeadVerdict;
use super::phase::Phase;
use super::record::Rollout;
use crate::domain::commit::Commit;
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

    /// The branch tips at which something was decided that keeps a revision with this digest away: only a commit that is
    /// newer can end it, by its trailer (rules R2, R6).
    pub fn verdict_tips(&self, digest: RevisionDigest) -> impl Iterator<Item = Revision> {
        let frozen = self.frozen_tip.into_iter().chain(self.frozen_head).filter(|_| self.phase == Phase::Frozen);
        self.rejection(digest).map(|rejection| rejection.tip).into_iter().chain(frozen)
    }

    /// What became of this revision, which says this of the environment. `later`: for each of [`Self::verdict_tips`] the
    /// commits from there on up to the revision. One that asks to try again has not been looked at yet.
    #[must_use]
    pub fn awaited(&self, revision: Revision, digest: RevisionDigest, later: &BTreeMap<Revision, Vec<Commit>>) -> Awaited {
        let short = revision.short();
        let name = &self.identity.environment;
        let since = |tip: Revision| later.get(&tip).into_iter().flatten();
        let is_released = self.unfreezing(|tip| later.get(&tip).map_or(&[], Vec::as_slice)).is_some();
        let is_goal = self.is_in_step_with(digest);
        if let Some(goal) = self.goal.as_ref().filter(|_| is_goal && self.is_on_proven()) {
            return Awaited::Proven(goal.generation);
        }
        let is_retried = |tip| since(tip).any(|commit| commit.retries(name));
        if let Some(rejection) = self.rejection(digest).filter(|rejection| !is_retried(rejection.tip)) {
            return Awaited::Lost(format!("{short} is rejected: {}", rejection.reason));
        }
        match (self.phase, &self.note) {
            (Phase::Frozen, _) if !is_released => Awaited::Lost(format!("the environment is frozen: {}", self.reason)),
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
