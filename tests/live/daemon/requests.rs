//! How many requests a first sync takes, of the whole command and of a controller, counted between it and Consul.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::site::{APP, CHECK, MANY, Site, many};
use crate::fake::{Asked, Fake};
use crate::support::{Agent, eventually};

/// What one request was for.
fn kind(asked: &Asked) -> String {
    let path = asked.path.split('?').next().unwrap_or_default();
    if asked.writes() {
        return "write".to_owned();
    }
    // A session's id is another one each time.
    let path = path
        .rsplit_once('/')
        .filter(|(path, _)| path.ends_with("/destroy") || path.ends_with("/renew"))
        .map_or(path, |(path, _)| path);
    let verbs = ["lock", "get"].into_iter().filter(|verb| asked.count(verb) > 0).collect::<Vec<_>>();
    format!("{} {path} {}", asked.method, verbs.join("+")).trim().to_owned()
}

#[test]
fn a_first_sync_of_ten_thousand_keys_by_the_whole_command_takes_one_request_for_each_full_transaction_and_five_more() {
    const KEYS: usize = 10_000;
    let agent = Agent::start();
    let mut site = Site::new(&agent);
    site.repo.remove("No checks", &[CHECK.0]);
    site.repo.remove("Only the many", &[APP]);
    site.repo.commit("Large", &[(MANY, &many(KEYS, "x"))]);
    let asked_for = Arc::new(Mutex::new(Vec::new()));
    let (list, port) = (Arc::clone(&asked_for), agent.port());
    let proxy = Fake::start(move |asked| {
        let closes = asked.writes() && asked.count("check-index") == 0;
        list.lock().unwrap().push((kind(asked), closes));
        asked.forward(port)
    });
    site.readdress(&proxy.address());
    let begin = Instant::now();
    site.run(&["apply", "--once"]).exits(0);
    let took = begin.elapsed();
    assert_eq!(agent.tree("config/many/").len(), KEYS);

    let mut asked = asked_for.lock().unwrap().clone();
    // These come once a second, and every three, while it goes on; how many depends on the machine.
    let by_the_clock = |kind: &str| kind == "GET /v1/kv/lockstep/demo/test/requests/" || kind == "PUT /v1/session/renew";
    let beats = asked.iter().filter(|(kind, _)| by_the_clock(kind)).count();
    assert!(u64::try_from(beats).unwrap() <= 2 * (took.as_secs() + 1), "{beats} in {took:?}");
    asked.retain(|(kind, _)| !by_the_clock(kind));
    let count = |asked: &[(String, bool)]| {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for (kind, _) in asked {
            *kinds.entry(kind.clone()).or_default() += 1;
        }
        kinds
    };
    // The opening transaction, the closing one, and two moves of the record after it name the record they replace.
    let closing = asked.iter().enumerate().filter(|(_, (_, closes))| *closes).nth(1).unwrap().0;
    let (sync, rest) = asked.split_at(closing + 1);
    let expected = [
        ("GET /v1/kv/config/", 1),
        ("GET /v1/kv/lockstep/demo/test/record", 1),
        ("POST /v1/internal/acl/authorize", 1),
        ("PUT /v1/session/create", 1),
        ("PUT /v1/txn lock", 1),
        ("write", KEYS.div_ceil(62)),
    ];
    assert_eq!(count(sync), expected.map(|(kind, number)| (kind.to_owned(), number)).into());
    assert_eq!(sync.len(), KEYS.div_ceil(62) + 5);
    // What is left: verifying, proven, and the session's end with its lease.
    assert_eq!(
        count(rest),
        [("PUT /v1/session/destroy", 1), ("write", 2)].map(|(kind, number)| (kind.to_owned(), number)).into()
    );
}

#[test]
fn a_controller_that_writes_many_keys_asks_for_news_of_them_once_a_second_and_reads_them_once_more_all_at_once() {
    const KEYS: usize = 10_000;
    let agent = Agent::start();
    let mut site = Site::new(&agent);
    site.repo.remove("No checks", &[CHECK.0]);
    site.repo.commit("Large", &[(MANY, &many(KEYS, "x"))]);
    let (looks, port) = (Arc::new(AtomicUsize::new(0)), agent.port());
    let looked = Arc::clone(&looks);
    let proxy = Fake::start(move |asked| {
        looked.fetch_add(usize::from(asked.path.starts_with("/v1/kv/config/") && asked.is_of_a_watch()), Ordering::SeqCst);
        asked.forward(port)
    });
    site.readdress(&proxy.address());
    // What comes within the patience of this test was noticed, not polled.
    site.poll = "1h";
    let begin = Instant::now();
    let _controller = site.start("one");
    site.readdress(&agent.address());
    site.until_steady();
    let (looks, most) = (looks.load(Ordering::SeqCst), 10 + begin.elapsed().as_secs());
    assert!(
        u64::try_from(looks).unwrap() <= most,
        "{looks} looks, at most {most} are one a second and the first and last ones"
    );

    agent.put("config/many/k00007", b"by hand");
    eventually("the hand edit is put right", || agent.get("config/many/k00007").is_some_and(|value| value == b"x"));
}
