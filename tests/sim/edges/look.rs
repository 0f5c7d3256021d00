//! Looks at the keys: at all of them, or at those that have moved since the look before. That one is no single moment: what is
//! listed first is read a little later.

use lockstep::domain::live::{AsOf, Fence, LiveState};
use lockstep::domain::name::KeyPath;
use lockstep::port::EdgeError;

use super::Edge;
use crate::bugs::Bug;
use crate::scenario::KEYS;

impl Edge {
    pub(super) async fn look_at_everything(&self) -> Result<LiveState, EdgeError> {
        self.call("read the keys").await?;
        let mut live = {
            let mut world = self.world();
            world.looked(self.replica);
            let as_of = as_of(world.store.index, world.restored_at);
            LiveState { as_of: Some(as_of), ..world.live() }
        };
        if self.has(Bug::ReadsPartOfTheKeys) && self.world().random.percent(30) {
            let some = live.entries.iter().take(2).map(|(key, entry)| (key.clone(), *entry)).collect();
            live.entries = some;
        }
        self.border().await;
        if self.has(Bug::LooksOnlyOnce) {
            return Ok(self.first_look.lock().unwrap().get_or_insert(live).clone());
        }
        Ok(live)
    }

    /// Somebody writes a key between the list of what moved and the reads.
    fn changes_meanwhile(&self) {
        let mut world = self.world();
        if world.stormy && world.random.percent(2) {
            let key = *world.random.pick(&KEYS);
            world.edit(key, Some((b"meanwhile".to_vec(), 0)));
        }
    }

    pub(super) async fn look_at_what_moved(&self, before: LiveState) -> Result<LiveState, EdgeError> {
        let known = before.as_of.as_ref().and_then(|as_of| Some((as_of.parts.get("")?.0, as_of.losses)));
        let Some((seen, losses)) = known else { return self.look_at_everything().await };
        let (index, restored_at) = {
            let world = self.world();
            (world.store.index, world.restored_at)
        };
        if losses != restored_at.unsigned_abs()
            || index < seen
            || self.has(Bug::ReadsPartOfTheKeys)
            || self.has(Bug::LooksOnlyOnce)
        {
            return self.look_at_everything().await;
        }
        self.call("list the keys that moved").await?;
        let (index, moved) = {
            let mut world = self.world();
            world.looked(self.replica);
            world.reached("a look at what moved");
            if self.has(Bug::EndsALookAtItsOwnWrite) && *self.own_write.lock().unwrap() == world.store.index {
                let as_of = Some(as_of(world.store.index, world.restored_at));
                return Ok(LiveState { as_of, ..before });
            }
            let now = world.live();
            let moved: Vec<KeyPath> =
                now.entries.iter().filter(|(_, entry)| entry.fence.0 > seen).map(|(key, _)| key.clone()).collect();
            let gone = before.entries.keys().filter(|key| !now.entries.contains_key(*key)).cloned();
            (world.store.index, moved.into_iter().chain(gone).collect::<Vec<_>>())
        };
        self.border().await;
        self.changes_meanwhile();
        let mut live = before;
        let world = self.world();
        let now = world.live();
        for key in moved {
            match now.entries.get(&key) {
                Some(entry) => live.entries.insert(key, *entry),
                None => live.entries.remove(&key),
            };
        }
        let index = if self.has(Bug::DatesALookByItsEnd) { world.store.index } else { index };
        live.as_of = Some(as_of(index, restored_at));
        live.unmanageable = now.unmanageable;
        Ok(live)
    }
}

/// Each restore is a loss of sight.
fn as_of(index: u64, restored_at: i64) -> AsOf {
    AsOf { parts: [(String::new(), Fence(index))].into(), losses: restored_at.unsigned_abs() }
}
