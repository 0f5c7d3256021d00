//! The controller's own file: what it may say, and that everything wrong with it is said at once and without its secrets.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lockstep::config::{Config, ConfigError, ConsulVariables, Credential, RepositoryUrl, TargetConfig, read};
use lockstep::domain::name::EnvironmentName;

fn read_text(text: &str, variables: &ConsulVariables) -> (Result<Config, ConfigError>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lockstep-controller.yaml");
    std::fs::write(&path, text).unwrap();
    (read(&path, variables), folder)
}

#[track_caller]
fn problems(text: &str) -> Vec<String> {
    let (Err(ConfigError::Invalid(problems)), folder) = read_text(text, &ConsulVariables::default()) else {
        panic!("this was accepted:\n{text}");
    };
    let shown = |problem: &lockstep::domain::desired::Problem| {
        let place = format!("{}/", folder.path().display());
        let hint = problem.hint.as_deref().map(|hint| format!(" [{hint}]")).unwrap_or_default();
        format!("{problem}{hint}").replace(&place, "").replace("lockstep-controller.yaml:", "")
    };
    problems.iter().map(shown).collect()
}

/// The file is refused for exactly one thing, at this place, in words that contain these.
#[track_caller]
fn check(text: &str, place: &str, words: &str) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(&format!("{place}: ")), "{} is not at {place}", found[0]);
    assert!(found[0].contains(words), "{:?} lacks {words:?}", found[0]);
    assert!(!found[0].contains("canary"), "a secret is shown: {}", found[0]);
}

/// A good file but for its `repository` section.
fn with_repository(fields: &str) -> String {
    format!("repository: {{{fields}}}\nenvironments: {{test: {{directory: {{path: live}}}}}}\n")
}

/// A good file but for one environment.
fn with_environment(fields: &str) -> String {
    format!("repository: {{url: ./c}}\nenvironments:\n  test: {{{fields}}}\n")
}

/// `docs/controller.md` has every field and is read as it stands.
#[test]
fn the_reference_of_this_file_is_true_and_complete() {
    let reference = include_str!("../../docs/controller.md");
    let examples: Vec<&str> =
        reference.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert_eq!(examples.len(), 4);
    let mut documented = std::collections::BTreeSet::new();
    for example in examples {
        let (config, _folder) = read_text(example, &ConsulVariables::default());
        config.unwrap_or_else(|error| panic!("{error}\n{example}"));
        let words = example.split(|c: char| !(c.is_ascii_lowercase() || c == '_' || c == ':'));
        documented.extend(words.filter_map(|word| word.strip_suffix(':')));
    }
    let reader = concat!(
        include_str!("../../src/config/read.rs"),
        include_str!("../../src/config/target.rs"),
        include_str!("../../src/config/server.rs"),
        include_str!("../../src/config/forge.rs")
    );
    let read = [
        "duration(\"",
        "path(\"",
        "parsed(\"",
        "credential(\"",
        "credentials(\"",
        "section(\"",
        "texts(\"",
        "required(\"",
        "take(\"",
    ]
    .into_iter()
    .flat_map(|call| reader.split(call).skip(1).filter_map(|rest| rest.split('"').next()));
    let missing: Vec<&str> = read.filter(|field| !documented.contains(field)).collect();
    assert!(missing.is_empty(), "docs/controller.md does not show {missing:?}");
}

