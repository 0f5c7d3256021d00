//! Reads of KV: always consistent, because after a restart the other modes answer 200 with part of the data (rule A1).

use std::collections::BTreeMap;
use std::time::Duration;

use super::array::Elements;
use super::fault;
use super::http::{Ask, Http};
use super::txn::{Found, Limits, Pair, Transaction};
use crate::domain::live::{AsOf, Fence, LiveEntry, LiveState};
use crate::domain::name::{KeyPath, KeyRoots, STATE_PREFIX};
use crate::domain::resource::Flags;
use crate::domain::revision::ValueDigest;
use crate::port::{EdgeError, EdgeKind};

/// How long reading everything below a root may take: 100,000 keys take half a second.
const TREE_DEADLINE: Duration = Duration::from_mins(1);

/// One key with its value, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    pub(super) flags: u64,
    /// Whether a session holds it.
    pub(super) locked: bool,
    pub(super) created: u64,
    pub(super) index: u64,
}

impl Http {
    /// One key, read consistently.
    pub(super) async fn read_key(&self, key: &str, doing: &str) -> Result<Option<Read>, EdgeError> {
        let answer = self.send(Ask::get(self.url(&format!("kv/{key}"), &["consistent"]), doing)).await?;
        match answer.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.refusal(doing, &answer)),
        }
        let pairs: Vec<Pair<'_>> = self.understand(&answer.body, doing)?;
        let pair = pairs.into_iter().next().map(Read::try_from).transpose();
        pair.map_err(|problem| self.error(EdgeKind::Transient, doing).because(problem))
    }

    /// Every key that begins with the prefix, one after the other, read consistently; the index of the last change below it.
    pub(super) async fn read_tree(
        &self,
        prefix: &str,
        doing: &str,
        each: &mut (dyn FnMut(Read) + Send),
    ) -> Result<Fence, EdgeError> {
        let mut elements = Elements::default();
        let ask = Ask::get(self.url(&format!("kv/{prefix}"), &["recurse", "consistent"]), doing).within(TREE_DEADLINE);
        let answer = self
            .stream(ask, &mut |piece| {
                elements.push(piece, &mut |element| {
                    let pair: Pair<'_> = serde_json::from_slice(element).map_err(|cause| cause.to_string())?;
                    each(Read::try_from(pair)?);
                    Ok(())
                })
            })
            .await?;
        match answer.status {
            200 => elements.finish().map_err(|problem| self.error(EdgeKind::Transient, doing).because(problem))?,
            // No key has the prefix.
            404 => {}
            _ => return Err(self.refusal(doing, &answer)),
        }
        Ok(answer.index.map(Fence).unwrap_or_default())
    }

    /// The names of the keys that begin with the prefix, read consistently.
    pub(super) async fn read_names(&self, prefix: &str, doing: &str) -> Result<Vec<String>, EdgeError> {
        let ask = Ask::get(self.url(&format!("kv/{prefix}"), &["keys", "consistent"]), doing).within(TREE_DEADLINE);
        let answer = self.send(ask).await?;
        match answer.status {
            200 => self.understand(&answer.body, doing),
            404 => Ok(Vec::new()),
            _ => Err(self.refusal(doing, &answer)),
        }
    }

    /// Everything below the roots, as digests and marks.
    pub(super) async fn read_live(&self, roots: &KeyRoots) -> Result<LiveState, EdgeError> {
        let everything = [String::new()];
        let prefixes = if roots.prefixes().is_empty() { &everything } else { roots.prefixes() };
        let mut live = LiveState::default();
        let mut parts = BTreeMap::new();
        for prefix in prefixes {
            let doing = format!("read the keys below {prefix:?}");
            let mut take = |read: Read| match KeyPath::parse(&read.key) {
                Ok(key) => {
                    live.entries.insert(key, read.live());
                }
                Err(_) if read.key.starts_with(STATE_PREFIX) => {}
                Err(_) => live.unmanageable.push(read.key),
            };
            let index = self.read_tree(prefix, &doing, &mut take).await?;
            parts.insert(prefix.clone(), index);
        }
        live.as_of = Some(AsOf { parts, losses: 0 });
        Ok(live)
    }

    /// Some keys with their values; absent ones are left out. Each batch is one moment, read consistently.
    pub(super) async fn read_some(&self, limits: &Limits, keys: &[&str], doing: &str) -> Result<Vec<Found>, EdgeError> {
        let at_once = self.ops_limit(limits).await?;
        let mut found = Vec::with_capacity(keys.len());
        for batch in keys.chunks(at_once) {
            let mut wanted = batch.to_vec();
            while !wanted.is_empty() {
                let mut txn = Transaction::new();
                for key in &wanted {
                    txn.get(key);
                }
                match self.try_transaction(limits, txn, doing).await? {
                    Ok(values) => {
                        found.extend(values);
                        break;
                    }
                    Err(faults) if faults.iter().all(fault::OpFault::is_absence) && !faults.is_empty() => {
                        let absent: Vec<usize> = faults.iter().map(|fault| fault.index).collect();
                        let mut index = 0;
                        wanted.retain(|_| {
                            index += 1;
                            !absent.contains(&(index - 1))
                        });
                    }
                    Err(faults) => {
                        let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
                        return Err(fault::of_transaction(self.operation(doing), &faults, &names));
                    }
                }
            }
        }
        Ok(found)
    }

    /// The values of some keys; absent ones are left out.
    pub(super) async fn read_values(&self, limits: &Limits, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, Vec<u8>>, EdgeError> {
        let names: Vec<&str> = keys.iter().map(KeyPath::as_str).collect();
        let found = self.read_some(limits, &names, &format!("read the values of {} keys", keys.len())).await?;
        let mut values = BTreeMap::new();
        for found in found {
            if let Ok(key) = KeyPath::parse(&found.key) {
                values.insert(key, found.value.unwrap_or_default());
            }
        }
        Ok(values)
    }
}

impl Read {
    pub(super) fn live(&self) -> LiveEntry {
        LiveEntry { digest: ValueDigest::of(&self.value), flags: Flags(self.flags), fence: Fence(self.index) }
    }
}

impl From<Found> for Read {
    /// As a transaction reads it, which says nothing of locks.
    fn from(found: Found) -> Self {
        let Found { key, value, flags, created, index } = found;
        Self { key, value: value.unwrap_or_default(), flags, locked: false, created, index }
    }
}

impl TryFrom<Pair<'_>> for Read {
    type Error = String;

    fn try_from(pair: Pair<'_>) -> Result<Self, String> {
        let value = pair.value()?.unwrap_or_default();
        let Pair { key, flags, session, created, modified, .. } = pair;
        let locked = session.is_some_and(|session| !session.is_empty());
        Ok(Self { key: key.into_owned(), value, flags, locked, created, index: modified })
    }
}
