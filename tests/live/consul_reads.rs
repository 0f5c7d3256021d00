//! How Consul is read: in the consistent mode only (rule A1), and in few requests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lockstep::domain::name::KeyPath;
use lockstep::domain::rollout::{Request, RequestId, Verb};
use lockstep::domain::time::Timestamp;
use lockstep::port::{EdgeKind, Leading, Target as _};

use crate::fake::{Fake, Reply};
use crate::stage::{Stage, many};
use crate::support::{Agent, Options, PATIENCE, controller};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_no_read_shows_part_of_the_keys() {
    const KEYS: usize = 30_000;
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let mut stage = Stage::new(&agent).await;
    stage.go(&many(KEYS, "v"), 1).await.unwrap();
    // What a reader in the default mode is shown meanwhile: part of the keys with a 200, while the log is replayed. Where no
    // restart shows that, the test has shown nothing and says so.
    let mut partial = 0;
    for restart in 0..5 {
        agent.kill();
        agent.start_again();
        let stop = Arc::new(AtomicBool::new(false));
        let plain = plain_reader(agent.port(), KEYS, Arc::clone(&stop));
        let begin = Instant::now();
        loop {
            match stage.target.live().await {
                Ok(live) => {
                    assert_eq!(live.entries.len(), KEYS);
                    break;
                }
                Err(problem) => assert_eq!(problem.kind, EdgeKind::Transient, "{}", problem.chain()),
            }
            assert!(begin.elapsed() < PATIENCE);
        }
        stop.store(true, Ordering::Relaxed);
        partial += plain.join().unwrap();
        assert!(stage.target.load().await.unwrap().is_some());
        if restart >= 2 && partial > 0 {
            return;
        }
    }
    assert!(partial > 0, "no restart of five showed a plain reader part of the keys: this machine can't show the difference");
}

/// Counts how often a read in the default mode is answered with some of the keys, until it is told to stop.
fn plain_reader(port: u16, keys: usize, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut partial = 0;
        while !stop.load(Ordering::Relaxed) {
            match crate::support::request(port, "GET", "/v1/kv/config/?keys", b"") {
                Some((200, body)) => {
                    let found: Vec<String> = serde_json::from_slice(&body).unwrap();
                    partial += usize::from(found.len() < keys);
                }
                Some((404, _)) => partial += 1,
                Some(_) => {}
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        partial
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_of_any_kind_is_in_another_mode_than_consistent() {
    let agent = Agent::start();
    let (port, plain) = (agent.port(), Arc::new(AtomicUsize::new(0)));
    let refused = Arc::clone(&plain);
    let proxy = Fake::start(move |asked| {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        if asked.method == "GET" && path.starts_with("/v1/kv") && !query.split('&').any(|part| part == "consistent") {
            refused.fetch_add(1, Ordering::Relaxed);
            return Reply::refuse(500, "a read in another mode");
        }
        asked.forward(port)
    });
    let identity = controller(&proxy.address(), None).initialise().await.unwrap();
    let mut stage = Stage::join(&proxy.address(), identity.target).await;
    stage.go(&many(100, "v"), 1).await.unwrap();
    let keys: Vec<KeyPath> = many(100, "v").entries().keys().cloned().collect();
    let request = Request {
        id: RequestId::parse("0123456789abcdef").unwrap(),
        by: "ada@host".into(),
        at: Timestamp::from_millis(5),
        reason: String::new(),
        verb: Verb::Resume,
    };
    stage.target.submit(&request).await.unwrap();
    assert!(stage.target.load().await.unwrap().is_some());
    assert_eq!(stage.target.live().await.unwrap().entries.len(), 100);
    assert_eq!(stage.target.values(&keys).await.unwrap().len(), 100);
    assert_eq!(stage.target.history(9).await.unwrap().len(), 1);
    assert_eq!(stage.target.requests().await.unwrap(), std::slice::from_ref(&request));
    assert_eq!(stage.target.answer(&request.id).await.unwrap(), None);
    assert!(stage.target.leader().await.unwrap().is_some());
    assert_eq!(plain.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_of_a_thousand_keys_takes_one_request_for_each_full_transaction_and_five_more() {
    const KEYS: usize = 1000;
    let agent = Agent::start();
    let (port, asked_for) = (agent.port(), Arc::new(Mutex::new(Vec::new())));
    let list = Arc::clone(&asked_for);
    let proxy = Fake::start(move |asked| {
        let kind = if asked.writes() { "a transaction" } else { asked.path.split('?').next().unwrap_or_default() };
        list.lock().unwrap().push(format!("{} {kind}", asked.method));
        asked.forward(port)
    });
    let identity = controller(&agent.address(), None).initialise().await.unwrap();
    let target = controller(&proxy.address(), Some(identity.target));
    let Leading::Ours(lease) = target.lead().await.unwrap() else { panic!("somebody else leads") };
    asked_for.lock().unwrap().clear();
    // As a pass does: the record, what is live, the plan.
    let stored = target.load().await.unwrap().unwrap();
    let mut stage = Stage { target, lease, fence: stored.fence, record: stored.record };
    assert!(stage.go(&many(KEYS, "v"), 1).await.unwrap().complete);

    // Two operations of 64 are fences, so 62 keys fit. The session is renewed beside all that.
    let mut asked = asked_for.lock().unwrap().clone();
    asked.retain(|ask| !ask.contains("/session/"));
    let mut others: Vec<&str> = asked.iter().map(String::as_str).filter(|ask| *ask != "PUT a transaction").collect();
    others.sort_unstable();
    // The keys and, beside them, whether the token sees all of them; the record came with the lease.
    let expected = ["GET /v1/kv/config/", "POST /v1/internal/acl/authorize"];
    assert_eq!(others, expected);
    assert!(asked.len() <= KEYS.div_ceil(62) + 5, "{} requests", asked.len());
    assert_eq!(agent.tree("config/").len(), KEYS);
}
