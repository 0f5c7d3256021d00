//! What one pass saw of the world: everything a decision may rest on, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::reached::{Proof, Reached, RefusedAttempt};
use super::record::Rollout;
use super::request::{Request, Verb};
use crate::domain::commit::Commit;
use crate::domain::desired::DesiredState;
use crate::domain::health::HealthLog;
use crate::domain::live::LiveState;
use crate::domain::name::KeyPath;
use crate::domain::plan::Intent;
use crate::domain::revision::{Generation, Revision, RevisionDigest};
use crate::domain::time::Timestamp;

/// The branch, as far as it may be believed (rule S1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadView {
    /// There is nothing to follow, and why: nothing fetched yet, no commit, no such branch.
    None(String),
    /// It is no descendant of the tip followed so far, and only one fetch has seen it.
    Rewound(Revision),
    /// It can't be read for this environment; the text counts and names the problems.
    Invalid(Revision, String),
    /// It is valid and doesn't have this environment (rule O9).
    Retired(Revision),
    /// It can be read, and does not go with what the target holds; the text says why and what to do.
    Unfit(Revision, String),
    /// It can be followed; its desired state is in the books.
    At(Revision),
}

impl HeadView {
    /// The head, if it can be followed.
    pub(super) const fn followable(&self) -> Option<Revision> {
        match self {
            Self::At(tip) => Some(*tip),
            Self::None(_) | Self::Rewound(_) | Self::Invalid(..) | Self::Retired(_) | Self::Unfit(..) => None,
        }
    }

    /// The commit that decides what is followed, if there is one.
    #[must_use]
    pub const fn tip(&self) -> Option<Revision> {
        self.followable()
    }

    /// The head, whatever is wrong with it.
    const fn revision(&self) -> Option<Revision> {
        match self {
            Self::At(tip) | Self::Rewound(tip) | Self::Invalid(tip, _) | Self::Retired(tip) | Self::Unfit(tip, _) => Some(*tip),
            Self::None(_) => None,
        }
    }
}

/// A revision whose desired state a decision needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    /// The commit.
    pub revision: Revision,
    /// What it said when the environment was taken there; none: it is the head, or only a request names it. A commit may have
    /// another environment of a name that this one has now, or had (rule O9).
    pub digest: Option<RevisionDigest>,
}

impl Needed {
    /// What the commit says of the environment as it is called now.
    #[must_use]
    pub const fn named(revision: Revision) -> Self {
        Self { revision, digest: None }
    }

    /// What the commit said when the environment was taken there.
    #[must_use]
    pub const fn reached(revision: Revision, digest: RevisionDigest) -> Self {
        Self { revision, digest: Some(digest) }
    }
}

/// What was read of the repository.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// The desired state of the head and of each revision that the record or a request names and the mirror has.
    pub desired: BTreeMap<Needed, Arc<DesiredState>>,
    /// Of each such revision that the mirror has and that can't be used here today: why, in one line.
    pub unusable: BTreeMap<Revision, String>,
    /// Commits after the first, up to the second, newest first.
    pub commits: BTreeMap<(Revision, Revision), Vec<Commit>>,
    /// The commit of the head itself.
    pub head: Option<Commit>,
    /// The head is believed although it does not contain the branch tip that the goal was chosen from: the branch was rewritten
    /// (rule S1).
    pub rewritten: bool,
}

impl Books {
    /// What a revision says of the environment as it is called now; where nobody asked for that, what it said when the
    /// environment was taken there.
    #[must_use]
    pub fn desired(&self, revision: Revision) -> Option<&DesiredState> {
        let first = self.desired.range(Needed::named(revision)..).next();
        first.filter(|(needed, _)| needed.revision == revision).map(|(_, desired)| desired.as_ref())
    }

