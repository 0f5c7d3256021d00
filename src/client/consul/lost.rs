//! A Consul without our record: never used by this environment, or one that lost the record (rule O6).
//!
//! The owner id of an environment is in its record. Without it our own keys look like somebody else's, so an environment that
//! is initialised anew over them could never write them again: that it was used before has to be noticed beforehand.

use std::collections::BTreeMap;

use super::ConsulTarget;
use super::owner::OwnerEntry;
use super::paths::OWNERS;
use super::rights::Resource;
use crate::domain::name::KeyPath;
use crate::domain::resource::{OwnerId, Ownership};
use crate::domain::rollout::Formerly;
use crate::port::{EdgeError, EdgeKind};

/// Keys that an error names.
const NAMED: usize = 3;

/// What explains the marks with one owner id.
enum Explained {
    /// Nothing: there is no entry of that id, or it is this environment's own.
    No,
    /// Somebody else's entry; none of what it says, where it can't be read.
    By(Option<OwnerEntry>),
}

impl ConsulTarget {
    /// Whether a Consul without our record may be taken for one that was never used, given what is known of the environment's
    /// former names.
    ///
    /// # Errors
    /// `Refused` when the record was lost: the configuration pins a target id, or a key below the roots carries a mark of
    /// nobody who has a record here, which a copy from another Consul does as well; in these words for every verb and for the
    /// controller. `Refused` too when marks below the roots are of a former name, or may be: whoever began anew over them could
    /// never write those keys.
    pub(super) async fn first_use(&self, formerly: &Formerly, doing: &str) -> Result<(), EdgeError> {
        let environment = &self.environment;
        if let Some(pinned) = self.pinned.get() {
            let (because, hint) = match self.removed().await? {
                Some(removed) => (
                    removed,
                    format!(
                        "take the environment out of the controller's configuration; to begin anew take its target_id out and run \
                         `lockstep init {environment}`"
                    ),
                ),
                None => (
                    format!("there is none, and the configuration pins {pinned}: the record was lost, or the address is wrong"),
                    format!(
                        "correct the address, restore a snapshot of this Consul, or make the record anew from the marks on its keys \
                         with `lockstep recover {environment}`; for a new target take the target_id out of the configuration and run \
                         `lockstep init {environment}`"
                    ),
                ),
            };
            return Err(self.server.http.error(EdgeKind::Refused, doing).because(because).hint(hint));
        }
        let marked = self.marked(doing).await?;
        let of = |is_meant: &dyn Fn(&Explained) -> bool| -> Vec<&KeyPath> {
            let mut keys: Vec<&KeyPath> = marked.values().filter(|(by, _)| is_meant(by)).flat_map(|(_, keys)| keys).collect();
            keys.sort_unstable();
            keys
        };
        let orphans = of(&|by| matches!(by, Explained::No));
        if !orphans.is_empty() {
            let hint = format!(
                "if it was lost, restore a snapshot of this Consul that holds it, or make it anew with `lockstep recover \
                 {environment}`; if they are copies, write them again without the mark, as `consul kv put` does, or run `lockstep \
                 recover {environment}` as well: it goes on with their mark, and writes and deletes no key"
            );
            let whose = "a lockstep mark of nobody who has a record here";
            let and = ": the record was lost, or they are copies, as `consul kv import` makes them of another Consul's keys";
            return Err(self.over_marks(&orphans, whose, and, doing).hint(hint));
        }
        match formerly {
            Formerly::Never => Ok(()),
            Formerly::As(names) => {
                let is_of =
                    |former, by: &Explained| matches!(by, Explained::By(Some(entry)) if entry.names(&self.repository, former));
                let theirs = names.iter().map(|former| (former, of(&|by| is_of(former, by))));
                let Some((former, theirs)) = theirs.into_iter().find(|(_, theirs)| !theirs.is_empty()) else { return Ok(()) };
                let whose = format!("the mark of {former}, as {} was called", self.environment);
                let hint = format!(
                    "restore a snapshot of this Consul, or make that record anew with `lockstep recover {former}`, with {former} in the \
                     configuration for that; {} takes it over then",
                    self.environment
                );
                Err(self.over_marks(&theirs, &whose, ", which has no record here: it was lost", doing).hint(hint))
            }
            Formerly::Unknown(why) => {
                let theirs = of(&|by| matches!(by, Explained::By(Some(entry)) if entry.is_within(&self.repository)));
                if theirs.is_empty() {
                    return Ok(());
                }
                let whose = format!("the mark of another environment of {}", self.repository);
                let may_be = format!(", which {} may be under a new name: {why}", self.environment);
                let hint = "run it again once a valid branch head has the environment, and says by `formerly:` whether it had another \
                            name; if it had none, give it roots of its own";
                Err(self.over_marks(&theirs, &whose, &may_be, doing).hint(hint))
            }
        }
    }

    fn over_marks(&self, keys: &[&KeyPath], whose: &str, and: &str, doing: &str) -> EdgeError {
        let some: Vec<String> = keys.iter().take(NAMED).map(ToString::to_string).collect();
        let because =
            format!("there is none, and {} key(s) below the roots carry {whose}, such as {}{and}", keys.len(), some.join(", "));
        self.server.http.error(EdgeKind::Refused, doing).because(because).about(some)
    }

    /// That the environment was removed, and by whom, where its history says so.
    async fn removed(&self) -> Result<Option<String>, EdgeError> {
        let newest = self.read_history(1, None).await?.into_iter().next();
        Ok(newest.and_then(|line| line.removal_said(&self.environment)))
    }

    /// The keys below the roots with a lockstep mark, by owner id, and what explains each.
    async fn marked(&self, doing: &str) -> Result<BTreeMap<OwnerId, (Explained, Vec<KeyPath>)>, EdgeError> {
        let http = &self.server.http;
        // Consul leaves out what a token may not read: entries that are only hidden would make every mark nobody's. Such a
        // token can't initialise either. Asked first, since it spares reading everything.
        if http.allowed(&[Resource::everything_below(OWNERS)]).await?.is_none_or(|may| may != [true]) {
            return Ok(BTreeMap::new());
        }
        // Before the owners: whoever has marked a key by now has an entry by then.
        let live = http.read_live(&self.keys).await?;
        let mut marked: BTreeMap<OwnerId, (Explained, Vec<KeyPath>)> = BTreeMap::new();
        for (key, entry) in live.entries {
            if let Ownership::Marked(mark) = entry.flags.ownership() {
                marked.entry(mark.owner).or_insert((Explained::No, Vec::new())).1.push(key);
            }
        }
        if marked.is_empty() {
            return Ok(marked);
        }
        http.read_tree(OWNERS, doing, &mut |read| {
            let number = read.key.strip_prefix(OWNERS).and_then(|number| number.parse().ok()).and_then(OwnerId::new);
            let Some((explained, _)) = number.and_then(|number| marked.get_mut(&number)) else { return };
            let entry = OwnerEntry::from_bytes(&read.value);
            // An entry of our own without a record is a record that was lost.
            if !entry.as_ref().is_some_and(|entry| entry.is_of(self)) {
                *explained = Explained::By(entry);
            }
        })
        .await?;
        Ok(marked)
    }
}
