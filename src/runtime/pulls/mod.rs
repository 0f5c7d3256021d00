//! Plans of open pull requests, told as a status and one comment each: beside the loop, with reads of the targets alone.
//!
//! Git says when a look is worth it: the poll that follows the branch sees the heads of pull requests too, so that nothing is
//! asked of the forge while nothing changes. A webhook only makes the look come sooner. One controller speaks: the one that leads
//! the first of its environments.

mod planner;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use planner::Planner;
use planner::{Ground, Stand};

use super::failing::Failing;
use super::reports::Reports;
use super::wakes::Deliveries;
use crate::domain::commit_status::{CommitStatus, StatusContext};
use crate::domain::pull::{CommentId, PullNumber, PullRequest};
use crate::domain::pull_plan::{MARKER, PullPlan, comment as text_of};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::port::{Clock, EdgeError, EdgeKind, Forge, Merged, Scheduler, Source, Target, Tip};
use crate::telemetry::{ControllerEvent, Telemetry};

/// News come in groups, a merge and what the environments make of it: so long they are waited for.
const SETTLE: Duration = Duration::from_secs(2);
/// So long at most an environment may be on its way before it is planned as it is.
const PATIENCE: Duration = Duration::from_mins(1);
/// When a plan is made again that could not be made.
const AGAIN: Duration = Duration::from_mins(1);
/// The longest pause after failures of the forge.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// The longest pause that a forge may ask for.
const LONGEST_REST: Duration = Duration::from_hours(1);

/// The open pull requests of one repository.
pub struct Pulls<S, T, F, R> {
    /// The mirror, with what pull requests propose.
    pub source: S,
    /// The branch that is followed.
    pub branch: String,
    /// The forge.
    pub forge: Arc<F>,
    /// Every environment, in the order of their names.
    pub planners: Vec<Planner<T>>,
    /// What is to be said, and who speaks.
    pub reports: Arc<Reports>,
    /// What makes a look worth it.
    pub news: Deliveries,
    /// Real or virtual time.
    pub scheduler: R,
    /// Where failures are told.
    pub telemetry: Arc<Telemetry>,
}

/// A pull request that was planned.
struct Planned {
    head: Revision,
    base: Revision,
    stands: Vec<Option<Stand>>,
    status: CommitStatus,
    /// When it is planned again, because some of it could not be.
    again: Option<Timestamp>,
    /// There is nothing to say but that, and no comment is begun for it.
    is_idle: bool,
    /// What its comment should say.
    text: String,
    comment: Written,
}

/// What is known of a pull request's comment.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Written {
    /// Nobody looked yet.
    Unknown,
    /// There is none.
    None,
    /// It is there, and says this.
    There(CommentId, String),
    /// The forge refused it: it is left until the plan is another one.
    Refused,
}

/// What one controller remembers of them.
#[derive(Default)]
struct Desk {
    speaks: bool,
    planned: BTreeMap<PullNumber, Planned>,
    /// Since when environments have been on their way.
    moving: Option<Timestamp>,
}

/// What comes after a round: news, or a look after this.
type Wait = Option<Duration>;

impl<S: Source, T: Target, F: Forge, R: Scheduler> Pulls<S, T, F, R> {
    /// Plans until it is dropped.
    pub async fn run(&self) {
        let clock = self.scheduler.clock();
        let mut desk = Desk::default();
        let mut failing = Failing::default();
        let mut failures: u32 = 0;
        loop {
            match self.round(&mut desk, clock.now()).await {
                Ok(wait) => {
                    failures = 0;
                    failing.is_over();
                    self.until_news(wait).await;
                }
                Err(error) => {
                    self.report(&error, &mut failing);
                    failures = failures.saturating_add(1);
                    let pause = Duration::from_secs(1 << failures.min(9)).min(LONGEST_PAUSE);
                    let asked = error.asked_to_wait().map_or(pause, |asked| asked.min(LONGEST_REST));
                    // A forge that is away is left alone, whatever the news.
                    self.scheduler.sleep(pause.max(asked)).await;
                }
            }
        }
    }

