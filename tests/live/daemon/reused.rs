//! An environment that goes on under a name which was another environment's before, whose history stayed there.

use serde_json::{Value, json};

use super::faults::end_sessions;
use super::rename::rename;
use super::service::Service;
use super::site::{APP, ENVIRONMENT, Site, app};
use crate::support::{Agent, eventually};

/// The file of the environment that has the name first.
const FIRST: &str = "environments/preview/environment.yaml";

/// `preview` is deployed as often, and removed: its history stays, and its removal is the last line of it.
fn removed(agent: &Agent, versions: &[&str]) -> Site {
    let mut site = Site::named("demo", &agent.address());
    site.environment = "preview";
    site.repo.commit("Preview", &[(FIRST, ENVIRONMENT.1)]);
    site.init();
    for version in versions {
        site.repo.commit(&format!("Version {version}"), &[(APP, &app(version))]);
        site.run(&["apply", "--once"]).exits(0);
    }
    site.repo.remove("No preview", &[FIRST]);
    site.run(&["env", "remove", "preview", "--yes"]).exits(0);
    site.environment = "test";
    site.forget_pin();
    site.init();
    site
}

#[test]
fn lines_of_whoever_had_the_name_before_are_neither_overwritten_nor_told_as_those_of_the_renamed_environment() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = removed(&agent, &["old-one", "old-two", "old-three"]);
    let of_old = agent.values("lockstep/demo/preview/history/");
    assert_eq!(of_old.len(), 4);

    let one = site.repo.commit("Version one", &[(APP, &app("one"))]);
    site.run(&["apply", "--once"]).exits(0);
    // The second attempt is under way when the environment gets its new name.
    let two = site.repo.commit("Version two", &[(APP, &app("two"))]);
    let mut killed = site.begin("killed", &["apply", "--once"]);
    eventually("it is written", || agent.get("config/app/version").as_deref() == Some(b"two"));
    killed.kill();
    end_sessions(&agent);
    rename(&mut site.repo);
    site.environment = "preview";
    let said = site.run(&["apply", "--once"]).exits(0);
    assert!(said.err.contains("goes on with the record of its former name"), "{said:?}");

    for (key, line) in &of_old {
        assert_eq!(agent.get(key).as_ref(), Some(line), "{key}");
    }
    let history = site.run(&["history", "preview", "--output", "json"]).exits(0).json();
    let lines = history["lines"].as_array().unwrap();
    let told = |line: &Value| json!([line["generation"], line["intent"], line["formerly"], line["outcome"]]);
    let expected = json!([
        [5, "rename", null, "done"],
        [4, "remove", null, "removed"],
        [3, "advance", null, "proven"],
        [2, "advance", "test", "proven"],
        [1, "advance", "test", "proven"],
    ]);
    assert_eq!(lines.iter().map(told).collect::<Value>(), expected, "{history:#}");
    assert_eq!(
        (&lines[3]["revision"], &lines[4]["revision"]),
        (&json!(two.to_string()), &json!(one.to_string())),
        "{history:#}"
    );

    let listed = site.run(&["kv", "list", "preview", "config/app/", "--output", "json"]).exits(0).json();
    assert_eq!(listed["keys"][0]["revision"], json!(two.to_string()), "{listed:#}");
    for (at, version) in [("1", "one"), ("2", "two")] {
        assert_eq!(site.run(&["kv", "get", "config/app/version", "--at", at]).exits(0).out, version);
    }
    let log = site.run(&["kv", "log", "config/app/version", "--output", "json"]).exits(0).json();
    let versions = log["environments"][0]["versions"].as_array().unwrap();
    let told = |version: &Value| json!([version["value"]["text"], version["generations"]]);
    assert_eq!(versions[..2].iter().map(told).collect::<Value>(), json!([["two", [2]], ["one", [1]]]), "{log:#}");
}

/// A line of whoever had the name before, of the number that comes next.
const LINE: &str = "lockstep/demo/preview/history/2";

#[test]
fn the_number_of_a_line_that_cannot_be_read_is_given_out_by_no_take_over() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.run(&["apply", "--once"]).exits(0);
    // Of whoever had the name before; those below it were forgotten.
    agent.put(LINE, b"{");
    rename(&mut site.repo);
    site.environment = "preview";
    site.run(&["apply", "--once"]).exits(0);
    assert_eq!(site.status()["last_generation"], 3);
    assert_eq!(agent.get(LINE).as_deref(), Some(b"{".as_slice()));
}
