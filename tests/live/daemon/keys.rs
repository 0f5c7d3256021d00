//! Key names that a URL and a transaction read differently: refused where a commit wants them, and told and left alone where
//! somebody else has made them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::site::{APP, Running, app, dump};
use crate::support::Agent;

/// Puts keys there literally, as only a transaction can.
#[track_caller]
fn put_literally(agent: &Agent, keys: &[&str]) {
    for some in keys.chunks(64) {
        let operation =
            |key: &&str| serde_json::json!({ "KV": { "Verb": "set", "Key": key, "Value": STANDARD.encode("theirs") } });
        let body = serde_json::Value::from(some.iter().map(operation).collect::<Vec<_>>()).to_string();
        assert_eq!(agent.curl("PUT", "/v1/txn", body.as_bytes()).0, 200);
    }
}

#[test]
fn a_commit_with_a_key_that_no_url_can_name_is_refused_by_plan_with_file_and_line_and_writes_nothing() {
    const BAD: &str = "base/kv/config/bad.yaml";
    let mut it = Running::start();
    let before = dump(&it.agent, "");
    for name in ["", "/lead", "a//b", "a/../b", "./x", "..", ".", "trail/", "line\\nbreak", "nul\\0", "a%2fb", "back\\\\slash"]
    {
        it.site.repo.commit(name, &[(BAD, &format!("fine: 1\n\"{name}\": 2\n"))]);
        let said = it.site.run(&["plan", "test"]).exits(1);
        assert!(said.out.contains(&format!("{BAD}:2")), "{name:?}: {said:?}");
        it.site.run(&["apply", "--once"]).exits(1);
    }
    let values = |state: Vec<(String, Vec<u8>, u64)>| {
        state.into_iter().filter(|(key, _, _)| key.starts_with("config/")).collect::<Vec<_>>()
    };
    assert_eq!(values(dump(&it.agent, "")), values(before));
}

#[test]
fn keys_of_others_below_a_root_are_counted_and_some_named_by_plan_and_stay_whatever_they_are_called() {
    const ODD: [&str; 7] = [
        "config/folder/",
        "config//double",
        "config/a/../b",
        "config/./x",
        "config/line\nbreak",
        "config/nul\0",
        "config/app/version/",
    ];
    let mut it = Running::start();
    put_literally(&it.agent, &ODD);
    // A byte that is no text comes back as another character: not even its name can be said again.
    assert_eq!(it.agent.curl("PUT", "/v1/kv/config/%FF", b"theirs").0, 200);
    let plain: Vec<String> = (0..3_000).map(|number| format!("config/theirs/{number:04}")).collect();
    put_literally(&it.agent, &plain.iter().map(String::as_str).collect::<Vec<_>>());
    let theirs =
        || dump(&it.agent, "config/").into_iter().filter(|(key, _, _)| key != "config/app/version").collect::<Vec<_>>();
    let before = theirs();
    assert_eq!(before.len(), 3_008);

    // Nothing is to be done about them, so the environment is in step.
    let plan = it.site.run(&["plan", "test", "--output", "json"]).exits(0).json()["environments"][0].take();
    let foreign = &plan["foreign"];
    let unmanageable = plan["unmanageable"].as_array().unwrap();
    let named = foreign["count"].as_u64().unwrap() + u64::try_from(unmanageable.len()).unwrap();
    assert_eq!(named, 3_008, "{plan:#}");
    assert_eq!(foreign["some"].as_array().unwrap().len(), 5, "{foreign}");
    let text = it.site.run(&["plan", "test"]).exits(0).out;
    assert!(text.contains("unmanaged, left alone: 300") && text.contains(" more\n"), "{text}");
    assert!(text.contains("config/folder/") && text.contains("not manageable, left alone: "), "{text}");
    assert!(text.lines().count() < 40 && !text.contains('\0'), "{text}");

    it.site.repo.commit("Two", &[(APP, &app("two"))]);
    it.site.until_steady();
    assert_eq!(theirs(), before);
}
