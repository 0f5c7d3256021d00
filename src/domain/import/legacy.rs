//! What another tool writes from a tree of files: its keys, what it loses on the way, and where our repository says better.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::numbers::is_same;
use super::reason::{LeftOut, Reason};
use super::tree::Number;

/// Up to here a float holds every whole number.
const EXACT: f64 = 9_007_199_254_740_991.0;

/// What a tool writes.
#[derive(Debug, Clone, Default)]
pub struct Legacy {
    /// Each key with its value.
    pub keys: BTreeMap<String, Arc<[u8]>>,
    /// What it does not write, or what can't be taken over, each with its reason.
    pub left_out: Vec<LeftOut>,
    /// Keys whose value it spoils and which are taken as they were meant.
    pub repaired: Vec<Told>,
    /// Keys whose value it writes in another form than the file has, taken in that form.
    pub converted: Vec<Told>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What every key of it begins with; may be empty.
    pub prefix: String,
    /// Keys that the tool keeps for itself.
    pub own: Vec<String>,
}

/// Something about one key. Never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The key.
    pub key: String,
    /// The file that it comes from.
    pub file: String,
    /// What.
    pub why: String,
}

impl Legacy {
    /// Takes a key; a second file that writes it wins, as it does with the tool, and that is told.
    pub(super) fn take(&mut self, key: String, file: &str, value: impl Into<Arc<[u8]>>) {
        if self.keys.contains_key(&key) {
            self.notes.push(format!("several files say {key:?}; that of {file} is taken"));
        }
        self.keys.insert(key, value.into());
    }

    /// Notes a key that is not taken.
    pub(super) fn leave(&mut self, key: String, file: &str, why: &str, advice: &str) {
        let (why, advice, file) = (why.to_owned(), advice.to_owned(), file.to_owned());
        self.left_out.push(LeftOut { key, reason: Reason::Other { why, advice, file } });
    }

    /// Takes a key whose value the tool spoils.
    pub(super) fn repair(&mut self, key: String, file: &str, value: impl Into<Arc<[u8]>>, why: &str) {
        self.repaired.push(Told { key: key.clone(), file: file.to_owned(), why: why.to_owned() });
        self.take(key, file, value);
    }

    /// Takes a key whose value the tool prints in a form of its own.
    pub(super) fn convert(&mut self, key: String, file: &str, value: impl Into<Arc<[u8]>>, why: &str) {
        self.converted.push(Told { key: key.clone(), file: file.to_owned(), why: why.to_owned() });
        self.take(key, file, value);
    }

    /// Takes a number: as the tool writes it while that is the same number, else as it was written.
    pub(super) fn number(&mut self, key: String, file: &str, number: &Number, written: String) {
        if number.source == written {
            return self.take(key, file, written.into_bytes());
        }
        let is_decimal = number.source.parse::<f64>().is_ok_and(|read| read.to_bits() == number.value.to_bits());
        // What is in another notation was meant as the number that the tool reads, if that is exact.
        let is_kept = if is_decimal { is_same(&number.source, &written) } else { number.value.abs() <= EXACT };
        if is_kept {
            self.convert(key, file, written.into_bytes(), "a number in another form");
        } else {
            self.repair(key, file, number.source.clone().into_bytes(), "a number of which digits were lost");
        }
    }
}
