//! `forge:` of the controller's own file: where the API is, with what credential, and everything that is wrong with it.

use std::path::Path;

use lockstep::config::{
    ConfigError, ConsulVariables, Credential, Forge, ForgeCredential, ForgeKind, ForgeRepository, Statuses, read,
};

/// A good file but for its `forge` section, in a folder.
fn read_forge(fields: &str, environment: &str) -> (Result<Option<Forge>, ConfigError>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lockstep-controller.yaml");
    let text = format!(
        "repository: {{url: c}}\nenvironments: {{{environment}: {{directory: {{path: live}}}}}}\nforge: {{{fields}}}\n"
    );
    std::fs::write(&path, text).unwrap();
    (read(&path, &ConsulVariables::default()).map(|config| config.forge), folder)
}

fn forge(fields: &str) -> (Forge, tempfile::TempDir) {
    let (outcome, folder) = read_forge(fields, "test");
    let forge = outcome.unwrap_or_else(|error| panic!("{fields}: {error}"));
    (forge.unwrap(), folder)
}

/// It is refused for exactly one thing, at this column of the section's line, in words that contain these.
#[track_caller]
fn check(fields: &str, column: u32, words: &str) {
    check_beside("test", fields, column, words);
}

#[track_caller]
fn check_beside(environment: &str, fields: &str, column: u32, words: &str) {
    let (Err(ConfigError::Invalid(problems)), _folder) = read_forge(fields, environment) else {
        panic!("this was accepted: {fields}");
    };
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let problem = &problems[0];
    let text = format!("{} [{}]", problem.message, problem.hint.as_deref().unwrap_or_default());
    assert!(text.contains(words), "{text:?} lacks {words:?}");
    assert_eq!((problem.line, problem.column), (3, column), "{text}");
    assert!(!text.contains("canary"), "a secret is shown: {text}");
}

#[test]
fn a_forge_means_what_it_says() {
    let (github, folder) = forge("github: {repository: ops/calvin-config, token: {file: secrets/forge}}");
    assert_eq!(
        github,
        Forge {
            kind: ForgeKind::GitHub,
            api: "https://api.github.com".into(),
            repository: ForgeRepository { owner: "ops".into(), name: "calvin-config".into() },
            credential: ForgeCredential::Token(Credential::File(folder.path().join("secrets/forge"))),
            ca: None,
            statuses: Statuses::Changes,
            plans: true,
            revert_pull_requests: false,
        }
    );
    let (app, folder) = forge(
        "github: {repository: o/r, app: {id: 123, installation: 456, key: {file: app.pem}}, ca: ca.pem}, statuses: every-commit, plans: false, \
         revert_pull_requests: true",
    );
    assert_eq!(app.credential, ForgeCredential::App { id: 123, installation: 456, key: folder.path().join("app.pem") });
    assert_eq!(app.ca.as_deref(), Some(Path::new(&folder.path().join("ca.pem"))));
    assert_eq!((app.statuses, app.plans, app.revert_pull_requests), (Statuses::EveryCommit, false, true));
    let (gitea, _folder) = forge("gitea: {url: 'https://git.example', repository: o/r, token: {env: FORGE}}, statuses: off");
    assert_eq!((gitea.kind, gitea.statuses), (ForgeKind::Gitea, Statuses::Off));
    assert_eq!(gitea.credential, ForgeCredential::Token(Credential::Env("FORGE".into())));
}

#[test]
fn the_address_of_the_api_follows_from_that_of_the_forge() {
    for (kind, url, api) in [
        ("github", "https://api.github.com/", "https://api.github.com"),
        ("github", "https://ghe.example", "https://ghe.example/api/v3"),
        ("github", "https://ghe.example/api/v3/", "https://ghe.example/api/v3"),
        ("github", "https://ghe.example:8443", "https://ghe.example:8443/api/v3"),
        ("github", "https://api.ops.ghe.com", "https://api.ops.ghe.com"),
        ("github", "http://127.0.0.1:3000", "http://127.0.0.1:3000/api/v3"),
        ("gitea", "https://git.example", "https://git.example/api/v1"),
        ("gitea", "https://git.example/", "https://git.example/api/v1"),
        ("gitea", "https://example/gitea/", "https://example/gitea/api/v1"),
        ("gitea", "https://git.example/api/v1", "https://git.example/api/v1"),
        ("gitea", "http://localhost:3000", "http://localhost:3000/api/v1"),
    ] {
        let (forge, _folder) = forge(&format!("{kind}: {{url: '{url}', repository: o/r, token: {{env: A}}}}"));
        assert_eq!(forge.api, api, "{url}");
    }
}

