//! What our token may do, asked of Consul itself. Lists leave out what a token may not read and say nothing of it, so a list
//! alone proves no absence.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::ConsulTarget;
use super::fault::lacking;
use super::http::{Ask, Http};
use crate::domain::live::{AsOf, LiveState};
use crate::domain::name::{KeyPath, ServiceName};
use crate::port::{EdgeError, EdgeKind};

/// Consul answers so many questions at once.
const AT_ONCE: usize = 64;
/// A Consul without ACLs is not asked again for so long; they come with a restart.
const OPEN: Duration = Duration::from_mins(1);

/// One right on one thing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Resource<'a> {
    #[serde(rename = "Resource")]
    kind: &'static str,
    access: &'static str,
    segment: &'a str,
}

impl<'a> Resource<'a> {
    /// To see a service.
    pub(super) fn service(name: &'a ServiceName) -> Self {
        Self { kind: "service", access: "read", segment: name.as_str() }
    }

    /// To see every node, and with it the instances that run there.
    pub(super) const fn nodes() -> Self {
        Self { kind: "node", access: "read", segment: "" }
    }

    /// To read one key.
    fn key(key: &'a KeyPath) -> Self {
        Self { kind: "key", access: "read", segment: key.as_str() }
    }

    /// To read what lies directly below a prefix.
    pub(super) const fn below(prefix: &'a str) -> Self {
        Self { kind: "key", access: "read", segment: prefix }
    }

    /// To write or delete one key.
    fn write(key: &'a KeyPath) -> Self {
        Self { kind: "key", access: "write", segment: key.as_str() }
    }

    /// To write, and with it to read, every key below a prefix. There is no such question about reading alone.
    pub(super) fn everything_below(prefix: &'a str) -> Self {
        Self { kind: "key", access: "write-prefix", segment: prefix }
    }
}

#[derive(Deserialize)]
struct Verdict {
    #[serde(rename = "Allow")]
    allow: bool,
}

impl Http {
    /// Whether each is allowed, in order; none when this Consul does not answer such questions.
    pub(super) async fn allowed(&self, resources: &[Resource<'_>]) -> Result<Option<Vec<bool>>, EdgeError> {
        let doing = "ask what the token may do";
        let open_until = || self.open_until.lock().unwrap_or_else(PoisonError::into_inner);
        if open_until().is_some_and(|until| Instant::now() < until) {
            return Ok(Some(vec![true; resources.len()]));
        }
        let mut allowed = Vec::with_capacity(resources.len());
        for some in resources.chunks(AT_ONCE) {
            let body = serde_json::to_string(some).map_err(|cause| self.error(EdgeKind::Refused, doing).because(cause))?;
            let answer = self.send(Ask::post(self.url("internal/acl/authorize", &[]), body, doing)).await?;
            match answer.status {
                200 => {}
                // Without ACLs everybody may do everything.
                401 if String::from_utf8_lossy(&answer.body).contains("ACL support disabled") => {
                    *open_until() = Some(Instant::now() + OPEN);
                    return Ok(Some(vec![true; resources.len()]));
                }
                400 | 404 | 405 => return Ok(None),
                _ => return Err(self.refusal(doing, &answer)),
            }
            let verdicts: Vec<Verdict> = self.understand(&answer.body, doing)?;
            if verdicts.len() != some.len() {
                return Err(self.error(EdgeKind::Transient, doing).because("not every question was answered"));
            }
            allowed.extend(verdicts.into_iter().map(|verdict| verdict.allow));
        }
        Ok(Some(allowed))
    }

    /// Refuses what needs every key below these prefixes to be written, each with what the token may not do without that, where it
    /// surely may not. A Consul that does not answer such questions says so when it comes to it.
    ///
    /// # Errors
    /// `Denied` with the first rule that is missing; otherwise when Consul does not answer.
    pub(super) async fn must_write_below(&self, needed: &[(&str, &'static str)], doing: &str) -> Result<(), EdgeError> {
        let asked: Vec<Resource<'_>> = needed.iter().map(|(prefix, _)| Resource::everything_below(prefix)).collect();
        let Some(allowed) = self.allowed(&asked).await? else { return Ok(()) };
        match needed.iter().zip(allowed).find(|(_, allowed)| !allowed) {
            Some(((prefix, because), _)) => {
                Err(self.error(EdgeKind::Denied, doing).because(*because).lacks_right(lacking("key_prefix", prefix)))
            }
            None => Ok(()),
        }
    }
}

impl ConsulTarget {
    /// Everything below the roots, and whether the token may surely read all of it.
    ///
    /// The question goes beside the read. If the token's rights change just between the two, a key that was not seen is
    /// created against an index of 0, which Consul refuses, and the next look asks again.
    pub(super) async fn read_all(&self) -> Result<LiveState, EdgeError> {
        // What is lost from now on may hide a change from the next look.
        let losses = self.server.watches.losses();
        let (live, partial) = tokio::join!(self.server.http.read_live(&self.keys), self.may_hide_some());
        let live = live?;
        let as_of = live.as_of.map(|as_of| AsOf { losses, ..as_of });
        Ok(LiveState { partial: partial?, as_of, ..live })
    }

    /// Whether the token may not surely read everything below the roots.
    pub(super) async fn may_hide_some(&self) -> Result<bool, EdgeError> {
        let everything: Vec<Resource<'_>> = self.keys.prefixes().iter().map(|root| Resource::everything_below(root)).collect();
        let allowed = self.server.http.allowed(&everything).await?;
        Ok(allowed.is_some_and(|allowed| allowed.contains(&false)))
    }

    /// Which of these keys the token may not read, each with the right that is missing.
    pub(super) async fn hidden_among(&self, keys: &[KeyPath]) -> Result<BTreeMap<KeyPath, String>, EdgeError> {
        let asked: Vec<Resource<'_>> = keys.iter().map(Resource::key).collect();
        let Some(allowed) = self.server.http.allowed(&asked).await? else { return Ok(BTreeMap::new()) };
        let hidden = keys.iter().zip(allowed).filter(|(_, allowed)| !allowed);
        Ok(hidden.map(|(key, _)| (key.clone(), self.missing_right(key))).collect())
    }

    /// Whether the token may write all of these keys; false when this Consul does not answer such questions.
    pub(super) async fn may_write(&self, keys: &[KeyPath]) -> Result<bool, EdgeError> {
        let asked: Vec<Resource<'_>> = keys.iter().map(Resource::write).collect();
        Ok(self.server.http.allowed(&asked).await?.is_some_and(|allowed| !allowed.contains(&false)))
    }

    fn missing_right(&self, key: &KeyPath) -> String {
        let roots = self.keys.prefixes().iter();
        let root = roots.map(String::as_str).find(|root| key.as_str().starts_with(root)).unwrap_or_default();
        format!(
            "the token can't read {key}, and Consul leaves unreadable keys out of lists: it needs key_prefix {root:?} write"
        )
    }
}
