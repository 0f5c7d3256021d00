//! A forge: it keeps the newest status of each commit, fails and loses answers like everything else.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep::domain::commit_status::{Posted, StatusContext, StatusState};
use lockstep::domain::pull::{Comment, CommentId, NewPull, PullNumber, PullRequest};
use lockstep::domain::revision::Revision;
use lockstep::port::{EdgeError, EdgeKind, Forge};

use super::Edge;
use crate::bugs::Bug;

fn unasked() -> EdgeError {
    EdgeError::new("sim", EdgeKind::Refused, "ask about pull requests")
}

impl Forge for Edge {
    fn name(&self) -> String {
        "sim".to_owned()
    }

    fn pace(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn statuses(&self, revision: Revision) -> Result<BTreeMap<StatusContext, Posted>, EdgeError> {
        self.call("read statuses").await?;
        let all: Vec<_> = self
            .world()
            .statuses
            .iter()
            .filter(|((of, _), _)| *of == revision)
            .map(|((_, context), stands)| (context.clone(), stands.posted.clone()))
            .collect();
        self.answer("read statuses").await?;
        Ok(if self.has(Bug::SpeaksWithoutALook) { BTreeMap::new() } else { all.into_iter().collect() })
    }

    async fn post(&self, revision: Revision, context: &StatusContext, status: &Posted) -> Result<(), EdgeError> {
        let called = self.call("write a status").await;
        if self.has(Bug::TakesAnUnwrittenStatusForWritten) {
            called.or(Ok::<(), EdgeError>(()))?;
            if self.world().random.percent(50) {
                return Ok(());
            }
        } else {
            called?;
        }
        let superseded = status.state == Some(StatusState::Error) && status.text.starts_with("superseded by a newer");
        if superseded && self.has(Bug::LeavesStatusesPending) {
            return Ok(());
        }
        self.world().posted(revision, context, status, (self.replica, self.start));
        self.answer("write a status").await?;
        if let Some(stands) = self.world().statuses.get_mut(&(revision, context.clone())) {
            stands.is_known |= stands.by == (self.replica, self.start);
        }
        Ok(())
    }

    async fn pulls(&self, _: &str) -> Result<Vec<PullRequest>, EdgeError> {
        Err(unasked())
    }

    async fn comments(&self, _: PullNumber, _: &str) -> Result<Vec<Comment>, EdgeError> {
        Err(unasked())
    }

    async fn comment(&self, _: PullNumber, _: &str) -> Result<CommentId, EdgeError> {
        Err(unasked())
    }

    async fn edit(&self, _: CommentId, _: &str) -> Result<(), EdgeError> {
        Err(unasked())
    }

    async fn remove(&self, _: CommentId) -> Result<(), EdgeError> {
        Err(unasked())
    }

    async fn pulls_from(&self, _: &str) -> Result<Vec<PullNumber>, EdgeError> {
        Err(unasked())
    }

    async fn open_pull(&self, _: &NewPull) -> Result<PullNumber, EdgeError> {
        Err(unasked())
    }
}
