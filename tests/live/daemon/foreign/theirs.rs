//! The keys of others: made before lockstep is there and while it works, and compared in everything that Consul knows of a key.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Dice;
use crate::support::{Agent, decode};

/// A transaction has so many operations before Consul 1.14.
const OPS: usize = 64;
/// The entry of the owner whose marks some of them carry.
const OWNER: &str = "lockstep/owners/16";
/// Names beside, above and below those that lockstep has, and ones that hardly anybody can say.
const NEIGHBOURS: [&str; 22] = [
    "config",
    "confi",
    "config/",
    "config2",
    "config2/app/version",
    "Config/app/version",
    "config/app",
    "config/app/",
    "config/app2",
    "config/app2/version",
    "config/app/versio",
    "config/app/version/",
    "config/app/version/x",
    "config/app/version2",
    "config//double",
    "config/a/../b",
    "config/line\nbreak",
    "lockstep",
    "lockstepx/demo/test/record",
    "lockstep/demo/test2/record",
    "lockstep/demo2/test/record",
    "lockstep/unknown",
];

/// All that Consul knows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) value: Vec<u8>,
    pub(super) flags: u64,
    pub(super) create: u64,
    pub(super) modify: u64,
    lock: u64,
    session: Option<String>,
}

impl Whole {
    /// Whether it is what `before` was but for the mark: so it has to be once it is given back.
    pub(super) fn is_without_mark(&self, before: &Self) -> bool {
        *self == Self { flags: 0, modify: self.modify, ..before.clone() } && self.modify > before.modify
    }

    fn of(pair: &Value, value: Vec<u8>) -> Self {
        let number = |field: &str| pair[field].as_u64().unwrap_or_default();
        Self {
            value,
            flags: number("Flags"),
            create: number("CreateIndex"),
            modify: number("ModifyIndex"),
            lock: number("LockIndex"),
            session: pair["Session"].as_str().map(str::to_owned),
        }
    }
}

/// Every key of a Consul.
pub(super) fn everything(agent: &Agent) -> BTreeMap<String, Whole> {
    below(agent, "")
}

/// Every key below a prefix.
pub(super) fn below(agent: &Agent, prefix: &str) -> BTreeMap<String, Whole> {
    agent
        .pairs(prefix)
        .iter()
        .map(|pair| (pair["Key"].as_str().unwrap().to_owned(), Whole::of(pair, decode(&pair["Value"]))))
        .collect()
}

/// What others have, as it has to stay.
#[derive(Default)]
pub(super) struct Theirs(BTreeMap<String, Whole>);

impl Theirs {
    /// So many keys below and beside the root, with any bytes and any flags; one is locked. Below the root none has a mark like
    /// lockstep's own: to `init` that would be an environment whose record was lost.
    pub(super) fn fill(agent: &Agent, count: usize, dice: &mut Dice) -> Self {
        let mut theirs = Self::default();
        let places = ["config/theirs", "config/app2", "other/team", "lockstepx"];
        let names = NEIGHBOURS.iter().map(|name| (*name).to_owned());
        let names: Vec<String> =
            names.chain((0..count).map(|number| format!("{}/{number:05}", places[number % places.len()]))).collect();
        let entry = |name: String| {
            let is_below = name.starts_with("config/");
            let flags =
                std::iter::repeat_with(|| flags(dice)).find(|flags| !(is_below && flags >> 45 == 0x4C)).unwrap_or_default();
            (name, dice.bytes(48), flags)
        };
        let entries: Vec<_> = names.into_iter().map(entry).collect();
        theirs.put(agent, &entries);
        theirs.put(agent, &[("config/theirs/large".to_owned(), vec![0xFF; 380_000], u64::MAX)]);
        theirs.lock(agent);
        theirs
    }

    /// Writes keys as somebody else would, and remembers them as Consul says that they are then.
    pub(super) fn put(&mut self, agent: &Agent, entries: &[(String, Vec<u8>, u64)]) {
        for some in entries.chunks(OPS) {
            let set = |(key, value, flags): &(String, Vec<u8>, u64)| json!({ "KV": { "Verb": "set", "Key": key, "Value": STANDARD.encode(value), "Flags": flags } });
            let body = Value::from(some.iter().map(set).collect::<Vec<_>>()).to_string();
            let (status, body) = agent.curl("PUT", "/v1/txn", body.as_bytes());
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
            let answer: Value = serde_json::from_slice(&body).unwrap();
            for ((key, value, _), result) in some.iter().zip(answer["Results"].as_array().unwrap()) {
                self.0.insert(key.clone(), Whole::of(&result["KV"], value.clone()));
            }
        }
    }

