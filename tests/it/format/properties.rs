//! What holds of every repository, tried on generated ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lockstep::domain::desired::{self, FileTree, Node};
use proptest::prelude::*;

use super::{name, state_of, tree, with};

/// Bytes that come near to being YAML.
fn near_yaml() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "a",
        "b",
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "!keep ",
        "!absent",
        "!x ",
        "|\n",
        ">-\n",
        "'",
        "\"",
        "#",
        " #",
        "? ",
        "---\n",
        "...",
        "%TAG ! x\n",
        "\t",
        "\r\n",
        "${",
        "}",
        "$${",
        "${domain}",
        "<<",
        "~",
        "ü",
        "\u{feff}",
        "\\",
        "\0",
        "@",
        "`",
        "kind: http",
        "layers: [base]",
        "name",
        "1d",
        "!",
        "!!str ",
        "!<x> ",
    ]);
    prop_oneof![
        3 => prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

type Values = BTreeMap<String, String>;

fn key_values() -> impl Strategy<Value = Values> {
    let value =
        prop_oneof!["[ -~]{0,20}", "[0-9.eE+-]{1,8}", "\\PC{0,10}", Just("true".to_owned()), Just("line\nline\n".to_owned())];
    prop::collection::btree_map("[a-z0-9.]{0,6}[a-z]", value, 1..20)
}

fn rendered<'a>(values: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    values.fold(String::new(), |mut yaml, (key, value)| {
        let value = value.replace("${", "$${");
        let _ = writeln!(yaml, "{}: {}", quoted(key), quoted(&value));
        yaml
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_it_panic(bytes in near_yaml(), path in prop::sample::select(vec![
        "base/kv/config.yaml", "base/checks/a.yaml", "environments/test/environment.yaml", "lockstep.yaml",
    ])) {
        let tree = with(tree(&[]), path, Node::File(bytes.into()));
        let all = desired::read(&tree);
        let one = desired::read_environment(&tree, &name("test"));
        prop_assert_eq!(one.is_ok(), all.environment(&name("test")).is_ok());
        if let Err(problems) = one {
            prop_assert!(!problems.is_empty(), "stopped without a word");
        }
    }

    #[test]
    fn no_paths_make_it_panic(paths in prop::collection::btree_set("(base|environments|test|kv|files|checks|a|\\.\\.|\\PC|lockstep)(/(kv|files|checks|test|environment|a|\\PC){1,2}){0,4}(\\.yaml|\\.yml)?", 0..8)) {
        let files: Vec<(&str, &[u8])> = paths.iter().map(|path| (path.as_str(), b"a: 1\n".as_slice())).collect();
        let all = desired::read(&FileTree::of_files(files));
        prop_assert!(!all.problems().is_empty());
    }

    #[test]
    fn rendered_values_come_back(values in key_values()) {
        let tree = tree(&[("base/kv/config.yaml", &rendered(values.iter()))]);
        let state = state_of(&tree, "test");
        let found: Values = state
            .entries()
            .iter()
            .filter_map(|(key, entry)| Some((key.as_str().strip_prefix("config/")?.to_owned(), String::from_utf8(entry.value.to_vec()).unwrap())))
            .collect();
        prop_assert_eq!(found, values);
    }

    #[test]
    fn lists_are_json_that_says_the_same(items in prop::collection::vec("\\PC{0,10}", 0..10)) {
        let list = items.iter().map(|item| quoted(&item.replace("${", "$${"))).collect::<Vec<_>>().join(", ");
        let state = state_of(&tree(&[("base/kv/config.yaml", &format!("x: [{list}]\n"))]), "test");
        let found: Vec<String> = serde_json::from_slice(&state.entries()["config/x"].value).unwrap();
        prop_assert_eq!(found, items);
    }

    #[test]
    fn the_digests_do_not_depend_on_how_files_are_cut(values in key_values(), cut in any::<prop::sample::Index>()) {
        let whole = state_of(&tree(&[("base/kv/config.yaml", &rendered(values.iter()))]), "test");
        let at = cut.index(values.len());
        let (first, second) = (rendered(values.iter().take(at)), rendered(values.iter().skip(at)));
        let first = if first.is_empty() { "{}\n" } else { &first };
        let files = [("environments/test/kv/config.yaml", first), ("base/kv/config.yaml", second.as_str())];
        let split = state_of(&tree(&files), "test");
        prop_assert_eq!(split.state_digest(), whole.state_digest());
        prop_assert_eq!(split.revision_digest(), whole.revision_digest());
        let as_files: Vec<(String, &str)> = values.iter().map(|(key, value)| (format!("base/files/config/{key}"), value.as_str())).collect();
        let as_files: Vec<(&str, &str)> = as_files.iter().map(|(path, value)| (path.as_str(), *value)).collect();
        prop_assert_eq!(state_of(&tree(&as_files), "test").state_digest(), whole.state_digest());
    }
}
