//! What a watchdog sees (rule E2): whoever leads ends a pass well every 30 s at least, whether there is anything to do or not.

use crate::world::{PERSON, POLL, World};

/// What the rule says, and a poll for a pass that takes its time.
const ALIVE: i64 = 30_000 + POLL;

impl World {
    /// A pass of this replica found nothing to write and ended well.
    pub(crate) fn passed(&mut self, replica: usize) {
        self.truth.eyes[replica].passed_at = self.now;
    }

    /// Looks at the leader. Not during a storm: passes that fail are none that go well.
    pub(crate) fn watchdog(&mut self) {
        let Some(calm_at) = self.truth.calm_at else { return };
        let Some(session) = self.lease.as_ref().filter(|session| session.start == self.starts[session.replica]) else { return };
        if session.replica == PERSON {
            return;
        }
        let (replica, eyes) = (session.replica, &mut self.truth.eyes[session.replica]);
        let silent = self.now - eyes.passed_at.max(eyes.term_at).max(calm_at);
        if silent > ALIVE {
            // Said once for each silence.
            eyes.passed_at = self.now;
            self.violated(format!("E2: replica {replica} leads, and no pass of it has ended well for {silent} ms"));
        }
    }
}
