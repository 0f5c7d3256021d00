//! A Consul with little to give: few connections, small transactions, and answers that say "later".

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::service::Service;
use super::site::{CHECK, MANY, Site, many};
use crate::fake::{Fake, Reply};
use crate::support::{Agent, Options, eventually};

/// Open connections of a process to a port of this machine.
fn connections(process: u32, port: u16) -> usize {
    let Ok(files) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return 0 };
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let own: BTreeSet<String> = links.filter_map(|link| Some(link.to_str()?.to_owned())).collect();
    let remote = format!(":{port:04X}");
    let table = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    let is_open = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.len() > 9
            && fields[2].ends_with(&remote)
            && fields[3] == "01"
            && own.contains(&format!("socket:[{}]", fields[9]))
    };
    table.lines().filter(is_open).count()
}

#[test]
fn a_consul_that_allows_eight_connections_is_enough_for_a_controller_and_ten_thousand_keys() {
    const KEYS: usize = 10_000;
    let agent = Agent::with(&Options { config: r#""limits": {"http_max_conns_per_client": 8}"#, ..Options::default() });
    let mut site = Site::new(&agent);
    site.repo.remove("No checks", &[CHECK.0]);
    site.repo.commit("Large", &[(MANY, &many(KEYS, "x"))]);
    let mut controller = site.start("one");
    let mut most = 0;
    // Nobody else asks meanwhile: every connection of this machine counts.
    eventually("the large commit is proven", || {
        most = most.max(connections(controller.id(), agent.port()));
        controller.log().contains("event=\"proven\"")
    });
    assert!((1..=7).contains(&most), "{most} connections");
    let log = controller.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    assert_eq!(agent.tree("config/many/").len(), KEYS);
    assert!(controller.runs());
}

#[test]
fn a_consul_that_allows_eight_connections_is_enough_for_three_roots_and_a_check_in_the_catalog() {
    let agent = Agent::with(&Options { config: r#""limits": {"http_max_conns_per_client": 8}"#, ..Options::default() });
    let body = r#"{"Name": "app", "Address": "127.0.0.1", "Port": 9}"#;
    assert_eq!(agent.curl("PUT", "/v1/agent/service/register", body.as_bytes()).0, 200);
    let mut site = Site::new(&agent);
    site.roots = "config/, flags/, limits/";
    // Four for requests, four for watches: three roots have to do with fewer than one each.
    site.reach(&agent.address(), "watches: 4");
    let more = [("base/kv/flags/a.yaml", "x: one\n"), ("base/kv/limits/a.yaml", "x: one\n")];
    let check = (CHECK.0, "kind: consul-service\nservice: app\nat_least: 1\ninterval: 500ms\ntimeout: 500ms\n");
    site.repo.commit("Three roots", &[check, (MANY, &many(2_000, "x")), more[0], more[1]]);
    let mut controller = site.start("one");
    let mut most = 0;
    // Nobody else asks meanwhile: every connection of this machine counts.
    eventually("the commit is proven", || {
        most = most.max(connections(controller.id(), agent.port()));
        controller.log().contains("event=\"proven\"")
    });
    assert!((1..=8).contains(&most), "{most} connections");
    for (number, root) in ["config", "flags", "limits"].into_iter().enumerate() {
        let path = format!("base/kv/{root}/a.yaml");
        let proven = controller.log().matches("event=\"proven\"").count();
        site.repo.commit(root, &[(&path, &format!("x: change {number}\n"))]);
        eventually("the change is proven", || {
            most = most.max(connections(controller.id(), agent.port()));
            controller.log().matches("event=\"proven\"").count() > proven
        });
        assert_eq!(agent.get(&format!("{root}/a/x")).unwrap(), format!("change {number}").as_bytes());
    }
    assert!(most <= 8, "{most} connections");
    let log = controller.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    assert!(controller.runs());
}

/// So long a request may have been on its way.
const UNDER_WAY: Duration = Duration::from_millis(200);

/// What the busy server was asked and said.
#[derive(Default)]
struct Told {
    /// When it last asked for a second of patience.
    asked: Option<Instant>,
    /// Writes that came before that.
    early: usize,
    writes: usize,
    renewals: usize,
}

#[test]
fn a_busy_consul_is_given_the_time_that_it_asks_for_and_the_lease_is_not_lost_meanwhile() {
    const KEYS: usize = 600;
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    let (busy, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Told::default())));
    let (is_busy, notes, port) = (Arc::clone(&busy), Arc::clone(&told), agent.port());
    let proxy = Fake::start(move |asked| {
        if !is_busy.load(Ordering::SeqCst) {
            return asked.forward(port);
        }
        let renewal = asked.path.contains("/session/renew/");
        if !renewal && !asked.writes() {
            return asked.forward(port);
        }
        let now = Instant::now();
        let mut told = notes.lock().unwrap();
        if renewal {
            // Every other one; it is asked for again before the session can end.
            told.renewals += 1;
            if told.renewals % 2 == 1 {
                return Reply::refuse(503, "busy");
            }
        } else {
            // One that was on its way already when the first was answered comes a moment later.
            let since = told.asked.map(|asked| now - asked);
            told.early += usize::from(since.is_some_and(|since| (UNDER_WAY..Duration::from_secs(1)).contains(&since)));
            told.writes += 1;
            match told.writes % 3 {
                1 => {
                    told.asked = Some(now);
                    return Reply::Answer { status: 429, headers: "Retry-After: 1\r\n".into(), body: b"rate limited".to_vec() };
                }
                2 => return Reply::refuse(503, "rate limited"),
                _ => {}
            }
        }
        drop(told);
        asked.forward(port)
    });
    site.readdress(&proxy.address());
    let mut controller = site.start("one");
    site.readdress(&agent.address());
    site.until_steady();

    busy.store(true, Ordering::SeqCst);
    site.repo.commit("Large", &[(MANY, &many(KEYS, "x"))]);
    let begin = Instant::now();
    eventually("everything is written", || agent.tree("config/many/").len() == KEYS);
    assert!(begin.elapsed() > Duration::from_secs(10), "a session would not have run out meanwhile");
    site.until_steady();
    busy.store(false, Ordering::SeqCst);
    let told = told.lock().unwrap();
    assert_eq!(told.early, 0, "asked again too soon");
    assert!(told.writes >= 30 && told.renewals >= 3, "{} writes, {} renewals", told.writes, told.renewals);
    let log = controller.log();
    assert!(!log.contains("leads no longer") && log.matches("leads now").count() == 1, "{log}");
    assert_eq!(site.outcomes(), ["proven", "proven"]);
    assert!(controller.runs());
}
