//! Where the config repository is and which branch is followed: every form that could make git run or read something else
//! is refused here (an option in the place of a name, a transport helper, credentials in the URL).

use std::net::IpAddr;
use std::path::Path;

use reqwest::Url;

use super::fields::path_from;
use super::{KeepRefs, RepositoryUrl};

/// What is wrong, and what to write instead. Neither repeats a URL, which may hold a password.
type Refusal = (String, String);

const FORMS: &str = "write a path, file:///path, https://host/path, ssh://user@host/path or git@host:path";
const CREDENTIALS: &str = "use token: {file: …} or {env: …} beside url, or ssh_key";

fn refuse<T>(message: &str, hint: &str) -> Result<T, Refusal> {
    Err((message.to_owned(), hint.to_owned()))
}

/// Reads `repository.keep_refs`.
pub(super) fn keep_refs(text: &str) -> Result<KeepRefs, Refusal> {
    match text {
        "mirror" => Ok(KeepRefs::Mirror),
        "push" => Ok(KeepRefs::Push),
        _ => refuse("it is neither mirror nor push", "write mirror, or push to keep last good in the repository too"),
    }
}

/// Reads `repository.url`; a relative path is relative to `base`.
pub(super) fn url(text: &str, base: &Path) -> Result<RepositoryUrl, Refusal> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return refuse("it is empty or has a control character", FORMS);
    }
    if text.starts_with('-') {
        return refuse("it begins with '-', as an option does", FORMS);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme.to_ascii_lowercase().as_str() {
            "file" => file(text, rest),
            "https" | "http" => http(text),
            "ssh" => ssh(rest),
            _ => refuse("its scheme is not supported", FORMS),
        };
    }
    if text.contains("::") && !text.contains('/') || text.split('/').next().is_some_and(|first| first.contains("::")) {
        return refuse("it names a transport helper, which runs programs", FORMS);
    }
    // As git reads it: a colon before the first slash makes it a host.
    if text.split('/').next().is_some_and(|first| first.contains(':')) {
        return scp_like(text);
    }
    path_from(text, base).map(RepositoryUrl::Local)
}

fn file(text: &str, rest: &str) -> Result<RepositoryUrl, Refusal> {
    let path = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
    match path {
        Some(path) if rest.starts_with('/') => Ok(RepositoryUrl::Local(path)),
        _ => refuse("it names no absolute path on this machine", "write file:///path with three slashes"),
    }
}

fn http(text: &str) -> Result<RepositoryUrl, Refusal> {
    let Ok(url) = Url::parse(text) else {
        return refuse("it is no URL", FORMS);
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("it holds credentials, which would end in logs and process lists", CREDENTIALS);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("it has a query or a fragment", "remove everything from '?' or '#' on");
    }
    if url.path().trim_matches('/').is_empty() {
        return refuse("it names no repository at its host", FORMS);
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return refuse("it is not encrypted", "use https://; http:// is allowed to this machine only");
    }
    Ok(RepositoryUrl::Http(url.to_string()))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn ssh(rest: &str) -> Result<RepositoryUrl, Refusal> {
    let Some((authority, path)) = rest.split_once('/') else {
        return refuse("it names no repository at its host", FORMS);
    };
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let (host, port) = match place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        None => 22,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 && digits.bytes().all(|digit| digit.is_ascii_digit()) => port,
            _ => return refuse("its port is no number from 1 to 65535", FORMS),
        },
    };
    ssh_place(user, host, port, &format!("/{path}"))
}

/// `git@host:path`.
fn scp_like(text: &str) -> Result<RepositoryUrl, Refusal> {
    let (user, place) = match text.split_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, text),
    };
    let Some((host, path)) = place.split_once(':') else {
        return refuse("it holds credentials, which would end in logs and process lists", CREDENTIALS);
    };
    ssh_place(user, host, 22, path)
}

fn ssh_place(user: Option<&str>, host: &str, port: u16, path: &str) -> Result<RepositoryUrl, Refusal> {
    let user = user.unwrap_or("git");
    if user.contains(':') {
        return refuse("it holds a password, which would end in logs and process lists", CREDENTIALS);
    }
    let plain = |text: &str, more: &[char]| {
        !text.is_empty()
            && text.len() <= 255
            && !text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
    };
    if !plain(user, &['.', '_', '-']) {
        return refuse("its user has other characters than letters, digits, '.', '_' and '-', or begins with '-'", FORMS);
    }
    if !plain(host, &['.', '_', '-']) && host.parse::<std::net::Ipv6Addr>().is_err() {
        return refuse("its host has other characters than letters, digits, '.', '_' and '-', or begins with '-'", FORMS);
    }
    // The path becomes part of a command at the other side, where a shell reads it.
    if path.trim_matches('/').is_empty()
        || path.starts_with('-')
        || path.contains(['\'', '"', '\\', '`', '$', '!', ';', '&', '|', '<', '>'])
    {
        return refuse("its path is empty, begins with '-' or has a character that a shell acts on", FORMS);
    }
    Ok(RepositoryUrl::Ssh { user: user.to_owned(), host: host.to_owned(), port, path: path.to_owned() })
}

