//! The forge that has the config repository: where its API answers, and with what credential it is asked.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::Credential;
use super::fields::{Fields, Problems};

/// What is wrong, and what to write instead. Neither repeats a URL, which may hold a password.
type Refusal = (String, String);

/// GitHub's own API.
const GITHUB: &str = "https://api.github.com";
/// The longest owner or repository that a forge allows.
const LONGEST_NAME: usize = 100;
const REPOSITORY: &str = "write OWNER/NAME, such as ops/calvin-config, as in the address of its page";
const CREDENTIALS: &str = "use token: {file: …} or {env: …} beside url";

/// The forge that has the config repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forge {
    /// Whose API it speaks.
    pub kind: ForgeKind,
    /// Where the API answers, without `/` at its end: `https://api.github.com`, `https://git.example/api/v1`.
    pub api: String,
    /// The repository there.
    pub repository: ForgeRepository,
    /// What is shown to it.
    pub credential: ForgeCredential,
    /// A CA file instead of the system's.
    pub ca: Option<PathBuf>,
    /// Which commits get a status.
    pub statuses: Statuses,
    /// Whether pull requests get a plan.
    pub plans: bool,
    /// Whether a rollback opens a pull request that reverts the bad commit.
    pub revert_pull_requests: bool,
}

/// Whose API a forge speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeKind {
    /// github.com, GitHub Enterprise.
    GitHub,
    /// Gitea, Forgejo.
    Gitea,
}

impl ForgeKind {
    /// Its name in the file, in messages and in the paths of webhooks.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::Gitea => "gitea",
        }
    }
}

/// A repository at a forge; both names are safe in a URL's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeRepository {
    /// A person or an organisation.
    pub owner: String,
    /// Its name there.
    pub name: String,
}

impl std::fmt::Display for ForgeRepository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// What is shown to a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForgeCredential {
    /// A token that somebody made there.
    Token(Credential),
    /// An installation of a GitHub App, whose short-lived tokens are asked for with the App's key.
    App {
        /// The App's id.
        id: u64,
        /// The installation's id.
        installation: u64,
        /// The App's private key, PEM; its file must not be readable by others.
        key: PathBuf,
    },
}

/// Which commits get a status for each environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Statuses {
    /// Those that change the environment (rule R3).
    #[default]
    Changes,
    /// Every one, for repositories that require the status.
    EveryCommit,
    /// None.
    Off,
}

/// Reads `forge:`.
pub(super) fn forge(mut fields: Fields, base: &Path, problems: &mut Problems) -> Option<Forge> {
    let (name, at) = (fields.name.clone(), fields.at);
    let github = fields.section("github", problems);
    let gitea = fields.section("gitea", problems);
    let statuses = fields.parsed("statuses", problems, statuses).map_or_else(Statuses::default, |given| given.value);
    let plans = fields.parsed("plans", problems, truth).is_none_or(|given| given.value);
    let revert_pull_requests = fields.parsed("revert_pull_requests", problems, truth).is_some_and(|given| given.value);
    fields.finish(problems);
    let place = match (github, gitea) {
        (Some(section), None) => place(ForgeKind::GitHub, section, base, problems),
        (None, Some(section)) => place(ForgeKind::Gitea, section, base, problems),
        (Some(_), Some(_)) => {
            problems.add(
                at,
                format!("{name} names two forges"),
                "write either github or gitea: a repository is at one of them",
            );
            None
        }
        (None, None) => {
            let hint = "write github: {repository: OWNER/NAME, token: {file: …}} or gitea: {url: …, repository: …, token: …}";
            problems.add(at, format!("{name} names no forge"), hint);
            None
        }
    }?;
    Some(Forge { statuses, plans, revert_pull_requests, ..place })
}

fn place(kind: ForgeKind, mut fields: Fields, base: &Path, problems: &mut Problems) -> Option<Forge> {
    let (name, at) = (fields.name.clone(), fields.at);
    let api = match kind {
        ForgeKind::GitHub if !fields.has("url") => {
            // Asked for all the same, so that a misspelt one is told from it.
            fields.take("url");
            Some(GITHUB.to_owned())
        }
        ForgeKind::GitHub => fields.parsed("url", problems, github).map(|given| given.value),
        ForgeKind::Gitea => fields
            .required("url", "write the address of its front page, such as https://git.example", problems)
            .and_then(|given| super::fields::read_with(given, problems, gitea))
            .map(|given| given.value),
    };
    let repository = fields
        .required("repository", REPOSITORY, problems)
        .and_then(|given| super::fields::read_with(given, problems, repository))
        .map(|given| given.value);
    let token = fields.has("token").then(|| fields.credential("token", base, problems)).or_else(|| {
        fields.take("token");
        None
    });
    let app = match kind {
        ForgeKind::GitHub => fields.section("app", problems).map(|section| app(section, base, problems)),
        ForgeKind::Gitea => None,
    };
    let ca = fields.path("ca", base, problems);
    fields.finish(problems);
    let credential = match (token, app) {
        (Some(token), None) => token.map(ForgeCredential::Token),
        (None, Some(app)) => app,
        (Some(_), Some(_)) => {
            problems.add(at, format!("{name} has a token and an app"), "remove one of them");
            None
        }
        (None, None) => {
            let hint = match kind {
                ForgeKind::GitHub => "write token: {file: …}, or app: {id: …, installation: …, key: {file: …}}",
                ForgeKind::Gitea => "write token: {file: …} or {env: …}",
            };
            problems.add(at, format!("{name}.token is missing"), hint);
            None
        }
    };
    Some(Forge {
        kind,
        api: api?,
        repository: repository?,
        credential: credential?,
        ca,
        statuses: Statuses::default(),
        plans: true,
        revert_pull_requests: false,
    })
}

