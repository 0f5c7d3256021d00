//! Looks that read only what has moved: they see what a look at everything sees, and cost little.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lockstep::domain::live::LiveState;
use lockstep::domain::name::KeyPath;
use lockstep::port::Target as _;

use crate::fake::{Fake, Reply};
use crate::stage::{Stage, desired, key};
use crate::support::{Agent, controller, request};

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    /// Names close to each other, some of which no URL and no controller takes as they are.
    fn name(&mut self) -> String {
        const SEGMENTS: [&str; 14] = ["a", "ab", "abc", "b", ".", "..", "", "a b", " a", "ü", "a%2fb", "lockstep", "\\", "#?"];
        let mut name = "config".to_owned();
        for _ in 0..=self.below(3) {
            name.push('/');
            // Most are plain: odd ones are odd company for them.
            match self.below(10) {
                0 | 1 => name.push_str(SEGMENTS[self.below(SEGMENTS.len())]),
                2 | 3 => name.push_str(["a", "ab", "abc", "b"][self.below(4)]),
                _ => name.extend(["k", &self.below(60).to_string()]),
            }
        }
        name
    }
}

/// One transaction: its operations take keys literally.
fn change(agent: &Agent, dice: &mut Dice, known: &mut BTreeSet<String>) {
    let operations: Vec<serde_json::Value> = (0..=dice.below(6))
        .map(|_| {
            let picked = known.iter().nth(dice.below(known.len().max(1))).cloned();
            match (dice.below(4), picked) {
                (0, Some(name)) => {
                    known.remove(&name);
                    serde_json::json!({"KV": {"Verb": "delete", "Key": name}})
                }
                (1, Some(name)) => serde_json::json!({"KV": {"Verb": "set", "Key": name, "Value": "Mg==", "Flags": 7}}),
                (_, _) => {
                    let name = dice.name();
                    known.insert(name.clone());
                    serde_json::json!({"KV": {"Verb": "set", "Key": name, "Value": "MQ=="}})
                }
            }
        })
        .collect();
    let body = serde_json::to_vec(&operations).unwrap();
    let (status, answer) = request(agent.port(), "PUT", "/v1/txn", &body).unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
}

/// The directories that no key can have, and other keys that can't be managed: of what lies below such a directory a look at
/// what moved knows only that there is something.
fn odd(live: &LiveState) -> BTreeSet<&str> {
    live.unmanageable
        .iter()
        .map(|key| {
            let directories = key.match_indices('/').map(|(at, _)| at);
            let bad = directories.into_iter().find(|at| KeyPath::parse(&key[..*at]).is_err());
            bad.map_or(key.as_str(), |at| &key[..=at])
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_what_moved_sees_what_a_look_at_everything_sees() {
    let agent = Agent::start();
    let target = controller(&agent.address(), None);
    for seed in 0..2 {
        let mut dice = Dice(seed);
        let mut known = BTreeSet::new();
        let mut live = target.live().await.unwrap();
        for round in 0..80 {
            for _ in 0..dice.below(4) {
                change(&agent, &mut dice, &mut known);
            }
            live = target.look_again(live).await.unwrap();
            let all = target.live().await.unwrap();
            assert_eq!(live.entries, all.entries, "seed {seed}, round {round}");
            assert_eq!(odd(&live), odd(&all), "seed {seed}, round {round}");
        }
    }
}

/// What passed by a proxy since it was last emptied.
#[derive(Default)]
struct Counted {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    whole: AtomicUsize,
}

impl Counted {
    fn empty(&self) {
        for count in [&self.requests, &self.bytes, &self.whole] {
            count.store(0, Ordering::SeqCst);
        }
    }

    fn get(&self) -> (usize, usize, usize) {
        let [requests, bytes, whole] = [&self.requests, &self.bytes, &self.whole].map(|count| count.load(Ordering::SeqCst));
        (requests, bytes, whole)
    }
}

fn counting(agent: &Agent) -> (Fake, Arc<Counted>) {
    let counted = Arc::new(Counted::default());
    let (counts, port) = (Arc::clone(&counted), agent.port());
    let proxy = Fake::start(move |asked| {
        let answer = asked.forward(port);
        if !asked.path.contains("&wait=") {
            counts.requests.fetch_add(1, Ordering::SeqCst);
            counts.whole.fetch_add(usize::from(asked.path.contains("recurse")), Ordering::SeqCst);
            if let Reply::Answer { body, .. } = &answer {
                counts.bytes.fetch_add(body.len(), Ordering::SeqCst);
            }
        }
        answer
    });
    (proxy, counted)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_key_of_many_costs_a_few_small_requests_and_no_change_costs_one() {
    const SHELVES: usize = 100;
    let agent = Agent::start();
    let keys = (0..SHELVES).flat_map(|shelf| (0..100).map(move |number| format!("config/shelf-{shelf:03}/{number:03}")));
    let mut stage = Stage::new(&agent).await;
    stage.go(&desired(keys.map(|name| (name, "one"))), 1).await.unwrap();
    let (proxy, counted) = counting(&agent);
    let target = controller(&proxy.address(), Some(stage.target_id()));
    let live = target.live().await.unwrap();
    assert_eq!((live.entries.len(), counted.get().2), (SHELVES * 100, 1));

    counted.empty();
    let live = target.look_again(live).await.unwrap();
    assert_eq!(counted.get().0, 1);

    agent.put("config/shelf-042/017", b"by hand");
    counted.empty();
    let live = target.look_again(live).await.unwrap();
    let (requests, bytes, whole) = counted.get();
    let entry = live.entries[&key("config/shelf-042/017")];
    assert_eq!(entry.digest, lockstep::domain::revision::ValueDigest::of(b"by hand"));
    assert!(requests <= 30 && bytes < 80_000 && whole == 0, "{requests} requests, {bytes} bytes, {whole} whole reads");

    // So many changes that reading everything costs less.
    for shelf in 0..SHELVES {
        agent.put(&format!("config/shelf-{shelf:03}/000"), b"by hand");
    }
    counted.empty();
    let live = target.look_again(live).await.unwrap();
    assert_eq!(counted.get().2, 1, "{:?}", counted.get());
    assert_eq!(live.entries, target.live().await.unwrap().entries);
}
