//! The environment's own catalog: which instances of a service there are and which of them pass (rules F3, H4).
//!
//! What Consul answers is read into rs-consul's types. The request is our own: anybody who may register a service decides how
//! long that answer is, and rs-consul's client reads one of any length. Metadata is matched by Consul itself, through its
//! filter language: rs-consul's types do not hold it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rs_consul::ServiceNode;

use super::Server;
use super::http::{Ask, encode};
use super::rights::Resource;
use crate::domain::name::ServiceName;
use crate::port::EdgeError;

/// How long one question to the catalog may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of the longest answer: some thousand instances of one service.
const LONGEST: usize = 8 << 20;

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Where it answers: its own address, or its node's when it has none.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether all its checks and its node's pass.
    pub passing: bool,
}

/// Reads one Consul's catalog. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    server: Arc<Server>,
}

impl Catalog {
    /// The catalog of this Consul.
    pub fn new(server: Arc<Server>) -> Self {
        Self { server }
    }

    /// The instances of a service that have the tag, if one is given, and all of the metadata.
    ///
    /// # Errors
    /// When the catalog could not be asked: nothing is known then.
    pub async fn instances(
        &self,
        service: &ServiceName,
        tag: Option<&str>,
        meta: &BTreeMap<String, String>,
    ) -> Result<Vec<Instance>, EdgeError> {
        let filter = meta_filter(meta);
        let doing = format!("read the instances of {service}");
        let all = self.nodes(service, filter.as_deref(), false, &doing).await?;
        let has_tag = |node: &ServiceNode| tag.is_none_or(|tag| node.service.tags.iter().any(|other| other == tag));
        let all: Vec<ServiceNode> = all.into_iter().filter(has_tag).collect();
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let passing = self.nodes(service, filter.as_deref(), true, &doing).await?;
        let passes = |node: &ServiceNode| {
            passing.iter().any(|other| other.node.node == node.node.node && other.service.id == node.service.id)
        };
        Ok(all
            .into_iter()
            .map(|node| {
                let passing = passes(&node);
                let ServiceNode { node, service } = node;
                let address = if service.address.is_empty() { node.address } else { service.address };
                Instance { address, port: service.port, tags: service.tags, passing }
            })
            .collect())
    }

    /// Whether our token may read the service on whichever node; false too when that could not be found out. Consul leaves out
    /// what a token may not read, an instance on a node that it may not read too, so an absent service is unhealthy only if we
    /// could have seen it (rule H4).
    pub async fn may_read(&self, service: &ServiceName) -> bool {
        let allowed = self.server.http.allowed(&[Resource::service(service), Resource::nodes()]).await;
        allowed.is_ok_and(|allowed| allowed.is_some_and(|allowed| allowed == [true, true]))
    }

    async fn nodes(
        &self,
        service: &ServiceName,
        filter: Option<&str>,
        passing: bool,
        doing: &str,
    ) -> Result<Vec<ServiceNode>, EdgeError> {
        let http = &self.server.http;
        let mut query = Vec::new();
        if passing {
            // Consul looks only whether it is there: `passing=false` would filter too.
            query.push("passing".to_owned());
        }
        if let Some(filter) = filter {
            let mut part = "filter=".to_owned();
            encode(filter, false, &mut part);
            query.push(part);
        }
        let query: Vec<&str> = query.iter().map(String::as_str).collect();
        let url = http.url(&format!("health/service/{}", service.as_str()), &query);
        let answer = http.send_for_catalog(Ask::get(url, doing).within(DEADLINE).at_most(LONGEST)).await?;
        if answer.status != 200 {
            return Err(http.refusal(doing, &answer));
        }
        http.understand(&answer.body, doing)
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").finish_non_exhaustive()
    }
}

/// Consul's filter for metadata: every key and value quoted, so that a value can't say anything else.
fn meta_filter(meta: &BTreeMap<String, String>) -> Option<String> {
    let mut filter = String::new();
    for (key, value) in meta {
        if !filter.is_empty() {
            filter.push_str(" and ");
        }
        let _ = write!(filter, "Service.Meta[{}] == {}", quoted(key), quoted(value));
    }
    (!filter.is_empty()).then_some(filter)
}

/// A string of Consul's filter language: it ends at the first quote, escaped or not, and then reads Go's escapes. So a quote
/// is written by its number.
fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for c in text.chars() {
        match c {
            '"' => literal.push_str("\\x22"),
            '\\' => literal.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(literal, "\\u{:04x}", u32::from(c));
            }
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_cannot_leave_its_quotes() {
        let meta = BTreeMap::from([("a".to_owned(), "x\" or \"1\" == \"1".to_owned()), ("b\\".to_owned(), "2".to_owned())]);
        assert_eq!(
            meta_filter(&meta).unwrap(),
            r#"Service.Meta["a"] == "x\x22 or \x221\x22 == \x221" and Service.Meta["b\\"] == "2""#
        );
        assert_eq!(meta_filter(&BTreeMap::new()), None);
    }
}
