//! A Consul of 1.14 or later, which takes 128 operations in a transaction, played in front of a real one that takes 64.
//!
//! What comes through it is all or nothing: the second half's fences are checked before the first half is written, and nothing
//! else is written through it meanwhile. What it can't play is one moment: somebody who reads between the halves sees one of
//! them, and the two have different indexes.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::fake::{Asked, Fake, Reply};
use crate::support::request;

/// Operations that the real one takes.
const REAL: usize = 64;
/// Operations that this one takes.
const PLAYED: usize = 128;

/// What a Consul says since 1.10 beside what a query has found.
pub(crate) const NAMES_BACKEND: &str = "X-Consul-Query-Backend: blocking-query";

/// The proxy, and what came to it.
pub(crate) struct Larger {
    proxy: Fake,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    largest: AtomicUsize,
    refused: AtomicUsize,
    turn: Mutex<()>,
}

impl Larger {
    pub(crate) fn start(port: u16) -> Self {
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let proxy = Fake::start(move |asked| {
            if asked.is_transaction() { counted.play(asked, port) } else { asked.forward(port).with(NAMES_BACKEND) }
        });
        Self { proxy, counts }
    }

    pub(crate) fn address(&self) -> String {
        self.proxy.address()
    }

    /// The operations of the largest transaction that it took.
    pub(crate) fn largest(&self) -> usize {
        self.counts.largest.load(Ordering::Relaxed)
    }

    /// How often it was sent too many.
    pub(crate) fn refused(&self) -> usize {
        self.counts.refused.load(Ordering::Relaxed)
    }
}

impl Counts {
    fn play(&self, asked: &Asked, port: u16) -> Reply {
        let operations: Vec<Value> = serde_json::from_slice(&asked.body).unwrap();
        let number = operations.len();
        if number > PLAYED {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Reply::refuse(413, &format!("Transaction contains too many operations ({number} > {PLAYED})"));
        }
        self.largest.fetch_max(number, Ordering::Relaxed);
        let _turn = self.turn.lock().unwrap();
        let Some((first, second)) = operations.split_at_checked(REAL).filter(|(_, second)| !second.is_empty()) else {
            return asked.forward(port);
        };
        let fences: Vec<Value> = second.iter().filter_map(fence_of).collect();
        let mut results = Vec::new();
        for (part, begins) in [(fences.as_slice(), REAL), (first, 0), (second, REAL)] {
            if part.is_empty() {
                continue;
            }
            let (status, body) = request(port, "PUT", &asked.path, &serde_json::to_vec(part).unwrap()).unwrap();
            let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
            if status != 200 {
                // The operations of a half have other numbers in the whole.
                for fault in answer["Errors"].as_array_mut().into_iter().flatten() {
                    let at = fault["OpIndex"].as_u64().unwrap() + u64::try_from(begins).unwrap();
                    fault["OpIndex"] = json!(at);
                }
                let body = if answer.is_null() { body } else { answer.to_string().into_bytes() };
                return Reply::Answer { status, headers: String::new(), body };
            }
            if !std::ptr::eq(part, fences.as_slice()) {
                results.extend(answer["Results"].as_array().cloned().unwrap_or_default());
            }
        }
        let body = json!({ "Results": results, "Errors": null }).to_string().into_bytes();
        Reply::Answer { status: 200, headers: String::new(), body }
    }
}

/// An operation that changes nothing and fails where this one would.
fn fence_of(operation: &Value) -> Option<Value> {
    let kv = &operation["KV"];
    let (key, index) = (&kv["Key"], &kv["Index"]);
    let check = match kv["Verb"].as_str().unwrap() {
        "cas" if index == 0 => json!({ "Verb": "check-not-exists", "Key": key }),
        "cas" | "delete-cas" | "check-index" => json!({ "Verb": "check-index", "Key": key, "Index": index }),
        "check-session" => kv.clone(),
        _ => return None,
    };
    Some(json!({ "KV": check }))
}
