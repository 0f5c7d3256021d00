//! Layers: what wins, what clashes, what is taken back, and what does not belong in one.

use lockstep::domain::desired::{self, Node};
use lockstep::domain::name::KeyRoots;

use super::{check_told, name, state, state_of, tree, values, with};

#[test]
fn a_later_layer_wins_and_the_environment_comes_last() {
    let found = values(&[
        ("environments/test/environment.yaml", "layers: [base, teams/web]\n"),
        ("base/kv/config.yaml", "a: base\nb: base\nc: base\nd: base\n"),
        ("teams/web/kv/config.yaml", "b: web\nc: web\n"),
        ("teams/web/files/config/d", "file\n"),
        ("environments/test/kv/config.yaml", "c: test\n"),
    ]);
    let found: Vec<String> = found.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(found, ["config/a=base", "config/b=web", "config/c=test", "config/d=file\n"]);
}

#[test]
fn the_same_key_twice_in_one_layer_names_both_places() {
    let files = [
        ("base/kv/config.yaml", "a: {b: 1}\na/b: 2\n"),
        ("base/kv/config/a.yaml", "b: 3\n"),
        ("base/files/config/c", "x"),
        ("base/kv/config/d.yaml", "c: 1\n"),
    ];
    check_told(
        &tree(&files),
        &[
            "base/kv/config.yaml:2:1: the key config/a/b is set here and at base/kv/config.yaml:1, in the same layer [test]",
            "base/kv/config/a.yaml:1:1: the key config/a/b is set here and at base/kv/config.yaml:1",
        ],
    );
    check_told(
        &tree(&[("base/files/config/c", "x"), ("base/kv/config.yaml", "c: 1\n")]),
        &["base/kv/config.yaml:1:1: the key config/c is set here and at base/files/config/c, in the same layer"],
    );
}

#[test]
fn absent_takes_back_what_an_earlier_layer_says_and_only_that() {
    let base = ("base/kv/config.yaml", "a: 1\nb: 2\n");
    let found = values(&[base, ("environments/test/kv/config.yaml", "a: !absent\n")]);
    assert_eq!(found, [("config/b".to_owned(), "2".to_owned())]);
    check_told(
        &tree(&[base, ("environments/test/kv/config.yaml", "nothing: !absent\n")]),
        &["environments/test/kv/config.yaml:1:1: no earlier layer has the key config/nothing [test] !absent takes back"],
    );
}

#[test]
fn a_key_that_one_layer_calls_sensitive_stays_so() {
    let state = state(&[
        ("base/kv/config.yaml", "a: !sensitive 1\nb: !keep 1\n"),
        ("environments/test/kv/config.yaml", "a: 2\nb: 2\n"),
    ]);
    assert!(state.entries()["config/a"].sensitive);
    assert!(!state.entries()["config/b"].keep, "the later layer decides");
}

#[test]
fn a_file_is_one_key_byte_for_byte() {
    let bytes: Vec<u8> = (0..=255).chain(*b"\r\n\n").collect();
    let tree =
        with(tree(&[("base/files/config/.gitkeep", "")]), "base/files/config/haproxy.cfg", Node::File(bytes.clone().into()));
    let tree = with(tree, "base/files/config/empty", Node::File([].into()));
    let state = state_of(&tree, "test");
    assert_eq!(&*state.entries()["config/haproxy.cfg"].value, bytes.as_slice());
    assert_eq!(&*state.entries()["config/empty"].value, b"");
    assert!(state.entries().get("config/.gitkeep").is_none());
}

#[test]
fn a_value_over_the_limit_is_refused_with_its_size() {
    let large = "x".repeat(390_001);
    check_told(
        &tree(&[("base/files/config/a", &large), ("base/kv/config.yaml", &format!("b: {large}\n"))]),
        &["base/files/config/a: the value has 390001 bytes", "base/kv/config.yaml:1:1: the value has 390001 bytes"],
    );
    state(&[("base/files/config/a", &large[1..])]);
}