#[test]
fn a_whole_file_means_what_it_says() {
    let (config, folder) = read_text(
        "repository: { url: https://git.example/ops/c.git, branch: 1.x, poll: 1m30s, token: { file: secrets/git } }\n\
         data_dir: ./state\n\
         environments:\n\
         \x20 test: { directory: { path: ./live/test, keep: 10m, services: { build: 127.0.0.1:8080 } } }\n\
         \x20 production:\n\
         \x20   consul: { address: https://consul.example:8501, datacenter: production, ca: /ca.pem,\n\
         \x20     client_certificate: { cert: c.pem, key: /k.pem }, token: { env: CONSUL_HTTP_TOKEN }, dns: 127.0.0.1:8600 }\n\
         \x20   target_id: 0123456789abcdef\n\
         \x20   keys: [config/, resources/]\n\
         checks: { allow: [10.0.0.0/8, 127.0.0.1], exec: { smoke: /usr/local/bin/smoke } }\n",
        &ConsulVariables::default(),
    );
    let config = config.unwrap();
    let base = folder.path();
    assert_eq!(config.repository.url, RepositoryUrl::Http("https://git.example/ops/c.git".into()));
    assert_eq!((config.repository.branch.as_str(), config.repository.poll), ("1.x", Duration::from_secs(90)));
    assert_eq!(config.repository.token, Some(Credential::File(base.join("secrets/git"))));
    assert_eq!(config.data_dir, base.join("state"));
    let TargetConfig::Directory(test) = &config.environments[&EnvironmentName::parse("test").unwrap()] else { panic!() };
    assert_eq!((&test.path, test.keep), (&base.join("live/test"), Duration::from_mins(10)));
    assert_eq!(test.services.values().next().map(|at| (at.host.as_str(), at.port)), Some(("127.0.0.1", 8080)));
    let TargetConfig::Consul(consul) = &config.environments[&EnvironmentName::parse("production").unwrap()] else { panic!() };
    assert_eq!((consul.address.as_str(), consul.datacenter.as_deref()), ("https://consul.example:8501", Some("production")));
    assert_eq!(consul.client_certificate, Some((base.join("c.pem"), "/k.pem".into())));
    assert_eq!(consul.token, Some(Credential::Env("CONSUL_HTTP_TOKEN".into())));
    assert_eq!(consul.dns, Some(SocketAddr::from(([127, 0, 0, 1], 8600))));
    assert_eq!((consul.connections, consul.watches, consul.keys.prefixes().len()), (4, 16, 2));
    assert_eq!((config.checks.allow.len(), config.checks.exec["smoke"].as_path()), (2, Path::new("/usr/local/bin/smoke")));
}

#[test]
fn everything_wrong_is_said_at_once_with_place_and_hint() {
    let found = problems(
        "repositori: {}\n\
         repository: { url: 'https://u:canary@git.example/c', branch: -x, poll: 1d, tokn: { file: t } }\n\
         environments:\n\
         \x20 Test: { directory: {} }\n\
         \x20 production: { consul: { address: consul:8501 }, keys: [config] }\n\
         forge: {}\n\
         server: { listen: here, tokens: [canary] }\n\
         checks: { allow: [10.0.0.1/8], exec: { smoke: smoke } }\n",
    );
    let expected = [
        "1:1: unknown field repositori [did you mean repository?]",
        "2:20: repository.url: it holds credentials, which would end in logs and process lists [use token: {file: …} or {env: …} beside url, or ssh_key]",
        "2:62: repository.branch: it begins with '-', as an option does [write a branch such as main or release/1.2]",
        "2:72: repository.poll: \"1d\" is not a duration [days are not a unit here: write 24h]",
        "2:76: unknown field repository.tokn [did you mean token?]",
        "4:3: environments.Test: environment name \"Test\" must be 1 to 63 characters of a-z, 0-9, '-' and '.', beginning and ending with a letter or digit, without '..'",
        "4:22: environments.Test.directory.path is missing [write the directory that shall hold current/]",
        "5:36: environments.production.consul.address: its scheme is neither http nor https [write https://host:8501]",
        "5:57: environments.production.keys: key root \"config\" must end with '/': 'config' would also take 'config-of-others'",
        "6:8: forge names no forge [write github: {repository: OWNER/NAME, token: {file: …}} or gitea: {url: …, repository: …, token: …}]",
        "7:19: server.listen: \"here\" is no address with a port [write 127.0.0.1:8420, or 0.0.0.0:8420 to be reached from other machines]",
        "7:25: server.tokens is not supported by this version [remove it]",
        "8:19: checks.allow[0]: \"10.0.0.1/8\" has bits behind its prefix [write 10.0.0.0/8 or 10.0.0.1]",
        "8:47: checks.exec.smoke: it is no absolute path: a program is never looked up [write a path such as /usr/local/bin/smoke; arguments are not supported]",
    ];
    assert_eq!(found, expected);
}

/// A good file and these sections.
fn with_sections(text: &str) -> String {
    format!("repository: {{url: ./c}}\nenvironments: {{test: {{directory: {{path: live}}}}}}\n{text}\n")
}

