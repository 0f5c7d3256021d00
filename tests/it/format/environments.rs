//! `environments/` and `lockstep.yaml`: what is read, what is refused, and whom a problem stops.

use std::time::Duration;

use lockstep::domain::desired::{self, FileTree};
use lockstep::domain::environment::{DeleteLimits, DriftPolicy, Policy, RolloutPolicy};

use super::{MANIFEST, check_told, name, state, state_of, told, tree};

const FILE: &str = "environments/test/environment.yaml";

#[track_caller]
fn check_refused(yaml: &str, expected: &[&str]) {
    check_told(&tree(&[(FILE, yaml)]), expected);
}

#[test]
fn an_environment_file_without_fields_has_the_documented_defaults() {
    let state = state(&[(FILE, "{}\n"), ("environments/test/kv/a.yaml", "b: 1\n")]);
    assert_eq!(state.environment().policy, Policy::default());
    assert_eq!(state.environment().layers, Vec::<String>::new());
    assert_eq!(state.entries().len(), 1);
}

#[test]
fn every_field_is_read() {
    let yaml = "layers: [base]\nvariables: {domain: net, port: 080}\nrollout:\n  apply_deadline: 1m\n  settle: 0s\n  min_healthy_time: 2s\n  \
                healthy_deadline: 8s\n  fail_after: 5\n  auto_revert: false\ndeletes: {at_most: 7, at_most_percent: 9}\ndrift: report\n";
    let state = state(&[(FILE, yaml)]);
    let rollout = RolloutPolicy {
        apply_deadline: Duration::from_mins(1),
        settle: Some(Duration::ZERO),
        min_healthy_time: Duration::from_secs(2),
        healthy_deadline: Duration::from_secs(8),
        fail_after: 5,
        auto_revert: false,
    };
    let deletes = DeleteLimits { at_most: 7, at_most_percent: 9 };
    assert_eq!(state.environment().policy, Policy { rollout, deletes, drift: DriftPolicy::Report });
    assert_eq!(state.environment().variables["port"], "080");
}

#[test]
fn every_wrong_field_is_told_with_its_place() {
    check_refused(
        "layer: [base]\nvariables: {a b: x, lockstep: y, c: '${d}', d: [1]}\nrollout:\n  settle: 1d\n  fail_after: 0\n  auto_revert: yes\n  min_healty_time: 1s\n\
         deletes: {at_most_percent: 101, at_most: -1}\ndrift: corect\npromotion: {after: []}\nwindows: []\nversions: {}\nformerly: Not a name\n",
        &[
            ":1:1: environment.yaml has no field \"layer\" [test] did you mean \"layers\"?",
            ":2:13: \"a b\" can't be a variable's name",
            ":2:21: \"lockstep\" can't be a variable's name",
            ":2:34: the variable c refers to another",
            ":2:45: \"variables\" must be a text, but is a list",
            ":4:3: \"settle\": \"1d\" is not a duration [test] days are not a unit here: write 24h",
            ":5:3: \"fail_after\" must be a whole number from 1 to 1000, but is \"0\"",
            ":6:3: \"auto_revert\" must be one of true, false, but is \"yes\"",
            ":7:3: rollout has no field \"min_healty_time\" [test] did you mean \"min_healthy_time\"?",
            ":8:11: \"at_most_percent\" must be a whole number from 0 to 100, but is \"101\"",
            ":8:33: \"at_most\" must be a whole number",
            ":9:1: \"drift\" must be one of correct, report, but is \"corect\" [test] did you mean \"correct\"?",
            ":10:1: the field \"promotion\" is not supported by this version of lockstep",
            ":11:1: the field \"windows\" is not supported",
            ":12:1: the field \"versions\" is not supported",
            ":13:1: \"formerly\": ",
        ],
    );
    check_refused("layers: base\n", &["\"layers\" must be a list, but is \"base\""]);
    check_refused("", &["environments/test/environment.yaml: is empty"]);
    check_refused("layers: []\nlayers: []\n", &[":2:1: the key \"layers\" stands here and on line 1"]);
}