#[test]
fn what_does_not_belong_in_a_layer_is_never_ignored() {
    let files = [
        ("base/README.md", "read me"),
        ("base/LICENSE", "free"),
        ("base/.editorconfig", "x"),
        ("base/kv/README.md", "read me"),
        ("base/kv/config.yml", "a: 1\n"),
        ("base/kv/data.json", "{}"),
        ("base/kv/config/.yaml", "a: 1\n"),
        ("base/checks/a.yml", "kind: tcp\n"),
        ("base/checks/sub/a.yaml", "kind: exec\nprogram: a\n"),
        ("base/checks/Bad_Name.yaml", "kind: exec\nprogram: a\n"),
        ("base/consul/intentions.yaml", "a: 1\n"),
        ("base/consul/more.yaml", "a: 1\n"),
        ("base/services/build.yaml", "a: 1\n"),
        ("base/vault/policy.hcl", "a"),
        ("base/file/config/a", "typo"),
        ("base/environment.yaml", "layers: []\n"),
        ("base/notes.txt", "x"),
        ("base/templates/x", "x"),
        ("environments/test/environment.yml", "layers: []\n"),
        ("environments/test/kw/a.yaml", "a: 1\n"),
    ];
    check_told(
        &tree(&files),
        &[
            "base/checks/Bad_Name.yaml: check name \"Bad_Name\" must be",
            "base/checks/a.yml: does not end in .yaml [test] rename it",
            "base/checks/sub/a.yaml: check name \"sub/a\" must be",
            "base/consul: consul/ is not supported by this version of lockstep [test]",
            "base/environment.yaml: is no file of a layer [test] environment.yaml belongs in environments/NAME/",
            "base/file: is no directory of a layer [test] did you mean \"files\"?",
            "base/kv/config.yml: does not end in .yaml [test] rename it",
            "base/kv/config/.yaml: has no name before .yaml",
            "base/kv/data.json: does not end in .yaml [test] a file that is to be one key",
            "base/notes.txt: is no file of a layer",
            "base/services: services/ is not supported by this version of lockstep",
            "base/templates: is no directory of a layer [test] a layer has kv/, files/ and checks/",
            "base/vault: vault/ is not supported by this version of lockstep",
            "environments/test/environment.yml: is no file of a layer [test] rename it",
            "environments/test/kw: is no directory of a layer [test] did you mean \"kv\"?",
        ],
    );
}

#[test]
fn a_layer_that_nobody_uses_is_checked_and_stops_nobody() {
    let tree = tree(&[("next/kv/config.yaml", "a:\n"), ("docs/page.yml", "x"), ("docs/checks/x", "y"), ("Jenkinsfile", "x")]);
    check_told(&tree, &["next/kv/config.yaml:1:1: has no value [] "]);
    state_of(&tree, "test");
    assert!(!desired::read(&tree).problems()[0].environments.contains(&name("test")));
}

#[test]
fn links_and_submodules_are_refused_by_name_where_an_environment_would_read_them() {
    for (node, word) in [
        (Node::Symlink, "is a symbolic link, which is never followed"),
        (Node::Submodule, "is a submodule, which is never fetched"),
        (Node::BadName, "has a name that is not UTF-8 text"),
        (Node::TooLarge { size: 1 << 30 }, "has 1073741824 bytes and was not read"),
    ] {
        let other = ("environments/other/environment.yaml", "layers: []\n");
        for path in [
            "base/kv/config/a.yaml",
            "base/kv/etc",
            "base/kv",
            "base/files/passwd",
            "base/checks/a.yaml",
            "base/x",
            "environments/test/files/loop",
            "environments/test/environment.yaml",
        ] {
            let tree = with(tree(&[other]), path, node.clone());
            let mut tree = tree;
            if path == "base/kv" {
                tree.nodes.remove("base/kv/always.yaml");
            }
            check_told(&tree, &[&format!("{path}: {word}")]);
            assert!(desired::read_environment(&tree, &name("test")).is_err(), "{path}");
            state_of(&tree, "other");
        }
        // Elsewhere nobody reads them.
        for path in ["docs/link", "link", ".github/x", "base/README.md", "environments/README.md"] {
            state_of(&with(tree(&[]), path, node.clone()), "test");
        }
        for path in ["lockstep.yaml", "environments"] {
            let mut tree = tree(&[]);
            tree.nodes.retain(|other, _| !other.starts_with(&format!("{path}/")));
            check_told(&with(tree, path, node.clone()), &[&format!("{path}: {word}")]);
        }
    }
    let mut tree = tree(&[]);
    tree.nodes.retain(|path, _| !path.starts_with("base/"));
    check_told(&with(tree, "base", Node::Symlink), &["base: is a symbolic link"]);
}