#[test]
fn it_listens_on_loopback_and_takes_no_deliveries_unless_told_otherwise() {
    let (config, _folder) = read_text(&with_sections(""), &ConsulVariables::default());
    let config = config.unwrap();
    assert_eq!((config.server.listen.to_string().as_str(), config.server.public_url), ("127.0.0.1:8420", None));
    assert_eq!(config.webhooks, lockstep::config::Webhooks::default());
    let told = "server: {listen: '[::]:80', public_url: 'https://Lockstep.example/a/'}\n\
                webhooks: {github: {secrets: [{env: A}, {file: b}]}, gitea: {secrets: [{file: /c}]}}";
    let (config, folder) = read_text(&with_sections(told), &ConsulVariables::default());
    let config = config.unwrap();
    assert_eq!(
        (config.server.listen.to_string().as_str(), config.server.public_url.as_deref()),
        ("[::]:80", Some("https://lockstep.example/a"))
    );
    assert_eq!(config.webhooks.github, [Credential::Env("A".into()), Credential::File(folder.path().join("b"))]);
    assert_eq!(config.webhooks.gitea, [Credential::File("/c".into())]);
}

#[test]
fn a_webhook_without_a_secret_or_with_one_in_the_file_is_refused() {
    let many = "{file: a}, ".repeat(9);
    for (section, place, words) in [
        ("webhooks: {github: {}}", "3:20", "no secret, no endpoint"),
        ("webhooks: {github: {secrets: }}", "3:20", "no secret, no endpoint"),
        ("webhooks: {gitea: {secrets: []}}", "3:29", "webhooks.gitea.secrets is empty: no secret, no endpoint"),
        ("webhooks: {gitea: {secrets: canary}}", "3:29", "must be a list"),
        ("webhooks: {gitea: {secrets: {file: a}}}", "3:29", "must be a list"),
        ("webhooks: {gitea: {secrets: [canary]}}", "3:30", "must not stand in this file"),
        ("webhooks: {gitea: {secrets: [{env: 'canary!'}]}}", "3:36", "no name of an environment variable"),
        ("webhooks: {gitea: {secret: [{file: a}], secrets: [{file: a}]}}", "3:20", "did you mean secrets?"),
        ("webhooks: {gogs: {secrets: [{file: a}]}}", "3:12", "unknown field webhooks.gogs"),
        (&format!("webhooks: {{github: {{secrets: [{many}]}}}}"), "3:30", "has 9 secrets, 8 at most"),
        ("server: {listen: localhost}", "3:18", "no address with a port"),
        ("server: {public_url: 'ftp://h'}", "3:22", "neither http nor https"),
        ("server: {public_url: 'https://u:canary@h'}", "3:22", "holds credentials"),
        ("server: {public_url: 'https://h/?token=canary'}", "3:22", "a query or a fragment"),
        ("server: {public_url: 'https://h/#canary'}", "3:22", "a query or a fragment"),
        ("server: {public_url: canary}", "3:22", "is no URL"),
    ] {
        check(&with_sections(section), place, words);
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    check(&with_repository("url: 'https://h/c', token: canary"), "1:41", "must not stand in this file");
    check(&with_repository("url: 'https://h/c', token: {value: canary}"), "1:42", "unknown field repository.token.value");
    check(&with_repository("url: 'https://h/c', token: {env: 'canary!'}"), "1:47", "no name of an environment variable");
    check(&with_repository("url: 'https://h/c', token: {vault: 'a#canary'}"), "1:42", "vault is not supported by this version");
    check(&with_repository("url: 'https://h/c', token: {file: a, env: B}"), "1:41", "names two places");
    check(&with_repository("url: 'https://h/c', token: {}"), "1:41", "names no place");
    check(&with_repository("url: 'https://canary@h/c'"), "1:19", "holds credentials");
    check(&with_environment("consul: {address: 'http://u:canary@h:8500'}, keys: [a/]"), "3:28", "holds credentials");
    check(
        &with_environment("consul: {address: 'http://h:8500', token: canary}, keys: [a/]"),
        "3:52",
        "must not stand in this file",
    );
}

#[test]
fn what_this_version_cannot_do_is_refused_by_name() {
    let good = with_repository("url: c");
    check(&format!("{good}services: {{a: b}}\n"), "3:1", "services is not supported by this version");
    check(&format!("{good}server: {{tokens: [canary]}}\n"), "3:10", "server.tokens is not supported by this version");
    check(&with_environment("directory: {path: d}, vault: {}"), "3:32", "vault is not supported by this version");
}

#[test]
fn a_consul_needs_an_address_roots_and_nothing_that_hides_in_a_url() {
    check(&with_environment("consul: {address: 'http://h:8500'}"), "3:9", "keys is missing");
    check(&with_environment("consul: {address: 'http://h:8500'}, keys: []"), "3:52", "is missing: name at least one");
    check(&with_environment("consul: {}, keys: [a/]"), "3:18", "consul.address is missing");
    check(&with_environment("consul: {address: 'http://h:8500/ui'}, keys: [a/]"), "3:28", "has a path");
    check(&with_environment("consul: {address: 'http://h?x=y'}, keys: [a/]"), "3:28", "a query");
    check(&with_environment("consul: {address: 'unix:///s'}, keys: [a/]"), "3:28", "neither http nor https");
    check(&with_environment("consul: {address: 'http://h', connections: 0}, keys: [a/]"), "3:53", "from 1 to 64");
    check(&with_environment("consul: {address: 'http://h', watches: 2}, keys: [a/]"), "3:49", "from 3 to 64");
    check(&with_environment("consul: {address: 'http://h', dns: h:53}, keys: [a/]"), "3:45", "no address with a port");
    check(&with_environment("consul: {address: 'http://h'}, keys: [lockstep/]"), "3:47", "reserved for lockstep");
    check(&with_environment("directory: {path: d}, consul: {address: 'http://h'}, keys: [a/]"), "3:9", "two targets");
    check(&with_environment("keys: [a/]"), "3:9", "no target");
}

#[test]
fn environments_that_could_write_the_same_keys_are_refused() {
    let two = |a: &str, b: &str| {
        format!(
            "repository: {{url: c}}\nenvironments:\n  a: {{consul: {{address: '{a}'}}, keys: [config/]}}\n  b: {{consul: {{address: '{b}'}}, keys: [config/b/]}}\n"
        )
    };
    check(&two("http://h:8500", "http://h:8500"), "4:3", "may write the same keys of one Consul");
    check(&two("http://h:8500", "http://H:8500"), "4:3", "may write the same keys of one Consul");
    check(&two("http://127.0.0.1:8500", "http://localhost:8500"), "4:3", "may write the same keys of one Consul");
    check(&two("http://h:8500'  , datacenter: 'a", "http://h:8500"), "4:3", "may write the same keys of one Consul");
    for (a, b) in [("http://h:8500", "http://h:8501"), ("http://h', datacenter: 'a", "http://h', datacenter: 'b")] {
        assert!(read_text(&two(a, b), &ConsulVariables::default()).0.is_ok(), "{a} and {b} were refused");
    }
    let directories = "repository: {url: c}\nenvironments:\n  a: {directory: {path: d}}\n  b: {directory: {path: ./d/e}}\n";
    check(directories, "4:3", "one inside the other");
    let addresses = [
        ("http://h.:8500", "http://h:8500"),
        ("http://h:8500/", "http://h:8500"),
        ("http://h:80", "http://h"),
        ("http://[::1]:8500", "http://127.0.0.1:8500"),
    ];
    for (a, b) in addresses {
        check(&two(a, b), "4:3", "environments.b and environments.a (at 3:3) may write the same keys");
    }
}

#[test]
fn two_names_of_one_directory_are_refused_with_both_places() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(at("real")).unwrap();
    std::os::unix::fs::symlink("real", at("link")).unwrap();
    std::os::unix::fs::symlink("not/made/yet", at("dangling")).unwrap();
    std::os::unix::fs::symlink("circle", at("circle")).unwrap();
    let two = |a: &str, b: &str| {
        format!(
            "repository: {{url: c}}\nenvironments:\n  a: {{directory: {{path: '{a}'}}}}\n  b: {{directory: {{path: '{b}'}}}}\n"
        )
    };
    for (a, b) in [
        ("real", "real"),
        ("real", "real/"),
        ("real", "./real/."),
        ("real", "other/../real"),
        ("real", "link"),
        ("real", "link/../real"),
        ("link", "real/below"),
        ("real/a/b", "link/a"),
        ("dangling", "not/made/yet"),
        ("dangling/x", "not/made"),
        ("circle", "circle"),
    ] {
        let problem = "environments.b and environments.a (at 3:3) have the same directory, or one inside the other";
        check(&two(&at(a), &at(b)), "4:3", problem);
    }
    for (a, b) in [("real/a", "link/b"), ("real", "real-too"), ("dangling", "not/made/later"), ("circle", "real")] {
        assert!(read_text(&two(&at(a), &at(b)), &ConsulVariables::default()).0.is_ok(), "{a} and {b} were refused");
    }
}

