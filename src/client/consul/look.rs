//! A look at the keys that reads only what has moved since the one before (rule W1).
//!
//! Consul tells for each prefix the index of the last change below it. What was seen at some index has not changed where the
//! prefix's index is no higher, so a look goes down from each root by the prefixes that have moved, lists names there, and reads
//! the keys that may have another value. Our own writes count as changes: a foreign one may hide just before them, so what we
//! wrote is read once more.
//!
//! Deletes leave a mark that raises the index too, for a quarter of an hour. A look only trusts the one before while a watch
//! stood all the time and would have told of such a delete; else, and where an index went back, everything is read.

use super::ConsulTarget;
use super::flights::Flights;
use super::http::{Answer, Ask, Http};
use super::kv::Read;
use super::listing::{Todo, compare};
use crate::domain::live::{Fence, LiveState};
use crate::domain::name::KeyPath;
use crate::port::{EdgeError, EdgeKind};

/// Questions under way at once.
const AT_ONCE: usize = 4;
/// So many questions cost less than reading everything, however little there is.
const CHEAP: usize = 64;
/// Reading everything costs about as much as one question for so many keys.
const KEYS_A_QUESTION: usize = 64;

impl ConsulTarget {
    /// The keys as they are now, where `before` is what was seen of them.
    pub(super) async fn look_at_what_moved(&self, before: LiveState) -> Result<LiveState, EdgeError> {
        let losses = self.server.watches.losses();
        if before.partial || before.as_of.as_ref().is_none_or(|as_of| as_of.losses != losses) {
            return self.read_all().await;
        }
        let (looked, hides) = tokio::join!(self.follow_the_moved(before), self.may_hide_some());
        match (looked?, hides?) {
            (Some(live), false) => Ok(live),
            (Some(_) | None, _) => self.read_all().await,
        }
    }

    /// None: reading everything is better.
    async fn follow_the_moved(&self, mut live: LiveState) -> Result<Option<LiveState>, EdgeError> {
        let Some(mut as_of) = live.as_of.take() else { return Ok(None) };
        for (root, seen) in &mut as_of.parts {
            let Some(now) = self.follow_below(root, *seen, &mut live).await? else { return Ok(None) };
            *seen = now;
        }
        live.as_of = Some(as_of);
        Ok(Some(live))
    }

    /// Goes down from one root; the index that it has by now.
    async fn follow_below(&self, root: &str, seen: Fence, live: &mut LiveState) -> Result<Option<Fence>, EdgeError> {
        let http = &self.server.http;
        let first = list(http, root).await?;
        let now = index(http, &first, root)?;
        if now < seen {
            return Ok(None);
        }
        if now == seen {
            return Ok(Some(now));
        }
        let mut todo = Todo::default();
        take(http, root, &first, live, &mut todo)?;
        let mut left = CHEAP.max(live.entries.len() / KEYS_A_QUESTION);
        while !todo.prefixes.is_empty() {
            let prefixes = std::mem::take(&mut todo.prefixes);
            left = match left.checked_sub(prefixes.len()) {
                Some(left) => left,
                None => return Ok(None),
            };
            let waiting = todo.keys.len();
            let mut asked = prefixes.into_iter();
            let mut under_way = Flights::new();
            loop {
                while under_way.len() < AT_ONCE
                    && let Some(prefix) = asked.next()
                {
                    under_way.begin(async move { (list(http, &prefix).await, prefix) }).await;
                }
                let Some((answer, prefix)) = under_way.next().await else { break };
                let answer = answer?;
                if index(http, &answer, &prefix)? > seen || answer.status == 404 {
                    take(http, &prefix, &answer, live, &mut todo)?;
                }
            }
            left = match left.checked_sub((todo.keys.len() - waiting) / KEYS_A_QUESTION) {
                Some(left) => left,
                None => return Ok(None),
            };
        }
        self.read_again(&todo.keys, live).await?;
        Ok(Some(now))
    }

    async fn read_again(&self, keys: &[KeyPath], live: &mut LiveState) -> Result<(), EdgeError> {
        let names: Vec<&str> = keys.iter().map(KeyPath::as_str).collect();
        let http = &self.server.http;
        let found = http.read_some(&self.server.limits, &names, &format!("read {} keys again", keys.len())).await?;
        for key in keys {
            live.entries.remove(key);
        }
        for read in found {
            let read = Read::from(read);
            if let Ok(key) = KeyPath::parse(&read.key) {
                live.entries.insert(key, read.live());
            }
        }
        Ok(())
    }
}

/// Takes what a list says.
fn take(http: &Http, prefix: &str, answer: &Answer, live: &mut LiveState, todo: &mut Todo) -> Result<(), EdgeError> {
    let mut names: Vec<String> = match answer.status {
        404 => Vec::new(),
        _ => http.understand(&answer.body, &doing(prefix))?,
    };
    names.sort_unstable();
    names.dedup();
    compare(live, prefix, &names, todo);
    Ok(())
}

/// The names below a prefix, each up to the next `/`.
async fn list(http: &Http, prefix: &str) -> Result<Answer, EdgeError> {
    let url = http.url(&format!("kv/{prefix}"), &["keys", "separator=/", "consistent"]);
    let answer = http.send(Ask::get(url, doing(prefix))).await?;
    match answer.status {
        200 | 404 => Ok(answer),
        _ => Err(http.refusal(&doing(prefix), &answer)),
    }
}

fn index(http: &Http, answer: &Answer, prefix: &str) -> Result<Fence, EdgeError> {
    let missing = || http.error(EdgeKind::Transient, &doing(prefix)).because("the answer has no index");
    answer.index.map(Fence).ok_or_else(missing)
}

fn doing(prefix: &str) -> String {
    format!("look what moved below {prefix:?}")
}
