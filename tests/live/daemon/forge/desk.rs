//! A forge with a memory: statuses, pull requests and comments as they were written, and outages when a test wants them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lockstep::config::ForgeKind;
use lockstep::domain::revision::Revision;
use serde_json::{Value, json};

use super::super::site::logs;
use crate::forge_server::{ForgeServer, Reply, Request};
use crate::support::eventually;

/// A status as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) commit: String,
    pub(super) context: String,
    pub(super) state: String,
    pub(super) text: String,
    pub(super) link: String,
}

/// A comment as it stands.
#[derive(Debug, Clone)]
pub(super) struct Comment {
    id: u64,
    pull: u64,
    by: &'static str,
    pub(super) text: String,
    pub(super) edits: u32,
}

#[derive(Default)]
struct Memory {
    statuses: Vec<Status>,
    pulls: Vec<Value>,
    comments: Vec<Comment>,
    last_id: u64,
    /// What everything is answered with, instead.
    outage: Option<Reply>,
}

/// The forge.
pub(super) struct Desk {
    /// Where the controllers' logs are.
    home: PathBuf,
    server: ForgeServer,
    memory: Arc<Mutex<Memory>>,
}

impl Desk {
    pub(super) fn of(kind: ForgeKind, home: &Path) -> Self {
        let server = ForgeServer::of(kind);
        let memory: Arc<Mutex<Memory>> = Arc::default();
        let kept = Arc::clone(&memory);
        server.answer(move |request| kept.lock().unwrap().answer(request, kind));
        Self { home: home.to_owned(), server, memory }
    }

    /// Where its pages are.
    pub(super) fn url(&self) -> &str {
        &self.server.origin
    }

    /// From now on everything is answered so; none: as usual.
    pub(super) fn fails(&self, with: Option<Reply>) {
        self.memory.lock().unwrap().outage = with;
    }

    /// How many requests came so far.
    pub(super) fn asked(&self) -> usize {
        self.server.requests().len()
    }

    /// The requests so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.server.lines()
    }

    /// A pull request of this number proposes this commit.
    pub(super) fn proposes(&self, number: u64, head: Revision, from_fork: bool) {
        let repo = json!({ "id": if from_fork { 2 } else { 1 } });
        let pull = json!({
            "number": number,
            "state": "open",
            "head": { "ref": "change", "label": "boss:change", "sha": head.to_string(), "repo": repo },
            "base": { "ref": "main", "label": "main", "sha": head.to_string(), "repo": { "id": 1 } },
        });
        let mut memory = self.memory.lock().unwrap();
        memory.pulls.retain(|known| known["number"] != number);
        memory.pulls.push(pull);
    }

    /// It was merged or closed.
    pub(super) fn closes(&self, number: u64) {
        self.memory.lock().unwrap().pulls.retain(|known| known["number"] != number);
    }

    /// Somebody wrote a comment.
    pub(super) fn comment_by(&self, by: &'static str, pull: u64, text: &str) {
        self.memory.lock().unwrap().write(pull, by, text);
    }

    /// What lockstep's comments on a pull request say.
    pub(super) fn comments(&self, pull: u64) -> Vec<Comment> {
        let memory = self.memory.lock().unwrap();
        memory.comments.iter().filter(|comment| comment.pull == pull && comment.by == "lockstep").cloned().collect()
    }

    /// Every status of a commit and a context, in the order in which they were written.
    pub(super) fn told(&self, commit: Revision, context: &str) -> Vec<Status> {
        let memory = self.memory.lock().unwrap();
        let of = memory.statuses.iter().filter(|status| status.commit == commit.to_string() && status.context == context);
        of.cloned().collect()
    }

    /// All statuses that were ever written.
    pub(super) fn written(&self) -> usize {
        self.memory.lock().unwrap().statuses.len()
    }

    /// Waits until the newest status says so, and gives it.
    #[track_caller]
    pub(super) fn until(&self, commit: Revision, context: &str, state: &str, part: &str) -> Status {
        let newest = || self.told(commit, context).pop().filter(|status| status.state == state && status.text.contains(part));
        let begun = std::time::Instant::now();
        while newest().is_none() {
            let told = self.told(commit, context);
            let logs = || logs(&self.home);
            assert!(begun.elapsed() < crate::support::PATIENCE, "{context} is no {state} with {part:?}: {told:#?}\n{}", logs());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        newest().unwrap()
    }

    /// Waits until the one comment of a pull request says so, and gives it.
    #[track_caller]
    pub(super) fn until_comment(&self, pull: u64, part: &str) -> Comment {
        let says = || self.comments(pull).into_iter().find(|comment| comment.text.contains(part));
        eventually(&format!("a comment with {part:?}, of {:#?}", self.comments(pull)), || says().is_some());
        says().unwrap()
    }
}

