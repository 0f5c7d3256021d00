//! What programs read: the structured form of every verb, as names and kinds of values. A field may come, none may go away or
//! change its kind while the version is 1.

use expect_test::{Expect, expect};
use serde_json::Value;

use super::stage::{ENVIRONMENT, KEYS, MANIFEST, Stage};

/// Every leaf with its path and kind, once.
fn shape(value: &Value) -> String {
    fn walk(path: &str, value: &Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| walk(&format!("{path}.{name}"), value, found)),
            Value::Array(items) if items.is_empty() => drop(found.insert(format!("{path}[]"))),
            Value::Array(items) => items.iter().for_each(|item| walk(&format!("{path}[]"), item, found)),
            Value::Null => drop(found.insert(format!("{path} null"))),
            Value::Bool(_) => drop(found.insert(format!("{path} bool"))),
            Value::Number(_) => drop(found.insert(format!("{path} number"))),
            Value::String(_) => drop(found.insert(format!("{path} text"))),
        }
    }
    let mut found = std::collections::BTreeSet::new();
    walk("", value, &mut found);
    found.into_iter().collect::<Vec<_>>().join("\n")
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
fn check(stage: &Stage, arguments: &[&str], code: i32, expected: Expect) {
    let told = stage.run(&[arguments, &["--output", "json"]].concat()).exits(code).json();
    assert_eq!(told["version"], 1);
    expected.assert_eq(&shape(&told));
    let yaml = stage.run(&[arguments, &["--output", "yaml"]].concat()).out;
    assert!(yaml.starts_with("version: 1\n"), "{yaml}");
}

