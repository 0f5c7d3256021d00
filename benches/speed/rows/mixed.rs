//! Readers while commits of 1,000 keys go in: one by the protocol of `docs/consumers.md`, and one that reads the tree alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::inside::Inside;
use crate::load::{Load, PREFIX};
use crate::support::{self, Agent, decode};
use crate::table::{Line, spread};
use crate::{on_runtime, runtime};

/// What a reader saw.
#[derive(Default)]
struct Seen {
    reads: AtomicUsize,
    mixed: AtomicUsize,
}

impl Seen {
    fn note<'p>(&self, pairs: impl Iterator<Item = &'p Value>) {
        let values: BTreeSet<Vec<u8>> = pairs.map(|pair| decode(&pair["Value"])).collect();
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.mixed.fetch_add(usize::from(values.len() > 1), Ordering::Relaxed);
    }

    fn told(&self) -> String {
        format!("{} of {} reads mixed", self.mixed.load(Ordering::Relaxed), self.reads.load(Ordering::Relaxed))
    }
}

pub(crate) fn measure(rounds: usize) -> Vec<Line> {
    let load = Load(1_000);
    let (mut repo, agent) = (load.repository_of("first"), Agent::start());
    let (address, path) = (agent.address(), repo.path());
    let mut inside = on_runtime(async move {
        let mut inside = Inside::start(&address, path).await;
        inside.write().await;
        inside.settle().await;
        inside
    });
    let stop = Arc::new(AtomicBool::new(false));
    let by_protocol = read_on(&agent, &stop, |port, seen| {
        let body = format!(
            r#"[{{"KV": {{"Verb": "get", "Key": "lockstep/calvin-config/test/revision"}}}},
                {{"KV": {{"Verb": "get-tree", "Key": "{PREFIX}"}}}}]"#
        );
        let (status, answer) = support::request(port, "PUT", "/v1/txn?consistent", body.as_bytes()).unwrap();
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let results = answer["Results"].as_array().unwrap();
        let revision: Value = serde_json::from_slice(&decode(&results[0]["KV"]["Value"])).unwrap();
        if revision["state"] == "complete" {
            seen.note(results[1..].iter().map(|result| &result["KV"]));
        }
    });
    let alone = read_on(&agent, &stop, |port, seen| {
        let (status, answer) = support::request(port, "GET", &format!("/v1/kv/{PREFIX}?recurse&consistent"), b"").unwrap();
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        seen.note(answer.as_array().unwrap().iter());
    });
    let mut times = Vec::new();
    for round in 0..3 * rounds {
        load.change_all(&mut repo, &format!("round-{round}"));
        runtime().block_on(inside.fetch());
        let begin = Instant::now();
        runtime().block_on(inside.write());
        times.push(begin.elapsed());
        runtime().block_on(inside.settle());
    }
    stop.store(true, Ordering::Relaxed);
    let [by_protocol, alone] = [by_protocol, alone].map(|(thread, seen)| {
        thread.join().unwrap();
        seen
    });
    let mixed = by_protocol.mixed.load(Ordering::Relaxed);
    vec![Line {
        what: format!("mixed states seen by a reader during {} commits of 1,000 keys", 3 * rounds),
        beside: format!(
            "the same tree read without looking at `revision`: {}; git2consul 44, gonsul 7, git2consul-go 5 in one commit (measured once)",
            alone.told()
        ),
        ours: format!("{}; a commit took {}", by_protocol.told(), spread(&times)),
        goal: "0".into(),
        share: Some(if mixed > 0 || by_protocol.reads.load(Ordering::Relaxed) == 0 { 2.0 } else { 0.0 }),
        usage: None,
    }]
}

fn read_on(
    agent: &Agent,
    stop: &Arc<AtomicBool>,
    read: impl Fn(u16, &Seen) + Send + 'static,
) -> (std::thread::JoinHandle<()>, Arc<Seen>) {
    let (port, stop, seen) = (agent.port(), Arc::clone(stop), Arc::<Seen>::default());
    let told = Arc::clone(&seen);
    let thread = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            read(port, &told);
        }
    });
    (thread, seen)
}
