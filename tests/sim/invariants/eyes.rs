//! What each replica has seen and been told, as the world knows it: invariants about timing are judged by that.

use std::collections::BTreeMap;

use lockstep::domain::live::LiveState;
use lockstep::domain::name::KeyPath;
use lockstep::domain::plan::Intent;
use lockstep::domain::revision::Revision;

use super::Truth;
use super::delivered::Owed;
use crate::world::{Refused, World};

/// Of one running process.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says another thing, and any of them goes with any")]
pub(crate) struct Eyes {
    /// The target's index when the keys were last read.
    pub(super) looked: u64,
    /// And when that was.
    pub(super) looked_at: i64,
    /// The branch in its mirror, and since when.
    tip: Option<(Revision, i64)>,
    /// It wrote a key since it fetched last.
    wrote: bool,
    /// When its term began.
    pub(super) term_at: i64,
    /// The last write of keys was denied.
    pub(super) denied: bool,
    /// What it writes, and when that was denied, again and again, since anything changed that is worth another try.
    pub(super) writing: Option<(Intent, Revision)>,
    denials: Vec<i64>,
    /// It was told that what was denied may be written.
    pub(crate) permitted: bool,
    /// The last write did not go well.
    pub(super) troubled: bool,
    /// When a pass of it ended well last.
    pub(super) passed_at: i64,
    /// When each check passed since it last did not.
    passes: BTreeMap<&'static str, Vec<i64>>,
    /// What a webhook told it and it has not seen yet.
    pub(super) owed: Option<Owed>,
    /// A fetch of it is under way.
    pub(super) fetches: bool,
}

impl Eyes {
    /// The branch in its mirror.
    pub(super) fn tip(&self) -> Option<Revision> {
        self.tip.map(|(tip, _)| tip)
    }

    /// The branch that it has known for so long.
    pub(super) fn knows_tip_since(&self, then: i64) -> Option<Revision> {
        self.tip.filter(|(_, since)| *since <= then).map(|(tip, _)| tip)
    }

    /// Whether it is writing a plan of this kind, as far as it began one.
    pub(crate) fn writes(&self, intent: Intent) -> bool {
        self.writing.is_some_and(|(writing, _)| writing == intent)
    }

    /// Whether it goes by a branch that it fetched before its last write of a key.
    pub(super) fn has_written_since_its_fetch(&self) -> bool {
        self.wrote
    }

    /// Whether this check passed so many times after that moment, without a break.
    pub(super) fn passed(&self, check: &str, after: i64, times: usize) -> bool {
        self.passes.get(check).is_some_and(|passes| passes.iter().filter(|at| **at >= after).count() >= times)
    }
}

impl World {
    pub(crate) fn looked(&mut self, replica: usize) {
        self.truth.eyes[replica].looked = self.store.index;
        self.truth.eyes[replica].looked_at = self.now;
    }

    /// W1: what a replica takes for live is at least as new as its last look, although that did not read everything.
    pub(crate) fn knows(&mut self, replica: usize, live: &LiveState) {
        let looked = self.truth.eyes[replica].looked;
        let old = self.store.keys.iter().filter(|(_, stored)| stored.index <= looked).find(|(key, stored)| {
            let known = live.entries.get(key.as_str()).map(|entry| entry.fence.0);
            KeyPath::parse(key).is_ok() && known != Some(stored.index)
        });
        if let Some((key, stored)) = old {
            let text = format!("W1: {key} is of index {}, which a look at index {looked} has overlooked", stored.index);
            self.violated(text);
        }
    }

    pub(crate) fn fetched(&mut self, replica: usize, tip: Option<Revision>) {
        let eyes = &mut self.truth.eyes[replica];
        eyes.wrote = false;
        eyes.sees(tip, self.now);
        eyes.fetches = false;
        if eyes.tip.map(|(known, _)| known) != tip {
            eyes.tip = tip.map(|tip| (tip, self.now));
            eyes.denials.clear();
        }
    }

    pub(crate) fn began_a_term(&mut self, replica: usize) {
        self.truth.eyes[replica].term_at = self.now;
        self.truth.eyes[replica].denials.clear();
    }

    pub(crate) fn sampled(&mut self, replica: usize, check: &'static str, good: bool) {
        let now = self.now;
        let passes = self.truth.eyes[replica].passes.entry(check).or_default();
        if good {
            passes.push(now);
        } else {
            passes.clear();
        }
    }

    /// A replica writes keys.
    pub(super) fn writes_keys(&mut self, replica: usize) {
        self.truth.eyes[replica].wrote = true;
    }

    /// A replica begins to write a plan.
    pub(crate) fn begins_to_write(&mut self, replica: usize, what: (Intent, Revision)) {
        let eyes = &mut self.truth.eyes[replica];
        if eyes.writing.replace(what) != Some(what) {
            eyes.denials.clear();
        }
    }

    /// H6: what was denied is tried again about once a minute, and a word that it may be written is believed once.
    fn was_denied(&mut self, replica: usize) {
        const MINUTE: i64 = 55_000;
        const TRIES: usize = 3;
        let now = self.now;
        let eyes = &mut self.truth.eyes[replica];
        eyes.denials.push(now);
        eyes.denials.retain(|at| now - at < MINUTE);
        if eyes.denials.len() > TRIES {
            let what = eyes.writing;
            self.violated(format!("H6: denied again and again, and nothing changed: {what:?}"));
        }
    }

    /// A replica learns what came of its write.
    pub(crate) fn was_told<T>(&mut self, replica: usize, keys: bool, done: Option<&Result<T, Refused>>) {
        let eyes = &mut self.truth.eyes[replica];
        eyes.troubled = !matches!(done, Some(Ok(_)));
        if keys && done.is_none() {
            eyes.denials.clear();
        }
        if keys && let Some(done) = done {
            eyes.denied = matches!(done, Err(Refused::Denied(_)));
            if eyes.denied {
                self.was_denied(replica);
            } else {
                eyes.denials.clear();
            }
        }
    }
}

impl Truth {
    /// Rights changed, or a person said something.
    pub(crate) fn may_try_again(&mut self) {
        self.eyes.iter_mut().for_each(|eyes| eyes.denials.clear());
    }
}
