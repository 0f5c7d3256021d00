//! A record that was lost, made anew from what is left in this Consul: owner entries, marks, history (rule A6).
//!
//! One transaction creates it, so nobody meets half of it, and of two who make one at the same moment one does.

use super::ConsulTarget;
use super::init::HERE_AGAIN;
use super::owner::OwnerEntry;
use super::paths::{OWNERS, owner_key};
use super::rights::Resource;
use super::txn::Transaction;
use crate::domain::live::Fence;
use crate::domain::resource::OwnerId;
use crate::domain::rollout::{Former, Formerly, HistoryLine, Identity, Marks, Recovery, Remains, Rollout, TargetId};
use crate::port::{EdgeError, EdgeKind, Told};

impl ConsulTarget {
    pub(super) async fn what_remains(&self) -> Result<Option<Remains>, EdgeError> {
        let doing = format!("look for what is left of {}", self.environment);
        let http = &self.server.http;
        if http.read_key(&self.paths.record(), &doing).await?.is_some() {
            return Ok(None);
        }
        // Before the owners: whoever has marked a key by now has an entry by then.
        let live = self.read_all().await?;
        let sees_owners = http.allowed(&[Resource::everything_below(OWNERS)]).await?.is_some_and(|may| may == [true]);
        if live.partial || !sees_owners {
            let error = http
                .error(EdgeKind::Denied, &doing)
                .because("the token may not surely read everything: what is hidden could be ours");
            return Err(error.hint(format!("give it write on {OWNERS} and on every root, as for `lockstep init`")));
        }
        let mut remains = Remains { marks: Marks::of(&live), ..Remains::default() };
        http.read_tree(OWNERS, &doing, &mut |read| {
            let Some(owner) = read.key.strip_prefix(OWNERS).and_then(|number| number.parse().ok()).and_then(OwnerId::new)
            else {
                return;
            };
            match OwnerEntry::from_bytes(&read.value) {
                Some(entry) if entry.is_of(self) => drop(remains.entries.insert(owner, TargetId::parse(&entry.target))),
                Some(entry) => drop(remains.others.insert(owner, entry.whose())),
                None => drop(remains.others.insert(owner, "somebody whose entry can't be read".to_owned())),
            }
        })
        .await?;
        // All of it: the line of a rename may be the oldest.
        let mut lines = self.read_history(usize::MAX, None).await?;
        remains.removed = lines.first().and_then(|line| line.removal_said(&self.environment));
        remains.former = self.names_before(&lines).await?;
        // What was not closed before it came to this name was another environment's.
        let came = remains.former.last().map(|former| former.until);
        lines.truncate(Remains::LINES);
        lines.retain(|line| came.is_none_or(|until| line.generation > until));
        remains.open = Remains::open(lines);
        remains.newest = self.newest_line().await?;
        Ok(Some(remains))
    }

    /// The names that the environment had before, the oldest first, as far as the history under each says so and may be read.
    async fn names_before(&self, lines: &[HistoryLine]) -> Result<Vec<Former>, EdgeError> {
        let mut former = Vec::new();
        let mut found = Remains::came_from(lines, &self.environment);
        while let Some(before) = found.filter(|_| former.len() < Rollout::FORMER) {
            let earlier = self.under(&before.name).readable_history(before.until, usize::MAX).await?.unwrap_or_default();
            found = Remains::came_from(&earlier, &before.name);
            former.push(before);
        }
        former.reverse();
        Ok(former)
    }

    /// Whether a record of an environment may be made anew that may have had another name before.
    ///
    /// # Errors
    /// `Refused` as long as that name has a record here: it goes on with that one, which nobody would take over any more (rule O9).
    pub async fn may_recover_after(&self, formerly: &Formerly) -> Result<(), EdgeError> {
        self.may_make_one_after(formerly, &self.recovering()).await.map(|_| ())
    }

    /// Makes the record anew as [`Target::recover`](crate::port::Target::recover) does, of such an environment.
    ///
    /// # Errors
    /// Besides, those of [`Self::may_recover_after`]; `Conflict` when the record of the former name came back meanwhile.
    pub async fn recover_after(
        &self,
        formerly: &Formerly,
        recovery: &Recovery,
        told: &Told<'_>,
    ) -> Result<Identity, EdgeError> {
        let doing = self.recovering();
        let http = &self.server.http;
        let theirs = self.may_make_one_after(formerly, &doing).await?;
        let target = recovery.target.clone().map_or_else(|| self.draw_target(&doing), Ok)?;
        let identity = Identity {
            repository: self.repository.clone(),
            environment: self.environment.clone(),
            target,
            owner: recovery.owner,
        };
        let save = recovery.save(identity.clone(), told.revision, told.by, told.because, told.at);
        let owner = owner_key(identity.owner);
        let entry = http.read_key(&owner, &doing).await?;
        if entry.as_ref().is_some_and(|read| !OwnerEntry::from_bytes(&read.value).is_some_and(|entry| entry.is_of(self))) {
            return Err(http.error(EdgeKind::Conflict, &doing).because("its owner id was given to somebody else meanwhile"));
        }
        let mut txn = Transaction::new();
        self.paths.push_save(&mut txn, Fence::ABSENT, &save);
        txn.cas(&owner, &OwnerEntry::of(&identity).to_bytes(), 0, entry.map_or(0, |read| read.index));
        for theirs in &theirs {
            txn.check_absent(theirs);
        }
        match self.transact(txn, &doing).await {
            Ok(_) => Ok(identity),
            Err(error) if theirs.iter().any(|theirs| error.about.contains(theirs)) => Err(error.hint(HERE_AGAIN)),
            Err(error) if error.kind == EdgeKind::Conflict => Err(self
                .has_one(&doing)
                .because(error)
                .hint("somebody else made a record at the same moment; look at it first")),
            Err(error) => Err(error),
        }
    }

    fn recovering(&self) -> String {
        format!("recover the record of {}", self.environment)
    }
}
