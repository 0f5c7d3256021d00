//! A retired environment taken out of its target in the foreground: looked at, and, with the lease, carried out (rule O9).
//!
//! Whoever drops the future, or dies, leaves the record until the very end, and what it says is enough for the next one to go
//! on, or for a controller to put everything back should a commit bring the environment back first. Such a commit also ends a
//! removal that is under way: the branch is fetched just before the first key goes, while keys go, and before the record does.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use super::memory::Memory;
use super::observe;
use crate::domain::desired::{goes_on_as, heads};
use crate::domain::health::HealthLog;
use crate::domain::live::Fence;
use crate::domain::revision::Revision;
use crate::domain::rollout::{HeadView, NotRemoved, Observation, Removal, Rollout, Stored};
use crate::port::{Clock as _, EdgeError, EdgeKind, Scheduler, Source, Target, Written};

/// What an environment is removed with.
pub struct Removing<'a, S, T, R> {
    /// The config repository.
    pub source: &'a S,
    /// The place that holds the environment.
    pub target: &'a T,
    /// Real or virtual time.
    pub scheduler: &'a R,
    /// How often the branch is fetched meanwhile, and how long to wait before a rewound one is fetched again, to be believed
    /// (rule S1).
    pub poll: Duration,
    /// Who removes it.
    pub by: &'a str,
    /// Why.
    pub because: &'a str,
}

/// What a removal would do now.
#[derive(Debug)]
pub struct Prospect {
    stored: Stored,
    /// What it does.
    pub removal: Removal,
}

/// What to do when a removal is stopped for a commit that brings the environment back.
const COMES_BACK: &str = "what went already is put back by whoever leads next (`lockstep run`, or `lockstep apply --once`)";

