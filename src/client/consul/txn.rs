//! Transactions: the only way that lockstep writes KV (rule A2).
//!
//! A URL cleans its path and a transaction takes keys literally, so writes never go through URLs. Operations are encoded
//! straight into the request's body: a first deploy is thousands of them, and Consul itself should be what takes the time.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::fault::{self, OpFault};
use super::http::{Ask, Http};
use crate::port::{EdgeError, EdgeKind};

/// Operations that every Consul takes in one transaction; 1.14 and later take 128.
const SMALLEST_OPS: usize = 64;
/// Operations that the probe sends: more than any known Consul takes, so that it answers with its limit and does nothing.
const PROBE_OPS: usize = 129;
/// Bytes of a transaction's body that Consul takes unless it is configured otherwise.
const BODY: usize = 512 << 10;
/// A server that takes less than this is of no use for writing values.
const SMALLEST_BODY: usize = 16 << 10;
/// How long one transaction may take, retries included.
const DEADLINE: Duration = Duration::from_secs(30);

/// A transaction under construction.
#[derive(Debug, Clone)]
pub(super) struct Transaction {
    body: String,
    /// The key of each operation, in order: Consul names operations by their number.
    keys: Vec<String>,
}

/// A place in a transaction to go back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    ops: usize,
    bytes: usize,
}

impl Transaction {
    pub(super) fn new() -> Self {
        Self { body: String::from("["), keys: Vec::new() }
    }

    /// How many operations it has.
    pub(super) fn ops(&self) -> usize {
        self.keys.len()
    }

    /// How many bytes its body will have.
    pub(super) fn bytes(&self) -> usize {
        self.body.len() + 1
    }

    /// Where it stands now.
    pub(super) fn mark(&self) -> Mark {
        Mark { ops: self.keys.len(), bytes: self.body.len() }
    }

