//! Plans written to a real Consul: exactness, fences, batches, and what a reader sees meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use lockstep::domain::live::Fence;
use lockstep::domain::plan::{Action, Change, Why};
use lockstep::domain::resource::Flags;
use lockstep::domain::revision::ValueDigest;
use lockstep::port::{EdgeKind, Target as _};

use crate::stage::{Stage, closed, desired, key, many};
use crate::support::{Agent, decode, request};

const STATE: &str = "lockstep/calvin-config/test/";

fn marker(agent: &Agent) -> serde_json::Value {
    serde_json::from_slice(&agent.get(&format!("{STATE}revision")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_fits_is_one_transaction_with_everything_in_it() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    let wanted = desired((0..50).map(|number| (format!("config/k{number:02}"), "v")));
    let written = stage.go(&wanted, 1).await.unwrap();
    assert!(written.complete);

    // One transaction, one index: keys, record, history and revision together.
    let pairs = agent.pairs("");
    let of_attempt = |name: &str| {
        name.starts_with("config/") || ["record", "revision", "history/1"].iter().any(|end| name == format!("{STATE}{end}"))
    };
    let indexes: BTreeSet<u64> = pairs
        .iter()
        .filter(|pair| of_attempt(pair["Key"].as_str().unwrap()))
        .map(|pair| pair["ModifyIndex"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes.len(), 1, "{indexes:?}");

    let found = marker(&agent);
    assert_eq!((found["state"].as_str(), found["generation"].as_u64()), (Some("complete"), Some(1)));
    assert_eq!(found["digest"], wanted.state_digest().to_string());
    // What it says it wrote is what is there.
    let live = stage.target.live().await.unwrap();
    assert_eq!(live.entries.len(), 50);
    for (key, entry) in &written.keys {
        assert_eq!(live.entries.get(key), entry.as_ref());
        assert_eq!(entry.unwrap().flags, stage.mark(stage.record.generation));
    }
    assert_eq!(stage.target.load().await.unwrap().unwrap().fence, written.record);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_plan_says_applying_until_its_last_transaction_and_stops_where_it_is_told() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    let wanted = many(300, "v");
    let live = stage.target.live().await.unwrap();
    let apply = stage.advance(&live, &wanted, 1);
    let asked = AtomicUsize::new(0);
    let go_on = || {
        assert_eq!(marker(&agent)["state"], "applying");
        asked.fetch_add(1, Ordering::Relaxed) < 1
    };
    let written = stage.target.apply(&stage.lease, stage.fence, &apply, &wanted, &go_on).await.unwrap();
    assert!(!written.complete);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(written.keys.len(), agent.tree("config/").len());
    assert!((60..128).contains(&written.keys.len()), "{}", written.keys.len());
    let stored = stage.target.load().await.unwrap().unwrap();
    assert_eq!((stored.fence, &stored.record), (written.record, &apply.opening.as_ref().unwrap().record));

    // Another pass goes on from what is live, within the same attempt.
    (stage.fence, stage.record) = (stored.fence, stored.record);
    let mut rest = apply.clone();
    rest.opening = None;
    rest.plan.changes.retain(|change| written.keys.iter().all(|(key, _)| *key != change.key));
    let written = stage.write(&rest, &wanted).await.unwrap();
    assert!(written.complete);
    assert_eq!(marker(&agent)["state"], "complete");
    assert_eq!(agent.tree("config/").len(), 300);
    assert_eq!(stage.target.history(9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_exact_owned_key_goes() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    for (name, value) in [("config/foo/", "folder"), ("config/foobar", "x"), ("config/foo_v2", "x"), ("config/foo/bar", "x")] {
        agent.put(name, value.as_bytes());
    }
    assert_eq!(agent.curl("PUT", "/v1/kv/config/flagged?flags=3304740253564472344", b"x").0, 200);
    stage.go(&desired([("config/foo", "ours"), ("config/a", "ours")]), 1).await.unwrap();
    let live = stage.target.live().await.unwrap();
    assert_eq!(live.unmanageable, ["config/foo/"]);
    assert_eq!(live.entries[&key("config/flagged")].flags, Flags(3_304_740_253_564_472_344));

    let written = stage.go(&desired([("config/a", "ours")]), 2).await.unwrap();
    assert_eq!(written.keys, [(key("config/foo"), None)]);
    let left: Vec<String> = agent.tree("config/").into_iter().map(|(key, _)| key).collect();
    assert_eq!(left, ["config/a", "config/flagged", "config/foo/", "config/foo/bar", "config/foo_v2", "config/foobar"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_bytes_whatever_they_are() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    let all: Vec<u8> = (0..=255).collect();
    let values: [(&str, Vec<u8>); 6] = [
        ("config/all", all),
        ("config/empty", Vec::new()),
        ("config/newline", b"text\n".to_vec()),
        ("config/large", vec![0xA5; 390_000]),
        ("config/large2", vec![0x5A; 390_000]),
        ("config/ü/a b \"q\" ;$(id) %41", b"name".to_vec()),
    ];
    stage.go(&desired(values.clone()), 1).await.unwrap();
    let keys: Vec<_> = values.iter().map(|(name, _)| key(name)).collect();
    let found = stage.target.values(&keys).await.unwrap();
    let live = stage.target.live().await.unwrap();
    for (name, value) in &values {
        assert_eq!(&found[&key(name)], value, "{name}");
        assert_eq!(live.entries[&key(name)].digest, ValueDigest::of(value), "{name}");
    }
    assert_eq!(agent.get("config/all").unwrap(), values[0].1);
    assert_eq!(stage.target.values(&[key("config/none"), key("config/empty")]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_fits_no_transaction_is_refused_by_name_before_anything_is_written() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    let refused = stage.go(&desired([("config/huge", vec![1; 400_000])]), 1).await.unwrap_err();
    assert_eq!((refused.kind, refused.about), (EdgeKind::Refused, vec!["config/huge".to_owned()]));
    assert!(agent.tree("config/").is_empty());
    assert_eq!(stage.target.load().await.unwrap().unwrap().fence, stage.fence, "the attempt was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_moved_meanwhile_is_a_conflict_that_names_it_and_nothing_is_written() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    stage.go(&desired([("config/a", "1"), ("config/b", "1"), ("config/c", "1")]), 1).await.unwrap();
    let live = stage.target.live().await.unwrap();
    let next = desired([("config/a", "2"), ("config/b", "2"), ("config/new", "2")]);
    let apply = stage.advance(&live, &next, 2);
    for (by_hand, name) in [("config/b", "update"), ("config/c", "delete"), ("config/new", "create")] {
        let (fence, before) = (stage.fence, agent.get("config/a"));
        agent.put(by_hand, format!("by hand: {name}").as_bytes());
        let refused = stage.target.apply(&stage.lease, fence, &apply, &next, &|| true).await.unwrap_err();
        assert_eq!(refused.kind, EdgeKind::Conflict, "{}", refused.chain());
        assert!(refused.about.contains(&by_hand.to_owned()), "{:?}", refused.about);
        assert_eq!(agent.get("config/a"), before);
        assert_eq!(stage.target.load().await.unwrap().unwrap().fence, fence);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_write_takes_the_mark_off_and_a_repair_gives_it_back() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    let wanted = desired([("config/a", "1")]);
    stage.go(&wanted, 1).await.unwrap();
    agent.put("config/a", b"1");
    assert_eq!(stage.target.live().await.unwrap().entries[&key("config/a")].flags, Flags(0));
    stage.go(&wanted, 1).await.unwrap();
    let flags = stage.target.live().await.unwrap().entries[&key("config/a")].flags;
    assert_eq!(flags, stage.mark(stage.record.generation));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_key_keeps_its_value_and_loses_its_mark() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    stage.go(&desired([("config/keep", "value"), ("config/a", "1")]), 1).await.unwrap();
    let fence = stage.target.live().await.unwrap().fence(&key("config/keep"));
    let next = desired([("config/a", "1")]);
    let release =
        |fence| Change { key: key("config/keep"), action: Action::Release, fence, flags: Flags(0), why: Why::Said("!keep") };

    let behind = stage.apply_of(vec![release(Fence(fence.0 - 1))], &next, 2);
    assert_eq!(stage.write(&behind, &next).await.unwrap_err().kind, EdgeKind::Conflict);

    let apply = stage.apply_of(vec![release(fence)], &next, 2);
    let written = stage.write(&apply, &next).await.unwrap();
    let live = stage.target.live().await.unwrap().entries[&key("config/keep")];
    assert_eq!((live.flags, live.digest), (Flags(0), ValueDigest::of(b"value")));
    assert_eq!(written.keys, [(key("config/keep"), Some(live))]);

    agent.delete("config/keep");
    let gone = stage.apply_of(vec![release(live.fence)], &next, 3);
    assert_eq!(stage.write(&gone, &next).await.unwrap_err().kind, EdgeKind::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_opened_and_closed_at_once_leaves_one_closed_line() {
    let agent = Agent::start();
    let mut stage = Stage::new(&agent).await;
    let wanted = desired([("config/a", "1")]);
    let live = stage.target.live().await.unwrap();
    let mut apply = stage.advance(&live, &wanted, 1);
    let ended = closed(apply.opening.as_ref().unwrap().history[0].clone());
    apply.closing.history = vec![ended.clone()];
    stage.write(&apply, &wanted).await.unwrap();
    assert_eq!(stage.target.history(9).await.unwrap(), [ended]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_is_checked_between_two_transactions() {
    let agent = Agent::start();
    let stage = Stage::new(&agent).await;
    let wanted = many(300, "v");
    let live = stage.target.live().await.unwrap();
    let apply = stage.advance(&live, &wanted, 1);
    let touch = || {
        let record = agent.get(&format!("{STATE}record")).unwrap();
        agent.put(&format!("{STATE}record"), &[record.as_slice(), b" "].concat());
        true
    };
    let refused = stage.target.apply(&stage.lease, stage.fence, &apply, &wanted, &touch).await.unwrap_err();
    assert_eq!(refused.kind, EdgeKind::Conflict);
    assert!(agent.tree("config/").len() < 64, "it went on writing");
}

/// What a reader found below `config/`, by key.
type Found = BTreeMap<String, Vec<u8>>;

/// Keys of the small plans.
const SMALL: usize = 10;

/// One read of the tree and nothing else, in the default mode.
fn read_plainly(port: u16) -> Option<Found> {
    let (status, body) = request(port, "GET", "/v1/kv/config/?recurse", b"")?;
    (status == 200).then(|| values(&serde_json::from_slice(&body).unwrap()))
}

/// Reads as docs for consumers say: the `revision` key, the tree, the `revision` key again (rule A4).
fn read_whole(port: u16) -> Option<Found> {
    let marker = || {
        let (status, body) = request(port, "GET", &format!("/v1/kv/{STATE}revision?raw&consistent"), b"")?;
        let marker: serde_json::Value = serde_json::from_slice(&body).ok()?;
        (status == 200 && marker["state"] == "complete").then(|| marker["generation"].as_u64())?
    };
    let before = marker()?;
    let (_, body) = request(port, "GET", "/v1/kv/config/?recurse&consistent", b"")?;
    (marker()? == before).then(|| values(&serde_json::from_slice(&body).unwrap()))
}

/// Reads key and tree in one read-only transaction.
fn read_at_once(port: u16) -> Option<Found> {
    let body = format!(r#"[{{"KV":{{"Verb":"get","Key":"{STATE}revision"}}}},{{"KV":{{"Verb":"get-tree","Key":"config/"}}}}]"#);
    let (status, body) = request(port, "PUT", "/v1/txn", body.as_bytes())?;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let mut answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let pairs: Vec<_> = answer["Results"].as_array_mut().unwrap().iter_mut().map(|item| item["KV"].take()).collect();
    let marker = decode(&pairs[0]["Value"]);
    let marker: serde_json::Value = serde_json::from_slice(&marker).unwrap();
    (marker["state"] == "complete").then(|| values(&pairs[1..].to_vec().into()))
}

fn values(pairs: &serde_json::Value) -> Found {
    let pairs = pairs.as_array().unwrap().iter();
    pairs.map(|pair| (pair["Key"].as_str().unwrap().to_owned(), decode(&pair["Value"]))).collect()
}

/// The different values of the small plans' keys, and those of all others.
fn kinds(found: Found) -> [BTreeSet<String>; 2] {
    assert_eq!(found.len(), 1000);
    let mut kinds = [BTreeSet::new(), BTreeSet::new()];
    for (at, value) in found.into_values().enumerate() {
        kinds[usize::from(at >= SMALL)].insert(String::from_utf8(value).unwrap());
    }
    kinds
}

/// Whether this is no state that any commit had: the thousand keys have one value, the ten of a small commit theirs of the
/// same round.
fn is_mixed([ten, others]: &[BTreeSet<String>; 2]) -> bool {
    let (Some(one), Some(value)) = (ten.first(), others.first()) else { return true };
    ten.len() > 1 || others.len() > 1 || one.trim_start_matches('s') != value
}

/// Whether a small commit shows in part: some of its keys have their value, some still that of the large one before.
fn is_half_a_small_commit([ten, _]: &[BTreeSet<String>; 2]) -> bool {
    ten.iter().any(|value| value.strip_prefix('s').is_some_and(|round| ten.contains(round)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_never_takes_a_mixed_state_for_whole() {
    let agent = Arc::new(Agent::start());
    let mut stage = Stage::new(&agent).await;
    stage.go(&many(1000, "0"), 1).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let port = agent.port();
    let reader = |read: fn(u16) -> Option<Found>, is_wrong: fn(&[BTreeSet<String>; 2]) -> bool| {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let (mut reads, mut wrong, mut small, mut large) = (0, Vec::new(), BTreeSet::new(), BTreeSet::new());
            while !stop.load(Ordering::Relaxed) {
                let Some(found) = read(port) else { continue };
                reads += 1;
                let kinds = kinds(found);
                if is_wrong(&kinds) {
                    wrong.push(kinds.clone());
                }
                let [ten, others] = kinds;
                small.extend(ten.into_iter().filter(|value| value.starts_with('s')));
                large.extend(others);
            }
            (reads, wrong, small.len(), large.len())
        })
    };
    let readers = [reader(read_plainly, is_half_a_small_commit), reader(read_whole, is_mixed), reader(read_at_once, is_mixed)];
    for round in 1..=6u8 {
        stage.go(&many(1000, &round.to_string()), round + 1).await.unwrap();
        // A plan of ten keys: the first ten of the thousand get values of their own, all at once.
        let small = desired((0..1000).map(|number| {
            let value = if number < SMALL { format!("s{round}") } else { round.to_string() };
            (format!("config/many/{number:05}"), value)
        }));
        stage.go(&small, round + 20).await.unwrap();
        // The readers look at the state between two commits, too.
        let begin = Instant::now();
        while begin.elapsed().as_millis() < 150 {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for (reader, name) in readers.into_iter().zip(["plainly", "twice", "at once"]) {
        let (reads, wrong, small, large) = reader.join().unwrap();
        assert!(wrong.is_empty(), "{name}: of {reads} reads these show a mixture: {wrong:?}");
        assert!(reads >= 6 && small >= 3 && large >= 3, "{name}: {reads} reads of {small} and {large} states show nothing");
    }
}
