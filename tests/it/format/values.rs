//! `kv/`: what a scalar, a list and a tag become.

use super::{check_told, state, tree, values};

/// One line of YAML below `config/`, and the value that it makes.
#[track_caller]
fn check(yaml: &str, expected: &str) {
    let found = values(&[("base/kv/config.yaml", yaml)]);
    assert_eq!(found, [("config/x".to_owned(), expected.to_owned())], "{yaml}");
}

#[track_caller]
fn check_refused(yaml: &str, expected: &str) {
    check_told(&tree(&[("base/kv/config.yaml", yaml)]), &[expected]);
}

#[test]
fn a_scalar_stays_the_text_that_somebody_wrote() {
    for text in [
        "1.10",
        "on",
        "off",
        "yes",
        "0755",
        "0o17",
        "0x1F",
        "1000000",
        "12345678901234567890",
        "0.125",
        "1e3",
        ".5",
        "+1",
        "~",
        "null",
        "Null",
        "true",
        "True",
        "2026-11-22",
        "12:30:45",
        "1_000",
        ".inf",
        "a b",
        "-",
        "-x",
        "http://a:1/b",
        "ü/ñ",
        "a\tb",
        "{{ key }}x",
        "100%",
        "$x",
        "=",
    ] {
        if !text.starts_with('{') && text != "-" {
            check(&format!("x: {text}\n"), text);
            check(&format!("x: {text} # a comment\n"), text);
        }
        check(&format!("x: '{text}'\n"), text);
        check(&format!("x: \"{text}\"\n"), text);
        check(&format!("{{x: '{text}'}}"), text);
    }
    check("x: \"\"\n", "");
    check("x: ''\n", "");
    check("x: 'it''s'\n", "it's");
    check("x: \"a\\nb\\0\\u00e9\"\n", "a\nb\0é");
    check("x: |\n  a\n   b\n\n", "a\n b\n");
    check("x: |-\n  a\n  b\n", "a\nb");
    check("x: |+\n  a\n\n", "a\n\n");
    check("x: >\n  a\n  b\n", "a b\n");
    check("x: a\n   b\n", "a b");
}

#[test]
fn keys_are_source_text_too() {
    let yaml = "8080: a\n0755: b\non: c\n1.10: d\n~: e\n'': f\na/b: g\nnull: h\n\"q q\": i\n";
    let expected = ["0755=b", "1.10=d", "8080=a", "a/b=g", "null=h", "on=c", "q q=i", "~=e"];
    let found = values(&[("base/kv/config.yaml", &yaml.replace("'': f\n", ""))]);
    let found: Vec<String> = found.iter().map(|(key, value)| format!("{}={value}", &key["config/".len()..])).collect();
    assert_eq!(found, expected);
    check_refused("x: 1\n'': f\n", "base/kv/config.yaml:2:1: key \"config/\" has an empty segment");
}

