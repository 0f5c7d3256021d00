//! A plan becomes a new version: built off to the side, then announced in the record, then switched to, then closed.
//!
//! What a crash leaves at each point:
//! 1. while the version is built: nothing but a directory without its list, removed by the next leader;
//! 2. after the opening record: the record says *applying*, `current` is wholly the old version, the attempt goes on;
//! 3. after the switch: `current` is wholly the new version, the record says *applying*, the next plan is empty and closes it.
//!
//! The opening record stands before the switch for the sake of deletes (rule O3): a key that is live must be in a revision
//! that the record knows to have been reached, or a later commit without it could never delete it.
//!
//! A large version is built in groups of files. Between two of them, and before the switch, a request or the controller's end
//! may stop it: then the record says *applying*, and the unfinished version is gone. A new commit does not, for nothing would
//! be left to go on from.

use tracing::warn;

use super::build::{Contents, build, misfits, remove, switch, unused};
use super::disk::{Disk, Live};
use super::fault::{During, fault};
use super::files::Dir;
use super::keep::{forget_old, tidy_versions};
use super::lease::DirectoryLease;
use super::version::{VERSIONS, Version};
use super::walk::{Snapshot, fence, live_state, snapshot};
use crate::domain::desired::DesiredState;
use crate::domain::live::{Fence, LiveEntry};
use crate::domain::name::{KeyPath, KeyRoots};
use crate::domain::plan::{Action, Plan};
use crate::domain::rollout::{Apply, Retention, Rollout};
use crate::port::{EdgeError, EdgeKind, Written};

/// Keys that an error names at most.
const NAMED: usize = 20;

/// A version that waits for its switch.
struct Built {
    version: Version,
    keys: Vec<(KeyPath, Option<LiveEntry>)>,
}

