//! What is to be done about each key, by whose it is, what it holds, and what the revisions say (rules O2, O3, O8, R10).

use std::collections::BTreeSet;

use super::{Action, Change, Intent, Obstacle, ObstacleKind, Plan, Why};
use crate::domain::desired::{DesiredState, Entry, EntrySum};
use crate::domain::environment::DriftPolicy;
use crate::domain::keymap::side_by_side;
use crate::domain::live::{Fence, LiveEntry, LiveState, LiveSum};
use crate::domain::name::KeyPath;
use crate::domain::resource::{Flags, KeyMark, OwnerId, Ownership};
use crate::domain::revision::{Generation, Revision, ValueDigest};
use crate::domain::scope::KeyScope;

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// What it is for.
    pub intent: Intent,
    /// The revision gone to.
    pub revision: Revision,
    /// The attempt that it belongs to.
    pub generation: Generation,
    /// The owner in our marks.
    pub owner: OwnerId,
    /// What the revision says.
    pub desired: &'a DesiredState,
    /// What the revision last applied completely says: a key of it without our mark lost the mark (rule O2).
    pub complete: Option<&'a DesiredState>,
    /// What the revision last proven says: an adopted key that it lacks was never more than tried (rule O8).
    pub proven: Option<&'a DesiredState>,
    /// Revisions reached since then (complete, last good, attempts): a marked key of none of them is a stray (rule O3).
    pub reached: &'a [&'a DesiredState],
    /// Unmanaged keys that this attempt may take over, where their values are the wanted ones already (rule O8).
    pub adopts: &'a KeyScope,
    /// Keys among which are all that were ever adopted here: one that lost its mark counts as adopted when it gets it back.
    pub adopted: &'a KeyScope,
    /// The revision says what was proven here before: to go there is to go back, whoever does it.
    pub reverts: bool,
    /// Whether drift is corrected or left (rule R10).
    pub drift: DriftPolicy,
    /// A removal was broken off: what is gone, or nobody's with the wanted value, is what it took, and no drift (rule O9).
    pub half_removed: bool,
    /// Keys not to write now: contested ones that are not due, denied ones of a rollback. They become obstacles.
    pub leave: &'a BTreeSet<KeyPath>,
}

/// Makes the plan that takes `live` to the desired state.
#[must_use]
pub fn plan(terms: &Terms<'_>, live: &LiveState) -> Plan {
    let mut plan = Plan {
        intent: terms.intent,
        revision: terms.revision,
        generation: terms.generation,
        changes: Vec::new(),
        obstacles: Vec::new(),
        strays: Vec::new(),
        unmanaged: Vec::new(),
        drifted: Vec::new(),
    };
    // Where all keys are ours and hold what they should, nothing is to be done.
    let alike = |wanted: &EntrySum, found: &LiveSum| {
        found.marked.is_some_and(|(owner, _)| owner == terms.owner) && wanted.digest == found.digest && live.hidden.is_empty()
    };
    let mut others = Vec::new();
    side_by_side(terms.desired.entries(), &live.entries, alike, |key, entry, found| match (entry, found) {
        (Some(entry), found) => plan.take(
            key,
            match live.hidden.get(key) {
                Some(why) => Verdict::Blocked(ObstacleKind::Hidden, why.clone()),
                None => terms.wanted(key, entry, found),
            },
        ),
        (None, Some(found)) => others.push((key, found)),
        (None, None) => {}
    });
    // What complete has and nobody sees may be there still: its delete can be neither planned nor left out.
    let complete = |key: &KeyPath| terms.complete.is_some_and(|complete| complete.entries().contains_key(key));
    for (key, why) in &live.hidden {
        if complete(key) && !terms.desired.entries().contains_key(key) {
            plan.take(key, Verdict::Blocked(ObstacleKind::Hidden, why.clone()));
        }
    }
    // Deletes come after every set, so that a reader never misses a key that moved (rule A4).
    for (key, found) in others {
        match found.flags.mark_of(terms.owner) {
            Some(mark) => plan.take(key, terms.unwanted(key, found, mark)),
            None if complete(key) => plan.unmanaged.push(key.clone()),
            None => {}
        }
    }
    plan.changes.shrink_to_fit();
    plan
}

