//! What may be deleted, and what may not.

use super::service::Service;
use super::site::{APP, CHECK, ENVIRONMENT, MANY, Running, Site, dump, many};
use crate::support::Agent;

#[test]
fn only_the_exact_key_goes_beside_keys_that_begin_like_it() {
    const KEYS: &str = "base/kv/config.yaml";
    let mut it = Running::on(Agent::start(), |repo| {
        repo.commit("Four", &[(KEYS, "foo: 1\nfoobar: 2\nfoo_v2: 3\n")]);
    });
    // A folder key and a key in it, made by hand in Consul's own user interface.
    it.agent.put("config/foo/", b"");
    it.agent.put("config/foo/by-hand", b"4");
    let mut wanted = it.agent.values("config/");
    it.site.repo.commit("Without foo", &[(KEYS, "foobar: 2\nfoo_v2: 3\n")]);
    it.site.until_steady();
    assert!(wanted.remove("config/foo").is_some());
    assert_eq!(it.agent.values("config/"), wanted);
}

#[test]
fn an_empty_tree_deletes_nothing_and_dropping_every_key_needs_an_allowance() {
    let mut it = Running::on(Agent::start(), |repo| {
        repo.commit("Thirty", &[(MANY, &many(30, "x"))]);
    });
    let before = it.agent.values("config/");
    let good = it.site.repo.tip();

    let empty = it.site.repo.remove("Empty", &["lockstep.yaml", ENVIRONMENT.0, CHECK.0, APP, MANY]);
    let status = it.site.until("a word on the empty tree", |status| status["head"]["revision"] == empty.to_string());
    assert_eq!(status["head"]["verdict"], "invalid", "{status:#}");
    let text = status["head"]["text"].as_str().unwrap();
    assert!(text.contains("there is no environment; nothing of it is applied, and nothing is deleted"), "{text}");
    for verb in [&["plan", "test"][..], &["apply", "--once"]] {
        let said = it.site.run(verb).exits(1);
        assert!(
            format!("{}{}", said.out, said.err).contains("nothing of it is applied, and nothing is deleted"),
            "{verb:?}: {said:?}"
        );
    }
    assert_eq!(it.agent.values("config/"), before);

    // Whose it is, and not one environment.
    it.site.repo.revert(empty);
    // What `status` says of a head that is followed rests on its own mirror, which a plan fetches.
    it.site.run(&["plan", "test"]).exits(0);
    it.site.until("back", |status| status["head"]["verdict"] == "in-step");
    let bare = it.site.repo.remove("Only lockstep.yaml", &[ENVIRONMENT.0, CHECK.0, APP, MANY]);
    let status = it.site.until("a word on the bare tree", |status| status["head"]["revision"] == bare.to_string());
    assert_eq!(status["head"]["verdict"], "invalid", "{status:#}");
    assert!(
        status["head"]["text"].as_str().unwrap().contains("nothing of it is applied, and nothing is deleted"),
        "{status:#}"
    );
    assert_eq!(it.agent.values("config/"), before);
    let empty = bare;

    it.site.repo.revert(empty);
    it.site.run(&["plan", "test"]).exits(0);
    it.site.until("back", |status| status["head"]["verdict"] == "in-step");
    let dropped = it.site.repo.remove("Drop all keys", &[MANY, APP]);
    let status = it.site.until("a word on the deletes", |status| status["head"]["revision"] == dropped.to_string());
    assert_eq!((status["phase"].as_str(), status["head"]["verdict"].as_str()), (Some("held-refused"), Some("refused")));
    let text = status["head"]["text"].as_str().unwrap();
    assert!(text.contains("31") && text.contains("Lockstep-Allow-Deletes"), "{text}");
    assert_eq!(it.agent.values("config/"), before);
    assert_eq!(status["goal"]["revision"], good.to_string(), "{status:#}");

    it.site.repo.commit("Meant so\n\nLockstep-Allow-Deletes: 31\n", &[]);
    it.site.until("the keys are gone", |_| it.agent.values("config/").is_empty());
}

#[test]
fn a_wrong_path_over_an_environment_is_refused_by_the_guard_with_numbers_and_deletes_nothing() {
    let mut it = Running::on(Agent::start(), |repo| {
        repo.commit("Thirty", &[(MANY, &many(30, "x"))]);
    });
    let before = it.agent.values("config/");
    // The layer without a key in it, in the place of the one with all keys; the check is the same.
    let wrong = ENVIRONMENT.1.replace("[base]", "[bass]");
    let check = CHECK.0.replace("base/", "bass/");
    let tip = it.site.repo.commit("A slip", &[(ENVIRONMENT.0, &wrong), (&check, CHECK.1)]);
    let status = it.site.until("a word on it", |status| status["head"]["revision"] == tip.to_string());
    assert_eq!((status["phase"].as_str(), status["head"]["verdict"].as_str()), (Some("held-refused"), Some("refused")));
    let text = status["head"]["text"].as_str().unwrap();
    assert!(text.contains("31") && text.contains("Lockstep-Allow-Deletes"), "{text}");
    it.site.run(&["plan", "test"]).exits(3);
    it.site.run(&["apply", "--once"]).exits(1);
    assert_eq!(it.agent.values("config/"), before);
}