#[test]
fn names_that_could_climb_or_inject_are_refused_before_anything_is_built() {
    for bad in ["..", "a/../b", "%2e%2e", "a%2fb", "a\\b", " a", "a ", "a//b"] {
        let tree = tree(&[(&format!("base/files/config/{bad}"), "x")]);
        check_told(&tree, &["has a"].map(|_| "base/files/config/"));
        let yaml = format!("? {}\n: x\n", serde_json::Value::from(bad));
        check_told(&super::tree(&[("base/kv/config.yaml", &yaml)]), &["base/kv/config.yaml:1:3: key \"config/"]);
    }
    for (yaml, word) in
        [("\"a\\0b\": x", "control character"), ("\"a\\nb\": x", "control character"), ("/a: x", "empty segment")]
    {
        check_told(&tree(&[("base/kv/config.yaml", yaml)]), &[word]);
    }
    check_told(&tree(&[("base/kv/lockstep.yaml", "owners: x\n")]), &["lies below lockstep/, which is reserved"]);
    check_told(&tree(&[("base/files/lockstep/config/record", "x")]), &["lies below lockstep/, which is reserved"]);
}

#[test]
fn keys_that_do_not_fit_a_target_are_named_with_both_places() {
    let long = "s".repeat(256);
    let state = state(&[
        ("base/kv/config.yaml", &format!("a: 1\na-b: 2\nab: 3\n{long}: 4\n")),
        ("base/kv/config/a.yaml", "b: 1\nc: {d: 2}\n"),
        ("base/kv/resources.yaml", "x: 1\n"),
    ]);
    let nested = desired::nested_keys(&state);
    assert_eq!(nested.len(), 1, "{nested:?}");
    let expected =
        "base/kv/config.yaml:1:1: the key config/a can't be a file, since config/a/b (base/kv/config/a.yaml:1) lies below it";
    assert_eq!(nested[0].to_string(), expected);
    assert!(desired::long_segments(&state)[0].to_string().contains("has a segment over 255 bytes"));
    let outside = desired::outside_roots(&state, &KeyRoots::parse(&["config/"]).unwrap());
    let outside: Vec<String> = outside.iter().map(ToString::to_string).collect();
    assert_eq!(outside.len(), 2, "{outside:?}");
    assert!(outside[1].starts_with("base/kv/resources.yaml:1:1: the key resources/x lies outside"), "{outside:?}");
    assert_eq!(desired::outside_roots(&state, &KeyRoots::all()), []);
}

#[test]
fn a_variable_that_some_environments_lack_stops_those_and_is_told_once() {
    let tree = tree(&[
        ("base/kv/config.yaml", "a: ${color}\n"),
        ("environments/blue/environment.yaml", "layers: [base]\nvariables: {color: blue}\n"),
        ("environments/green/environment.yaml", "layers: [base]\n"),
    ]);
    check_told(&tree, &["base/kv/config.yaml:1:1: the variable \"color\" is not defined in this environment [green test]"]);
    assert_eq!(&*state_of(&tree, "blue").entries()["config/a"].value, b"blue");
}

#[test]
fn what_environments_share_is_held_once() {
    let tree = tree(&[("base/kv/config.yaml", "a: shared\n"), ("environments/other/environment.yaml", "layers: [base]\n")]);
    let all = desired::read(&tree);
    let value = |environment: &str| {
        let state = all.environment(&name(environment)).unwrap().unwrap();
        std::sync::Arc::clone(&state.entries()["config/a"].value)
    };
    assert!(std::sync::Arc::ptr_eq(&value("test"), &value("other")));
}