/// What is said of a key that a revision wants and that is there without anybody's mark.
const UNMANAGED: &str = "exists already and is not managed by lockstep";

/// What is to be done about one key.
enum Verdict {
    Nothing,
    Write(Change),
    Blocked(ObstacleKind, String),
    /// Likewise, with what it is just now.
    BlockedAs(ObstacleKind, String, String),
    Stray,
    Drifted,
}

impl Plan {
    fn take(&mut self, key: &KeyPath, verdict: Verdict) {
        match verdict {
            Verdict::Nothing => {}
            Verdict::Write(change) => self.changes.push(change),
            Verdict::Blocked(kind, why) => self.take(key, Verdict::BlockedAs(kind, why, String::new())),
            Verdict::BlockedAs(kind, why, values) => self.obstacles.push(Obstacle { key: key.clone(), why, values, kind }),
            Verdict::Stray => self.strays.push(key.clone()),
            Verdict::Drifted => self.drifted.push(key.clone()),
        }
    }
}

impl Terms<'_> {
    fn wanted(&self, key: &KeyPath, entry: &Entry, found: Option<&LiveEntry>) -> Verdict {
        let complete = self.complete.and_then(|state| state.entries().get(key));
        // Nobody can tell any more whether this key was there before lockstep: if it may have been, it is never deleted by a
        // rollback or a repair. What an advance creates is its own.
        let may_be_adopted = || self.adopted.covers(key) && (complete.is_some() || self.intent != Intent::Advance);
        let (action, fence, adopted, why) = match found {
            None => {
                let why = if complete.is_some() { Why::Said("deleted by hand") } else { Why::New(entry.origin.clone()) };
                (Action::Create, Fence::ABSENT, may_be_adopted(), why)
            }
            Some(found) => match found.flags.ownership() {
                Ownership::Marked(mark) if mark.owner == self.owner => {
                    if found.digest == entry.digest {
                        return Verdict::Nothing;
                    }
                    let why = if complete.is_some_and(|before| before.digest == entry.digest) {
                        Why::Said("changed by hand")
                    } else {
                        Why::Changed(entry.origin.clone())
                    };
                    (Action::Update, found.fence, mark.adopted, why)
                }
                Ownership::Marked(mark) => {
                    let why = format!("owned by lockstep owner {} (another repository or environment)", mark.owner);
                    return Verdict::Blocked(ObstacleKind::Owned(mark.owner), why);
                }
                Ownership::Unmarked | Ownership::Foreign if complete.is_some() => {
                    (Action::Update, found.fence, may_be_adopted(), Why::Said("written by somebody else (mark lost)"))
                }
                Ownership::Unmarked => return self.unmanaged(key, entry, found),
                Ownership::Foreign => {
                    let why = format!("{UNMANAGED}: it carries another program's flags");
                    return Verdict::BlockedAs(ObstacleKind::Flagged, why, format!(" ({})", found.flags.0));
                }
            },
        };
        if self.leave.contains(key) {
            return Verdict::Blocked(ObstacleKind::Left, "left for now".to_owned());
        }
        if let Some(verdict) = self.reported(key, Some(entry), found) {
            return verdict;
        }
        let mark = KeyMark { adopted, owner: self.owner, generation: self.generation };
        Verdict::Write(Change { key: key.clone(), action, fence, flags: mark.flags(), why })
    }

    /// A wanted key that is there and nobody's: only what has the wanted value already can be taken over (rule O8).
    fn unmanaged(&self, key: &KeyPath, entry: &Entry, found: &LiveEntry) -> Verdict {
        if found.digest != entry.digest {
            let (live, wanted) = (self.told(key, Some(found.digest), ""), self.told(key, Some(entry.digest), ""));
            let (why, values) = (format!("{UNMANAGED}, with another value"), format!(": live {live}, wanted {wanted}"));
            return Verdict::BlockedAs(ObstacleKind::Differing, why, values);
        }
        if !self.adopts.covers(key) {
            return Verdict::Blocked(ObstacleKind::Adoptable, format!("{UNMANAGED}, with the same value"));
        }
        let mark = KeyMark { adopted: true, owner: self.owner, generation: self.generation };
        let why = Why::There(entry.origin.clone());
        let (action, fence) = (Action::Adopt, found.fence);
        Verdict::Write(Change { key: key.clone(), action, fence, flags: mark.flags(), why })
    }

    fn unwanted(&self, key: &KeyPath, found: &LiveEntry, mark: KeyMark) -> Verdict {
        // The newest revision that has the key says whether it is to be kept.
        let Some(last) = self.reached.iter().rev().find_map(|state| state.entries().get(key)) else {
            return Verdict::Stray;
        };
        if self.leave.contains(key) {
            return Verdict::Blocked(ObstacleKind::Left, "left for now".to_owned());
        }
        if let Some(verdict) = self.reported(key, None, Some(found)) {
            return verdict;
        }
        let fence = found.fence;
        // A key that was there before lockstep is deleted only by the commit that removes it (rule O8). A revert goes back to
        // when lockstep did not manage it, and what took the place of its adoption half-way, or unproven, never had it.
        let had = |state: Option<&DesiredState>| state.is_some_and(|state| state.entries().contains_key(key));
        let removes = self.intent == Intent::Advance && !self.reverts && had(self.complete) && had(self.proven);
        let foundling = mark.adopted && !removes;
        if last.keep || foundling {
            let why =
                if last.keep { "no longer in the repository, tagged !keep" } else { "adopted: it was there before lockstep" };
            return Verdict::Write(Change {
                key: key.clone(),
                action: Action::Release,
                fence,
                flags: Flags::default(),
                why: Why::Said(why),
            });
        }
        let why = Why::Dropped(last.origin.clone());
        Verdict::Write(Change { key: key.clone(), action: Action::Delete, fence, flags: Flags::default(), why })
    }

    /// Under `drift: report` (rule R10) only keys that the revision changes are written, and only while they are as a
    /// reached revision left them.
    fn reported(&self, key: &KeyPath, entry: Option<&Entry>, found: Option<&LiveEntry>) -> Option<Verdict> {
        if self.drift == DriftPolicy::Correct || self.half_removed && Self::may_be_removed(entry, found) {
            return None;
        }
        let as_left = |state: &DesiredState| match (state.entries().get(key), found) {
            (None, None) => true,
            (Some(entry), Some(found)) => entry.digest == found.digest && found.flags.mark_of(self.owner).is_some(),
            (None, Some(_)) | (Some(_), None) => false,
        };
        // Before anything was complete a key that is not there is one that the first deploy did not come to.
        let as_before = self.complete.map_or_else(|| found.is_none() || self.reached.is_empty(), as_left);
        if as_before || self.reached.iter().any(|state| as_left(state)) {
            return None;
        }
        let before = self.complete.and_then(|state| state.entries().get(key));
        let same = before.map(|entry| entry.digest) == entry.map(|entry| entry.digest);
        if self.intent == Intent::Repair || same {
            return Some(Verdict::Drifted);
        }
        let live = self.told(key, found.map(|found| found.digest), "deleted");
        let wanted = self.told(key, entry.map(|entry| entry.digest), "no such key");
        let what = if found.is_some() { "changed" } else { "deleted" };
        let why = format!("was {what} by hand, and drift is only reported here");
        Some(Verdict::BlockedAs(ObstacleKind::Drifted, why, format!(": live {live}, wanted {wanted}")))
    }

    /// Whether a removal may have left a wanted key like this: deleted, or given back with its value.
    fn may_be_removed(entry: Option<&Entry>, found: Option<&LiveEntry>) -> bool {
        let given_back =
            |found: &LiveEntry| found.flags == Flags::default() && entry.is_some_and(|entry| entry.digest == found.digest);
        entry.is_some() && found.is_none_or(given_back)
    }

    /// What may be told of a key's value.
    fn told(&self, key: &KeyPath, digest: Option<ValueDigest>, none: &str) -> String {
        let hides = |state: &DesiredState| state.entries().get(key).is_some_and(|entry| entry.sensitive);
        let sensitive = [self.desired].iter().chain(self.reached).chain(self.complete.iter()).any(|state| hides(state));
        match digest {
            None => none.to_owned(),
            // A short value can be guessed from its digest.
            Some(_) if sensitive => "a sensitive value".to_owned(),
            Some(digest) => format!("sha256 {}…", digest.to_string().chars().take(8).collect::<String>()),
        }
    }
}
