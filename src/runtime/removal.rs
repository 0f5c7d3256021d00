//! A retired environment taken out of its target in the foreground: looked at, and, with the lease, carried out (rule O9).
//!
//! Whoever drops the future, or dies, leaves the record until the very end, and what it says is enough for the next one to go
//! on, or for a controller to put everything back should a commit bring the environment back first.

use std::collections::BTreeSet;
use std::time::Duration;

use super::clock::RealTime;
use super::memory::Memory;
use super::observe;
use crate::domain::health::HealthLog;
use crate::domain::rollout::{HeadView, NotRemoved, Observation, Removal, Stored};
use crate::port::{Clock as _, EdgeError, EdgeKind, Scheduler as _, Source, Target, Written};

/// What an environment is removed with.
pub struct Removing<'a, S, T> {
    /// The config repository.
    pub source: &'a S,
    /// The place that holds the environment.
    pub target: &'a T,
    /// How long to wait before a rewound branch is fetched again, to be believed (rule S1).
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

impl<S: Source, T: Target> Removing<'_, S, T> {
    /// Looks at what would go.
    ///
    /// # Errors
    /// When the world can't be looked at; `Refused` when the environment is not to be removed now, and why.
    pub async fn look(&self, memory: &mut Memory) -> Result<Prospect, EdgeError> {
        let Self { source, target, .. } = *self;
        let stored = target.load().await?.ok_or_else(|| observe::no_record(target))?;
        let (mut head, mut books, _) = observe::repository(&stored.record, memory, source, &[]).await?;
        if let HeadView::Rewound(_) = head {
            RealTime.sleep(self.poll).await;
            source.fetch().await?;
            (head, books, _) = observe::repository(&stored.record, memory, source, &[]).await?;
        }
        let mut live = target.live().await?;
        observe::hidden(&mut live, &mut BTreeSet::new(), &books, target).await?;
        let (character, now) = (target.character(), RealTime.clock().now());
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
        match stored.record.removal(self.by, self.because, &seen) {
            Ok(removal) => Ok(Prospect { stored, removal }),
            Err(NotRemoved { because, hint }) => {
                let operation = format!("remove {} from {}", stored.record.identity.environment, character.name);
                Err(EdgeError::new("lockstep", EdgeKind::Refused, operation).because(because).hint(hint))
            }
        }
    }

    /// Deletes and releases what the look showed, and then all that lockstep itself holds of the environment but its history.
    ///
    /// # Errors
    /// When a write fails: what was done stays done, and to look and carry out again finishes it. `Conflict` when somebody
    /// wrote meanwhile.
    pub async fn carry_out(&self, memory: &mut Memory, lease: &T::Lease, prospect: &Prospect) -> Result<(), EdgeError> {
        let Prospect { stored, removal } = prospect;
        observe::keep(memory, self.source, &[&stored.record], false).await?;
        let mut fence = stored.fence;
        if !removal.plan.is_empty() {
            let nothing = stored.record.nothing();
            let Written { record, complete, .. } =
                self.target.apply(lease, fence, &removal.apply(), &nothing, &|| true).await?;
            fence = record;
            if !complete {
                return Err(
                    EdgeError::new("lockstep", EdgeKind::Transient, "write a plan to its end").because("it was stopped")
                );
            }
        } else if let Some(opening) = &removal.opening {
            fence = self.target.save(lease, fence, opening).await?;
        }
        self.target.dissolve(lease, fence, &removal.farewell(RealTime.clock().now())).await?;
        // The mirror need not keep its commits any more.
        let forgotten = self.source.keep(&stored.record.identity.environment, &[], None).await;
        if let Err(error) = forgotten {
            tracing::debug!(error = error.chain(), "the mirror keeps commits that nobody needs");
        }
        Ok(())
    }
}