    /// Once the environment is there: keys below its root with the marks of owners whom nobody knows.
    pub(super) fn mark_some(&mut self, agent: &Agent, dice: &mut Dice) {
        let marked = |number: usize| {
            let flags = 0x4C << 45 | dice.next() & 0x1001_0000_0FFF;
            (format!("config/theirs/marked{number:03}"), dice.bytes(48), flags)
        };
        let entries: Vec<_> = (0..200).map(marked).collect();
        self.put(agent, &entries);
    }

    /// A session of somebody else holds one of them.
    fn lock(&mut self, agent: &Agent) {
        let (status, body) = agent.curl("PUT", "/v1/session/create", b"{}");
        assert_eq!(status, 200);
        let session: Value = serde_json::from_slice(&body).unwrap();
        let session = session["ID"].as_str().unwrap();
        let path = format!("/v1/kv/config/theirs/lock?acquire={session}&flags=3304740253564472344");
        assert_eq!(agent.curl("PUT", &path, b"held").0, 200);
        let held = everything(agent).remove("config/theirs/lock").unwrap();
        assert_eq!((held.lock, held.session.as_deref()), (1, Some(session)));
        self.0.insert("config/theirs/lock".into(), held);
    }

    /// One of them is deleted by whoever owns it.
    pub(super) fn delete(&mut self, agent: &Agent, key: &str) {
        let body = json!([{ "KV": { "Verb": "delete", "Key": key } }]).to_string();
        assert_eq!(agent.curl("PUT", "/v1/txn", body.as_bytes()).0, 200);
        self.0.remove(key);
    }

    /// Remembers what a tool wrote, which must have these values and flags.
    pub(super) fn learn(&mut self, agent: &Agent, written: &[(String, Vec<u8>, u64)]) {
        let live = everything(agent);
        for (key, value, flags) in written {
            let found = live.get(key).unwrap_or_else(|| panic!("{key:?} is gone just after it was written"));
            assert_eq!((&found.value, found.flags), (value, *flags), "{key:?} just after it was written");
            self.0.insert(key.clone(), found.clone());
        }
    }

    /// Some key of theirs whose name can be said in a commit.
    pub(super) fn any(&self, dice: &mut Dice) -> String {
        let plain: Vec<&String> = self.0.keys().filter(|key| key.starts_with("config/theirs/0")).collect();
        plain[dice.below(plain.len())].clone()
    }

    /// From now on it is nobody's in this account; it was so.
    pub(super) fn take(&mut self, key: &str) -> Whole {
        self.0.remove(key).unwrap_or_else(|| panic!("{key:?} is none of theirs"))
    }

    /// From now on it has to stay as it is.
    pub(super) fn keep(&mut self, key: &str, whole: Whole) {
        self.0.insert(key.to_owned(), whole);
    }

    /// What it has to be.
    pub(super) fn value(&self, key: &str) -> &[u8] {
        &self.0[key].value
    }

    /// Whether somebody is known to have the marks of [`Self::mark_some`]: to `init` what nobody is known to have would be what
    /// is left of an environment whose record was lost, and an owner id that somebody has is given to nobody else.
    pub(super) fn explain_marks(&mut self, agent: &Agent, explained: bool) {
        if explained {
            let entry = br#"{"repository": "somebody", "environment": "theirs", "target": "0123456789abcdef"}"#;
            self.put(agent, &[(OWNER.to_owned(), entry.to_vec(), 0)]);
        } else {
            self.delete(agent, OWNER);
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Asserts that each is as it was: value, `Flags`, `CreateIndex`, `ModifyIndex`, `LockIndex`, session.
    #[track_caller]
    pub(super) fn check(&self, live: &BTreeMap<String, Whole>) {
        let changed = self.0.iter().filter(|(key, whole)| live.get(*key) != Some(*whole));
        let changed: Vec<_> = changed.map(|(key, whole)| (key, whole, live.get(key))).take(5).collect();
        assert!(changed.is_empty(), "keys of others were touched: {changed:#?}");
    }
}

/// Numbers that somebody may have in `Flags`: small ones, beyond what a double holds, all bits, and lockstep's own layout
/// with owners that are not there.
fn flags(dice: &mut Dice) -> u64 {
    match dice.below(8) {
        0..=2 => 0,
        3 => 42,
        4 => dice.next(),
        5 => u64::MAX,
        // Adopted or not, of an owner whom nobody knows or of none: ours is another, and its mark is copied later on purpose.
        6 => 0x4C << 45 | dice.next() & 0x1001_0000_0FFF,
        _ => 1 << 53 | 0x4C << 45,
    }
}