#[test]
fn a_token_of_the_environment_never_goes_to_an_address_of_the_file() {
    let variables = ConsulVariables {
        address: Some("http://127.0.0.1:8500".into()),
        token: Some(Credential::Env("CONSUL_HTTP_TOKEN".into())),
        ..ConsulVariables::default()
    };
    let token = |text: &str| {
        let config = read_text(text, &variables).0.unwrap();
        let TargetConfig::Consul(consul) = config.environments.into_values().next().unwrap() else { panic!() };
        (consul.address, consul.token.is_some())
    };
    assert_eq!(token(&with_environment("consul: {}, keys: [a/]")), ("http://127.0.0.1:8500".into(), true));
    assert_eq!(token(&with_environment("consul: {address: 'http://h:1'}, keys: [a/]")), ("http://h:1".into(), false));
}

#[test]
fn a_file_of_another_kind_is_refused_within_bounds() {
    check("- a\n", "1:1", "must be a mapping, not a list");
    check(&with_repository("url: 1.10"), "1:19", "must be a text, not a fractional number");
    check(&with_repository("url: [a]"), "1:19", "must be a text, not a list");
    check("repository: {url: c}\nenvironments: {}\n", "1:1", "there is no environment");
    check("a: [\n", "1:4", "unclosed bracket");
    let found = problems("");
    assert!(found[0].contains("repository is missing") && found[1].contains("there is no environment"), "{found:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.yaml");
    for (bytes, words) in [(vec![0xff, 0xfe], "not UTF-8"), (vec![b'#'; 5 << 20], "larger than 4 MiB")] {
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, &ConsulVariables::default()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let missing = read(&folder.path().join("none"), &ConsulVariables::default()).unwrap_err();
    assert!(matches!(missing, ConfigError::File { .. }) && std::error::Error::source(&missing).is_some());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// Whatever stands in a field, reading ends with a configuration or with problems, and every problem has a place.
    #[test]
    fn no_text_makes_reading_panic(
        field in proptest::sample::select(vec!["url", "branch", "poll", "token", "address", "keys", "dns", "services", "allow", "exec", "target_id"]),
        text in "(-|git@|ssh://|https://|file://|[a-z\\[\\]:/@.0-9*~%é\u{202e} -]){0,12}",
    ) {
        let value = |name: &str, default: &str| {
            if name == field { serde_json::Value::from(text.as_str()).to_string() } else { default.to_owned() }
        };
        let whole = format!(
            "repository: {{url: {}, branch: {}, poll: {}, token: {}}}\nenvironments:\n  a: {{consul: {{address: {}, dns: {}}}, keys: [{}], target_id: {}}}\n  \
             b: {{directory: {{path: d, services: {{build: {}}}}}}}\nchecks: {{allow: [{}], exec: {{smoke: {}}}}}\n",
            value("url", "'https://h/c'"), value("branch", "main"), value("poll", "10s"), value("token", "{env: T}"),
            value("address", "'http://h:8500'"), value("dns", "'127.0.0.1:8600'"), value("keys", "config/"), value("target_id", "0123456789"),
            value("services", "'127.0.0.1:80'"), value("allow", "10.0.0.0/8"), value("exec", "/bin/true"),
        );
        match read_text(&whole, &ConsulVariables::default()).0 {
            Ok(_) => {}
            Err(ConfigError::Invalid(problems)) => {
                assert!(!problems.is_empty() && problems.iter().all(|problem| problem.line > 0 && problem.column > 0), "{problems:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