#[test]
fn an_address_hides_nothing_and_is_encrypted() {
    for (url, words) in [
        ("https://u:canary@git.example", "holds credentials"),
        ("https://canary@git.example", "holds credentials"),
        ("https://git.example?token=canary", "a query"),
        ("https://git.example#canary", "a fragment"),
        ("http://git.example/canary", "not encrypted"),
        ("http://localhost.evil.example/canary", "not encrypted"),
        ("ssh://git.example/canary", "no address of a web server"),
        ("git.example/canary", "it is no URL"),
    ] {
        check(&format!("gitea: {{url: '{url}', repository: o/r, token: {{env: A}}}}"), 22, words);
        check(&format!("github: {{url: '{url}', repository: o/r, token: {{env: A}}}}"), 23, words);
    }
    check("github: {url: 'https://github.com', repository: o/r, token: {env: A}}", 23, "write https://api.github.com");
    check("github: {url: 'https://ops.ghe.com', repository: o/r, token: {env: A}}", 23, "write https://api.NAME.ghe.com");
}

#[test]
fn a_repository_is_its_owner_and_its_name_and_nothing_that_leads_elsewhere() {
    let long = format!("o/{}", "n".repeat(101));
    for text in [
        "calvin", "a/b/c", "../x", "x/..", "./x", "/x", "x/", "a b/c", "a/b?c", "a/b%2fc", "a\\/b", "ö/x", "a/b\\tc", "", &long,
    ] {
        check(&format!("github: {{repository: \"{}\", token: {{env: A}}}}", text.replace("\\/", "\\\\/")), 30, "OWNER/NAME");
    }
    check("github: {repository: o/r.git, token: {env: A}}", 30, "ends with .git");
    forge("github: {repository: O-ps_1/calvin.config-2, token: {env: A}}");
}

#[test]
fn there_is_one_forge_and_one_credential_and_never_its_value() {
    check("", 8, "names no forge");
    let (a, b) = ("github: {repository: o/r, token: {env: A}}", "gitea: {url: 'https://h', repository: o/r, token: {env: A}}");
    check(&format!("{a}, {b}"), 8, "names two forges");
    check("github: {repository: o/r}", 17, "forge.github.token is missing");
    check("gitea: {url: 'https://h', repository: o/r}", 16, "forge.gitea.token is missing");
    check("gitea: {repository: o/r, token: {env: A}}", 16, "forge.gitea.url is missing");
    check("github: {token: {env: A}}", 17, "forge.github.repository is missing");
    check("github: {repository: o/r, token: canary}", 42, "must not stand in this file");
    let app = |fields: &str| format!("github: {{repository: o/r, app: {{{fields}}}}}");
    check(&app("id: 1, installation: 2"), 40, "forge.github.app.key is missing");
    check(&app("id: 1, installation: 2, key: {env: KEY}"), 40, "key must be a file");
    check(&app("id: 1, installation: 2, key: canary"), 70, "must not stand in this file");
    check(&app("id: 0, installation: 2, key: {file: k}"), 45, "no number above 0");
    check(&app("id: 1, installation: -2, key: {file: k}"), 62, "no number above 0");
    check(&app("installation: 2, key: {file: k}"), 40, "forge.github.app.id is missing");
    check(
        "github: {repository: o/r, token: {env: A}, app: {id: 1, installation: 2, key: {file: k}}}",
        17,
        "a token and an app",
    );
    check("gitea: {url: 'https://h', repository: o/r, token: {env: A}, app: {id: 1}}", 69, "unknown field forge.gitea.app");
    check("github: {repository: o/r, tokn: {env: A}, token: {env: A}}", 35, "did you mean token?");
    check("github: {repository: o/r, token: {env: A}}, statuses: all", 63, "none of changes, every-commit and off");
    check("github: {repository: o/r, token: {env: A}}, plans: maybe", 60, "neither true nor false");
}

#[test]
fn no_environment_is_called_as_the_status_of_plans_is() {
    check_beside("plan", "github: {repository: o/r, token: {env: A}}", 8, "rename the environment");
}
