//! What a person wants to know before relying on a forge: what answers, as whom, what the credential may, which webhooks there are.

use serde::Deserialize;

use super::ForgeClient;
use super::access::Access;
use super::fault::{self, cleaned};
use super::http::{Ask, encoded};
use super::list::{List, Taken};
use crate::config::ForgeKind;
use crate::domain::revision::Revision;
use crate::port::{EdgeError, EdgeKind};

/// The repository at the forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The branch that people see first.
    pub default_branch: String,
    /// What the credential is known to be allowed.
    pub rights: Rights,
}

/// What the credential may write; none: nobody knows before it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Commit statuses.
    pub statuses: Option<bool>,
    /// Comments on pull requests.
    pub comments: Option<bool>,
}

/// A branch at the forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Where it stands.
    pub head: Revision,
}

/// A webhook of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Where it delivers to.
    pub url: String,
    /// Whether it does.
    pub active: bool,
    /// What it delivers.
    pub events: Vec<String>,
    /// `json` or `form`.
    pub content_type: Option<String>,
    /// What the last delivery was answered, where the forge tells.
    pub last: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Repository {
    default_branch: String,
    permissions: Option<Permissions>,
}

#[derive(Deserialize)]
struct Permissions {
    push: Option<bool>,
}

#[derive(Deserialize)]
struct WireBranch {
    commit: WireCommit,
}

/// GitHub calls it `sha`, Gitea `id`.
#[derive(Deserialize)]
struct WireCommit {
    sha: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
struct WireHook {
    config: WireHookConfig,
    active: bool,
    events: Option<Vec<String>>,
    last_response: Option<LastResponse>,
}

#[derive(Deserialize)]
struct WireHookConfig {
    url: Option<String>,
    content_type: Option<String>,
}

#[derive(Deserialize)]
struct LastResponse {
    code: Option<u16>,
    status: Option<String>,
    message: Option<String>,
}

impl WireHook {
    fn hook(self) -> Hook {
        let last = self.last_response.and_then(|LastResponse { code, status, message }| {
            let said = message.or(status).filter(|text| !text.is_empty() && text != "unused").map(|text| cleaned(&text));
            match (code, said) {
                (Some(code), Some(said)) => Some(format!("{code} {said}")),
                (Some(code), None) => Some(code.to_string()),
                (None, said) => said,
            }
        });
        Hook {
            url: self.config.url.unwrap_or_default(),
            active: self.active,
            events: self.events.unwrap_or_default(),
            content_type: self.config.content_type,
            last,
        }
    }
}

impl ForgeClient {
    /// What answers at the configured address: "GitHub", "Gitea 1.22.3". None: something that does not say that it is the forge.
    /// The credential is not shown.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn product(&self) -> Result<Option<String>, EdgeError> {
        let doing = "ask what answers";
        match self.http.kind {
            ForgeKind::GitHub => {
                let answer = self.http.send(&Ask::get("/rate_limit", doing), None).await?;
                let enterprise = answer.header("x-github-enterprise-version").map(cleaned);
                let is_github =
                    answer.header("x-github-request-id").is_some() || answer.header("x-github-media-type").is_some();
                Ok(match enterprise {
                    Some(version) => {
                        Some(format!("GitHub Enterprise Server {}", version.trim_start_matches("enterprise-server@")))
                    }
                    None => is_github.then(|| "GitHub".to_owned()),
                })
            }
            ForgeKind::Gitea => {
                let mut answer = self.http.send(&Ask::get("/version", doing), None).await?;
                if matches!(answer.status, 401 | 403) {
                    // One that shows nothing to strangers.
                    answer = self.ask(&Ask::get("/version", doing)).await?;
                }
                if !answer.is_good() {
                    return if answer.status >= 500 { self.http.judge(doing, answer, None).map(|_| None) } else { Ok(None) };
                }
                let Ok(Version { version }) = self.http.understand(&answer, doing) else { return Ok(None) };
                let version = cleaned(&version);
                Ok(Some(match version.split_once("+gitea-") {
                    Some((forgejo, _)) => format!("Forgejo {forgejo}"),
                    None => format!("Gitea {version}"),
                }))
            }
        }
    }

