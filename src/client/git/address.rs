//! Addresses and branches of repositories, refused where git or ssh could take them for something else.

use std::path::Path;

use super::fault::{fault, tidy};
use crate::config::RepositoryUrl;
use crate::port::{EdgeError, EdgeKind};

/// The repository's address as people write it; it never holds a credential.
pub(super) fn address(url: &RepositoryUrl) -> String {
    match url {
        RepositoryUrl::Local(path) => path.display().to_string(),
        RepositoryUrl::Http(url) => url.clone(),
        RepositoryUrl::Ssh { user, host, port, path } if path.starts_with('/') => format!("ssh://{user}@{host}:{port}{path}"),
        RepositoryUrl::Ssh { user, host, port, path } => format!("ssh://{user}@{host}:{port}/~/{path}"),
    }
}

fn refuse(what: &str, text: &str, why: &str) -> Result<(), EdgeError> {
    Err(fault(EdgeKind::Refused, format!("use the repository's {what} {:?}", tidy(text, 120))).because(why.to_owned()))
}

/// Refuses what git would not take for a branch, or for something else.
pub(super) fn check_branch(branch: &str) -> Result<(), EdgeError> {
    if branch.starts_with('-') || !git2::Reference::is_valid_name(&format!("refs/heads/{branch}")) {
        return refuse("branch", branch, "it is no branch name that git would take");
    }
    Ok(())
}

/// Refuses a path that git could take for an option or a remote helper.
pub(super) fn check_path(path: &Path) -> Result<(), EdgeError> {
    let text = path.to_string_lossy();
    let bare = text.strip_prefix("./").unwrap_or(&text);
    if text.is_empty() || text.starts_with('-') || text.contains("::") && bare == text && !path.is_absolute() {
        return refuse("path", &text, "it looks like an option or a remote helper of git's; begin it with / or ./");
    }
    Ok(())
}

/// Refuses an address that holds a credential, or is not https.
pub(super) fn check_url(url: &str) -> Result<(), EdgeError> {
    // The error must not repeat what may hold a password, so only the place before it is named.
    let Ok(parsed) = reqwest::Url::parse(url) else { return refuse("address", "", "it is no URL") };
    let shown = format!("{}://{}", parsed.scheme(), parsed.host_str().unwrap_or_default());
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return refuse("address", &shown, "it holds credentials: name them in `token`, which is never shown");
    }
    if parsed.query().is_some() || parsed.fragment().is_some() || url.chars().any(char::is_control) {
        return refuse("address", &shown, "it has a query, a fragment or control characters");
    }
    let host = parsed.host_str().unwrap_or_default();
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => refuse("address", &shown, "it must be https://, or http:// to this machine"),
    }
}