impl Disk {
    pub(super) fn apply(
        &self,
        lease: &DirectoryLease,
        expected: Fence,
        apply: &Apply,
        desired: &DesiredState,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Written, EdgeError> {
        let Apply { opening, plan, closing } = apply;
        let operation = format!("apply generation {} in", plan.generation);
        let _writing = lease.writing();
        let root = self.root(&operation)?;
        self.check_record(lease, expected, &operation)?;
        let current = self.current(&root, &operation)?;
        tidy_versions(&root, current).during("remove what a crash left in", &self.path)?;

        let before = self.look(&root, &operation)?;
        let new = if plan.is_empty() {
            None
        } else {
            let Some(built) = self.prepare(&root, before.as_ref(), plan, desired, go_on, &operation)? else {
                let record = match opening {
                    Some(opening) => self.save_locked(&operation, lease, expected, opening)?,
                    None => expected,
                };
                return Ok(Written { record, complete: false, keys: Vec::new() });
            };
            Some(built)
        };

        let written = (|| {
            let mut record = expected;
            if let Some(opening) = opening {
                record = self.save_locked(&operation, lease, record, opening)?;
            }
            if let Some(built) = &new {
                // The last look before the switch: a lease that was lost during a long build must not switch.
                self.check_record(lease, record, &operation)?;
                switch(&root, built.version).during(&operation, &self.path)?;
            }
            self.save_locked(&operation, lease, record, closing)
        })();
        let record = match written {
            Ok(record) => record,
            Err(error) => {
                if let Some(built) = new {
                    self.drop_build(&root, built.version);
                }
                return Err(error);
            }
        };
        let Some(Built { version, keys }) = new else {
            return Ok(Written { record, complete: true, keys: Vec::new() });
        };
        self.forget(&root, version, before.map(|live| live.version), &closing.record);
        Ok(Written { record, complete: true, keys })
    }

    pub(super) fn check_record(&self, lease: &DirectoryLease, expected: Fence, operation: &str) -> Result<(), EdgeError> {
        let state = self.state(operation)?;
        self.check_lease(lease, &state, operation)?;
        let found = state.journal().map_err(|error| self.fail(operation, error))?.map(|journal| journal.sequence);
        if found == Some(expected.0) {
            return Ok(());
        }
        Err(fault(EdgeKind::Conflict, format!("{operation} {}", self.path.display()), "the record has moved"))
    }

    /// Builds the version, all but the switch; none when `go_on` said stop. Then, and after an error, nothing of it is left.
    fn prepare(
        &self,
        root: &Dir,
        before: Option<&Live>,
        plan: &Plan,
        desired: &DesiredState,
        go_on: &dyn Fn() -> bool,
        operation: &str,
    ) -> Result<Option<Built>, EdgeError> {
        let refuse = |because: String| fault(EdgeKind::Refused, format!("{operation} {}", self.path.display()), because);
        let nothing = Snapshot::default();
        let found = before.map_or(&nothing, |live| &live.snapshot);
        let manifest = before.and_then(|live| live.manifest.as_ref());
        self.check_fences(before, plan, operation)?;
        if let Some(misfit) = misfits(plan.changes.iter().filter(|c| c.action != Action::Delete).map(|c| &c.key)).first() {
            return Err(refuse(misfit.why.clone()).about(vec![misfit.key.to_string()]));
        }
        let contents = Contents::plan(found, manifest, plan, desired).map_err(|error| refuse(error.to_string()))?;
        if let Some((folder, file)) = contents.clash() {
            let because = format!("{folder:?} is a file, and {file:?} needs a folder of that name");
            return Err(refuse(because).about(vec![folder, file]).hint("remove or rename one of the two"));
        }
        check_space(contents.needs(), root.free().during(operation, &self.path)?)
            .map_err(|because| fault(EdgeKind::Transient, format!("{operation} {}", self.path.display()), because))
            .map_err(|error| error.hint("free some space on that file system; `current` was not touched"))?;

        let live = before.map(|live| live.version);
        let version = unused(root, plan.generation, live).during("find a name for the version in", &self.path)?;
        let path = self.path.join(VERSIONS).join(version.to_string());
        let new_manifest = contents.manifest(plan);
        let whole = build(root, version, &contents, &new_manifest, before.map(|live| &live.dir), go_on);
        if !whole.during("build version", &path)? {
            return Ok(None);
        }
        if contents.is_large() && !go_on() {
            self.drop_build(root, version);
            return Ok(None);
        }
        if let Err(error) = self.check_unchanged(before, operation) {
            self.drop_build(root, version);
            return Err(error);
        }
        let keys = plan.changes.iter().map(|change| {
            let entry = contents.entry(&change.key);
            let entry = entry.map(|(digest, flags)| LiveEntry { digest, flags, fence: fence(version, digest, flags) });
            (change.key.clone(), entry)
        });
        Ok(Some(Built { version, keys: keys.collect() }))
    }

    /// Each key of the plan must be as the plan saw it.
    fn check_fences(&self, before: Option<&Live>, plan: &Plan, operation: &str) -> Result<(), EdgeError> {
        let live = before
            .map(|live| live_state(live.version, &live.snapshot, live.manifest.as_ref(), &KeyRoots::all()))
            .unwrap_or_default();
        let moved = plan.changes.iter().filter(|change| live.fence(&change.key) != change.fence);
        let moved: Vec<String> = moved.map(|change| change.key.to_string()).collect();
        self.conflict_about(moved, operation)
    }

    /// While the version was built nobody may have changed the one before, unmanaged files included: the change would be
    /// lost with the switch. Between this look and the switch lie two small writes; what is changed then stays in the old
    /// version's directory for as long as that is kept.
    fn check_unchanged(&self, before: Option<&Live>, operation: &str) -> Result<(), EdgeError> {
        let Some(before) = before else { return Ok(()) };
        let after = snapshot(&before.dir).during(operation, &self.path)?;
        let (old, new) = (&before.snapshot.found, &after.found);
        let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let changed = old.iter().filter(|(path, found)| new.get(*path) != Some(found)).map(|(path, _)| shown(path));
        let added = new.keys().filter(|path| !old.contains_key(*path)).map(|path| shown(path));
        self.conflict_about(changed.chain(added).collect(), operation)
    }

    fn conflict_about(&self, mut moved: Vec<String>, operation: &str) -> Result<(), EdgeError> {
        if moved.is_empty() {
            return Ok(());
        }
        let because = format!("{} keys were changed since the plan was made", moved.len());
        moved.truncate(NAMED);
        Err(fault(EdgeKind::Conflict, format!("{operation} {}", self.path.display()), because).about(moved))
    }

    /// Removes what was built in vain; not what `current` shows, by our switch or by a person's.
    fn drop_build(&self, root: &Dir, version: Version) {
        if !self.current(root, "look at what is live").is_ok_and(|current| current != Some(version)) {
            return;
        }
        let removed = root.sub(VERSIONS).and_then(|versions| remove(&versions, version));
        if let Err(error) = removed {
            warn!(path = %self.path.display(), %version, %error, "an unused version can't be removed; the next apply will try again");
        }
    }

    /// Old versions go once all is written; that this fails is no reason to call the apply failed.
    fn forget(&self, root: &Dir, current: Version, previous: Option<Version>, record: &Rollout) {
        let last_good = record.last_good.as_ref().map(|reached| reached.generation);
        if let Err(error) = forget_old(root, current, previous, last_good, self.keep, self.clock.now()) {
            warn!(path = %self.path.display(), %error, "an old version can't be removed");
        }
    }

    pub(super) fn forget_past(&self, lease: &DirectoryLease, expected: Fence, retention: &Retention) -> Result<(), EdgeError> {
        const OPERATION: &str = "forget old history in";
        let _writing = lease.writing();
        self.check_record(lease, expected, OPERATION)?;
        let state = self.state(OPERATION)?;
        state.forget_old_lines(retention).during(OPERATION, &self.path)?;
        state.forget_old_answers(retention).during(OPERATION, &self.path)
    }
}

/// Whether the version fits, before a byte of it is written (rule D2).
fn check_space(needs: (u64, u64), free: (u64, u64)) -> Result<(), String> {
    let ((bytes, files), (free_bytes, free_files)) = (needs, free);
    if bytes > free_bytes {
        return Err(format!(
            "the new version needs up to {} MiB, and {} MiB are free",
            bytes.div_ceil(1 << 20),
            free_bytes >> 20
        ));
    }
    if files > free_files {
        return Err(format!("the new version needs up to {files} inodes, and {free_files} are free"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_does_not_fit_is_not_begun() {
        assert_eq!(check_space((10 << 20, 5), (10 << 20, 5)), Ok(()));
        assert_eq!(
            check_space(((10 << 20) + 1, 5), (10 << 20, 5)),
            Err("the new version needs up to 11 MiB, and 10 MiB are free".to_owned())
        );
        assert!(check_space((1, 6), (2, 5)).is_err());
    }
}
