//! What docs/consumers.md tells consumers to do, done: its commands as they are printed there, against a real Consul.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep::client::consul::acl;
use lockstep::domain::name::{EnvironmentName, RepositoryName};

use crate::pages;
use crate::stage::{Stage, desired, many};
use crate::support::{Agent, MASTER, Options, eventually, exchange, roots};

const PAGE: &str = "docs/consumers.md";
const AT_ONCE: &str = "One transaction that only reads";
const TWICE: &str = "Look, read, look again";
const FLAGS: &str = "Flags: which generation wrote a key";
const REVISION: &str = "lockstep/calvin-config/test/revision";
const PORT: &str = "config/services/builds/protocols/http/port";

/// A reader's machine: an empty directory, and what the page's commands begin with.
struct Reader {
    home: tempfile::TempDir,
    address: String,
    token: &'static str,
}

impl Reader {
    fn of(agent: &Agent) -> Self {
        Self { home: tempfile::tempdir().unwrap(), address: agent.address(), token: "" }
    }

    /// Runs what the page prints below a heading.
    #[track_caller]
    fn does(&self, heading: &str) -> String {
        self.runs(&pages::commands(&pages::page(PAGE), heading).concat()).unwrap()
    }

    /// Runs commands after those that the page begins with.
    #[track_caller]
    fn runs(&self, commands: &str) -> Result<String, String> {
        let begin = pages::commands(&pages::page(PAGE), "With curl: exact for plans of any size").concat();
        let variables = [("CONSUL_HTTP_ADDR", self.address.as_str()), ("CONSUL_HTTP_TOKEN", self.token)];
        pages::run(&(begin + commands), self.home.path(), &variables)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_ways_to_read_print_every_key_and_its_generation() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    stage.go(&desired([(PORT, "8080"), ("config/empty", "")]), 1).await.unwrap();
    stage.go(&desired([(PORT, "8081"), ("config/empty", "")]), 2).await.unwrap();
    let reader = Reader::of(&agent);
    for way in [AT_ONCE, TWICE] {
        assert_eq!(reader.does(way), format!("config/empty = \n{PORT} = 8081\n"), "{way}");
    }
    let owner = agent.tree(PORT)[0].1 >> 28 & 0xFFFF;
    assert_eq!(reader.does(FLAGS), format!("generation 2, owner {owner}\n1 config/empty\n2 {PORT}\n"));
    agent.put(PORT, b"8081");
    let said = "not written by lockstep, or changed by hand since";
    assert_eq!(reader.does(FLAGS), format!("{said}\n1 config/empty\n- {PORT}\n"));

    let shown = agent.get(REVISION).unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    let page = pages::blocks(&pages::page(PAGE));
    let documented = page.iter().find(|block| block.language == "json").unwrap();
    let documented: serde_json::Value = serde_json::from_str(&documented.text).unwrap();
    let fields = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&documented), fields(&shown));
    assert_eq!((&shown["state"], &shown["generation"]), (&"complete".into(), &2.into()));
    assert!(shown["digest"].as_str().unwrap().starts_with("v1:"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_ways_to_read_show_no_mixture_while_commits_go_in() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    let stop = Arc::new(AtomicBool::new(false));
    let readers = [AT_ONCE, TWICE].map(|way| {
        let (reader, stop) = (Reader::of(&agent), stop.clone());
        let seen: Arc<Mutex<Vec<BTreeSet<String>>>> = Arc::default();
        let told = seen.clone();
        let thread = std::thread::spawn(move || {
            // The first of these waits for the first deploy.
            while !stop.load(Ordering::Relaxed) {
                let printed = reader.does(way);
                let values: Vec<String> =
                    printed.lines().filter_map(|line| line.split_once(" = ")).map(|(_, value)| value.to_owned()).collect();
                assert_eq!(values.len(), 1000, "{way}");
                told.lock().unwrap().push(values.into_iter().collect());
            }
        });
        (way, seen, thread)
    });
    for round in 1..=5u8 {
        stage.go(&many(1000, &round.to_string()), round).await.unwrap();
        for (way, seen, thread) in &readers {
            eventually(&format!("{way} shows revision {round}"), || {
                assert!(!thread.is_finished(), "{way} failed");
                let seen = seen.lock().unwrap();
                seen.last().is_some_and(|values| values.contains(&round.to_string()))
            });
        }
    }
    stop.store(true, Ordering::Relaxed);
    for (way, seen, thread) in readers {
        thread.join().unwrap();
        let seen = seen.lock().unwrap();
        assert!(seen.iter().all(|values| values.len() == 1), "{way}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_wait_ends_with_the_next_revision() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    stage.go(&desired([(PORT, "8080")]), 1).await.unwrap();
    let reader = Reader::of(&agent);
    let waiting = std::thread::spawn(move || reader.does("Waiting for the next one"));
    // The first commits may come before its first look.
    for number in 2..=200u8 {
        if waiting.is_finished() {
            break;
        }
        stage.go(&desired([(PORT, number.to_string())]), number).await.unwrap();
        tokio::task::yield_now().await;
    }
    let shown: serde_json::Value = serde_json::from_str(&waiting.join().unwrap()).unwrap();
    assert_eq!(shown["state"], "complete", "{shown}");
    assert!(shown["generation"].as_u64().unwrap() > 1, "{shown}");
}

#[test]
fn the_documented_rights_are_those_that_are_printed_and_enough_to_read_a_revision_and_to_nothing_else() {
    let page = pages::blocks(&pages::page(PAGE));
    let rules = &page.iter().find(|block| block.language == "hcl").unwrap().text;
    let (repository, environment) = (RepositoryName::parse("calvin-config").unwrap(), EnvironmentName::parse("test").unwrap());
    assert_eq!(*rules, acl::rules_to_read(&repository, &environment, &roots()));
    // The second Consul refuses a list of which a part may not be read, where the first one leaves that out.
    for list_policy in [false, true] {
        let agent = Agent::with(&Options { acl: true, list_policy, ..Options::default() });
        let policy = serde_json::json!({ "Name": "consumer", "Rules": rules }).to_string();
        assert_eq!(agent.curl("PUT", "/v1/acl/policy", policy.as_bytes()).0, 200);
        let token = "5f6b7c1e-0000-4000-8000-c0ffee000001";
        let body = serde_json::json!({ "SecretID": token, "Policies": [{ "Name": "consumer" }] }).to_string();
        assert_eq!(agent.curl("PUT", "/v1/acl/token", body.as_bytes()).0, 200);
        agent.put(PORT, b"8080");
        agent.put(REVISION, br#"{"state":"complete","revision":"1a","generation":1,"digest":"v1:1"}"#);

        let reader = Reader { token, ..Reader::of(&agent) };
        for way in [AT_ONCE, TWICE] {
            assert_eq!(reader.does(way), format!("{PORT} = 8080\n"), "{way}");
        }
        let get = |what: &str| reader.runs(&format!("get {what} >/dev/null"));
        get(r#""$consul/v1/kv/$state/revision?raw""#).unwrap();
        let others = [
            r#""$consul/v1/kv/$state/record?raw""#,
            r#"-X PUT -d x "$consul/v1/kv/config/x""#,
            r#"-X DELETE "$consul/v1/kv/config/?recurse""#,
            r#"-X PUT -d x "$consul/v1/kv/$state/revision""#,
            r#"-X PUT -d '{}' "$consul/v1/session/create""#,
        ];
        for denied in others {
            let said = get(denied).unwrap_err();
            assert!(said.contains("403"), "{denied}: {said}");
        }
        assert_eq!(agent.get(PORT).unwrap(), b"8080");
    }
}

/// One `tree` of consul-template, or one prefix of envconsul, as those programs keep it: a query that waits, asked again with
/// the index that it answered, from the beginning where that went back, and told only where it brings something else.
struct Watched<'a> {
    agent: &'a Agent,
    index: u64,
    last: BTreeMap<String, String>,
}

impl Watched<'_> {
    /// Asks once more, and gives what would be rendered then, if anything.
    fn ask(&mut self) -> Option<BTreeMap<String, String>> {
        let path = format!("/v1/kv/config/?index={}&recurse=&stale=&wait=60000ms", self.index);
        let answer = exchange(self.agent.port(), MASTER, "GET", &path, b"", Duration::from_secs(70)).unwrap();
        let index =
            answer.headers.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-consul-index: ")?.parse().ok());
        let index: u64 = index.unwrap();
        let pairs: Vec<serde_json::Value> =
            if answer.status == 404 { Vec::new() } else { serde_json::from_slice(&answer.body).unwrap() };
        let text = |pair: &serde_json::Value| String::from_utf8(crate::support::decode(&pair["Value"])).unwrap();
        let found = pairs.iter().map(|pair| (pair["Key"].as_str().unwrap().to_owned(), text(pair))).collect();
        if index < self.index {
            self.index = 0;
            return None;
        }
        if index == self.index || found == self.last {
            self.index = index;
            return None;
        }
        (self.index, self.last) = (index, found);
        Some(self.last.clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_waits_as_consul_templates_do_shows_each_plan_of_one_transaction_whole_and_ends_with_every_plan() {
    // As many keys as fit one transaction, and more.
    for (keys, whole) in [(60, true), (1000, false)] {
        let agent = Arc::new(Agent::start());
        let mut stage = Stage::new(&agent).await;
        stage.go(&many(keys, "0"), 1).await.unwrap();
        let seen: Arc<Mutex<Vec<BTreeSet<String>>>> = Arc::default();
        let (told, watched) = (Arc::clone(&seen), Arc::clone(&agent));
        let thread = std::thread::spawn(move || {
            let mut watched = Watched { agent: &watched, index: 0, last: BTreeMap::new() };
            while told.lock().unwrap().last().is_none_or(|values| *values != BTreeSet::from(["30".to_owned()])) {
                if let Some(values) = watched.ask() {
                    assert_eq!(values.len(), keys);
                    told.lock().unwrap().push(values.into_values().collect());
                }
            }
        });
        for number in 1..=30u8 {
            stage.go(&many(keys, &number.to_string()), number + 1).await.unwrap();
        }
        // The last plan is rendered, though nothing comes after it that would wake the query once more.
        eventually("the last plan is seen", || thread.is_finished());
        thread.join().unwrap();
        let seen = seen.lock().unwrap();
        let mixed = seen.iter().filter(|values| values.len() > 1).count();
        assert!(!whole || mixed == 0, "{mixed} of {} were mixed: {seen:?}", seen.len());
    }
}
