//! A Consul that fails: gone, leaderless, busy, denying, answering late or in part. Nothing is half-believed.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockstep::client::consul::{
    ConsulTarget, Server,
    acl::{self, FormerNames},
};
use lockstep::config::Credential;
use lockstep::domain::desired::DesiredState;
use lockstep::domain::name::{EnvironmentName, KeyPath, RepositoryName};
use lockstep::domain::rollout::Phase;
use lockstep::port::{EdgeKind, Leading, Target as _};

use crate::fake::{Fake, Reply};
use crate::larger::Larger;
use crate::stage::{Stage, desired, many};
use crate::support::{Agent, MASTER, Options, PATIENCE, config, controller, roots, target};

const RECORD: &str = "lockstep/calvin-config/test/record";

/// What a new pass does with a record found in the middle of an attempt: goes on from what is live.
async fn resume(target: ConsulTarget, wanted: &DesiredState, number: u8) -> Stage {
    let begin = Instant::now();
    let lease = loop {
        match target.lead().await {
            Ok(Leading::Ours(lease)) => break lease,
            Ok(Leading::Theirs(_)) | Err(_) => assert!(begin.elapsed() < PATIENCE, "the lease did not come"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let stored = target.load().await.unwrap().unwrap();
    let mut stage = Stage { target, lease, fence: stored.fence, record: stored.record };
    let live = stage.target.live().await.unwrap();
    if stage.record.phase == Phase::Applying {
        // The attempt has its generation already; its plan is computed with it.
        stage.record.generation = lockstep::domain::revision::Generation::new(stage.record.generation.number() - 1).unwrap();
        let mut apply = stage.advance(&live, wanted, number);
        apply.opening = None;
        stage.write(&apply, wanted).await.unwrap();
    } else {
        let apply = stage.advance(&live, wanted, number);
        if !apply.plan.is_empty() {
            stage.write(&apply, wanted).await.unwrap();
        }
    }
    stage
}

#[track_caller]
fn check_state(agent: &Agent, wanted: &DesiredState) {
    let found = agent.values("config/many/");
    assert!(found.keys().map(String::as_str).eq(wanted.entries().keys().map(KeyPath::as_str)), "the keys differ");
    for (key, entry) in wanted.entries() {
        assert_eq!(found[key.as_str()], *entry.value, "{key}");
    }
    assert_eq!(agent.get("config/foreign").unwrap(), b"foreign");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_cut_off_anywhere_is_finished_by_another_client() {
    let agent = Agent::start();
    agent.put("config/foreign", b"foreign");
    let mut stage = Stage::new(&agent).await;
    for seed in 0..16u8 {
        let wanted = many(1000, &format!("round {seed}"));
        let live = stage.target.live().await.unwrap();
        let apply = stage.advance(&live, &wanted, seed);
        let (asked, cut) = (AtomicUsize::new(0), tokio::sync::Notify::new());
        let go_on = || {
            if asked.fetch_add(1, Ordering::Relaxed) == usize::from(seed) {
                cut.notify_one();
            }
            true
        };
        // Dropped at whatever it is waiting for when the notice arrives: what a kill leaves behind.
        tokio::select! {
            biased;
            () = cut.notified() => {}
            written = stage.target.apply(&stage.lease, stage.fence, &apply, &wanted, &go_on) => {
                assert!(written.unwrap().complete);
            }
        }
        let target_id = stage.target_id();
        agent.curl("PUT", &format!("/v1/session/destroy/{}", stage.lease.session()), b"");
        drop(stage);
        stage = resume(controller(&agent.address(), Some(target_id)), &wanted, seed).await;
        check_state(&agent, &wanted);
        let lines = stage.target.history(100).await.unwrap();
        assert_eq!(lines.len(), usize::from(seed) + 1, "an attempt was opened twice or not at all");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_dies_in_the_middle_of_an_apply_is_waited_for_and_finished() {
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    agent.put("config/foreign", b"foreign");
    let mut stage = Stage::new(&agent).await;
    for (round, share) in [2usize, 8, 14].into_iter().enumerate() {
        let wanted = many(1000, &format!("round {round}"));
        let live = stage.target.live().await.unwrap();
        let apply = stage.advance(&live, &wanted, 1);
        let (asked, pid) = (AtomicUsize::new(0), agent.pid().to_string());
        let go_on = || {
            if asked.fetch_add(1, Ordering::Relaxed) == share {
                assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
            }
            true
        };
        let failed = stage.target.apply(&stage.lease, stage.fence, &apply, &wanted, &go_on).await.unwrap_err();
        assert_eq!(failed.kind, EdgeKind::Transient, "{}", failed.chain());
        agent.kill();
        assert_eq!(stage.target.load().await.unwrap_err().kind, EdgeKind::Transient);
        agent.start_again();
        agent.wait();
        // The same process, the same session: Consul counts no time that it did not see.
        stage = resume(stage.target, &wanted, 1).await;
        check_state(&agent, &wanted);
        assert_eq!(stage.record.phase, Phase::Verifying);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_answer_was_lost_is_found_done_and_changes_nothing_when_repeated() {
    let agent = Agent::start();
    let losing = Arc::new(AtomicBool::new(false));
    let (lose, port) = (losing.clone(), agent.port());
    let proxy = Fake::start(move |asked| {
        let reply = asked.forward(port);
        if asked.writes() && lose.load(Ordering::Relaxed) { Reply::Lost } else { reply }
    });
    let identity = controller(&proxy.address(), None).initialise().await.unwrap();
    let stage = Stage::join(&proxy.address(), identity.target.clone()).await;
    let wanted = desired([("config/a", "1"), ("config/b", "2")]);
    let live = stage.target.live().await.unwrap();
    let apply = stage.advance(&live, &wanted, 1);

    losing.store(true, Ordering::Relaxed);
    let lost = stage.target.apply(&stage.lease, stage.fence, &apply, &wanted, &|| true).await.unwrap_err();
    assert_eq!(lost.kind, EdgeKind::Transient);
    losing.store(false, Ordering::Relaxed);

    let stored = stage.target.load().await.unwrap().unwrap();
    assert_eq!(stored.record, apply.closing.record, "it was carried out");
    let before = agent.tree("");
    let again = stage.target.apply(&stage.lease, stage.fence, &apply, &wanted, &|| true).await.unwrap_err();
    assert_eq!(again.kind, EdgeKind::Conflict);
    assert_eq!(agent.tree(""), before);
    let live = stage.target.live().await.unwrap();
    assert!(stage.advance(&live, &wanted, 1).plan.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_consul_is_asked_again_after_the_time_that_it_names() {
    let agent = Agent::start();
    let identity = controller(&agent.address(), None).initialise().await.unwrap();
    let (count, port) = (Arc::new(AtomicUsize::new(0)), agent.port());
    let asked_so_far = count.clone();
    let fake = Fake::start(move |asked| match asked_so_far.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::Answer { status: 429, headers: "Retry-After: 1\r\n".into(), body: b"rate limited".to_vec() },
        1 => Reply::refuse(503, "busy"),
        _ => asked.forward(port),
    });
    let begin = Instant::now();
    let stored = controller(&fake.address(), Some(identity.target)).load().await.unwrap();
    assert!(stored.is_some());
    assert!(begin.elapsed() >= Duration::from_millis(1100), "{:?}", begin.elapsed());
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_or_broken_consul_is_given_up_in_time_as_transient() {
    for (status, text) in [(500, "No cluster leader"), (500, "rpc error making call: EOF"), (429, "slow down"), (502, "")] {
        let fake = Fake::start(move |_| Reply::refuse(status, text));
        let begin = Instant::now();
        let failed = controller(&fake.address(), None).load().await.unwrap_err();
        assert_eq!(failed.kind, EdgeKind::Transient, "{}", failed.chain());
        assert!(begin.elapsed() < Duration::from_secs(11), "{:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_hangs_at_any_point_costs_one_deadline() {
    let mut tasks = tokio::task::JoinSet::new();
    // Says nothing; half a head; half a body; a byte now and then, for ever.
    for (begins, goes_on) in
        [("", ""), ("HTTP/1.1 200 OK\r\n", ""), ("HTTP/1.1 200 OK\r\n\r\n[", ""), ("HTTP/1.1 200 OK\r\n\r\n[", " ")]
    {
        let address = hanging(begins, goes_on);
        tasks.spawn(async move {
            let begin = Instant::now();
            let failed = controller(&address, None).load().await.unwrap_err();
            assert_eq!(failed.kind, EdgeKind::Transient, "{}", failed.chain());
            assert!(failed.chain().contains("no complete answer within 10s"), "{}", failed.chain());
            assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// A server that begins an answer to each request and never ends it.
fn hanging(begins: &'static str, goes_on: &'static str) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(begins.as_bytes());
                // Until the client has had enough: it sends nothing more, and closes.
                stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
                while stream.read(&mut [0; 64]).is_err() && stream.write_all(goes_on.as_bytes()).is_ok() {}
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn no_leader_is_a_trouble_that_passes() {
    let agent = Fake::start(|asked| {
        if asked.path.contains("consistent") { Reply::refuse(500, "No cluster leader") } else { Reply::refuse(200, "[]") }
    });
    let target = controller(&agent.address(), None);
    assert_eq!(target.live().await.unwrap_err().kind, EdgeKind::Transient);
    assert_eq!(target.requests().await.unwrap_err().kind, EdgeKind::Transient);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_cut_off_is_no_read() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    stage.go(&many(100, "v"), 1).await.unwrap();
    let port = agent.port();
    let fake = Fake::start(move |asked| match asked.forward(port) {
        // A proxy that ends the body early and calls it whole.
        Reply::Answer { status: 200, headers, mut body } if asked.path.contains("recurse") => {
            body.truncate(body.len() / 2);
            Reply::Answer { status: 200, headers, body }
        }
        other @ (Reply::Answer { .. } | Reply::Lost) => other,
    });
    let cut = controller(&fake.address(), Some(stage.target_id())).live().await.unwrap_err();
    assert_eq!(cut.kind, EdgeKind::Transient, "{}", cut.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_a_transaction_is_found_out_once_and_used() {
    let agent = Agent::start();
    let larger = Larger::start(agent.port());
    let identity = controller(&larger.address(), None).initialise().await.unwrap();
    let mut stage = Stage::join(&larger.address(), identity.target).await;
    let written = stage.go(&many(1000, "v"), 1).await.unwrap();
    assert!(written.complete);
    stage.go(&many(1000, "w"), 2).await.unwrap();
    assert_eq!((larger.largest(), larger.refused()), (128, 1));
    assert_eq!(agent.tree("config/").len(), 1000);
}

/// How often a Consul that takes 64 operations, and says so with this status, is sent more; and that it is sent no fewer.
async fn check_sixty_four(header: Option<&'static str>, status: u16, asked_too_much: usize) {
    let agent = Agent::start();
    let (port, refused, largest) = (agent.port(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (too_large, sizes) = (refused.clone(), largest.clone());
    let proxy = Fake::start(move |asked| {
        let mut reply = asked.forward(port);
        if let Reply::Answer { status: said @ 413, .. } = &mut reply {
            too_large.fetch_add(1, Ordering::Relaxed);
            *said = status;
        } else if asked.writes() {
            let ops: Vec<serde_json::Value> = serde_json::from_slice(&asked.body).unwrap();
            sizes.fetch_max(ops.len(), Ordering::Relaxed);
        }
        match header {
            Some(header) if !asked.is_transaction() => reply.with(header),
            Some(_) | None => reply,
        }
    });
    let identity = controller(&proxy.address(), None).initialise().await.unwrap();
    let mut stage = Stage::join(&proxy.address(), identity.target).await;
    for (number, value) in [(1, "v"), (2, "w")] {
        assert!(stage.go(&many(1000, value), number).await.unwrap().complete);
    }
    assert_eq!((largest.load(Ordering::Relaxed), refused.load(Ordering::Relaxed)), (64, asked_too_much));
    assert_eq!(agent.tree("config/").len(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_takes_sixty_four_operations_is_found_out_once_and_given_no_more() {
    check_sixty_four(Some(crate::larger::NAMES_BACKEND), 413, 1).await;
    check_sixty_four(Some(crate::larger::NAMES_BACKEND), 400, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_is_too_old_to_take_more_than_sixty_four_operations_is_not_even_asked() {
    check_sixty_four(None, 413, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_too_large_for_consul_is_refused_and_says_nothing_about_how_many_keys_fit() {
    let limits = r#""limits": {"kv_max_value_size": 1000, "txn_max_req_len": 524288}"#;
    let agent = Agent::with(&Options { config: limits, ..Options::default() });
    let port = agent.port();
    let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    let proxy = Fake::start(move |asked| {
        if asked.writes() {
            let ops: Vec<serde_json::Value> = serde_json::from_slice(&asked.body).unwrap();
            seen.lock().unwrap().push(ops.len());
        }
        asked.forward(port)
    });
    let identity = controller(&proxy.address(), None).initialise().await.unwrap();
    let mut stage = Stage::join(&proxy.address(), identity.target).await;
    let refused = stage.go(&desired([("config/a > 3", "x".repeat(2000))]), 1).await.unwrap_err();
    assert_eq!(refused.kind, EdgeKind::Refused, "{}", refused.chain());
    assert!(refused.chain().contains("too large"), "{}", refused.chain());
    sizes.lock().unwrap().clear();
    assert!(stage.go(&many(1000, "v"), 2).await.unwrap().complete);
    assert_eq!(sizes.lock().unwrap().iter().max(), Some(&64));
}

/// A token with these rules, in a file as an operator would leave it.
pub(crate) fn token(agent: &Agent, dir: &tempfile::TempDir, name: &str, rules: &str) -> Credential {
    let policy = serde_json::json!({ "Name": name, "Rules": rules }).to_string();
    assert_eq!(agent.curl("PUT", "/v1/acl/policy", policy.as_bytes()).0, 200);
    let token = serde_json::json!({ "Policies": [{ "Name": name }] }).to_string();
    let (status, body) = agent.curl("PUT", "/v1/acl/token", token.as_bytes());
    assert_eq!(status, 200);
    let token: serde_json::Value = serde_json::from_slice(&body).unwrap();
    credential(dir, name, token["SecretID"].as_str().unwrap())
}

pub(crate) fn credential(dir: &tempfile::TempDir, name: &str, secret: &str) -> Credential {
    let path = dir.path().join(name);
    std::fs::write(&path, format!("{secret}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    Credential::File(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_denied_key_denies_the_transaction_and_is_named() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let dir = tempfile::tempdir().unwrap();
    let rules = r#"key_prefix "config/" { policy = "write" } key "config/denied" { policy = "read" }
                   key_prefix "lockstep/" { policy = "write" } session_prefix "" { policy = "write" }"#;
    let mut config = config(&agent.address());
    config.token = Some(token(&agent, &dir, "lockstep", rules));
    let identity = target(Server::connect(&config).unwrap(), None).initialise().await.unwrap();
    let mut stage = Stage::lead(target(Server::connect(&config).unwrap(), Some(identity.target.clone()))).await;
    stage.go(&desired([("config/a", "1")]), 1).await.unwrap();

    let denied = stage.go(&desired([("config/a", "2"), ("config/denied", "2")]), 2).await.unwrap_err();
    assert_eq!((denied.kind, denied.about.as_slice()), (EdgeKind::Denied, ["config/denied".to_owned()].as_slice()));
    assert_eq!(agent.get("config/a").unwrap(), b"1");
    assert!(agent.get(RECORD).is_some());

    // No token, an unknown one, one without rights: denied, and no secret in the text.
    let secret = "11111111-2222-3333-4444-555555555555";
    for wrong in [None, Some(credential(&dir, "unknown", secret)), Some(Credential::File(dir.path().join("missing")))] {
        config.token = wrong;
        let failed = target(Server::connect(&config).unwrap(), Some(identity.target.clone())).live().await;
        // Consul lists nothing rather than refusing when a token is merely without rights.
        if let Err(failed) = failed {
            assert_eq!(failed.kind, EdgeKind::Denied, "{}", failed.chain());
            let text = format!("{} {failed:?}", failed.chain());
            assert!(!text.contains(secret) && !text.contains(MASTER), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_that_init_prints_are_enough_for_the_environment_and_for_no_other() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&agent.address());
    let (repository, test) = (RepositoryName::parse("calvin-config").unwrap(), EnvironmentName::parse("test").unwrap());
    let rules = acl::rules(&repository, &test, &config.keys, &FormerNames::default());
    let begins = acl::rules_to_initialise(&repository, &test, &config.keys, &FormerNames::default());
    let at = |config: &_, environment: &EnvironmentName, id| {
        let server = Server::connect(config).unwrap();
        ConsulTarget::new(server, repository.clone(), environment.clone(), roots(), id)
    };
    config.token = Some(token(&agent, &dir, "init", &begins));
    let identity = at(&config, &test, None).initialise().await.unwrap();

    config.token = Some(token(&agent, &dir, "printed", &rules));
    let mut stage = Stage::lead(at(&config, &test, Some(identity.target.clone()))).await;
    stage.go(&many(200, "1"), 1).await.unwrap();
    stage.go(&desired([("config/a", "2")]), 2).await.unwrap();
    assert_eq!(agent.get("config/a").unwrap(), b"2");
    assert!(!stage.target.history(10).await.unwrap().is_empty());
    let outside = stage.go(&desired([("other/a", "1")]), 3).await.unwrap_err();
    assert_eq!((outside.kind, agent.get("other/a")), (EdgeKind::Denied, None), "{}", outside.chain());
    for other in [test, EnvironmentName::parse("production").unwrap()] {
        let denied = at(&config, &other, None).initialise().await.unwrap_err();
        assert!(matches!(denied.kind, EdgeKind::Denied | EdgeKind::Refused), "{}", denied.chain());
    }
    assert_eq!(agent.tree("lockstep/owners/").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_counts_at_once() {
    let agent = Agent::with(&Options { acl: true, ..Options::default() });
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&agent.address());
    config.token = Some(credential(&dir, "token", "11111111-2222-3333-4444-555555555555"));
    let target = target(Server::connect(&config).unwrap(), None);
    assert_eq!(target.load().await.unwrap_err().kind, EdgeKind::Denied);
    credential(&dir, "token", MASTER);
    assert!(target.load().await.unwrap().is_none());
}

/// Open connections of this process to a port.
pub(crate) fn sockets(port: u16) -> usize {
    let remote = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    table
        .lines()
        .filter(|line| line.split_whitespace().nth(2).is_some_and(|to| to.ends_with(&remote)) && line.contains(" 01 "))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_allows_eight_connections_is_enough() {
    let agent = Agent::with(&Options { config: r#""limits": {"http_max_conns_per_client": 8}"#, ..Options::default() });
    let mut stage = Stage::new(&agent).await;
    stage.go(&many(2000, "v"), 1).await.unwrap();
    let target_id = stage.target_id();
    drop(stage);
    crate::support::eventually("the first connections are closed", || sockets(agent.port()) == 0);

    let reader = Arc::new(controller(&agent.address(), Some(target_id)));
    let mut reads = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let reader = reader.clone();
        reads.spawn(async move { reader.live().await.map(|live| live.entries.len()) });
    }
    let mut most = 0;
    let mut done = 0;
    while done < 60 {
        most = most.max(sockets(agent.port()));
        tokio::select! {
            read = reads.join_next() => {
                assert_eq!(read.unwrap().unwrap().unwrap(), 2000);
                done += 1;
            }
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    assert!((1..=4).contains(&most), "{most} connections");
}