    /// The installation's id, where the credential is an App's.
    #[must_use]
    pub fn installation(&self) -> Option<u64> {
        match &self.access {
            Access::Token(_) => None,
            Access::App(app) => Some(app.installation),
        }
    }

    /// The repository, and what the credential may do there as far as that is known without doing it.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn place(&self) -> Result<Place, EdgeError> {
        let doing = "read the repository";
        let answer = self.ask(&Ask::get(self.path(""), doing)).await?;
        let Repository { default_branch, permissions } = self.http.understand(&answer, doing)?;
        let rights = match &self.access {
            Access::App(app) => {
                let granted = app.permissions(&self.http).await?;
                let may = |name: &str| granted.get(name).is_some_and(|right| right == "write");
                Rights { statuses: Some(may("statuses")), comments: Some(may("pull_requests") || may("issues")) }
            }
            Access::Token(_) => {
                let may_push = permissions.and_then(|permissions| permissions.push);
                let scopes = answer.header("x-oauth-scopes").filter(|_| self.http.kind == ForgeKind::GitHub);
                let has = |wanted: &[&str]| {
                    let mut scopes = scopes?.split(',').map(str::trim);
                    Some(scopes.any(|scope| wanted.contains(&scope)))
                };
                // A token can't give what its user has not; what the user has it need not give.
                let within = |granted: Option<bool>| if may_push == Some(false) { Some(false) } else { granted };
                Rights {
                    statuses: within(has(&["repo", "repo:status"])),
                    // Who may read may comment.
                    comments: has(&["repo", "public_repo"]),
                }
            }
        };
        Ok(Place { default_branch: cleaned(&default_branch), rights })
    }

    /// What the credential needs, for a person.
    #[must_use]
    pub fn rights(&self) -> &'static str {
        fault::rights(self.http.kind)
    }

    /// A branch of the repository.
    ///
    /// # Errors
    /// `NotFound` when it has none of this name.
    pub async fn branch(&self, name: &str) -> Result<Branch, EdgeError> {
        let doing = format!("read the branch {name}");
        // Gitea takes the rest of the path for the name.
        let name = match self.http.kind {
            ForgeKind::GitHub => encoded(name),
            ForgeKind::Gitea => name.split('/').map(encoded).collect::<Vec<_>>().join("/"),
        };
        let answer = self.ask(&Ask::get(self.path(&format!("/branches/{name}")), doing.as_str())).await?;
        let WireBranch { commit } = self.http.understand(&answer, &doing)?;
        let head = commit.sha.or(commit.id).and_then(|id| Revision::parse(&id).ok());
        let head = head.ok_or_else(|| self.http.error(EdgeKind::Transient, &doing).because("the answer names no commit"))?;
        Ok(Branch { head })
    }

    /// The repository's webhooks.
    ///
    /// # Errors
    /// `Denied` or `NotFound` when the credential may not list them.
    pub async fn hooks(&self) -> Result<Vec<Hook>, EdgeError> {
        let doing = "list the webhooks";
        let mut found = Vec::new();
        let list = List { rest: "/hooks", narrowed: "", page: Some(super::PAGE), doing };
        let take = |hooks: Vec<WireHook>| {
            let held = hooks.len();
            found.extend(hooks.into_iter().map(WireHook::hook));
            Taken { held, enough: false }
        };
        self.pages(list, take).await?;
        Ok(found)
    }

    /// The login of the credential's user, or of its App; none where it may not know.
    ///
    /// # Errors
    /// When the forge does not take the credential, or could not be asked.
    pub async fn identity(&self) -> Result<Option<String>, EdgeError> {
        if let Access::App(app) = &self.access {
            app.permissions(&self.http).await?;
        }
        Ok(self.login().await?.map(|login| cleaned(&login)))
    }
}
