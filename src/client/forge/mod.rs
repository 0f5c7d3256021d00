//! The forge that has the config repository: GitHub, and Gitea with Forgejo, over their HTTP APIs.
//!
//! Both have the same routes for what is needed here; what differs is in `github` and `gitea`. Answers are read with few fields and
//! no more: a forge adds some with every version.

mod http;
mod github;
mod gitea;
mod fault;
mod app;
mod access;
mod list;
mod wire;
mod check;

pub use check::{Branch, Hook, Place, Rights};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::sync::OnceCell;

use self::access::Access;
use self::http::{Answer, Ask, Http, Shown};
use self::list::{List, Taken};
use crate::config::{Forge as Config, ForgeKind, ForgeRepository};
use crate::domain::commit_status::{Posted, StatusContext};
use crate::domain::pull::{Comment, CommentId, NewPull, PullNumber, PullRequest};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::port::{Clock, EdgeError, EdgeKind, Forge};

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Items of one page of a list.
const PAGE: usize = 100;
/// Comments of one page: one may have 64 KiB.
const COMMENTS: usize = 50;

/// One forge, and one repository there.
pub struct ForgeClient {
    http: Http,
    access: Access,
    repository: ForgeRepository,
    /// Who wrote what this credential wrote; none where the forge does not tell.
    login: OnceCell<Option<String>>,
}

/// The wall clock: a forge compares it with its own, so it must follow what sets this machine's right.
struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "what is signed for a forge must bear this machine's time of that moment")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl ForgeClient {
    /// A client for the forge of the configuration. Nothing is sent yet.
    ///
    /// # Errors
    /// When the CA file can't be read, or TLS can't be set up.
    pub fn new(config: &Config) -> Result<Self, EdgeError> {
        Self::with(config, DEADLINE, Arc::new(WallClock))
    }

    /// The same with another deadline for each request, and another clock.
    ///
    /// # Errors
    /// Those of [`ForgeClient::new`].
    pub fn with(config: &Config, deadline: Duration, clock: Arc<dyn Clock>) -> Result<Self, EdgeError> {
        let http = Http::new(config, deadline, clock)?;
        Ok(Self { http, access: Access::new(config), repository: config.repository.clone(), login: OnceCell::new() })
    }

    /// A path below the repository's own.
    fn path(&self, rest: &str) -> String {
        let ForgeRepository { owner, name } = &self.repository;
        format!("/repos/{owner}/{name}{rest}")
    }

    /// Sends a request with the credential; what was not done is an error.
    async fn ask(&self, ask: &Ask) -> Result<Answer, EdgeError> {
        let (answer, shown) = self.answer(ask).await?;
        self.http.judge(&ask.doing, answer, Some(&shown))
    }

    /// Sends a request with the credential, and gives the answer with it, whatever its status. A credential that was refused is
    /// renewed once, where it can be.
    async fn answer(&self, ask: &Ask) -> Result<(Answer, Shown), EdgeError> {
        let shown = self.access.show(&self.http).await?;
        let answer = self.http.send(ask, Some(&shown)).await?;
        if answer.status == 401
            && let Some(renewed) = self.access.renew(&self.http, &shown).await?
        {
            return Ok((self.http.send(ask, Some(&renewed)).await?, renewed));
        }
        Ok((answer, shown))
    }

    /// The pull requests of a narrowed list that are wanted, newest first.
    async fn listed(
        &self,
        narrowed: &str,
        doing: &str,
        wanted: impl Fn(&wire::Pull) -> bool + Send + Sync,
    ) -> Result<Vec<wire::Pull>, EdgeError> {
        let mut found: Vec<wire::Pull> = Vec::new();
        let list = List { rest: "/pulls", narrowed, page: Some(PAGE), doing };
        let take = |pulls: Vec<wire::Pull>| {
            let held = pulls.len();
            found.extend(pulls.into_iter().filter(&wanted));
            Taken { held, enough: found.len() >= PullRequest::MOST }
        };
        self.pages(list, take).await?;
        found.sort_by_key(|pull| std::cmp::Reverse(pull.number));
        // Whoever opens one between two pages moves another to the next.
        found.dedup_by_key(|pull| pull.number);
        found.truncate(PullRequest::MOST);
        Ok(found)
    }

    /// Under which login the credential writes; none where it may not know.
    ///
    /// # Errors
    /// When the forge does not take the credential, or could not be asked.
    pub async fn login(&self) -> Result<Option<String>, EdgeError> {
        self.login.get_or_try_init(|| self.own_login()).await.cloned()
    }

    async fn own_login(&self) -> Result<Option<String>, EdgeError> {
        let doing = "read who the credential is";
        match &self.access {
            Access::Token(_) => {
                let (answer, shown) = self.answer(&Ask::get("/user", doing)).await?;
                let may_know = !matches!(answer.status, 403 | 404);
                match self.http.judge(doing, answer, Some(&shown)) {
                    Ok(answer) => self.http.understand::<wire::User>(&answer, doing).map(|user| Some(user.login)),
                    Err(error) if !may_know && error.kind != EdgeKind::Transient => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Access::App(app) => {
                let (ask, signed) = (github::own_app(), app.signed(&self.http)?);
                let answer = self.http.send(&ask, Some(&signed)).await?;
                let answer = self.http.judge(&ask.doing, answer, Some(&signed))?;
                self.http.understand::<github::OwnApp>(&answer, &ask.doing).map(|app| Some(app.login()))
            }
        }
    }
}

impl std::fmt::Debug for ForgeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ForgeClient({})", self.name())
    }
}

impl Forge for ForgeClient {
    fn name(&self) -> String {
        let host = self.http.origin.split_once("://").map_or(self.http.origin.as_str(), |(_, host)| host);
        format!("{} at {host}, {}", self.http.kind.word(), self.repository)
    }