#[test]
fn a_former_name_is_nobodys_any_more_and_one_environments_only() {
    const STAGING: &str = "environments/staging/environment.yaml";
    assert_eq!(state(&[(FILE, "formerly: staging\n")]).environment().formerly, Some(name("staging")));
    // It is no part of what is proven or rejected.
    let without = state(&[(FILE, "{}\n")]);
    assert_eq!(state(&[(FILE, "formerly: staging\n")]).revision_digest(), without.revision_digest());
    check_refused(
        "formerly: test\n",
        &[":1:1: test is the environment's own name [test] it is the name that the environment had"],
    );
    check_refused("formerly: [staging]\n", &[":1:1: \"formerly\" must be a text, but is a list"]);
    check_told(
        &tree(&[(FILE, "formerly: staging\n"), (STAGING, "{}\n")]),
        &[":1:1: the environment staging is still in this revision [test] a renamed environment has moved: remove \
           environments/staging in the same commit"],
    );
    let other = "environments/other/environment.yaml";
    check_told(
        &tree(&[(FILE, "formerly: staging\n"), (other, "formerly: staging\n")]),
        &[
            "environments/other/environment.yaml:1:1: staging was the former name of test too [other] one environment goes on",
            "environments/test/environment.yaml:1:1: staging was the former name of other too [test] one environment goes on",
        ],
    );
}

#[test]
fn deadlines_that_can_not_be_met_are_refused() {
    let yaml = |settle: &str| format!("rollout: {{{settle}min_healthy_time: 20s, healthy_deadline: 45s}}\n");
    check_refused(
        &yaml("settle: 25s, "),
        &[":1:47: settle (25s) and min_healthy_time (20s) do not fit before healthy_deadline (45s)"],
    );
    state(&[(FILE, &yaml("settle: 24s, "))]);
    // A default that nobody wrote is compared with nothing that could not be read, and shown in units of the format.
    check_refused(
        "rollout: {min_healthy_time: 1d, healthy_deadline: 8s}\n",
        &[":1:11: \"min_healthy_time\": \"1d\" is not a duration [test] days are not a unit here: write 24h"],
    );
    check_refused(
        "rollout: {healthy_deadline: 8s}\n",
        &[":1:11: min_healthy_time (10s) does not fit before healthy_deadline (8s)"],
    );
    check_refused(
        "rollout: {min_healthy_time: 6m}\n",
        &[":1:11: min_healthy_time (6m) does not fit before healthy_deadline (5m)"],
    );
    check_refused("rollout: {settle: 200h}\n", &[":1:11: \"settle\" must be a duration from 0s to 168h, but is \"200h\""]);
    // The target's own default counts where the file does not say.
    let state = state(&[(FILE, &yaml(""))]);
    assert_eq!(desired::deadline_too_short(&state, Duration::ZERO), None);
    let problem = desired::deadline_too_short(&state, Duration::from_secs(30)).unwrap();
    assert!(problem.to_string().starts_with("environments/test/environment.yaml: settle (30s)"), "{problem}");
}

#[test]
fn a_layer_must_exist_and_lie_in_the_repository() {
    check_refused(
        "layers:\n- bse\n- ../x\n- environments/other\n- base\n- base\n- .git\n- /etc\n- \"a\\nb\"\n",
        &[
            ":2:3: the layer \"bse\" does not exist [test] did you mean \"base\"?",
            ":3:3: the layer \"../x\" has an empty segment or one that begins with '.'",
            ":4:3: the layer \"environments/other\" lies below environments/",
            ":6:3: the layer \"base\" is named twice",
            ":7:3: the layer \".git\" has",
            ":8:3: the layer \"/etc\" has an empty segment",
            ":9:3: the layer \"a\\nb\" contains a control character",
        ],
    );
}

#[test]
fn one_environments_problem_never_stops_another() {
    let tree = tree(&[
        ("environments/broken/environment.yaml", "rollout: {settle: 1d}\n"),
        ("environments/nofile/kv/a.yaml", "a: 1\n"),
        ("environments/file", "x"),
        ("environments/Not_A_Name/environment.yaml", "{}"),
        ("environments/README.md", "x"),
        ("environments/.gitkeep", ""),
        ("environments/sister/environment.yaml", "layers: [base, bad]\n"),
        ("environments/twin/environment.yaml", "layers: [bad]\n"),
        ("bad/kv/x.yaml", "a:\n"),
    ]);
    check_told(
        &tree,
        &[
            "bad/kv/x.yaml:1:1: has no value [sister twin]",
            "environments/Not_A_Name: environment name \"Not_A_Name\" must be",
            "environments/broken/environment.yaml:1:11: \"settle\": \"1d\" is not a duration [broken]",
            "environments/file: is a file [file]",
            "environments/nofile/environment.yaml: is missing [nofile]",
        ],
    );
    state_of(&tree, "test");
    // Broken is not removed (rule O9).
    let names: Vec<String> = desired::environment_names(&tree).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["broken", "file", "nofile", "sister", "test", "twin"]);
    for broken in ["broken", "file", "nofile", "sister", "twin"] {
        let problems = desired::read_environment(&tree, &name(broken)).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
    assert_eq!(desired::read_environment(&tree, &name("gone")), Ok(None));
    assert_eq!(desired::read(&tree).environment(&name("gone")), Ok(None));
}