fn app(mut fields: Fields, base: &Path, problems: &mut Problems) -> Option<ForgeCredential> {
    let id = fields.required("id", "it is on the App's page, as App ID", problems);
    let id = id.and_then(|given| super::fields::read_with(given, problems, number));
    let hint = "it is the number at the end of the installation's address";
    let installation = fields.required("installation", hint, problems);
    let installation = installation.and_then(|given| super::fields::read_with(given, problems, number));
    let (at, key) = (fields.at, fields.name_of("key"));
    let key = if fields.has("key") {
        fields.credential("key", base, problems).and_then(|credential| match credential {
            Credential::File(path) => Some(path),
            Credential::Env(_) => {
                problems.add(at, format!("{key} must be a file: it has several lines"), "write key: {file: app.pem}");
                None
            }
        })
    } else {
        fields.take("key");
        problems.add(at, format!("{key} is missing"), "write key: {file: app.pem}, the private key that the App's page gave");
        None
    };
    fields.finish(problems);
    Some(ForgeCredential::App { id: id?.value, installation: installation?.value, key: key? })
}

fn refuse<T>(message: &str, hint: &str) -> Result<T, Refusal> {
    Err((message.to_owned(), hint.to_owned()))
}

fn statuses(text: &str) -> Result<Statuses, Refusal> {
    match text {
        "changes" => Ok(Statuses::Changes),
        "every-commit" => Ok(Statuses::EveryCommit),
        "off" => Ok(Statuses::Off),
        _ => refuse("it is none of changes, every-commit and off", "write changes, or leave it out"),
    }
}

fn truth(text: &str) -> Result<bool, Refusal> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => refuse("it is neither true nor false", ""),
    }
}

fn number(text: &str) -> Result<u64, Refusal> {
    match text.parse::<u64>() {
        Ok(number) if number > 0 && text.bytes().all(|digit| digit.is_ascii_digit()) => Ok(number),
        _ => refuse("it is no number above 0", "write the number alone"),
    }
}

fn repository(text: &str) -> Result<ForgeRepository, Refusal> {
    let Some((owner, name)) = text.split_once('/') else {
        return refuse("it is not OWNER/NAME", REPOSITORY);
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    for part in [owner, name] {
        if part.is_empty() || part.len() > LONGEST_NAME || part == "." || part == ".." || !part.chars().all(plain) {
            return refuse("it is not OWNER/NAME with letters, digits, '-', '_' and '.' only", REPOSITORY);
        }
    }
    if std::path::Path::new(name).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("git")) {
        return refuse("its name ends with .git, which belongs to the address for git only", REPOSITORY);
    }
    Ok(ForgeRepository { owner: owner.to_owned(), name: name.to_owned() })
}

/// An address that a credential may be sent to.
fn address(text: &str) -> Result<Url, Refusal> {
    let Ok(url) = Url::parse(text) else {
        return refuse("it is no URL", "write https://HOST, and the path below which it answers");
    };
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
        return refuse("it is no address of a web server", "write https://HOST, and the path below which it answers");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("it holds credentials, which would end in logs and process lists", CREDENTIALS);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("it has a query or a fragment", "remove everything from '?' or '#' on");
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return refuse("it is not encrypted", "use https://; http:// is allowed to this machine only");
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn github(text: &str) -> Result<String, Refusal> {
    let url = address(text)?;
    let host = url.host_str().unwrap_or_default();
    let with_residency = host.ends_with(".ghe.com");
    if matches!(host, "github.com" | "www.github.com") {
        return refuse("it is the address of the pages, not of the API", "leave url out, or write https://api.github.com");
    }
    if with_residency && !host.starts_with("api.") {
        return refuse("it is the address of the pages, not of the API", "write https://api.NAME.ghe.com");
    }
    let bare = url.path().trim_matches('/').is_empty();
    let own_host = host == "api.github.com" || with_residency;
    let api = url.as_str().trim_end_matches('/');
    Ok(if bare && !own_host { format!("{api}/api/v3") } else { api.to_owned() })
}

fn gitea(text: &str) -> Result<String, Refusal> {
    let url = address(text)?;
    let front = url.as_str().trim_end_matches('/').trim_end_matches("/api/v1");
    Ok(format!("{front}/api/v1"))
}