    /// What a reached revision says, under the rules that hold for it now. Another commit with the same digest says the same,
    /// so a commit that was forced out of the branch is not missed as long as its content is still there.
    #[must_use]
    pub fn of(&self, reached: &Reached) -> Option<&DesiredState> {
        let same = |desired: &&Arc<DesiredState>| desired.revision_digest() == reached.digest;
        let at = |revision| self.desired.get(&Needed::reached(revision, reached.digest));
        let ruled = at(reached.rules).filter(same);
        ruled.or_else(|| at(reached.revision)).or_else(|| self.desired.values().find(same)).map(Arc::as_ref)
    }

    /// What a proven revision says.
    pub(super) fn of_proof(&self, proof: &Proof) -> Option<&DesiredState> {
        self.desired.get(&Needed::reached(proof.revision, proof.digest)).map(Arc::as_ref)
    }

    /// Why what a reached revision says is not known, and what would help (rule S2). For when [`Self::of`] has nothing.
    pub(super) fn why_unknown(&self, revision: Revision) -> String {
        let short = revision.short();
        match self.unusable.get(&revision) {
            Some(problem) => format!(
                "{short} can't be used under today's configuration: {problem}; take the change of the controller's configuration back \
                 (its roots were narrowed?), or commit a fix"
            ),
            None => format!("{short} is in no mirror; bring it back into the branch, which is fetched again, or commit a fix"),
        }
    }

    /// Whether some revision that counts here calls the key sensitive: then nothing of its value is told (rule F2).
    pub(super) fn hides(&self, key: &KeyPath) -> bool {
        self.desired.values().any(|state| state.entries().get(key).is_some_and(|entry| entry.sensitive))
    }

    pub(super) fn after(&self, after: Revision, upto: Revision) -> &[Commit] {
        self.commits.get(&(after, upto)).map_or(&[], Vec::as_slice)
    }
}

/// How a write failed, as far as decisions differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// It may go well later.
    Transient,
    /// Somebody else keeps writing these keys.
    Conflict,
    /// The target will not, or we may not.
    Denied,
}

/// The last write failed (rule H6). Forgotten when a write goes well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How.
    pub kind: TroubleKind,
    /// What failed and why, for people; names the keys, and is the same text each time.
    pub text: String,
    /// The keys, as far as the target said which.
    pub keys: Vec<KeyPath>,
    /// What the write was for.
    pub intent: Intent,
    /// The revision that was being written.
    pub revision: Revision,
    /// Since when every try of it ended so.
    pub since: Timestamp,
    /// When another try is worth it.
    pub retry: Timestamp,
}

/// What one pass saw.
#[derive(Debug, Clone)]
pub struct Observation<'a> {
    /// The moment of the pass.
    pub now: Timestamp,
    /// Since when this process leads the environment without a break (rule L3).
    pub led_since: Timestamp,
    /// How long samples don't count after an apply, where the environment doesn't say.
    pub settle: Duration,
    /// Which credential the target is used with.
    pub rights: u64,
    /// The target says that this credential may write by now what it was denied ([`RefusedAttempt::keys`]).
    pub permitted: bool,
    /// The branch.
    pub head: HeadView,
    /// The repository.
    pub books: &'a Books,
    /// The target.
    pub live: &'a LiveState,
    /// The samples.
    pub health: &'a HealthLog,
    /// Requests without an answer, oldest first.
    pub requests: &'a [Request],
    /// The last write's failure, if it failed.
    pub trouble: Option<&'a Trouble>,
    /// The highest generation that this process has ever seen here (rule A5).
    pub remembered: Generation,
    /// The target's state is older than what this process remembers (rule A6).
    pub restored: bool,
}

impl<'a> Observation<'a> {
    /// The wait that the last failure asks for, if it is not over. A denial asks for none: it is decided about.
    pub(super) fn backing_off(&self) -> Option<super::Step> {
        let trouble = self.trouble.filter(|trouble| trouble.kind != TroubleKind::Denied && trouble.retry > self.now)?;
        Some(super::Step::wait(trouble.text.as_str(), Some(trouble.retry)))
    }