    /// Takes back what was added since.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.keys.truncate(mark.ops);
        self.body.truncate(mark.bytes);
    }

    /// Adds the operations of another one.
    pub(super) fn append(&mut self, other: &Self) {
        if other.keys.is_empty() {
            return;
        }
        if !self.keys.is_empty() {
            self.body.push(',');
        }
        self.body.push_str(&other.body[1..]);
        self.keys.extend_from_slice(&other.keys);
    }

    /// Writes value and flags whatever is there.
    pub(super) fn set(&mut self, key: &str, value: &[u8], flags: u64) {
        self.open("set", key);
        self.value(value, flags);
        self.close();
    }

    /// Writes value and flags if the key is at this index; 0: if it is absent.
    pub(super) fn cas(&mut self, key: &str, value: &[u8], flags: u64, index: u64) {
        self.open("cas", key);
        self.value(value, flags);
        self.index(index);
        self.close();
    }

    /// Deletes the key if it is at this index.
    pub(super) fn delete_cas(&mut self, key: &str, index: u64) {
        self.open("delete-cas", key);
        self.index(index);
        self.close();
    }

    /// Fails unless this session holds the lock on the key.
    pub(super) fn check_session(&mut self, key: &str, session: &str) {
        self.open("check-session", key);
        self.session(session);
        self.close();
    }

    /// Fails unless the key is at this index.
    pub(super) fn check_index(&mut self, key: &str, index: u64) {
        self.open("check-index", key);
        self.index(index);
        self.close();
    }

    /// Fails if the key is there.
    pub(super) fn check_absent(&mut self, key: &str) {
        self.open("check-not-exists", key);
        self.close();
    }

    /// Reads the key; absent, it fails the transaction.
    pub(super) fn get(&mut self, key: &str) {
        self.open("get", key);
        self.close();
    }

    /// Reads every key that begins with this; none is fine.
    pub(super) fn get_tree(&mut self, prefix: &str) {
        self.open("get-tree", prefix);
        self.close();
    }

    /// Takes the lock on the key, with this value.
    pub(super) fn lock(&mut self, key: &str, value: &[u8], session: &str) {
        self.open("lock", key);
        self.value(value, 0);
        self.session(session);
        self.close();
    }

    /// Gives the lock on the key back, if this session holds it.
    pub(super) fn unlock(&mut self, key: &str, value: &[u8], session: &str) {
        self.open("unlock", key);
        self.value(value, 0);
        self.session(session);
        self.close();
    }

    fn open(&mut self, verb: &str, key: &str) {
        if !self.keys.is_empty() {
            self.body.push(',');
        }
        self.body.push_str(r#"{"KV":{"Verb":""#);
        self.body.push_str(verb);
        self.body.push_str(r#"","Key":"#);
        push_json(&mut self.body, key);
        self.keys.push(key.to_owned());
    }

    fn value(&mut self, value: &[u8], flags: u64) {
        self.body.push_str(r#","Value":""#);
        STANDARD.encode_string(value, &mut self.body);
        let _ = write!(self.body, r#"","Flags":{flags}"#);
    }

    fn index(&mut self, index: u64) {
        let _ = write!(self.body, r#","Index":{index}"#);
    }

    fn session(&mut self, session: &str) {
        self.body.push_str(r#","Session":"#);
        push_json(&mut self.body, session);
    }

    fn close(&mut self) {
        self.body.push_str("}}");
    }
}

/// A JSON string. Keys and ids rarely need escapes.
fn push_json(body: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        body.push('"');
        body.push_str(text);
        body.push('"');
    } else {
        body.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// What a Consul takes in one transaction: found out, not assumed (rule A2).
#[derive(Debug)]
pub(super) struct Limits {
    /// 0: not known yet.
    ops: AtomicUsize,
    bytes: AtomicUsize,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self { ops: AtomicUsize::new(0), bytes: AtomicUsize::new(BODY) }
    }

    /// Bytes of one body.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Learns from the text of a refusal; false when it is about something else. A value that is too large is told with its key
    /// and two numbers of bytes.
    fn learn(&self, text: &str) -> bool {
        let text = fault::unquoted(text);
        let counts = text.find("too many operations").map_or("", |at| &text[at..]);
        if let Some(ops) = number_after(counts, " > ").filter(|ops| (2..=4096).contains(ops)) {
            self.ops.store(ops, Ordering::Relaxed);
            return true;
        }
        match number_after(&text, "max size: ") {
            Some(bytes) if (SMALLEST_BODY..BODY).contains(&bytes) => {
                self.bytes.store(bytes, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }
}

fn number_after(text: &str, label: &str) -> Option<usize> {
    let rest = &text[text.find(label)? + label.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// One key in the answer to a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) key: String,
    /// Only reads return it.
    pub(super) value: Option<Vec<u8>>,
    pub(super) flags: u64,
    pub(super) created: u64,
    pub(super) index: u64,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, rename = "Results", default)]
    results: Option<Vec<Item<'a>>>,
    #[serde(rename = "Errors", default)]
    errors: Option<Vec<OpFault>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "KV", default)]
    kv: Option<Pair<'a>>,
}

/// One entry of KV, as reads and transactions answer it.
#[derive(Deserialize)]
pub(super) struct Pair<'a> {
    #[serde(borrow, rename = "Key")]
    pub(super) key: Cow<'a, str>,
    /// `null` for an empty value, and where a transaction writes.
    #[serde(borrow, rename = "Value", default)]
    value: Option<Cow<'a, str>>,
    #[serde(rename = "Flags", default)]
    pub(super) flags: u64,
    /// The session that holds it as a lock.
    #[serde(borrow, rename = "Session", default)]
    pub(super) session: Option<Cow<'a, str>>,
    #[serde(rename = "CreateIndex", default)]
    pub(super) created: u64,
    #[serde(rename = "ModifyIndex")]
    pub(super) modified: u64,
}

impl Pair<'_> {
    /// The value's bytes, if there is one.
    pub(super) fn value(&self) -> Result<Option<Vec<u8>>, String> {
        let decoded = self.value.as_deref().map(|text| STANDARD.decode(text)).transpose();
        decoded.map_err(|cause| format!("the value of {:?}: {cause}", self.key))
    }
}

/// A transaction that was answered: what it found, or why all of it was rolled back.
pub(super) type Outcome = Result<Vec<Found>, Vec<OpFault>>;

impl Http {
    /// Runs a transaction; a refusal is an error of the kind that its reasons mean.
    pub(super) async fn transact(&self, limits: &Limits, txn: Transaction, doing: &str) -> Result<Vec<Found>, EdgeError> {
        let keys = txn.keys.clone();
        match self.try_transaction(limits, txn, doing).await? {
            Ok(found) => Ok(found),
            Err(faults) => Err(fault::of_transaction(self.operation(doing), &faults, &keys)),
        }
    }

    /// Runs a transaction; a refusal by its own operations is no error here.
    ///
    /// Reads in it are consistent (rule A1). When the answer is lost it may have been carried out: look again (rule A3).
    pub(super) async fn try_transaction(&self, limits: &Limits, txn: Transaction, doing: &str) -> Result<Outcome, EdgeError> {
        let Transaction { mut body, keys } = txn;
        body.push(']');
        let url = self.url("txn", &["consistent"]);
        let answer = self.send(Ask::put(url, body, doing).within(DEADLINE)).await?;
        match answer.status {
            200 | 409 => {}
            400 | 413 if limits.learn(&String::from_utf8_lossy(&answer.body)) => {
                // Known now: the next attempt is cut to fit.
                let mut error = self.refusal(doing, &answer);
                error.kind = EdgeKind::Transient;
                return Err(error);
            }
            _ => return Err(self.refusal(doing, &answer)),
        }
        let response: Response<'_> = serde_json::from_slice(&answer.body).map_err(|cause| {
            // A 409 without JSON is no transaction's answer.
            if answer.status == 409 { self.refusal(doing, &answer) } else { self.not_understood(cause, doing) }
        })?;
        if let Some(faults) = response.errors.filter(|faults| !faults.is_empty() || answer.status == 409) {
            return Ok(Err(faults));
        }
        let pairs = response.results.unwrap_or_default();
        let mut found = Vec::with_capacity(keys.len());
        for pair in pairs.into_iter().filter_map(|item| item.kv) {
            let value = pair.value().map_err(|problem| self.error(EdgeKind::Transient, doing).because(problem))?;
            found.push(Found {
                key: pair.key.into_owned(),
                value,
                flags: pair.flags,
                created: pair.created,
                index: pair.modified,
            });
        }
        Ok(Ok(found))
    }

    /// How many operations this Consul takes in one transaction; asked once, with a transaction that is too large for any.
    pub(super) async fn ops_limit(&self, limits: &Limits) -> Result<usize, EdgeError> {
        let known = limits.ops.load(Ordering::Relaxed);
        if known > 0 {
            return Ok(known);
        }
        if self.predates_larger_transactions() {
            limits.ops.store(SMALLEST_OPS, Ordering::Relaxed);
            return Ok(SMALLEST_OPS);
        }
        let mut probe = Transaction::new();
        for _ in 0..PROBE_OPS {
            probe.get(crate::domain::name::STATE_PREFIX);
        }
        probe.body.push(']');
        let doing = "find out the size of a transaction";
        let answer = self.send(Ask::put(self.url("txn", &[]), probe.body, doing)).await?;
        match answer.status {
            400 | 413 if limits.learn(&String::from_utf8_lossy(&answer.body)) => {}
            413 => limits.ops.store(SMALLEST_OPS, Ordering::Relaxed),
            // Taken, and only refused for what it asked: it takes at least so many.
            200 | 409 => limits.ops.store(PROBE_OPS - 1, Ordering::Relaxed),
            _ => return Err(self.refusal(doing, &answer)),
        }
        Ok(limits.ops.load(Ordering::Relaxed).max(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_the_json_that_consul_reads() {
        let mut txn = Transaction::new();
        txn.cas("a \"b\\", b"\x00\xff", 7, 3);
        let mark = txn.mark();
        txn.set("gone", b"", 0);
        txn.rewind(mark);
        let mut tail = Transaction::new();
        tail.delete_cas("c", 9);
        tail.check_session("l", "s");
        tail.check_absent("n");
        txn.append(&tail);
        txn.append(&Transaction::new());
        assert_eq!(txn.ops(), 4);
        let bytes = txn.bytes();
        txn.body.push(']');
        assert_eq!(txn.body.len(), bytes);
        let read: serde_json::Value = serde_json::from_str(&txn.body).unwrap();
        assert_eq!(
            read,
            serde_json::json!([
                {"KV": {"Verb": "cas", "Key": "a \"b\\", "Value": "AP8=", "Flags": 7, "Index": 3}},
                {"KV": {"Verb": "delete-cas", "Key": "c", "Index": 9}},
                {"KV": {"Verb": "check-session", "Key": "l", "Session": "s"}},
                {"KV": {"Verb": "check-not-exists", "Key": "n"}},
            ])
        );
    }

    #[test]
    fn limits_are_learnt_from_consuls_words() {
        let limits = Limits::new();
        assert!(limits.learn("Transaction contains too many operations (129 > 128)"));
        assert_eq!(limits.ops.load(Ordering::Relaxed), 128);
        assert!(limits.learn("Request body(999999 bytes) too large, max size: 262144 bytes. See https://x"));
        assert_eq!(limits.bytes(), 262_144);
        assert!(!limits.learn("Request body(999999 bytes) too large, max size: 1 bytes."));
        assert!(!limits.learn("nothing"));
        for other in [
            r#"Value for key "a > 3" is too large (600000 > 524288 bytes)"#,
            r#"Value for key "too many operations (9 > 3)" is too large (2000 > 1000 bytes)"#,
            r#"Value for key "max size: 20000 bytes" is too large (600000 > 524288 bytes)"#,
            r#"Value for key "b\" > 3" is too large (2000 > 1000 bytes)"#,
        ] {
            assert!(!limits.learn(other), "{other}");
        }
        assert_eq!(limits.ops.load(Ordering::Relaxed), 128);
        assert_eq!(limits.bytes(), 262_144);
    }
}
