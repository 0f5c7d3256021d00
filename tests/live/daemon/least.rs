//! The rights that `acl-policy` prints, on a Consul that denies everything else: enough for all that there is to do, and none
//! of them too many.

use super::rename::rename;
use super::retire::OTHER;
use super::service::{BAD, Service};
use super::site::{APP, ENVIRONMENT, MANY, Said, Site, app, many};
use super::tokens::issue_with;
use crate::support::{Agent, Options, eventually};

/// What a person pipes into `consul acl policy create`.
#[track_caller]
fn printed(site: &Site, arguments: &[&str]) -> String {
    site.run(&[&["acl-policy", site.environment], arguments].concat()).exits(0).out
}

/// A token of these rules only, given to the program.
fn allow(site: &Site, agent: &Agent, policy: &str, rules: &str) {
    site.use_token(&issue_with(agent, policy, rules).1);
}

fn with_acls(list_policy: bool) -> Agent {
    Agent::with(&Options { acl: true, list_policy, ..Options::default() })
}

/// Initialised with the printed rights for that, and left with those of the controller.
fn site(agent: &Agent) -> Site {
    let site = Site::named("demo", &agent.address());
    allow(&site, agent, "init", &printed(&site, &["--init"]));
    site.init();
    allow(&site, agent, "controller", &printed(&site, &[]));
    site
}

/// What a verb says that is denied nothing.
#[track_caller]
fn ran(site: &Site, verb: &[&str]) -> Said {
    let said = site.run(verb).exits(0);
    assert!(!format!("{said:?}").to_lowercase().contains("denied"), "{verb:?}: {said:?}");
    said
}

#[test]
fn the_printed_rights_are_enough_for_a_controller_and_for_every_verb() {
    // The second one refuses lists of which a part may not be read, instead of leaving that out.
    for list_policy in [false, true] {
        let agent = with_acls(list_policy);
        let _service = Service::start(&agent);
        agent.put("other/key", b"theirs");
        agent.put("config/theirs", b"theirs");
        let mut site = site(&agent);
        let mut controller = site.start("one");
        site.until_steady();

        let first = site.repo.tip().short();
        site.repo.commit("Many", &[(MANY, &many(300, "x"))]);
        site.until_steady();
        agent.put("config/app/version", b"by hand");
        agent.delete("config/many/k00007");
        eventually("drift is put right", || {
            agent.get("config/app/version").as_deref() == Some(b"one") && agent.get("config/many/k00007").is_some()
        });
        site.until_steady();
        site.repo.commit("Bad", &[(APP, &app(BAD))]);
        site.until("rolled back", |status| status["phase"] == "held-after-rollback");
        let proven = site.repo.commit("Good", &[(APP, &app("two"))]).to_string();
        ran(&site, &["wait", "test", "--revision", &proven, "--timeout", "30s"]);
        ran(&site, &["suspend", "test", "--reason", "migration"]);
        ran(&site, &["resume", "test"]);
        ran(&site, &["rollback", "test", "--to", &first, "--reason", "slow"]);
        site.until("gone back", |status| status["goal"]["revision"].as_str().is_some_and(|goal| goal.starts_with(&first)));
        ran(&site, &["resume", "test"]);
        ran(&site, &["release", "test"]);
        ran(&site, &["wait", "test", "--revision", &proven, "--timeout", "30s"]);
        for verb in [
            &["status", "test"][..],
            &["history", "test"],
            &["plan", "test"],
            &["kv", "list", "test"],
            &["kv", "log", "config/app/version"],
            &["why", "config/app/version"],
            &["render", "test"],
        ] {
            ran(&site, verb);
        }
        assert_eq!(ran(&site, &["kv", "get", "config/app/version"]).out, "two");
        assert!(controller.runs());
        controller.terminate();
        controller.ended();
        site.repo.commit("In the foreground", &[(APP, &app("three"))]);
        ran(&site, &["apply", "--once"]);
        assert_eq!(agent.get("config/theirs").as_deref(), Some(b"theirs".as_slice()));
        site.check_history();
        // One watch for all environments is tried where lists are free; where they are not, each is watched by itself.
        let denied = site.logs().lines().filter(|line| line.contains("denied")).map(str::to_owned).collect::<Vec<_>>();
        assert!(denied.iter().all(|line| list_policy && line.contains("each is watched by itself")), "{denied:#?}");
    }
}

