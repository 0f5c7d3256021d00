//! Watches on a real Consul: they wake for every change that matters, and survive what goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockstep::client::consul::{ConsulTarget, Server};
use lockstep::domain::name::{EnvironmentName, KeyRoots, RepositoryName};
use lockstep::domain::rollout::{Request, RequestId, Save, Verb};
use lockstep::domain::time::Timestamp;
use lockstep::port::{Leading, Target as _, Wake};
use tokio::task::JoinSet;

use crate::stage::{Stage, desired};
use crate::support::{Agent, MASTER, Options, PATIENCE, config, controller, roots};

/// Counts wakes.
#[derive(Default)]
struct Wakes {
    live: AtomicUsize,
    state: AtomicUsize,
}

impl Wake for Wakes {
    fn live(&self) {
        self.live.fetch_add(1, Ordering::SeqCst);
    }

    fn state(&self) {
        self.state.fetch_add(1, Ordering::SeqCst);
    }
}

/// A watch that runs until this is dropped.
pub(crate) struct Watching {
    wakes: Arc<Wakes>,
    _task: JoinSet<()>,
}

impl Watching {
    pub(crate) fn start(target: ConsulTarget) -> Self {
        let wakes = Arc::new(Wakes::default());
        let (mut task, seen) = (JoinSet::new(), wakes.clone());
        task.spawn(async move { target.watch(&*seen).await });
        Self { wakes, _task: task }
    }

