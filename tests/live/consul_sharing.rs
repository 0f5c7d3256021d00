//! Many environments on one Consul: few connections, and each is woken by its own keys only (rule A10).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockstep::client::consul::{Catalog, ConsulTarget, Server};
use lockstep::domain::name::{EnvironmentName, KeyRoots, RepositoryName, ServiceName};
use lockstep::port::Target as _;

use crate::consul_faults::sockets;
use crate::consul_watch::Watching;
use crate::fake::Fake;
use crate::support::{Agent, Options, config};

const MANY: usize = 50;
/// Four for requests and sixteen for watches; on a busy machine one or two are seen twice while they are handed back.
pub(crate) const CONNECTIONS: usize = 22;

/// Many environments over one connection, each at one root of these names.
struct Crowd {
    agent: Agent,
    watching: Vec<Watching>,
    most: usize,
}

impl Crowd {
    async fn start(root: impl Fn(usize) -> String) -> Self {
        let limit = r#""limits": {"http_max_conns_per_client": 32}"#;
        let agent = Agent::with(&Options { config: limit, ..Options::default() });
        for number in 0..MANY {
            agent.put(&format!("{}key", root(number)), b"1");
            agent.put(&format!("lockstep/calvin-config/e{number}/record"), b"1");
        }
        let server = Server::connect(&config(&agent.address())).unwrap();
        let watching = (0..MANY).map(|number| Watching::start(environment(&server, number, &root(number)))).collect();
        let mut crowd = Self { agent, watching, most: 0 };
        crowd.until("all watches stand", |counts| counts.iter().all(|(live, state)| *live > 0 && *state > 0)).await;
        crowd.rest().await;
        crowd
    }

    fn counts(&self) -> Vec<(usize, usize)> {
        self.watching.iter().map(Watching::count).collect()
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&[(usize, usize)]) -> bool) -> Duration {
        let begin = Instant::now();
        while !holds(&self.counts()) {
            self.most = self.most.max(sockets(self.agent.port()));
            assert!(begin.elapsed() < Duration::from_secs(20), "{what}: {:?}", self.counts());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        begin.elapsed()
    }

    /// Until nobody is woken any more.
    async fn rest(&mut self) {
        let mut before = Vec::new();
        while before != self.counts() {
            before = self.counts();
            tokio::time::sleep(Duration::from_millis(300)).await;
            self.most = self.most.max(sockets(self.agent.port()));
        }
    }

    /// A write by hand wakes this environment within the limit, and nobody else.
    async fn check(&mut self, number: usize, key: &str, wakes: (usize, usize), within: Duration) {
        let before = self.counts();
        self.agent.put(key, format!("{before:?}").as_bytes());
        let (live, state) = wakes;
        let woken = |counts: &[(usize, usize)]| {
            counts[number].0 >= before[number].0 + live && counts[number].1 >= before[number].1 + state
        };
        let took = self.until(key, woken).await;
        assert!(took < within, "{key}: woken after {took:?}");
        self.rest().await;
        let others =
            |counts: Vec<(usize, usize)>| counts.into_iter().enumerate().filter(|(at, _)| *at != number).collect::<Vec<_>>();
        assert_eq!(others(self.counts()), others(before), "{key} woke others");
    }
}

fn environment(server: &Arc<Server>, number: usize, root: &str) -> ConsulTarget {
    let environment = EnvironmentName::parse(&format!("e{number}")).unwrap();
    let repository = RepositoryName::parse("calvin-config").unwrap();
    ConsulTarget::new(server.clone(), repository, environment, KeyRoots::parse(&[root]).unwrap(), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_environments_take_few_connections_and_a_write_wakes_only_its_own() {
    let mut crowd = Crowd::start(|number| format!("config/e{number}/")).await;
    let soon = Duration::from_secs(1);
    for number in [0, 7, 49] {
        crowd.check(number, &format!("config/e{number}/key"), (1, 0), soon).await;
        crowd.check(number, &format!("config/e{number}/deep/er/key"), (1, 0), soon).await;
        crowd.check(number, &format!("lockstep/calvin-config/e{number}/record"), (0, 1), soon).await;
        crowd.check(number, &format!("lockstep/calvin-config/e{number}/requests/0123456789abcdef"), (0, 1), soon).await;
    }
    // Beside them, below the folder that they share.
    crowd.check(MANY - 1, "config/of-others", (0, 0), soon).await;
    assert!(crowd.most <= CONNECTIONS, "{} connections", crowd.most);

    // Those who stay are followed still when others go.
    crowd.watching.truncate(5);
    crowd.rest().await;
    crowd.check(3, "config/e3/key", (1, 0), soon).await;
    crowd.check(4, "lockstep/calvin-config/e4/lease", (0, 1), soon).await;
    let left = sockets(crowd.agent.port());
    assert!(left <= CONNECTIONS, "{left} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_roots_without_a_folder_in_common_are_asked_in_turn() {
    let mut crowd = Crowd::start(|number| format!("root{number}/")).await;
    for number in [1, 30, 49] {
        crowd.check(number, &format!("root{number}/key"), (1, 0), Duration::from_secs(7)).await;
    }
    assert!(crowd.most <= CONNECTIONS, "{} connections", crowd.most);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_means_one_request_at_a_time_samples_of_checks_included() {
    let agent = Agent::start();
    let (port, under_way, most) = (agent.port(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let highest = Arc::clone(&most);
    let proxy = Fake::start(move |asked| {
        highest.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let reply = asked.forward(port);
        // Long enough for a second request to be seen beside it.
        std::thread::sleep(Duration::from_millis(5));
        under_way.fetch_sub(1, Ordering::SeqCst);
        reply
    });
    let mut one = config(&proxy.address());
    one.connections = 1;
    let server = Server::connect(&one).unwrap();
    let (catalog, target) = (Catalog::new(server.clone()), Arc::new(environment(&server, 1, "config/")));
    let service = ServiceName::parse("consul").unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (target, catalog, service) = (Arc::clone(&target), catalog.clone(), service.clone());
        asking.spawn(async move {
            let any = BTreeMap::new();
            let (live, instances) = tokio::join!(target.live(), catalog.instances(&service, None, &any));
            assert!(live.is_ok() && instances.is_ok(), "{live:?} {instances:?}");
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 1, "requests at once");
}