#[test]
fn what_looks_keeps_its_shape() {
    let stage = Stage::new();
    check(
        &stage,
        &["status"],
        0,
        expect![[r"
        .environments[].advice[]
        .environments[].contested[]
        .environments[].environment text
        .environments[].generation number
        .environments[].last_generation number
        .environments[].leader null
        .environments[].phase text
        .environments[].proven bool
        .environments[].rejected[]
        .environments[].requests_waiting number
        .environments[].target text
        .repository text
        .version number"]],
    );
    check(
        &stage,
        &["plan"],
        3,
        expect![[r"
            .environments[].changes[].action text
            .environments[].changes[].after.sensitive.changed bool
            .environments[].changes[].after.text text
            .environments[].changes[].key text
            .environments[].changes[].why text
            .environments[].checks number
            .environments[].counts.adopted number
            .environments[].counts.created number
            .environments[].counts.deleted number
            .environments[].counts.released number
            .environments[].counts.updated number
            .environments[].drifted[]
            .environments[].environment text
            .environments[].first_deploy bool
            .environments[].foreign.count number
            .environments[].foreign.some[]
            .environments[].initialised bool
            .environments[].obstacles[]
            .environments[].state text
            .environments[].strays[]
            .environments[].target text
            .environments[].unmanageable[]
            .environments[].unmanaged[]
            .repository text
            .revision text
            .subject text
            .version number"]],
    );
}

#[test]
fn what_looks_at_a_suspended_environment_with_a_broken_head_keeps_its_shape() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Break it", &[("environments/test/environment.yaml", "layers: [none]\n")]);
    stage.run(&["apply", "--once"]).exits(1);
    stage.run(&["suspend", "test", "--until", "2h", "--reason", "why"]).exits(0);
    check(
        &stage,
        &["status"],
        0,
        expect![[r"
        .environments[].advice[] text
        .environments[].attempt.because text
        .environments[].attempt.by text
        .environments[].attempt.closed text
        .environments[].attempt.evidence text
        .environments[].attempt.except[]
        .environments[].attempt.intent text
        .environments[].attempt.outcome text
        .environments[].attempt.started text
        .environments[].checks number
        .environments[].contested[]
        .environments[].environment text
        .environments[].generation number
        .environments[].goal.generation number
        .environments[].goal.revision text
        .environments[].goal.subject text
        .environments[].head.hint text
        .environments[].head.revision text
        .environments[].head.subject text
        .environments[].head.text text
        .environments[].head.verdict text
        .environments[].headline text
        .environments[].last_generation number
        .environments[].last_good.generation number
        .environments[].last_good.revision text
        .environments[].last_good.subject text
        .environments[].leader null
        .environments[].phase text
        .environments[].proven bool
        .environments[].rejected[]
        .environments[].requests_waiting number
        .environments[].suspension.at text
        .environments[].suspension.by text
        .environments[].suspension.reason text
        .environments[].suspension.until text
        .environments[].target text
        .repository text
        .version number"]],
    );
    check(
        &stage,
        &["plan"],
        1,
        expect![[r"
            .environments[].changes[]
            .environments[].counts.adopted number
            .environments[].counts.created number
            .environments[].counts.deleted number
            .environments[].counts.released number
            .environments[].counts.updated number
            .environments[].drifted[]
            .environments[].environment text
            .environments[].first_deploy bool
            .environments[].foreign.count number
            .environments[].foreign.some[]
            .environments[].hint text
            .environments[].initialised bool
            .environments[].note text
            .environments[].obstacles[]
            .environments[].state text
            .environments[].strays[]
            .environments[].target text
            .environments[].unmanageable[]
            .environments[].unmanaged[]
            .repository text
            .revision text
            .subject text
            .version number"]],
    );
}

#[test]
fn what_was_done_and_what_is_wrong_keep_their_shape() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Break it", &[("environments/test/environment.yaml", "layers: [none]\n")]);
    check(
        &stage,
        &["history", "test"],
        0,
        expect![[r"
            .environment text
            .lines[].adopted number
            .lines[].because text
            .lines[].by text
            .lines[].created number
            .lines[].deleted number
            .lines[].ended text
            .lines[].evidence text
            .lines[].generation number
            .lines[].intent text
            .lines[].outcome text
            .lines[].released number
            .lines[].revision text
            .lines[].started text
            .lines[].updated number
            .version number"]],
    );
    let path = stage.repo.path().display().to_string();
    check(
        &stage,
        &["validate", &path],
        1,
        expect![[r"
        .environments[].environment text
        .environments[].problems number
        .environments[].valid bool
        .notes[]
        .problems[].column number
        .problems[].environments[] text
        .problems[].file text
        .problems[].hint text
        .problems[].line number
        .problems[].message text
        .repository text
        .revision text
        .valid bool
        .version number"]],
    );
    check(
        &stage,
        &["status", "nowhere"],
        2,
        expect![[r"
        .error.causes[]
        .error.hint text
        .error.message text
        .version number"]],
    );
}

#[test]
fn what_acts_keeps_its_shape() {
    let mut stage = Stage::with(&[MANIFEST, ENVIRONMENT, KEYS]);
    let told = stage.run(&["init", "test", "--output", "json"]).exits(0).json();
    expect![[r"
        .environment text
        .keys_there number
        .owner number
        .target text
        .target_id text
        .version number"]]
    .assert_eq(&shape(&told));
    check(
        &stage,
        &["apply", "--once"],
        0,
        expect![[r"
        .environments[].environment text
        .environments[].generation number
        .environments[].in_step bool
        .environments[].phase text
        .environments[].reason text
        .environments[].revision text
        .version number"]],
    );
    check(
        &stage,
        &["suspend", "test", "--reason", "why"],
        0,
        expect![[r"
        .accepted bool
        .changed bool
        .environment text
        .request text
        .text text
        .version number"]],
    );
    check(
        &stage,
        &["resume", "test"],
        0,
        expect![[r"
        .accepted bool
        .changed bool
        .environment text
        .request text
        .text text
        .version number"]],
    );
    stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]);
    check(
        &stage,
        &["release", "test", "--allow-deletes", "3"],
        0,
        expect![[r"
        .accepted bool
        .changed bool
        .environment text
        .request text
        .text text
        .version number"]],
    );
}

#[test]
fn what_goes_back_keeps_its_shape() {
    let mut stage = Stage::new();
    stage.run(&["apply", "--once"]).exits(0);
    stage.repo.commit("Second", &[(KEYS.0, "app: {port: 2}\n")]);
    stage.run(&["apply", "--once"]).exits(0);
    let told = stage.run(&["rollback", "test", "--reason", "why", "--output", "json"]).exits(0).json();
    expect![[r"
        .accepted bool
        .changed bool
        .environment text
        .phase text
        .request text
        .text text
        .version number"]]
    .assert_eq(&shape(&told));
    check(
        &stage,
        &["status"],
        0,
        expect![[r"
        .environments[].advice[]
        .environments[].attempt.because text
        .environments[].attempt.by text
        .environments[].attempt.closed text
        .environments[].attempt.evidence text
        .environments[].attempt.except[]
        .environments[].attempt.intent text
        .environments[].attempt.outcome text
        .environments[].attempt.started text
        .environments[].checks number
        .environments[].contested[]
        .environments[].environment text
        .environments[].generation number
        .environments[].goal.generation number
        .environments[].goal.revision text
        .environments[].goal.subject text
        .environments[].head.revision text
        .environments[].head.subject text
        .environments[].head.text text
        .environments[].head.verdict text
        .environments[].headline text
        .environments[].last_generation number
        .environments[].last_good.generation number
        .environments[].last_good.revision text
        .environments[].last_good.subject text
        .environments[].leader null
        .environments[].phase text
        .environments[].pin.at text
        .environments[].pin.by text
        .environments[].pin.reason text
        .environments[].proven bool
        .environments[].rejected[].at text
        .environments[].rejected[].reason text
        .environments[].rejected[].revision text
        .environments[].requests_waiting number
        .environments[].target text
        .repository text
        .version number"]],
    );
    check(
        &stage,
        &["init", "test"],
        1,
        expect![[r"
        .error.causes[] text
        .error.hint text
        .error.message text
        .version number"]],
    );
}