#[test]
fn without_any_one_of_the_printed_rights_or_with_a_lesser_one_no_commit_is_proven() {
    let agent = with_acls(false);
    let _service = Service::start(&agent);
    let mut site = site(&agent);
    site.run(&["apply", "--once"]).exits(0);
    let rules = printed(&site, &[]);
    let rules: Vec<&str> = rules.lines().collect();
    assert_eq!(rules.len(), 5, "{rules:?}");
    for (at, rule) in rules.iter().enumerate() {
        let without = || rules.iter().enumerate().filter(move |(other, _)| *other != at).map(|(_, rule)| (*rule).to_owned());
        let mut lesser = vec![without().collect::<Vec<String>>()];
        if rule.contains("write") {
            lesser.push(without().chain([rule.replace("\"write\"", "\"read\"")]).collect());
        }
        for (number, rules) in lesser.iter().enumerate() {
            let policy = format!("lesser-{at}-{number}");
            site.repo.commit(&policy, &[(APP, &app(&policy))]);
            allow(&site, &agent, &policy, &rules.join("\n"));
            let said = site.run(&["apply", "--once"]);
            assert_ne!(said.code, 0, "without {rule:?} as {number}: {said:?}");
            // With it the next one goes well: nothing but the right was missing.
            allow(&site, &agent, "controller", "");
            let next = format!("after-{policy}");
            site.repo.commit(&next, &[(APP, &app(&next))]);
            site.run(&["apply", "--once"]).exits(0);
            assert_eq!(agent.get("config/app/version").unwrap(), next.as_bytes());
        }
    }
}

#[test]
fn init_needs_the_one_rule_more_that_is_printed_for_it() {
    let agent = with_acls(true);
    let site = Site::named("demo", &agent.address());
    let (keeps, begins) = (printed(&site, &[]), printed(&site, &["--init"]));
    let more = begins.strip_prefix(&keeps).unwrap();
    assert_eq!(more.lines().count(), 1, "{more}");
    allow(&site, &agent, "controller", &keeps);
    let said = site.run(&["init", "test"]).exits(1).err;
    assert!(said.contains("lockstep/owners/"), "{said}");
    allow(&site, &agent, "init", &begins);
    site.init();
}

/// The lines without those that have this.
fn without(rules: &str, part: &str) -> String {
    let left: Vec<&str> = rules.lines().filter(|rule| !rule.contains(part)).collect();
    assert!(left.len() < rules.lines().count(), "{part} in {rules}");
    left.join("\n")
}

