//! Station 3: desired and live state become a plan: the changes in order, each with its fence and its why.

mod why;
mod terms;

pub use terms::{Terms, plan};
pub use why::Why;

use super::desired::DesiredState;
use super::live::{Fence, LiveEntry, LiveState};
use super::name::KeyPath;
use super::resource::{Flags, OwnerId};
use super::revision::{Generation, Revision};

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// To a new revision.
    Advance,
    /// Back to the goal, after drift.
    Repair,
    /// Back to last good, or to where a person said.
    RollBack,
    /// Everything that a retired environment owns goes (rule O9).
    Remove,
    /// No writes: the target's state was found to be older than remembered (rule A6).
    Restored,
    /// No writes: a person decided something, and history has who and why (rule R11).
    Act(Act),
}

/// What a person decided that writes nothing by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A rejection or the freeze was dropped, or the head was let pass.
    Release,
    /// All writes were stopped.
    Suspend,
    /// The branch is followed again.
    Resume,
    /// Drift is put right once although the policy is to report it.
    OverwriteDrift,
    /// A record that was lost was made anew (rule A6).
    Recover,
    /// The environment goes on under another name (rule O9).
    Rename,
}

impl Intent {
    /// The word for it in history and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Repair => "repair",
            Self::RollBack => "rollback",
            Self::Remove => "remove",
            Self::Restored => "restored",
            Self::Act(Act::Release) => "release",
            Self::Act(Act::Suspend) => "suspend",
            Self::Act(Act::Resume) => "resume",
            Self::Act(Act::OverwriteDrift) => "overwrite-drift",
            Self::Act(Act::Recover) => "recover",
            Self::Act(Act::Rename) => "rename",
        }
    }

    /// Every intent, for tables and parsers.
    pub const ALL: [Self; 11] = [
        Self::Advance,
        Self::Repair,
        Self::RollBack,
        Self::Remove,
        Self::Restored,
        Self::Act(Act::Release),
        Self::Act(Act::Suspend),
        Self::Act(Act::Resume),
        Self::Act(Act::OverwriteDrift),
        Self::Act(Act::Recover),
        Self::Act(Act::Rename),
    ];
}

/// How many keys an attempt planned to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Keys created.
    pub created: u32,
    /// Keys given another value or their mark back.
    pub updated: u32,
    /// Keys that were there and were given a mark, the value left.
    pub adopted: u32,
    /// Keys deleted.
    pub deleted: u32,
    /// Keys whose mark was taken off, the value left.
    pub released: u32,
}

/// What is done to one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The key is absent: write value and mark.
    Create,
    /// The key has another value or lost its mark: write value and mark.
    Update,
    /// The key is there with the wanted value and nobody's mark: only the mark is written (rule O8).
    Adopt,
    /// The key is ours and no longer wanted.
    Delete,
    /// The key stays with its value; only the mark goes (`!keep`, adopted keys).
    Release,
}

/// One change of one key, made only if the key is still as `fence` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: KeyPath,
    /// What is done to it.
    pub action: Action,
    /// What the write must name.
    pub fence: Fence,
    /// The flags that the write leaves; meaningless for a delete.
    pub flags: Flags,
    /// Why.
    pub why: Why,
}

/// A key that a plan needs and must not touch, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The key.
    pub key: KeyPath,
    /// Who holds it, or that it differs, for people: the same for as long as only its value changes, so that a record which says
    /// so is not written at the pace of whoever writes the key.
    pub why: String,
    /// What it is just now, to be told after that; may be empty.
    pub values: String,
    /// What kind it is.
    pub kind: ObstacleKind,
}

impl Obstacle {
    /// All that can be said of it now.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.why, self.values)
    }

    /// Whether that has digests, from which a short value could be guessed.
    #[must_use]
    pub const fn tells_digests(&self) -> bool {
        match self.kind {
            ObstacleKind::Differing | ObstacleKind::Drifted => true,
            ObstacleKind::Adoptable
            | ObstacleKind::Flagged
            | ObstacleKind::Owned(_)
            | ObstacleKind::Hidden
            | ObstacleKind::Left
            | ObstacleKind::Unfit => false,
        }
    }

    /// The same with nothing in it that tells of the value.
    #[must_use]
    pub fn without_digests(self) -> Self {
        if self.tells_digests() { Self { values: ": a sensitive value".to_owned(), ..self } } else { self }
    }
}

/// Why a key must not be touched, as far as what helps differs by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObstacleKind {
    /// It is there with the wanted value, and nobody's who uses lockstep: it can be adopted (rule O8).
    Adoptable,
    /// It is there with another value, and nobody's who uses lockstep.
    Differing,
    /// It is there with flags of another program.
    Flagged,
    /// Another lockstep environment's mark is on it.
    Owned(OwnerId),
    /// It is ours and was changed by hand, and the policy is to report that (rule R10).
    Drifted,
    /// It can't be read, so nobody knows whether it is there.
    Hidden,
    /// It is one of [`Terms::leave`].
    Left,
    /// The target can't hold such a key.
    Unfit,
}

/// An ordered list of changes that takes an environment to a revision: creates and updates first, then deletes (rule A4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it is for.
    pub intent: Intent,
    /// The revision gone to.
    pub revision: Revision,
    /// The attempt that it belongs to: every mark it writes names it.
    pub generation: Generation,
    /// The changes, in the order in which they are written.
    pub changes: Vec<Change>,
    /// Keys that it needs and must not touch.
    pub obstacles: Vec<Obstacle>,
    /// Marked keys that no reached revision contains: reported, never deleted (rule O3).
    pub strays: Vec<KeyPath>,
    /// Keys of complete that lost our mark and that the revision drops: left as they are, nobody's from then on (rule O2).
    pub unmanaged: Vec<KeyPath>,
    /// Keys that differ from what the revision says and are left, because the policy is to report (rule R10).
    pub drifted: Vec<KeyPath>,
}

impl Plan {
    /// The live keys that are neither ours nor wanted, in order: whoever's they are, no plan touches them. Without an owner
    /// nothing is ours yet.
    pub fn foreign<'a>(
        &'a self,
        live: &'a LiveState,
        desired: &'a DesiredState,
        owner: Option<OwnerId>,
    ) -> impl Iterator<Item = &'a KeyPath> {
        let is_ours = move |found: &LiveEntry| owner.is_some_and(|owner| found.flags.mark_of(owner).is_some());
        let others = live.entries.iter().filter(move |(_, found)| !is_ours(found)).map(|(key, _)| key);
        others.filter(|key| !desired.entries().contains_key(*key) && !self.unmanaged.contains(key))
    }
}

impl Plan {
    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many changes of each kind.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for change in &self.changes {
            match change.action {
                Action::Create => counts.created += 1,
                Action::Update => counts.updated += 1,
                Action::Adopt => counts.adopted += 1,
                Action::Delete => counts.deleted += 1,
                Action::Release => counts.released += 1,
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests;