#[test]
fn wrong_roots_over_keys_of_others_delete_and_write_nothing_and_fail() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::named("demo", &agent.address());
    for number in 0..30 {
        agent.put(&format!("apps/of-others/k{number}"), b"theirs");
        agent.put(&format!("config/of-others/k{number}"), b"theirs");
    }
    let theirs = || [dump(&agent, "apps/"), dump(&agent, "config/of-others/")].concat();
    let before = theirs();
    // Wrong from the first deploy on: a prefix that belongs to somebody else.
    site.roots = "apps/";
    site.init();
    let said = site.run(&["apply", "--once"]).exits(1);
    assert!(said.out.contains("the key config/app/version lies outside"), "{said:?}");
    assert_eq!((theirs(), agent.values("config/app/").len()), (before.clone(), 0));

    // Right, and wrong again once there is something to lose.
    site.roots = "config/";
    site.repo.commit("Thirty", &[(MANY, &many(30, "x"))]);
    site.run(&["apply", "--once"]).exits(0);
    let all = dump(&agent, "config/");
    for wrong in ["apps/", "conf/", "config/app/"] {
        site.roots = wrong;
        site.run(&["plan", "test"]).exits(1);
        site.run(&["apply", "--once"]).exits(1);
        // Not even a commit that asks for none of the keys any more.
        let dropped = site.repo.remove("Drop all", &[MANY, APP]);
        site.run(&["apply", "--once"]).exits(1);
        site.repo.revert(dropped);
    }
    assert_eq!((theirs(), dump(&agent, "config/")), (before, all));
}

#[test]
fn of_two_repositories_that_want_a_key_the_second_refuses_names_it_and_touches_nothing() {
    let it = Running::start();
    let mut second = Site::named("other", &it.agent.address());
    second.repo.commit("More", &[("base/kv/config/other.yaml", "mine: 1\n")]);
    second.init();
    let before = dump(&it.agent, "config/");
    let _controller = second.start("one");
    let status = second.until("refused", |status| status["phase"] == "held-refused");
    assert!(status["head"]["text"].as_str().unwrap().contains("config/app/version"), "{status:#}");
    assert_eq!(dump(&it.agent, "config/"), before);
    assert_eq!(it.site.status()["phase"], "steady");
}

#[test]
fn a_wrong_address_is_refused_and_nothing_is_written_there() {
    let right = Agent::start();
    let _service = Service::start(&right);
    let mut site = Site::new(&right);
    let wrong = Agent::start();
    wrong.put("config/app/version", b"somebody else's");
    let before = dump(&wrong, "");
    site.readdress(&wrong.address());
    let mut controller = site.start("one");
    crate::support::eventually("it says what is wrong", || {
        controller.log().contains("the record was lost, or the address is wrong")
    });
    assert_eq!(site.run(&["apply", "--once"]).exits(1).out.matches("lockstep init").count(), 1);
    assert_eq!(site.status()["phase"], "failed");
    assert_eq!(dump(&wrong, ""), before, "not even a lease is written to the wrong place");

    // Initialised by another repository of the same name, it is still not the one that is pinned.
    let other = Site::named("demo", &wrong.address());
    other.init();
    let initialised = dump(&wrong, "");
    assert_eq!(initialised.len(), before.len() + 2);
    crate::support::eventually("it says what is pinned", || controller.log().contains("pins"));
    assert_eq!(dump(&wrong, ""), initialised);
    assert!(controller.runs());
}

#[test]
fn a_lost_record_is_told_by_every_verb_and_a_second_init_with_the_pin_repeats_its_line() {
    let it = Running::start();
    let first = it.site.run(&["init", "test"]).exits(0).out;
    assert!(first.lines().any(|line| line.starts_with("target_id: ")), "{first}");
    assert_eq!(it.site.run(&["init", "test"]).exits(0).out, first);
    drop(it.controller);
    assert_eq!(it.agent.curl("DELETE", "/v1/kv/lockstep/?recurse", b"").0, 200);
    let before = dump(&it.agent, "");
    for verb in [
        &["init", "test"][..],
        &["status", "test"],
        &["history", "test"],
        &["apply", "--once", "test"],
        &["release", "test", "--reason", "x"],
    ] {
        let said = it.site.run(verb);
        let text = format!("{}{}", said.out, said.err);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("the record was lost") && words.contains("restore a snapshot"), "{verb:?}: {text}");
    }
    assert_eq!(dump(&it.agent, ""), before);
}