    /// The denial of a write with this intent to this revision, while it is fresh.
    pub(super) fn denied(&self, intent: Intent, revision: Revision) -> Option<&'a Trouble> {
        self.trouble.filter(|trouble| {
            trouble.kind == TroubleKind::Denied
                && trouble.retry > self.now
                && trouble.intent == intent
                && trouble.revision == revision
        })
    }
}

impl Trouble {
    /// What is remembered of a denial.
    pub(super) fn refusal(&self, digest: RevisionDigest, rights: u64) -> RefusedAttempt {
        RefusedAttempt { digest, rights, text: self.text.clone(), keys: self.keys.iter().cloned().collect() }
    }
}

impl RefusedAttempt {
    /// Whether nothing has changed that would make another try worth it (rule H6).
    pub(super) fn stands(&self, seen: &Observation<'_>) -> bool {
        self.rights == seen.rights && !seen.permitted
    }

    /// Whether this failure is the denial that is remembered here: it is over with it. A rollback or a repair that was denied,
    /// or another key, is another matter (rule A9).
    #[must_use]
    pub fn is_about(&self, trouble: &Trouble) -> bool {
        (trouble.kind, trouble.intent) == (TroubleKind::Denied, Intent::Advance)
            && !trouble.keys.is_empty()
            && trouble.keys.iter().all(|key| self.keys.contains(key))
    }
}

impl Rollout {
    /// The denial that keeps the environment from its head, or from the end of the attempt that it is in, as far as the target
    /// can be asked about it. Of one that is remembered of something else nobody needs to know whether it is over.
    #[must_use]
    pub fn refusal_in_the_way(&self, head: &HeadView, books: &Books) -> Option<&RefusedAttempt> {
        let head = head.followable().and_then(|tip| books.desired(tip)).map(DesiredState::revision_digest);
        let goal = self.goal.as_ref().map(|goal| goal.digest);
        let wanted = |refused: &&RefusedAttempt| [goal, head].contains(&Some(refused.digest));
        self.refused.as_ref().filter(|refused| !refused.keys.is_empty()).filter(wanted)
    }

    /// What a line of history names that is about the environment and no attempt: where it is, and before the first deploy the
    /// head, whatever is wrong with that; none where there is no commit at all.
    pub(super) fn revision_here(&self, seen: &Observation<'_>) -> Option<Revision> {
        self.stands_on().map(|reached| reached.revision).or_else(|| seen.head.revision())
    }

    /// The revisions whose desired states a decision needs.
    #[must_use]
    pub fn revisions_needed(&self, requests: &[Request]) -> BTreeSet<Needed> {
        let named = [&self.goal, &self.complete, &self.last_good].into_iter().flatten().chain(&self.attempted);
        let both = |reached: &Reached| [reached.revision, reached.rules].map(|one| Needed::reached(one, reached.digest));
        let mut needed: BTreeSet<Needed> = named.flat_map(both).collect();
        if let Some(Request { verb, .. }) = requests.first() {
            if let Verb::RollBack { to } = verb {
                needed.extend(self.proven.iter().map(|proof| Needed::reached(proof.revision, proof.digest)));
                // Where it was before it goes back to as it was then.
                let elsewhere = to.filter(|to| needed.iter().all(|known| known.revision != *to));
                needed.extend(elsewhere.map(Needed::named));
            }
            needed.extend(verb.lets_pass().map(Needed::named));
        }
        needed
    }

    /// The first ends of the commit ranges, up to the head, that a decision needs: their trailers count.
    #[must_use]
    pub fn ranges_needed(&self) -> Vec<Revision> {
        let mut ends: Vec<Revision> = self.complete.iter().map(|reached| reached.revision).collect();
        ends.extend(self.rejected.iter().map(|rejection| rejection.tip));
        ends.extend(self.frozen_tip.into_iter().chain(self.frozen_head));
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}