#[test]
fn a_rename_takes_the_rights_that_are_printed_for_the_new_name_and_its_older_history_those_that_are_printed_afterwards() {
    for list_policy in [false, true] {
        let agent = with_acls(list_policy);
        let _service = Service::start(&agent);
        let mut site = site(&agent);
        site.run(&["apply", "--once"]).exits(0);
        rename(&mut site.repo);
        site.environment = "preview";
        let rules = printed(&site, &[]);
        assert_eq!(printed(&site, &["--init"]), rules, "to take a record over is to give its owner id another name");
        let before = agent.values("config/");
        for (policy, part) in [("no-former", "lockstep/demo/test/"), ("no-owners", "lockstep/owners/")] {
            allow(&site, &agent, policy, &without(&rules, part));
            let said = site.run(&["apply", "--once"]).exits(1);
            let text = format!("{}{}", said.out, said.err);
            let lacks = format!("the token lacks key_prefix \"{part}\" write");
            assert!(text.contains(&lacks) && text.contains("give the token the rules that `lockstep acl-policy"), "{text}");
            let (owners, init) = (part.contains("owners"), text.contains("`lockstep acl-policy --init`"));
            assert_eq!((text.contains("may not give its owner id another name"), init), (owners, owners), "{text}");
        }
        allow(&site, &agent, "renames", &rules);
        let controller = site.start("one");
        site.until_in_step();
        assert_eq!(agent.values("config/"), before);
        drop(controller);
        super::faults::end_sessions(&agent);

        let after = printed(&site, &[]);
        assert!(!after.contains("lockstep/owners/") && !after.contains("\"lockstep/demo/test/\""), "{after}");
        allow(&site, &agent, "after", &after);
        site.repo.commit("Two", &[(APP, &app("two"))]);
        ran(&site, &["apply", "--once"]);
        let lines = |said: &Said| said.json()["lines"].as_array().unwrap().len();
        let all = ran(&site, &["history", "preview", "--output", "json"]);
        assert!(all.out.contains("\"formerly\"") && all.json().get("unread").is_none(), "{all:?}");
        // What may not be read is told, and the rest is shown.
        allow(&site, &agent, "no-history", &without(&after, "lockstep/demo/test/history/"));
        let some = site.run(&["history", "preview", "--output", "json"]).exits(0);
        assert_eq!((lines(&some), &some.json()["unread"]), (lines(&all) - 1, &serde_json::json!(["test"])), "{some:?}");
        assert!(some.err.contains("more from when it was called test") && some.err.contains("acl-policy preview"), "{some:?}");
        assert_eq!(agent.get("config/app/version").as_deref(), Some(b"two".as_slice()));
    }
}

#[test]
fn adopting_and_looking_around_take_the_printed_rights_and_recovering_and_removing_the_one_more_that_init_needs() {
    for list_policy in [false, true] {
        let agent = with_acls(list_policy);
        let _service = Service::start(&agent);
        let mut site = site(&agent);
        site.run(&["apply", "--once"]).exits(0);
        for number in 0..3 {
            agent.put(&format!("config/many/k{number:05}"), b"x");
        }
        site.repo.commit("Three", &[OTHER, (MANY, &many(3, "x"))]);
        let unmanaged = ran(&site, &["unmanaged", "test", "--output", "json"]).json();
        assert_eq!((&unmanaged["counts"]["adoptable"], &unmanaged["partial"]), (&3.into(), &false.into()), "{unmanaged:#}");
        ran(&site, &["adopt", "test"]);
        ran(&site, &["apply", "--once"]);
        ran(&site, &["strays", "test"]);
        site.run(&["diff", "HEAD~1", "HEAD"]).exits(3);

        // The record is lost, and then the environment is not wanted any more.
        agent.delete("lockstep/demo/test/record");
        let verbs: [&[&str]; 2] =
            [&["recover", "test", "--yes", "--reason", "lost"], &["env", "remove", "test", "--yes", "--reason", "moved"]];
        for (number, verb) in verbs.into_iter().enumerate() {
            let said = site.run(verb).exits(1).err;
            assert!(said.contains("lockstep/owners/"), "{said}");
            if number == 1 {
                assert!(said.contains("the rules that `lockstep acl-policy --init` prints") && !said.contains('#'), "{said}");
            }
            allow(&site, &agent, &format!("more-{number}"), &printed(&site, &["--init"]));
            ran(&site, verb);
            allow(&site, &agent, "controller", "");
            if number == 0 {
                ran(&site, &["apply", "--once"]);
                site.repo.remove("Test is not needed any more", &[ENVIRONMENT.0]);
            }
        }
        ran(&site, &["history", "test", "--removed"]);
        // What was recovered is adopted: it is given back.
        assert_eq!(agent.tree("config/").iter().filter(|(_, flags)| *flags != 0).count(), 0);
    }
}
