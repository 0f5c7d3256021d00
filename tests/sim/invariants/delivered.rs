//! What a webhook told is looked into at once, and again and again while it can't be seen, ever later, until the poll is as near
//! (rule R12).

use lockstep::domain::revision::Revision;

use super::eyes::Eyes;
use crate::world::{REPLICAS, World};

/// What a burst of deliveries takes at most, and whoever wants to begin a look.
const BURST: i64 = 8_000;

/// What was delivered and not seen yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owed {
    about: Revision,
    /// When the last look ended; at first, when it was delivered.
    since: i64,
    /// Looks that did not find it.
    looks: u32,
}

impl Owed {
    /// How long the next look may take to begin; none: the poll comes as soon.
    fn patience(self, poll: i64) -> Option<i64> {
        let wait = 500 << self.looks;
        (self.looks == 0 || wait < poll).then_some(2 * wait + BURST)
    }
}

impl Eyes {
    /// A look showed the branch there. Whatever else it moved to, the delivery is served.
    pub(super) fn sees(&mut self, tip: Option<Revision>, now: i64) {
        let moved = self.tip().is_some_and(|known| Some(known) != tip);
        match &mut self.owed {
            Some(owed) if moved || tip == Some(owed.about) => self.owed = None,
            _ => self.looked_in_vain(now),
        }
    }

    fn looked_in_vain(&mut self, now: i64) {
        self.fetches = false;
        if let Some(owed) = &mut self.owed {
            (owed.since, owed.looks) = (now, owed.looks + 1);
        }
    }
}

impl World {
    /// A delivery about this commit reaches a controller.
    pub(crate) fn is_told_of(&mut self, replica: usize, about: Option<Revision>) {
        let since = self.now;
        let eyes = &mut self.truth.eyes[replica];
        // What it has never seen has no branch that could be told to have moved.
        let known = eyes.tip();
        eyes.owed = about.filter(|_| known.is_some() && known != about).map(|about| Owed { about, since, looks: 0 });
    }

    /// A look begins.
    pub(crate) fn begins_to_fetch(&mut self, replica: usize) {
        self.truth.eyes[replica].fetches = true;
    }

    /// It failed.
    pub(crate) fn failed_to_fetch(&mut self, replica: usize) {
        let now = self.now;
        self.truth.eyes[replica].looked_in_vain(now);
    }

    /// Nobody could look meanwhile.
    pub(crate) fn slept_through_deliveries(&mut self) {
        let now = self.now;
        self.truth.eyes.iter_mut().filter_map(|eyes| eyes.owed.as_mut()).for_each(|owed| owed.since = now);
    }

    /// Nobody waits for longer than the next look may take to begin.
    pub(crate) fn loses_no_delivery(&mut self) {
        for replica in 0..REPLICAS {
            let gone = self.paused_until[replica].max(self.dead_until[replica]);
            let eyes = &mut self.truth.eyes[replica];
            let Some(owed) = eyes.owed.as_mut().filter(|_| !eyes.fetches) else { continue };
            owed.since = owed.since.max(gone);
            let Owed { about, since, looks } = *owed;
            match owed.patience(self.poll) {
                None => eyes.owed = None,
                Some(patience) if self.now - since > patience => {
                    eyes.owed = None;
                    let waits = self.now - since;
                    let about = about.short();
                    self.violated(format!(
                        "R12: replica {replica} was told of {about}, looked {looks} times, and not for {waits} ms"
                    ));
                }
                Some(_) if looks > 1 => self.reached("a webhook that was looked into again"),
                Some(_) => {}
            }
        }
    }
}