impl Memory {
    fn write(&mut self, pull: u64, by: &'static str, text: &str) -> u64 {
        self.last_id += 1;
        self.comments.push(Comment { id: self.last_id, pull, by, text: text.to_owned(), edits: 0 });
        self.last_id
    }

    fn answer(&mut self, request: &Request, kind: ForgeKind) -> Option<Reply> {
        if let Some(outage) = &self.outage {
            return Some(outage.clone());
        }
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        let body = request.body.clone().unwrap_or_default();
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let number = |text: &str| text.parse::<u64>().unwrap();
        let reply = match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["user"]) => Reply::json(200, &json!({ "id": 1, "login": "lockstep" })),
            ("GET", ["repos", _, _, "commits", sha, "status"]) => Reply::json(200, &self.combined(sha, kind)),
            ("POST", ["repos", _, _, "statuses", sha]) => {
                self.last_id += 1;
                let status = Status {
                    commit: (*sha).to_owned(),
                    context: text("context"),
                    state: text("state"),
                    text: text("description"),
                    link: text("target_url"),
                };
                self.statuses.push(status);
                Reply::json(201, &json!({ "id": self.last_id }))
            }
            ("GET", ["repos", _, _, "pulls"]) => {
                let first = request.asked("page").is_none_or(|page| page == "1");
                Reply::json(200, &json!(if first { self.pulls.clone() } else { Vec::new() }))
            }
            ("GET", ["repos", _, _, "issues", pull, "comments"]) => {
                let first = request.asked("page").is_none_or(|page| page == "1");
                let on = self.comments.iter().filter(|comment| first && comment.pull == number(pull));
                let wire =
                    |comment: &Comment| json!({ "id": comment.id, "body": comment.text, "user": { "login": comment.by } });
                Reply::json(200, &json!(on.map(wire).collect::<Vec<_>>()))
            }
            ("POST", ["repos", _, _, "issues", pull, "comments"]) => {
                let id = self.write(number(pull), "lockstep", &text("body"));
                Reply::json(201, &json!({ "id": id }))
            }
            ("PATCH", ["repos", _, _, "issues", "comments", id]) => {
                let id = number(id);
                let Some(comment) = self.comments.iter_mut().find(|comment| comment.id == id) else {
                    return Some(Reply::json(404, &json!({ "message": "Not Found" })));
                };
                comment.text = text("body");
                comment.edits += 1;
                Reply::json(200, &json!({ "id": id }))
            }
            ("DELETE", ["repos", _, _, "issues", "comments", id]) => {
                let id = number(id);
                self.comments.retain(|comment| comment.id != id);
                Reply::text(204, "")
            }
            _ => return None,
        };
        Some(reply)
    }

    fn combined(&self, sha: &str, kind: ForgeKind) -> Value {
        let field = if kind == ForgeKind::GitHub { "state" } else { "status" };
        let of = self.statuses.iter().enumerate().filter(|(_, status)| status.commit == sha);
        let wire = of.map(|(id, status)| {
            json!({ "id": id + 1, "context": status.context, field: status.state, "description": status.text, "target_url": status.link })
        });
        json!({ "state": "pending", "sha": sha, "statuses": wire.collect::<Vec<_>>() })
    }
}