/// Reads `repository.branch`: the short name of a branch that git itself would accept.
pub(super) fn branch(text: &str) -> Result<String, Refusal> {
    const HINT: &str = "write a branch such as main or release/1.2";
    if let Some(short) = text.strip_prefix("refs/heads/") {
        return Err(("it is a full reference".into(), format!("write {short}")));
    }
    if text.starts_with('-') {
        return refuse("it begins with '-', as an option does", HINT);
    }
    let bad_character = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.as_bytes().ends_with(b".lock");
    if text.is_empty()
        || text.len() > 244
        || text == "@"
        || text == "HEAD"
        || text.starts_with("refs/")
        || text.contains("..")
        || text.contains("@{")
        || text.ends_with('.')
        || text.contains(bad_character)
        || text.split('/').any(bad_part)
    {
        return Err((format!("{:?} is no name of a branch", text.chars().take(80).collect::<String>()), HINT.into()));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RepositoryUrl, Refusal> {
        url(text, Path::new("/etc/lockstep"))
    }

    #[test]
    fn the_usual_forms_are_understood() {
        let local = |path: &str| RepositoryUrl::Local(path.into());
        let ssh = |user: &str, host: &str, port, path: &str| RepositoryUrl::Ssh {
            user: user.into(),
            host: host.into(),
            port,
            path: path.into(),
        };
        for (text, expected) in [
            ("/srv/config.git", local("/srv/config.git")),
            ("./config", local("/etc/lockstep/config")),
            ("../config", local("/etc/lockstep/../config")),
            ("./a:b", local("/etc/lockstep/a:b")),
            ("file:///srv/a%20b.git", local("/srv/a b.git")),
            ("https://git.example/ops/c.git", RepositoryUrl::Http("https://git.example/ops/c.git".into())),
            ("http://127.0.0.1:3000/ops/c.git", RepositoryUrl::Http("http://127.0.0.1:3000/ops/c.git".into())),
            ("http://[::1]:3000/c", RepositoryUrl::Http("http://[::1]:3000/c".into())),
            ("ssh://git@git.example:2222/ops/c.git", ssh("git", "git.example", 2222, "/ops/c.git")),
            ("ssh://git.example/c", ssh("git", "git.example", 22, "/c")),
            ("ssh://a@[::1]:22/c", ssh("a", "::1", 22, "/c")),
            ("git@git.example:ops/c.git", ssh("git", "git.example", 22, "ops/c.git")),
            ("git.example:/srv/c.git", ssh("git", "git.example", 22, "/srv/c.git")),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_would_run_or_read_something_else_is_refused_and_never_repeated() {
        for text in [
            "",
            "--upload-pack=touch canary",
            "-canary",
            "ext::sh -c canary",
            "ext::canary",
            "fd::17",
            "https://user:canary@git.example/c",
            "https://canary@git.example/c",
            "https://git.example/c?token=canary",
            "http://git.example/c",
            "http://127.0.0.1.evil.example/c",
            "http://localhost.evil.example/c",
            "https://git.example/",
            "git://git.example/canary",
            "ftp://git.example/canary",
            "file://host/canary",
            "file://canary",
            "ssh://-oProxyCommand=canary/c",
            "ssh://-oProxyCommand=canary@host/c",
            "ssh://git@-oProxyCommand=canary/c",
            "ssh://git:canary@host/c",
            "ssh://git@host:0/c",
            "ssh://git@host:+22/c",
            "ssh://git@host/",
            "ssh://git@host/$(canary)",
            "ssh://git@host/c';canary'",
            "-oProxyCommand=canary:c",
            "git@-oProxyCommand=canary:c",
            "git@host:-canary",
            "git:canary@host:c",
            "git@host:",
            "~/canary\0",
            "a\ncanary",
        ] {
            let (message, hint) = read(text).expect_err(text);
            assert!(!message.contains("canary") && !hint.contains("canary"), "{text}: {message}; {hint}");
        }
    }

    #[test]
    fn a_branch_is_one_that_git_would_accept() {
        for good in ["main", "release/1.2", "ümlaut", ";$(id)", "1.10"] {
            assert!(branch(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-",
            "--upload-pack=x",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "@",
            "a@{1}",
            "HEAD",
            "refs/heads/main",
            "refs/tags/x",
            "a\nb",
        ] {
            assert!(branch(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