    fn pace(&self) -> Duration {
        match self.http.kind {
            // As its best practices ask; faster ones end in secondary limits.
            ForgeKind::GitHub => Duration::from_secs(1),
            ForgeKind::Gitea => Duration::from_millis(100),
        }
    }

    async fn statuses(&self, revision: Revision) -> Result<BTreeMap<StatusContext, Posted>, EdgeError> {
        let doing = format!("read the commit statuses of {}", revision.short());
        let mut newest: BTreeMap<StatusContext, wire::Status> = BTreeMap::new();
        let rest = format!("/commits/{revision}/status");
        let list = List { rest: &rest, narrowed: "", page: Some(PAGE), doing: &doing };
        let take = |combined: wire::Combined| {
            let statuses = combined.statuses.unwrap_or_default();
            let held = statuses.len();
            for status in statuses {
                let Some(context) = StatusContext::parse(&status.context) else { continue };
                if newest.get(&context).is_none_or(|known| known.id < status.id) {
                    newest.insert(context, status);
                }
            }
            Taken { held, enough: false }
        };
        self.pages(list, take).await?;
        Ok(newest.into_iter().map(|(context, status)| (context, status.posted())).collect())
    }

    async fn post(&self, revision: Revision, context: &StatusContext, status: &Posted) -> Result<(), EdgeError> {
        let doing = format!("write the commit status {context} of {}", revision.short());
        let Posted { state, text, link } = status;
        let Some(state) = state else {
            return Err(self.http.error(EdgeKind::Refused, &doing).because("it has no state that a forge knows"));
        };
        let mut body = json!({ "state": state.word(), "context": context.as_str(), "description": text });
        if let Some(link) = link {
            body["target_url"] = json!(link);
        }
        let answer = self.ask(&Ask::post(self.path(&format!("/statuses/{revision}")), body, doing.as_str())).await?;
        self.http.understand::<wire::Made>(&answer, &doing).map(|_| ())
    }

    async fn pulls(&self, branch: &str) -> Result<Vec<PullRequest>, EdgeError> {
        let narrowed = match self.http.kind {
            ForgeKind::GitHub => github::open_against(branch),
            ForgeKind::Gitea => gitea::OPEN.to_owned(),
        };
        let doing = format!("list the open pull requests against {branch}");
        let found = self.listed(&narrowed, &doing, |pull| pull.base.branch == branch).await?;
        Ok(found.iter().filter_map(wire::Pull::request).collect())
    }

    async fn comments(&self, pull: PullNumber, marker: &str) -> Result<Vec<Comment>, EdgeError> {
        let login = self.login().await?;
        let doing = format!("list the comments on {pull}");
        let rest = format!("/issues/{}/comments", pull.0);
        let mut found: Vec<Comment> = Vec::new();
        let page = match self.http.kind {
            ForgeKind::GitHub => Some(COMMENTS),
            // It gives all of them at once.
            ForgeKind::Gitea => None,
        };
        let list = List { rest: &rest, narrowed: "", page, doing: &doing };
        let take = |comments: Vec<wire::Comment>| {
            let held = comments.len();
            found.extend(comments.into_iter().filter_map(|comment| {
                let is_ours = login.as_ref().is_none_or(|login| comment.is_by(login));
                let text = comment.body.as_ref().filter(|text| is_ours && text.contains(marker))?.clone();
                Some(Comment { id: CommentId(comment.id), text })
            }));
            Taken { held, enough: false }
        };
        self.pages(list, take).await?;
        found.sort_by_key(|comment| comment.id);
        Ok(found)
    }

    async fn comment(&self, pull: PullNumber, text: &str) -> Result<CommentId, EdgeError> {
        let doing = format!("write a comment on {pull}");
        let ask = Ask::post(self.path(&format!("/issues/{}/comments", pull.0)), json!({ "body": text }), doing.as_str());
        let answer = self.ask(&ask).await?;
        self.http.understand::<wire::Made>(&answer, &doing).map(|made| CommentId(made.id))
    }

    async fn edit(&self, comment: CommentId, text: &str) -> Result<(), EdgeError> {
        let doing = format!("change comment {}", comment.0);
        let ask = Ask::patch(self.path(&format!("/issues/comments/{}", comment.0)), json!({ "body": text }), doing.as_str());
        let answer = self.ask(&ask).await?;
        self.http.understand::<wire::Made>(&answer, &doing).map(|_| ())
    }

    async fn remove(&self, comment: CommentId) -> Result<(), EdgeError> {
        let path = self.path(&format!("/issues/comments/{}", comment.0));
        match self.ask(&Ask::delete(path, format!("remove comment {}", comment.0))).await {
            Err(error) if error.kind != EdgeKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn pulls_from(&self, branch: &str) -> Result<Vec<PullNumber>, EdgeError> {
        let narrowed = match self.http.kind {
            ForgeKind::GitHub => github::all_from(&self.repository.owner, branch),
            ForgeKind::Gitea => gitea::ALL.to_owned(),
        };
        let found =
            self.listed(&narrowed, &format!("list the pull requests from {branch}"), |pull| pull.is_from(branch)).await?;
        Ok(found.iter().map(wire::Pull::number).collect())
    }

    async fn open_pull(&self, pull: &NewPull) -> Result<PullNumber, EdgeError> {
        let NewPull { branch, base, title, text } = pull;
        let doing = format!("open a pull request from {branch} to {base}");
        let body = json!({ "title": title, "head": branch, "base": base, "body": text });
        let answer = self.ask(&Ask::post(self.path("/pulls"), body, doing.as_str())).await?;
        self.http.understand::<wire::Pull>(&answer, &doing).map(|pull| pull.number())
    }
}