    async fn until_news(&self, wait: Wait) {
        let rest = async {
            match wait {
                Some(wait) => self.scheduler.sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.news.next_of_pulls() => self.scheduler.sleep(SETTLE).await,
            () = self.reports.moves() => {}
            () = rest => {}
        }
    }

    /// Looks at everything once.
    async fn round(&self, desk: &mut Desk, now: Timestamp) -> Result<Wait, EdgeError> {
        if !self.may_speak(desk) {
            return Ok(None);
        }
        let Tip::At(base) = self.source.head().await?.tip else { return Ok(None) };
        let mut grounds: Vec<Ground> = self.planners.iter().map(|_| Ground::default()).collect();
        let mut stands = Vec::new();
        for (planner, ground) in self.planners.iter().zip(&mut grounds) {
            stands.push(planner.stand(base, ground, &self.source).await);
        }
        if stands.iter().flatten().any(|stand| stand.is_moving) {
            if now.since(*desk.moving.get_or_insert(now)) < PATIENCE {
                return Ok(Some(SETTLE));
            }
        } else {
            desk.moving = None;
        }
        let open = self.forge.pulls(&self.branch).await?;
        let mut is_behind = false;
        desk.planned.retain(|number, _| open.iter().any(|pull| pull.number == *number));
        for pull in &open {
            let known = desk.planned.get(&pull.number);
            if !known.is_some_and(|known| known.holds(pull, base, &stands, now)) {
                if self.source.head().await?.tip != Tip::At(base) {
                    return Ok(Some(Duration::ZERO));
                }
                let Some(plan) = self.plan(pull, base, &mut grounds).await else {
                    is_behind = true;
                    continue;
                };
                let comment = known.map_or(Written::Unknown, |known| known.comment.clone());
                let planned = Planned::new(pull, base, stands.clone(), &plan, comment, now);
                desk.planned.insert(pull.number, planned);
                let statuses = desk.planned.values().map(|planned| (planned.head, planned.status.clone())).collect();
                self.reports.tell(&StatusContext::plan(), statuses);
            }
            if let Some(planned) = desk.planned.get_mut(&pull.number) {
                self.write(pull.number, planned).await?;
            }
        }
        is_behind |= desk.planned.values().any(|planned| planned.again.is_some());
        Ok(is_behind.then_some(AGAIN))
    }

    /// Whether this controller tells the plans: the one that leads the first environment does.
    fn may_speak(&self, desk: &mut Desk) -> bool {
        let speaks = self.planners.first().is_some_and(|first| self.reports.speaks(&StatusContext::of(&first.environment)));
        if speaks != desk.speaks {
            *desk = Desk { speaks, ..Desk::default() };
            if speaks {
                self.reports.begin(&StatusContext::plan(), BTreeMap::new(), BTreeSet::new());
            } else {
                self.reports.end(&StatusContext::plan());
            }
        }
        speaks
    }

    /// The plan of one pull request; none when its head is another one by now, of which there is news soon.
    async fn plan(&self, pull: &PullRequest, base: Revision, grounds: &mut [Ground]) -> Option<PullPlan> {
        let merge = match self.source.merged(pull.number, pull.head, base).await {
            Ok(Merged::At(merge)) => merge,
            Ok(Merged::Conflicts(files)) => return Some(PullPlan::Conflicts(files)),
            Ok(Merged::Gone) => return None,
            Err(error) => return Some(PullPlan::Unknown(error.chain())),
        };
        let commits = self.source.commits(Some(base), merge).await.unwrap_or_default();
        let clock = self.scheduler.clock();
        let mut plans = Vec::new();
        for (planner, ground) in self.planners.iter().zip(grounds) {
            let forecast = planner.forecast(merge, pull.from_fork, ground, &self.source, clock.now()).await;
            plans.push((planner.environment.clone(), forecast));
        }
        Some(PullPlan::Merged { plans, trailers: PullPlan::trailers(&commits), from_fork: pull.from_fork })
    }

    /// Makes the comment say what it should. One that the forge refuses is told and left; a forge that is away ends the round.
    async fn write(&self, number: PullNumber, planned: &mut Planned) -> Result<(), EdgeError> {
        let outcome = self.try_to_write(number, planned).await;
        match outcome {
            Err(error) if error.kind != EdgeKind::Transient && error.asked_to_wait().is_none() => {
                planned.comment = Written::Refused;
                self.report(&error, &mut Failing::default());
                Ok(())
            }
            Err(error) => {
                // It may have been written all the same.
                planned.comment = Written::Unknown;
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    async fn try_to_write(&self, number: PullNumber, planned: &mut Planned) -> Result<(), EdgeError> {
        if planned.comment == Written::Unknown {
            let mut found = self.forge.comments(number, MARKER).await?.into_iter();
            planned.comment = found.next().map_or(Written::None, |comment| Written::There(comment.id, comment.text));
            // Two controllers may have written at once.
            for twice in found {
                self.forge.remove(twice.id).await?;
                self.scheduler.sleep(self.forge.pace()).await;
            }
        }
        let id = match &planned.comment {
            Written::Refused | Written::Unknown => return Ok(()),
            Written::There(_, text) if says(text, &planned.text) => return Ok(()),
            Written::None if planned.is_idle => return Ok(()),
            Written::There(id, _) => match self.forge.edit(*id, &planned.text).await {
                Err(error) if error.kind == EdgeKind::NotFound => self.forge.comment(number, &planned.text).await?,
                other => other.map(|()| *id)?,
            },
            Written::None => self.forge.comment(number, &planned.text).await?,
        };
        planned.comment = Written::There(id, planned.text.clone());
        self.scheduler.sleep(self.forge.pace()).await;
        Ok(())
    }

    fn report(&self, error: &EdgeError, failing: &mut Failing) {
        if failing.is_news(error) {
            let event = ControllerEvent::ForgeFailed { kind: error.kind, because: error.chain(), hint: error.hint.clone() };
            self.telemetry.emit_controller(&event);
        } else {
            self.telemetry.metrics().forge_failed(error.kind);
        }
    }
}

impl Planned {
    fn new(
        pull: &PullRequest,
        base: Revision,
        stands: Vec<Option<Stand>>,
        plan: &PullPlan,
        comment: Written,
        now: Timestamp,
    ) -> Self {
        let again = plan.is_partial().then_some(now + AGAIN);
        let text = text_of(plan);
        // Another plan may be one that the forge takes.
        let comment = if comment == Written::Refused { Written::Unknown } else { comment };
        Self { head: pull.head, base, stands, status: plan.status(), again, is_idle: plan.is_idle(), text, comment }
    }

    /// Whether it is what a new look would find.
    fn holds(&self, pull: &PullRequest, base: Revision, stands: &[Option<Stand>], now: Timestamp) -> bool {
        (self.head, self.base) == (pull.head, base) && self.stands == stands && self.again.is_none_or(|again| again > now)
    }
}

/// Whether a comment says this already: forges keep line ends as they like.
fn says(found: &str, text: &str) -> bool {
    found.lines().map(str::trim_end).eq(text.trim_end().lines().map(str::trim_end))
}
