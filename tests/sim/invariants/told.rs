//! What people are told of an attempt: each end once, whoever led then and however often a process died (rule E1).

use lockstep::domain::rollout::HistoryLine;

use crate::world::World;

/// What is told of a generation once. That an attempt begins may be told again by whoever begins it again, after a crash just
/// before its first write; being held is told as often as it begins anew.
const ONCE: [&str; 7] = ["applied", "proven", "unhealthy", "rollback-finished", "superseded", "frozen", "drift-repaired"];

impl World {
    /// A replica wrote this line about a generation into its log.
    pub(crate) fn told(&mut self, event: &str, generation: u64) {
        if !ONCE.contains(&event) {
            return;
        }
        if !self.truth.told.insert((event.to_owned(), generation)) {
            self.violated(format!("E1: {event} of generation {generation} was told twice"));
        }
        let open = |line: &HistoryLine| u64::from(line.generation.number()) == generation && line.closed.is_none();
        let ends = !["applied", "proven"].contains(&event);
        // What a restore took back had happened when it was told.
        if ends && self.restored_at == 0 && self.store.history.values().any(open) {
            self.violated(format!("E1: {event} of generation {generation} was told, and its line is open"));
        }
    }
}