#[test]
fn the_path_and_the_mappings_make_the_key() {
    let found = values(&[
        ("base/kv/config/services/consul.yaml", "domain: d\nmetrics: {statsd: {rules: r}}\n"),
        ("base/kv/config/services.v2/a.b.yaml", "proxy.edge: {ui: t}\n"),
    ]);
    let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
    let expected = [
        "config/services.v2/a.b/proxy.edge/ui",
        "config/services/consul/domain",
        "config/services/consul/metrics/statsd/rules",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn a_list_is_a_json_array_whose_plain_numbers_and_booleans_stay_literal() {
    check("x: []\n", "[]");
    check("x: [a, 'b', \"c\\n\"]\n", r#"["a","b","c\n"]"#);
    check(
        "x: [1, -1, 0, 1.10, 1e5, 1E-5, 12345678901234567890, true, false]\n",
        "[1,-1,0,1.10,1e5,1E-5,12345678901234567890,true,false]",
    );
    check(
        "x: [01, +1, .5, 1., 0x1, 1_0, True, on, null, ~, '1', 'true', 1e, --1]\n",
        r#"["01","+1",".5","1.","0x1","1_0","True","on","null","~","1","true","1e","--1"]"#,
    );
    check("x:\n- a\n- - 1\n  - []\n- {}\n- {b: 2, a: {c: '3'}}\n", r#"["a",[1,[]],{},{"b":2,"a":{"c":"3"}}]"#);
    check("x:\n- |\n  1\n- \"\"\n", r#"["1\n",""]"#);
    check("x: ['ü\"\\']\n", r#"["ü\"\\"]"#);
}

#[test]
fn a_value_that_is_not_there_is_an_error_and_an_empty_one_is_not() {
    check_refused("x:\n", "base/kv/config.yaml:1:1: has no value [test] write \"\"");
    check_refused("a: 1\nx: # only a comment\n", "base/kv/config.yaml:2:1: has no value");
    check_refused("x: !keep\n", ":1:1: has no value");
    check_refused("x: {}\n", ":1:1: an empty mapping makes no key");
    check_refused("x: [a, , b]\n", "is not valid YAML");
    check_refused("x:\n- a\n-\n", ":3:");
    check_refused("x: [{a: }]\n", ":1:6: an item of a list has no value");
    check_refused("", "base/kv/config.yaml: is empty");
    check_refused("# nothing\n", "base/kv/config.yaml: is empty");
    check_refused("text\n", ":1:1: must be a mapping of keys, but is a text");
    check_refused("- a\n", ":1:1: must be a mapping of keys, but is a list");
    assert_eq!(values(&[("base/kv/config.yaml", "{}\n")]), []);
}

#[test]
fn every_problem_of_a_file_is_told_not_the_first() {
    let yaml = "a: 1\na: 2\n<<: x\nb:\nc: !vault secret/x#y\nd: !!int 3\n[e]: 4\nf: {../g: 5}\nh: ok\ni: ${nope}\n";
    check_told(
        &tree(&[("base/kv/config.yaml", yaml)]),
        &[
            "base/kv/config.yaml:2:1: the key \"a\" stands here and on line 1 of the same mapping [test] remove one",
            "base/kv/config.yaml:3:1: merge keys (<<) are not part of the format [test]",
            "base/kv/config.yaml:4:1: has no value",
            "base/kv/config.yaml:5:4: the tag \"!vault\" is not supported by this version of lockstep yet",
            "base/kv/config.yaml:6:4: unknown tag \"!!int\"",
            "base/kv/config.yaml:7:1: a key is a list",
            "base/kv/config.yaml:8:5: key \"config/f/../g\" has a '.' or '..' segment",
            "base/kv/config.yaml:10:1: the variable \"nope\" is not defined in this environment",
        ],
    );
}

#[test]
fn tags_say_what_becomes_of_a_key() {
    let yaml = "a: !keep 1\nb: !sensitive\n  c: 2\n  d: !keep [3]\ne: 4\nf: !sensitive |\n  x\n";
    let state = state(&[("base/kv/config.yaml", yaml)]);
    let tags: Vec<(&str, bool, bool)> = state
        .entries()
        .iter()
        .filter(|(key, _)| key.as_str().starts_with("config/"))
        .map(|(key, entry)| (&key.as_str()["config/".len()..], entry.keep, entry.sensitive))
        .collect();
    let expected = [("a", true, false), ("b/c", false, true), ("b/d", true, true), ("e", false, false), ("f", false, true)];
    assert_eq!(tags, expected);
    assert_eq!(&*state.entries()["config/f"].value, b"x\n");
}

#[test]
fn a_tag_in_the_wrong_place_is_an_error() {
    check_refused("x: !absent 1\n", ":1:1: !absent stands before a value");
    check_refused("x: !absent {a: 1}\n", ":1:1: !absent stands before a mapping");
    check_refused("x: [!sensitive a]\n", "the tag !sensitive stands inside a list");
    check_refused("!keep x: 1\n", "the key \"x\" has a tag");
    check_refused("x: !plain 1\n", "the tag \"!plain\" is not supported by this version of lockstep yet");
    check_refused("x: !kep 1\n", "unknown tag \"!kep\"");
    check_refused("%TAG ! tag:evil,1:\n---\nx: !keep 1\n", "unknown tag");
    check_refused("x: !<!keep> 1\n", "unknown tag");
}

#[test]
fn anchors_work_within_a_file() {
    let found = values(&[("base/kv/config.yaml", "a: &a {h: x, p: [1, 2]}\nb: *a\nc: &c 1.10\nd: *c\n")]);
    let found: Vec<String> = found.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let expected = ["config/a/h=x", "config/a/p=[1,2]", "config/b/h=x", "config/b/p=[1,2]", "config/c=1.10", "config/d=1.10"];
    assert_eq!(found, expected);
    check_refused("a: *nowhere\n", "unknown anchor");
    check_refused("a: &a [1, *a]\n", "an alias stands inside the value that it repeats");
}

#[test]
fn variables_are_filled_in_and_quotes_decide_what_a_list_makes_of_them() {
    let environment = ("environments/test/environment.yaml", "layers: [base]\nvariables: {port: 8080, d: net}\n");
    let yaml = "a: http://x.${d}:${port}/\nb:\n- ${port}\n- '${port}'\nc: $${d} $d\nd: 'key: ${d}'\n";
    let found = values(&[environment, ("base/kv/config.yaml", yaml)]);
    let found: Vec<String> = found.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let expected = ["config/a=http://x.net:8080/", r#"config/b=[8080,"8080"]"#, "config/c=${d} $d", "config/d=key: net"];
    assert_eq!(found, expected);
    check_refused("a: ${domian}\n", "[test] did you mean \"domain\"?");
    check_refused("a: ${lockstep.revision}\n", "can stand in checks only");
    let list = tree(&[("base/kv/config.yaml", "a: ['${x}', b, '${y}']\n")]);
    check_told(&list, &["the variable \"x\" is not defined", "the variable \"y\" is not defined"]);
    check_refused("${domain}: a\n", "the key \"${domain}\" refers to a variable");
    check_refused("a: [${domain}]\n", "needs quotes");
    check_refused("a: ${x:-default}\n", "$${ for a literal ${");
}

#[test]
fn origins_name_the_line_of_the_key() {
    let state = state(&[("base/kv/config.yaml", "a: 1\nb:\n  # why\n  c: |\n    text\n"), ("base/files/config/d", "x")]);
    let origin = |key: &str| state.entries()[key].origin.to_string();
    assert_eq!(origin("config/a"), "base/kv/config.yaml:1");
    assert_eq!(origin("config/b/c"), "base/kv/config.yaml:4");
    assert_eq!(origin("config/d"), "base/files/config/d");
}