#[test]
fn a_manifest_that_is_wrong_stops_everybody() {
    for (manifest, expected) in [
        (
            "name: config\nlockstep: ^2\n",
            "lockstep.yaml:2:1: the repository asks for format ^2; this version of lockstep reads format 1.0.0 [all]",
        ),
        ("name: owners\nlockstep: ^1\n", "lockstep.yaml:1:1: \"name\": repository name \"owners\" is reserved"),
        ("name: config\n", "lockstep.yaml:1:1: the field \"lockstep\" is missing [all]"),
    ] {
        let tree = tree(&[("lockstep.yaml", manifest)]);
        check_told(&tree, &[expected]);
        assert!(desired::read_environment(&tree, &name("test")).is_err());
        assert!(desired::read_environment(&tree, &name("gone")).is_err(), "an invalid revision retires nobody");
        assert!(desired::read(&tree).environments().all(|(_, state)| state.is_none()));
    }
    let files = |path| FileTree::of_files([(path, MANIFEST.1.as_bytes()), ("environments/test/environment.yaml", b"{}")]);
    check_told(&files("lockstep.yml"), &["lockstep.yaml: is missing [all]", "lockstep.yml: is not read [all] rename it"]);
    assert_eq!(desired::read(&files("lockstep.yaml")).name().map(ToString::to_string).as_deref(), Some("config"));
}

#[test]
fn a_revision_without_environments_or_cut_short_is_invalid_unless_it_says_that_none_is_meant() {
    let none = |path| FileTree::of_files([(MANIFEST.0, MANIFEST.1.as_bytes()), (path, b"")]);
    for path in
        ["environments/README.md", "environments/.keep", "Environments/.gitkeep", "base/environments/.gitkeep", ".gitkeep"]
    {
        check_told(&none(path), &["environments: there is no environment [all] an environment is a directory"]);
        assert!(desired::read_environment(&none(path), &name("test")).is_err(), "{path} retires nobody");
    }
    let meant = none("environments/.gitkeep");
    check_told(&meant, &[]);
    assert_eq!(desired::read_environment(&meant, &name("test")), Ok(None));
    let nameless = FileTree::of_files([("environments/.gitkeep", b"".as_slice())]);
    assert!(desired::read_environment(&nameless, &name("test")).is_err(), "whose it is it does not say");
    check_told(&FileTree::of_files([(MANIFEST.0, MANIFEST.1.as_bytes())]), &["environments: there is no environment [all]"]);
    assert_eq!(told(&FileTree::default()).len(), 2);
    let mut cut = tree(&[]);
    cut.cut = Some("it holds more than 1000000 files".to_owned());
    check_told(&cut, &[".: the revision can't be read: it holds more than 1000000 files [all]"]);
    assert!(desired::read_environment(&cut, &name("test")).is_err());
}

#[test]
fn hostile_text_in_any_field_is_refused_or_stays_text() {
    const EVIL: &str = "';$(id)`id`|&>../x'";
    for field in ["layers", "rollout", "deletes", "drift", "promotion", "windows", "versions", EVIL] {
        let found = told(&tree(&[(FILE, &format!("{field}: {EVIL}\n"))]));
        assert_eq!(found.len(), 1, "{field}: {found:?}");
    }
    for field in ["apply_deadline", "settle", "min_healthy_time", "healthy_deadline", "fail_after", "auto_revert", EVIL] {
        let found = told(&tree(&[(FILE, &format!("rollout: {{{field}: {EVIL}}}\n"))]));
        assert_eq!(found.len(), 1, "{field}: {found:?}");
    }
    for field in ["name", "lockstep"] {
        let manifest = "name: a\nlockstep: ^1\n".replace(&format!("{field}: "), &format!("{field}: {EVIL} #"));
        assert_eq!(told(&tree(&[("lockstep.yaml", &manifest)])).len(), 1, "{manifest}");
    }
    check_refused(&format!("layers: [{EVIL}]\n"), &["the layer \";$(id)`id`|&>../x\" does not exist"]);
    // A variable is text for values, and nothing ever runs those.
    state(&[(FILE, &format!("variables: {{a: {EVIL}}}\n"))]);
}