    /// Until both watches have told of their start, and Consul holds their next queries.
    async fn settled(&self) {
        self.until("it starts", |live, state| live > 0 && state > 0).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    pub(crate) fn count(&self) -> (usize, usize) {
        (self.wakes.live.load(Ordering::SeqCst), self.wakes.state.load(Ordering::SeqCst))
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn(usize, usize) -> bool) -> Duration {
        let begin = Instant::now();
        loop {
            let (live, state) = self.count();
            if holds(live, state) {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < PATIENCE, "{what}: {live} live and {state} state wakes");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_or_a_delete_at_any_depth_wakes_and_nothing_elsewhere_does() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    stage.go(&desired([("config/a", "1"), ("config/deep/er/key", "1")]), 1).await.unwrap();
    let watching = Watching::start(controller(&agent.address(), Some(stage.target_id())));
    watching.settled().await;

    for change in [
        || ("config/a", Some("by hand")),
        || ("config/deep/er/key", Some("by hand")),
        || ("config/deep/er/key", None),
        || ("config/new", Some("by hand")),
    ] {
        let (before, (key, value)) = (watching.count(), change());
        match value {
            Some(value) => agent.put(key, value.as_bytes()),
            None => agent.delete(key),
        }
        let after = watching.until(key, |live, _| live > before.0).await;
        assert!(after < Duration::from_secs(1), "{key}: woken after {after:?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }

    let before = watching.count();
    agent.put("configuration/x", b"other");
    agent.put("lockstep/calvin-config/test2/record", b"other");
    agent.put("config/a", b"by hand");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(watching.count(), before, "woken by another prefix, or by a write of the same value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_a_request_and_a_freed_lease_wake_the_state() {
    let agent = Agent::start();
    let stage = Stage::new(&agent).await;
    let watching = Watching::start(controller(&agent.address(), Some(stage.target_id())));
    watching.settled().await;

    let before = watching.count().1;
    let mut record = stage.record.clone();
    record.reason = "moved".into();
    let save = Save::of(record);
    stage.target.save(&stage.lease, stage.fence, &save).await.unwrap();
    watching.until("the record", |_, state| state > before).await;

    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = watching.count().1;
    let request = Request {
        id: RequestId::parse("0123456789abcdef").unwrap(),
        by: "ada".into(),
        at: Timestamp::from_millis(1),
        reason: String::new(),
        verb: Verb::Resume,
    };
    stage.target.submit(&request).await.unwrap();
    watching.until("a request", |_, state| state > before).await;

    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = watching.count().1;
    let begin = Instant::now();
    stage.target.release(stage.lease).await.unwrap();
    watching.until("the lease", |_, state| state > before).await;
    let Leading::Ours(_) = controller(&agent.address(), Some(stage.record.identity.target)).lead().await.unwrap() else {
        panic!("the lease was not free")
    };
    assert!(begin.elapsed() < Duration::from_secs(1), "takeover after a graceful stop took {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_news() {
    let agent = Agent::start();
    let identity = controller(&agent.address(), None).initialise().await.unwrap();
    let server = Server::connect(&config(&agent.address())).unwrap();
    let target = crate::support::target(server.clone(), Some(identity.target.clone()));
    let Leading::Ours(lease) = target.lead().await.unwrap() else { panic!("somebody else leads") };
    let watching = Watching::start(target);
    watching.settled().await;
    assert_eq!(agent.curl("PUT", &format!("/v1/session/destroy/{}", lease.session()), b"").0, 200);
    let begin = Instant::now();
    while !lease.is_lost() {
        assert!(begin.elapsed() < Duration::from_secs(5), "not noticed at the next renewal");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The next term begins with a new session.
    let again = crate::support::target(server, Some(identity.target));
    let Leading::Ours(fresh) = again.lead().await.unwrap() else { panic!("somebody else leads") };
    assert_ne!(fresh.session(), lease.session());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_survives_a_restart_and_an_emptied_consul() {
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let mut stage = Stage::new(&agent).await;
    stage.go(&desired([("config/a", "1")]), 1).await.unwrap();
    let watching = Watching::start(controller(&agent.address(), Some(stage.target_id())));
    watching.settled().await;

    agent.kill();
    let before = watching.count();
    agent.start_again();
    agent.wait();
    // After a connection error anything may have happened: that it is back is itself news.
    watching.until("it is back", |live, state| live > before.0 && state > before.1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = watching.count().0;
    agent.put("config/a", b"by hand");
    let after = watching.until("a change after the restart", |live, _| live > before).await;
    assert!(after < Duration::from_secs(1), "{after:?}");
    assert_eq!(agent.curl("DELETE", "/v1/kv/config/?recurse", b"").0, 200);
    watching.until("everything is gone", |live, _| live > before + 1).await;
}

/// The index that Consul gives for the roots.
fn index(agent: &Agent) -> u64 {
    let answer = crate::support::exchange(agent.port(), MASTER, "GET", "/v1/kv/config/?keys&consistent", b"", PATIENCE);
    let headers = answer.unwrap().headers.to_ascii_lowercase();
    let line = headers.lines().find_map(|line| line.strip_prefix("x-consul-index:")).unwrap();
    line.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_wakes_on_a_consul_that_began_anew_at_a_lower_index() {
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let identity = controller(&agent.address(), None).initialise().await.unwrap();
    for number in 0..300 {
        agent.put("config/a", format!("{number}").as_bytes());
    }
    let high = index(&agent);
    let watching = Watching::start(controller(&agent.address(), Some(identity.target)));
    watching.settled().await;

    agent.wipe();
    let before = watching.count();
    agent.start_again();
    agent.wait();
    watching.until("it is back", |live, state| live > before.0 && state > before.1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    for (key, value) in [("config/a", "anew"), ("config/a", "again"), ("config/b", "new")] {
        let before = watching.count().0;
        agent.put(key, value.as_bytes());
        let after = watching.until(key, |live, _| live > before).await;
        assert!(after < Duration::from_secs(1), "{key}: woken after {after:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(index(&agent) < high, "the index did not go back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_snapshot_wakes_both_and_so_does_what_comes_after_it() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    stage.go(&desired([("config/a", "1")]), 1).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let snapshot = home.path().join("snapshot").display().to_string();
    agent.consul(&["snapshot", "save", &snapshot]);
    stage.go(&desired([("config/a", "2")]), 2).await.unwrap();
    let watching = Watching::start(controller(&agent.address(), Some(stage.target_id())));
    watching.settled().await;

    // Consul ends the queries with the index that they came with.
    let before = watching.count();
    agent.consul(&["snapshot", "restore", &snapshot]);
    watching.until("it is restored", |live, state| live > before.0 && state > before.1).await;
    assert_eq!(agent.get("config/a").unwrap(), b"1");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = watching.count().0;
    agent.put("config/a", b"by hand");
    let after = watching.until("a change after the restore", |live, _| live > before).await;
    assert!(after < Duration::from_secs(1), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_on_a_failing_consul_does_not_ask_without_pause() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let fake = crate::fake::Fake::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        crate::fake::Reply::refuse(500, "No cluster leader")
    });
    let watching = Watching::start(controller(&fake.address(), None));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = asked.load(Ordering::SeqCst);
    assert!((4..20).contains(&asked), "{asked} questions in two seconds");
    assert_eq!(watching.count(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_environments_share_sixteen_watches_and_all_are_woken() {
    let agent = Agent::start();
    let server = Server::connect(&config(&agent.address())).unwrap();
    let watching: Vec<Watching> = (0..12)
        .map(|number| {
            let environment = EnvironmentName::parse(&format!("e{number}")).unwrap();
            let keys = KeyRoots::parse(&[format!("config/e{number}/")]).unwrap();
            let repository = RepositoryName::parse("calvin-config").unwrap();
            Watching::start(ConsulTarget::new(server.clone(), repository, environment, keys, None))
        })
        .collect();
    for watching in &watching {
        watching.until("it starts", |live, state| live > 0 && state > 0).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let port = agent.port();
    let sockets = crate::consul_faults::sockets(port);
    assert!(sockets <= crate::consul_sharing::CONNECTIONS, "{sockets} connections");
    let before: Vec<_> = watching.iter().map(Watching::count).collect();
    for number in 0..12 {
        agent.put(&format!("config/e{number}/key"), b"by hand");
    }
    for (watching, before) in watching.iter().zip(before) {
        let after = watching.until("a change", |live, _| live > before.0).await;
        assert!(after < Duration::from_secs(7), "{after:?}");
    }
    assert!(roots().contains("config/e1/key"));
}