impl<S: Source, T: Target, R: Scheduler> Removing<'_, S, T, R> {
    /// Looks at what would go.
    ///
    /// # Errors
    /// When the world can't be looked at; `Refused` when the environment is not to be removed now, and why.
    pub async fn look(&self, memory: &mut Memory) -> Result<Prospect, EdgeError> {
        let Self { source, target, .. } = *self;
        let stored = target.load().await?.ok_or_else(|| observe::no_record(target))?;
        let (mut head, mut books, _) = observe::repository(&stored.record, memory, source, &[]).await?;
        if let HeadView::Rewound(_) = head {
            self.scheduler.sleep(self.poll).await;
            source.fetch().await?;
            (head, books, _) = observe::repository(&stored.record, memory, source, &[]).await?;
        }
        let mut live = target.live().await?;
        observe::hidden(&mut live, &mut BTreeSet::new(), &books, target).await?;
        let (character, now) = (target.character(), self.scheduler.clock().now());
        let seen = Observation {
            now,
            led_since: now,
            settle: character.settle,
            rights: character.rights,
            permitted: false,
            head,
            books: &books,
            live: &live,
            health: &HealthLog::default(),
            requests: &[],
            trouble: None,
            remembered: stored.record.generation,
            restored: false,
        };
        let tip = stored.record.retired_by(&seen.head);
        let removal = stored.record.removal(self.by, self.because, &seen);
        let (removal, tip) =
            removal.and_then(|removal| Ok((removal, tip?))).map_err(|why| self.refused(&stored.record, why))?;
        self.goes_on_nowhere(&stored.record, tip).await?;
        Ok(Prospect { stored, removal })
    }

    /// Deletes and releases what the look showed, and then all that lockstep itself holds of the environment but its history.
    ///
    /// # Errors
    /// `Refused` when the branch has the environment by now: a removal that has begun stops there, and nothing more goes.
    /// Otherwise when a fetch or a write fails: what was done stays done, and to look and carry out again finishes it.
    /// `Conflict` when somebody wrote meanwhile.
    pub async fn carry_out(&self, memory: &mut Memory, lease: &T::Lease, prospect: &Prospect) -> Result<(), EdgeError> {
        let Prospect { stored, removal } = prospect;
        let record = &stored.record;
        // Whoever was shown what goes may have taken their time to say yes.
        self.stays_retired(memory, record).await?;
        observe::keep(memory, self.source, &[record], false).await?;
        let mut fence = stored.fence;
        if !removal.plan.is_empty() {
            fence = self.clear(memory, lease, prospect).await?;
        } else if let Some(opening) = &removal.opening {
            fence = self.target.save(lease, fence, opening).await?;
        }
        // Until here a commit finds an environment that can be put right; afterwards there is none.
        self.stays_retired(memory, record).await.map_err(|error| stopped(error, record))?;
        self.target.dissolve(lease, fence, &removal.farewell(self.scheduler.clock().now())).await?;
        // The mirror need not keep its commits any more.
        let forgotten = self.source.forget(&record.identity.environment, None).await;
        if let Err(error) = forgotten {
            tracing::debug!(error = error.chain(), "the mirror keeps commits that nobody needs");
        }
        Ok(())
    }

    /// Writes the plan, as long as the branch does not have the environment again; the fence of the record then.
    async fn clear(&self, memory: &mut Memory, lease: &T::Lease, prospect: &Prospect) -> Result<Fence, EdgeError> {
        let Prospect { stored, removal } = prospect;
        let (record, apply) = (&stored.record, removal.apply());
        let nothing = record.nothing();
        let wanted = OnceLock::new();
        let go_on = || wanted.get().is_none();
        let written = tokio::select! {
            biased;
            written = self.target.apply(lease, stored.fence, &apply, &nothing, &go_on) => written?,
            never = self.follow(memory, record, &wanted) => match never {},
        };
        match (written, wanted.into_inner()) {
            (Written { complete: true, record, .. }, _) => Ok(record),
            (_, Some(error)) => Err(stopped(error, record)),
            (_, None) => {
                Err(EdgeError::new("lockstep", EdgeKind::Transient, "write a plan to its end").because("it was stopped"))
            }
        }
    }

    /// Fetches the branch once a poll, and notes when it has the environment again. A fetch that fails says nothing: another one
    /// has to go well before the record goes.
    async fn follow(&self, memory: &mut Memory, record: &Rollout, wanted: &OnceLock<EdgeError>) -> Infallible {
        loop {
            self.scheduler.sleep(self.poll).await;
            match self.stays_retired(memory, record).await {
                Ok(()) => {}
                Err(error) if error.kind == EdgeKind::Refused => drop(wanted.set(error)),
                Err(error) => tracing::debug!(error = error.chain(), "nobody knows where the branch is; the removal goes on"),
            }
        }
    }

    /// Looks whether the branch, fetched now, still does not have the environment.
    async fn stays_retired(&self, memory: &mut Memory, record: &Rollout) -> Result<(), EdgeError> {
        self.source.fetch().await?;
        let (head, ..) = observe::repository(record, memory, self.source, &[]).await?;
        let tip = record.retired_by(&head).map_err(|why| self.refused(record, why))?;
        self.goes_on_nowhere(record, tip).await
    }

    /// Looks whether the branch says that the environment goes on under another name, with its record and its keys.
    async fn goes_on_nowhere(&self, record: &Rollout, tip: Revision) -> Result<(), EdgeError> {
        let name = &record.identity.environment;
        let why = match goes_on_as(&self.source.some_files(tip, &heads()).await?, name) {
            Ok(None) => return Ok(()),
            Ok(Some(heir)) => NotRemoved {
                because: format!("the branch head {} says that {name} goes on as {heir}", tip.short()),
                hint: format!(
                    "the first controller of {heir} takes its record and its keys over; if they are to go instead, take `formerly: \
                     {name}` out of environments/{heir}/environment.yaml first"
                ),
            },
            Err(broken) => NotRemoved {
                because: format!(
                    "environments/{broken}/environment.yaml of the branch head {} can't be read: it may say that {name} goes on as \
                     {broken}",
                    tip.short()
                ),
                hint: "commit a fix first: a broken file is never a removal".to_owned(),
            },
        };
        Err(self.refused(record, why))
    }

    fn refused(&self, record: &Rollout, NotRemoved { because, hint }: NotRemoved) -> EdgeError {
        let operation = format!("remove {} from {}", record.identity.environment, self.target.character().name);
        EdgeError::new("lockstep", EdgeKind::Refused, operation).because(because).hint(hint)
    }
}

/// The same of a removal that has begun.
fn stopped(error: EdgeError, record: &Rollout) -> EdgeError {
    if error.kind != EdgeKind::Refused {
        return error;
    }
    let name = &record.identity.environment;
    let hint =
        format!("the removal was stopped and the record of {name} is still there: {COMES_BACK}; or commit its removal again");
    error.hint(hint)
}
