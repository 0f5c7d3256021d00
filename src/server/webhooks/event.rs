//! What an event may be news of. Its name is in a header that no signature covers: a forged one costs a look, and no more.

use axum::http::HeaderMap;

use super::presented::Forge;
use super::refusal::Refusal;

/// Longer than the name of any event.
const LONGEST: usize = 64;

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Where a branch stands.
    Branch,
    /// A pull request.
    Pulls,
    /// Nothing that matters here.
    Nothing,
}

/// What the event's header says.
pub(super) fn news(forge: Forge, headers: &HeaderMap) -> Result<News, Refusal> {
    let names = forge.event_headers().iter();
    let header = names.copied().find(|name| headers.contains_key(*name)).ok_or(Refusal::EventMissing)?;
    let mut values = headers.get_all(header).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(event), None) if is_word(event) => Ok(of(event)),
        _ => Err(Refusal::EventMissing),
    }
}

fn is_word(event: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=LONGEST).contains(&event.len()) && event.bytes().all(plain)
}

fn of(event: &str) -> News {
    match event {
        "push" | "create" | "delete" => News::Branch,
        pull if pull.starts_with("pull_request") => News::Pulls,
        _ => News::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    #[track_caller]
    fn check(forge: Forge, headers: &[(&'static str, &str)], expected: Result<News, Refusal>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        assert_eq!(news(forge, &map), expected, "{headers:?}");
    }

    #[test]
    fn only_events_of_branches_and_pull_requests_are_news() {
        for (event, expected) in [
            ("push", News::Branch),
            ("create", News::Branch),
            ("delete", News::Branch),
            ("pull_request", News::Pulls),
            ("pull_request_review", News::Pulls),
            ("pull_request_sync", News::Pulls),
            ("ping", News::Nothing),
            ("issues", News::Nothing),
            ("PUSH", News::Nothing),
            ("pushed", News::Nothing),
        ] {
            check(Forge::GitHub, &[("x-github-event", event)], Ok(expected));
            for header in ["x-gitea-event", "x-forgejo-event", "x-gogs-event", "x-github-event"] {
                check(Forge::Gitea, &[(header, event)], Ok(expected));
            }
        }
        check(Forge::Gitea, &[("x-github-event", "ping"), ("x-gitea-event", "push")], Ok(News::Branch));
    }

    #[test]
    fn an_event_without_one_name_is_refused() {
        let long = "a".repeat(LONGEST + 1);
        for event in ["", "a b", "push,", "é", long.as_str()] {
            check(Forge::GitHub, &[("x-github-event", event)], Err(Refusal::EventMissing));
        }
        check(Forge::GitHub, &[("x-gitea-event", "push")], Err(Refusal::EventMissing));
        check(Forge::GitHub, &[("x-github-event", "push"), ("x-github-event", "push")], Err(Refusal::EventMissing));
    }
}
