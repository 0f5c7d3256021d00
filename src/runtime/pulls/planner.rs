//! The plans of one environment for merge results.

use std::sync::Arc;

use super::super::preview::{Asked, Look, Previewed, preview};
use super::super::reading::{Fit, Reading, Readings};
use crate::domain::desired::{DesiredState, read_for};
use crate::domain::live::LiveState;
use crate::domain::name::{EnvironmentName, RepositoryName};
use crate::domain::pull_plan::{Changes, Forecast};
use crate::domain::revision::{Revision, RevisionDigest};
use crate::domain::rollout::{HeadVerdict, Needed, Phase};
use crate::domain::time::Timestamp;
use crate::domain::words::count;
use crate::port::{EdgeError, Source, Target};

/// So many problems of an environment are listed.
const PROBLEMS: usize = 50;

/// What one environment is planned with.
pub struct Planner<T> {
    /// The environment.
    pub environment: EnvironmentName,
    /// The config repository's name.
    pub repository: RepositoryName,
    /// What its target takes.
    pub fit: Fit,
    /// Its target, of which only reads are asked.
    pub target: Arc<T>,
}

/// Where an environment stands, as far as plans depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stand {
    goal: Option<RevisionDigest>,
    /// Why it does not follow the branch.
    held: Option<HeadVerdict>,
    is_frozen: bool,
    /// On its way to the branch head: what comes with that is not the pull request's.
    pub(super) is_moving: bool,
}

/// What is the same for all pull requests of one round.
#[derive(Default)]
pub(super) struct Ground {
    /// What the branch head says.
    base: Option<Arc<DesiredState>>,
    live: Option<LiveState>,
}

impl<T: Target> Planner<T> {
    /// Where the environment stands beside the branch head; none where that can't be read, which the plan tells.
    pub(super) async fn stand<S: Source>(&self, base: Revision, ground: &mut Ground, source: &S) -> Option<Stand> {
        let record = self.target.load().await.ok()?.map(|stored| stored.record);
        if ground.base.is_none() {
            let mut readings = Readings::new(self.environment.clone(), self.repository.clone(), self.fit.clone());
            if let Ok(Reading::Valid(desired)) = readings.of(base, source).await {
                ground.base = Some(desired);
            }
        }
        let goal = record.as_ref().and_then(|record| record.goal.as_ref()).map(|goal| goal.digest);
        let wanted = ground.base.as_ref().map(|base| base.revision_digest());
        let held = record.as_ref().and_then(|record| record.note.as_ref()).map(|note| note.verdict);
        let is_in = |phase| record.as_ref().is_some_and(|record| record.phase == phase);
        let is_frozen = is_in(Phase::Frozen);
        let is_behind = record.is_some() && wanted.is_some() && goal != wanted && held.is_none() && !is_frozen;
        Some(Stand { goal, held, is_frozen, is_moving: is_in(Phase::Applying) || is_behind })
    }

    /// What a merge result would do to the environment.
    pub(super) async fn forecast<S: Source>(
        &self,
        merge: Revision,
        is_untrusted: bool,
        ground: &mut Ground,
        source: &S,
        now: Timestamp,
    ) -> Forecast {
        let asked = Asked { at: Needed::named(merge), live: ground.live.take(), is_untrusted };
        let (environment, fit) = (&self.environment, self.fit.clone());
        let found = preview(environment, &self.repository, fit, source, &*self.target, asked, now).await;
        match found {
            Ok(Previewed::Look(look)) => {
                let Look { live, desired, before, preview, .. } = *look;
                let known: Vec<&DesiredState> = before.iter().chain(&ground.base).map(Arc::as_ref).collect();
                let forecast = Forecast::of(&preview, &desired, &known, &live);
                ground.live = Some(live);
                forecast
            }
            Ok(Previewed::Invalid(text)) => match self.problems(merge, source).await {
                Ok(problems) if !problems.is_empty() => Forecast::Invalid(problems),
                Ok(_) | Err(_) => Forecast::Invalid(vec![text]),
            },
            Ok(Previewed::Unfit(text)) => Forecast::Refused(Changes::default(), text),
            Ok(Previewed::Retired) => Forecast::Retired,
            Ok(Previewed::Missing) => Forecast::Unknown("the merge result is not in the mirror any more".to_owned()),
            Err(error) => Forecast::Unknown(error.chain()),
        }
    }

    /// Every problem that a merge result has for the environment, with its place.
    async fn problems<S: Source>(&self, merge: Revision, source: &S) -> Result<Vec<String>, EdgeError> {
        let repository = read_for(&source.tree(merge).await?, &self.environment);
        let own = repository.problems().iter().filter(|problem| problem.environments.contains(&self.environment));
        let own: Vec<String> = own
            .map(|problem| match &problem.hint {
                Some(hint) => format!("{problem} ({hint})"),
                None => problem.to_string(),
            })
            .collect();
        let mut told: Vec<String> = own.iter().take(PROBLEMS).cloned().collect();
        if let Some(more) = own.len().checked_sub(PROBLEMS).filter(|more| *more > 0) {
            told.push(format!("… {}", count(more, "more problem")));
        }
        Ok(told)
    }
}
