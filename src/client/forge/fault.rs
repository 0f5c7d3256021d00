//! What a forge's refusal means: its status, its headers and its words as one of the five kinds of failure.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Value;

use super::http::{Answer, Http, Shown};
use super::{gitea, github};
use crate::config::ForgeKind;
use crate::domain::time::Timestamp;
use crate::port::{EdgeError, EdgeKind};

/// The longest that a forge may ask to be left alone; after that it is asked again, whatever it said.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// How long it is left alone when it does not say.
const USUAL_WAIT: Duration = Duration::from_mins(1);
/// So many characters of a forge's own words are repeated.
const LONGEST_QUOTE: usize = 300;

const BUSY: &str = "the forge has trouble; lockstep tries again";
const SLOWER: &str = "the forge limits how often it may be asked; lockstep tries again after that";
const HIDDEN: &str = "are `repository:` and `url:` of `forge:` right, and may the credential see them? To one without the right a forge says \
                      the same";
const MOVED: &str = "redirects are not followed with a credential: was the repository renamed or moved, or is `url:` of `forge:` not the \
                     final address?";

/// What forges say beside a status.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Words {
    message: Option<String>,
    errors: Option<Vec<Value>>,
}

impl Http {
    /// The answer, if it was done; else the error that its status means.
    pub(super) fn judge(&self, doing: &str, answer: Answer, shown: Option<&Shown>) -> Result<Answer, EdgeError> {
        if answer.is_good() { Ok(answer) } else { Err(of_answer(self, doing, &answer, shown)) }
    }
}

/// The error that an answer's status means.
fn of_answer(http: &Http, doing: &str, answer: &Answer, shown: Option<&Shown>) -> EdgeError {
    let quote = quoted(answer, shown);
    let status = answer.status;
    let because =
        if quote.is_empty() { format!("the forge answered {status}") } else { format!("the forge answered {status}: {quote}") };
    let error = |kind| http.error(kind, doing).because(because.clone());
    let words = quote.to_ascii_lowercase();
    let limited = answer.header("x-ratelimit-remaining") == Some("0")
        || answer.header("retry-after").is_some()
        || ["rate limit", "abuse detection"].iter().any(|sign| words.contains(sign));
    match status {
        300..=399 => error(EdgeKind::Refused).hint(MOVED),
        401 => error(EdgeKind::Denied)
            .lacks_right(format!("is the credential of `forge:` right, and has it expired? {}", rights(http.kind))),
        403 if limited => error(EdgeKind::Transient).hint(SLOWER).retry_after(wait(answer, http.clock.now())),
        403 => {
            let accepted = answer.header("x-accepted-github-permissions").map(cleaned).filter(|text| !text.is_empty());
            let asked = accepted.map(|text| format!("; for this the forge asks for {text}")).unwrap_or_default();
            error(EdgeKind::Denied).lacks_right(format!("the credential lacks a right{asked}. {}", rights(http.kind)))
        }
        404 | 410 => error(EdgeKind::NotFound).hint(HIDDEN),
        409 => error(EdgeKind::Conflict),
        422 if words.contains("no commit found for sha") => error(EdgeKind::NotFound).hint("is the commit pushed there?"),
        422 if words.contains("already exists") => error(EdgeKind::Conflict),
        429 => error(EdgeKind::Transient).hint(SLOWER).retry_after(wait(answer, http.clock.now())),
        // Gitea's way to say that there is no such commit.
        500 if words.contains("object does not exist") => error(EdgeKind::NotFound).hint("is the commit pushed there?"),
        408 | 500..=599 => {
            let error = error(EdgeKind::Transient).hint(BUSY);
            if answer.header("retry-after").is_some() { error.retry_after(wait(answer, http.clock.now())) } else { error }
        }
        _ => error(EdgeKind::Refused),
    }
}

/// What a credential of such a forge needs.
pub(super) fn rights(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::GitHub => github::RIGHTS,
        ForgeKind::Gitea => gitea::RIGHTS,
    }
}

/// How long the forge asked to be left alone.
fn wait(answer: &Answer, now: Timestamp) -> Duration {
    let number = |name| answer.header(name).and_then(|text| text.parse::<u64>().ok());
    let until = || {
        let reset = i64::try_from(number("x-ratelimit-reset")?).ok()?;
        (answer.header("x-ratelimit-remaining") == Some("0"))
            .then(|| Timestamp::from_millis(reset.saturating_mul(1_000)).since(now) + Duration::from_secs(1))
    };
    number("retry-after").map(Duration::from_secs).or_else(until).unwrap_or(USUAL_WAIT).min(LONGEST_WAIT)
}

/// The forge's own words in one line, without the credential that it was shown.
fn quoted(answer: &Answer, shown: Option<&Shown>) -> String {
    let Words { message, errors } = serde_json::from_slice(&answer.body).unwrap_or_default();
    let details = errors.unwrap_or_default().into_iter().take(5).filter_map(|detail| match detail {
        Value::String(text) => Some(text),
        Value::Object(fields) => {
            let field = |name: &str| fields.get(name).and_then(Value::as_str);
            let code = || field("code").map(|code| format!("{} {code}", field("field").unwrap_or("a field")));
            field("message").map(str::to_owned).or_else(code)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    });
    let mut text = message.into_iter().chain(details).collect::<Vec<_>>().join("; ");
    if let Some(shown) = shown.filter(|shown| !shown.secret.expose_secret().is_empty()) {
        text = text.replace(shown.secret.expose_secret(), "***");
    }
    cleaned(&text)
}

/// Somebody else's text in one line that moves no cursor, and not too long.
pub(super) fn cleaned(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_QUOTE + 1).collect();
    if line.chars().count() <= LONGEST_QUOTE {
        return line.trim().to_owned();
    }
    let kept: String = line.chars().take(LONGEST_QUOTE).collect();
    format!("{}…", kept.trim())
}
