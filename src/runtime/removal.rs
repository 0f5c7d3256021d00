//! A retired environment taken out of its target in the foreground: looked at, and, with the lease, carried out (rule O9).
//!
//! Whoever drops the future, or dies, leaves the record until the very end, and what it says is enough for the next one to go
//! on, or for a controller to put everything back should a commit bring the environment back first. Such a commit also ends a
//! removal that is under way: the branch is fetched just before the first key goes, while keys go, and before the record does.
//! A branch that does not contain what retired the environment is no such commit until a second fetch agrees (rule S1): a git
//! server that is behind puts nothing back.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use super::memory::Memory;
use super::observe;
use super::succession::goes_on_across;
use crate::domain::desired::{goes_on_as, heads};
use crate::domain::health::HealthLog;
use crate::domain::live::Fence;
use crate::domain::name::EnvironmentName;
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

/// Why a removal did not come to its end.
#[derive(Debug)]
pub enum Unfinished {
    /// The branch wants the environment, or may: nobody is to go on, and whoever leads it puts back what went.
    Wanted(EdgeError),
    /// Something failed, or stands against it: to look and carry out again goes on from there.
    Failed(EdgeError),
}

impl From<EdgeError> for Unfinished {
    fn from(error: EdgeError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unfinished> for EdgeError {
    fn from(unfinished: Unfinished) -> Self {
        match unfinished {
            Unfinished::Wanted(error) | Unfinished::Failed(error) => error,
        }
    }
}

/// How far a removal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing went yet.
    Shown,
    /// Keys may have gone.
    Begun,
}

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
        // An older record may have been put back beside its history.
        let newest = target.newest_number().await?.unwrap_or_default();
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
            remembered: newest,
            restored: false,
        };
        let removal = stored.record.removal(self.by, self.because, &seen);
        let removal = removal.map_err(|why| self.refused(&stored.record, why))?;
        self.goes_on_nowhere(memory, &stored.record, removal.retired, Stage::Shown).await?;
        Ok(Prospect { stored, removal })
    }

    /// Deletes and releases what the look showed, and then all that lockstep itself holds of the environment but its history.
    ///
    /// # Errors
    /// [`Unfinished::Wanted`] when the branch has the environment by now, or can't be read for it: a removal that has begun stops
    /// there, and nothing more goes. Otherwise when a fetch or a write fails, or when a fetch shows a branch that may be an old
    /// one: what was done stays done, and to look and carry out again finishes it. `Conflict` when somebody wrote meanwhile.
    pub async fn carry_out(&self, memory: &mut Memory, lease: &T::Lease, prospect: &Prospect) -> Result<(), Unfinished> {
        let Prospect { stored, removal, .. } = prospect;
        let record = &stored.record;
        // Whoever was shown what goes may have taken their time to say yes.
        self.stays_retired(memory, prospect, Stage::Shown).await?;
        observe::keep(memory, self.source, &[record], false).await?;
        let mut fence = stored.fence;
        if !removal.plan.is_empty() {
            fence = self.clear(memory, lease, prospect).await?;
        } else if let Some(opening) = &removal.opening {
            fence = self.target.save(lease, fence, opening).await?;
        }
        // Until here a commit finds an environment that can be put right; afterwards there is none.
        self.stays_retired(memory, prospect, Stage::Begun).await?;
        self.target.dissolve(lease, fence, &removal.farewell(self.scheduler.clock().now())).await?;
        // The mirror need not keep its commits any more.
        let forgotten = self.source.forget(&record.identity.environment, None).await;
        if let Err(error) = forgotten {
            tracing::debug!(error = error.chain(), "the mirror keeps commits that nobody needs");
        }
        Ok(())
    }

    /// Writes the plan, as long as the branch does not have the environment again; the fence of the record then.
    async fn clear(&self, memory: &mut Memory, lease: &T::Lease, prospect: &Prospect) -> Result<Fence, Unfinished> {
        let Prospect { stored, removal, .. } = prospect;
        let (apply, nothing) = (removal.apply(), stored.record.nothing());
        let wanted = OnceLock::new();
        let go_on = || wanted.get().is_none();
        let written = tokio::select! {
            biased;
            written = self.target.apply(lease, stored.fence, &apply, &nothing, &go_on) => written?,
            never = self.follow(memory, prospect, &wanted) => match never {},
        };
        match (written, wanted.into_inner()) {
            (Written { complete: true, record, .. }, _) => Ok(record),
            (_, Some(error)) => Err(error),
            (_, None) => {
                let error = EdgeError::new("lockstep", EdgeKind::Transient, "write a plan to its end");
                Err(error.because("it was stopped").into())
            }
        }
    }

    /// Fetches the branch once a poll, and notes when it has the environment again. A fetch that fails, or shows what may be an
    /// old branch, says nothing: another one has to go well before the record goes.
    async fn follow(&self, memory: &mut Memory, prospect: &Prospect, wanted: &OnceLock<Unfinished>) -> Infallible {
        loop {
            self.scheduler.sleep(self.poll).await;
            match self.stays_retired(memory, prospect, Stage::Begun).await {
                Ok(()) => {}
                Err(Unfinished::Failed(error)) if error.kind != EdgeKind::Refused => {
                    tracing::debug!(error = error.chain(), "nobody knows where the branch is; the removal goes on");
                }
                Err(why) => drop(wanted.set(why)),
            }
        }
    }

    /// Looks whether the branch, fetched now, still does not have the environment.
    async fn stays_retired(&self, memory: &mut Memory, prospect: &Prospect, stage: Stage) -> Result<(), Unfinished> {
        let Prospect { stored: Stored { record, .. }, removal: Removal { retired, .. } } = prospect;
        self.source.fetch().await?;
        let (head, ..) = observe::repository(record, memory, self.source, &[]).await?;
        if let Some(doubt) = self.doubt(&head, *retired).await? {
            let error = EdgeError::new("lockstep", EdgeKind::Transient, self.operation(record)).because(doubt);
            return Err(error.hint("run it again: a second fetch, one poll interval later, has to agree").into());
        }
        match record.retired_by(&head) {
            Ok(tip) => self.goes_on_nowhere(memory, record, tip, stage).await,
            Err(why) if matches!(head, HeadView::At(_) | HeadView::Invalid(..)) => {
                let why = stage.put_back(why, record, &record.identity.environment);
                Err(Unfinished::Wanted(self.refused(record, why)))
            }
            Err(why) => Err(self.refused(record, why).into()),
        }
    }

    /// Why nobody knows what the branch says of the environment: there is none, or it does not contain the head that retired the
    /// environment and may be what a git server shows that is behind (rule S1).
    async fn doubt(&self, head: &HeadView, retired: Revision) -> Result<Option<String>, EdgeError> {
        let tip = match head {
            HeadView::Retired(_) => return Ok(None),
            HeadView::None(text) => return Ok(Some(text.clone())),
            HeadView::At(tip) | HeadView::Unfit(tip, _) | HeadView::Invalid(tip, _) | HeadView::Rewound(tip) => *tip,
        };
        let is_certain = self.source.head().await?.confirmed || self.source.descends(tip, retired).await?;
        Ok((!is_certain).then(|| {
            format!(
                "the branch went to {}, which does not contain {}, without the environment: a git server may be behind",
                tip.short(),
                retired.short()
            )
        }))
    }

    /// Looks whether the branch says that the environment goes on under another name, with its record and its keys.
    async fn goes_on_nowhere(
        &self,
        memory: &mut Memory,
        record: &Rollout,
        tip: Revision,
        stage: Stage,
    ) -> Result<(), Unfinished> {
        let name = &record.identity.environment;
        let said = self.source.some_files(tip, &heads()).await?;
        let heir = match goes_on_as(&said, name) {
            Ok(Some(heir)) => Ok(Some((heir, name.clone()))),
            Ok(None) => Ok(Box::pin(goes_on_across(&mut memory.readings, self.source, &said, tip)).await?),
            Err(broken) => Err(broken),
        };
        match heir {
            Ok(None) => Ok(()),
            Ok(Some((heir, former))) => {
                let because = format!("the branch head {} says that {name} goes on as {heir}", tip.short());
                let hint = format!(
                    "the first controller of {heir} takes its record and its keys over; if they are to go instead, take `formerly: \
                     {former}` out of environments/{heir}/environment.yaml first"
                );
                let why = stage.put_back(NotRemoved { because, hint }, record, &heir);
                Err(Unfinished::Wanted(self.refused(record, why)))
            }
            Err(broken) => {
                let because = format!(
                    "environments/{broken}/environment.yaml of the branch head {} can't be read: it may say that {name} goes on as \
                     {broken}",
                    tip.short()
                );
                Err(self.refused(record, NotRemoved::broken(because)).into())
            }
        }
    }

    fn refused(&self, record: &Rollout, NotRemoved { because, hint }: NotRemoved) -> EdgeError {
        EdgeError::new("lockstep", EdgeKind::Refused, self.operation(record)).because(because).hint(hint)
    }

    fn operation(&self, record: &Rollout) -> String {
        format!("remove {} from {}", record.identity.environment, self.target.character().name)
    }
}

impl Stage {
    /// With what becomes of keys that went already, where the branch does not say any more that the environment is retired.
    fn put_back(self, why: NotRemoved, record: &Rollout, leader: &EnvironmentName) -> NotRemoved {
        if self == Self::Shown {
            return why;
        }
        let hint = format!(
            "{}; the removal was stopped and the record of {} is still there: what went already is put back by whoever leads {leader} \
             next (`lockstep run`, or `lockstep apply --once {leader}`)",
            why.hint, record.identity.environment
        );
        NotRemoved { hint, ..why }
    }
}
