//! The environment's own catalog: which instances of a service there are and which of them pass (rules F3, H4).
//!
//! Health is read through rs-consul, on a client of our own with our TLS, our connection limit and a deadline. Metadata is
//! matched by Consul itself, through its filter language: rs-consul does not return it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rs_consul::{ConsulBuilder, ConsulError, GetServiceNodesRequest, HttpsClient, QueryOptions, ServiceNode};
use serde::Deserialize;
use tokio::time::timeout;

use super::http::{Ask, Http, encode};
use super::{Server, fault, tls};
use crate::config;
use crate::domain::name::ServiceName;
use crate::port::{EdgeError, EdgeKind};

/// How long one question to the catalog may take.
const DEADLINE: Duration = Duration::from_secs(5);

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

/// Whether an empty answer means that a service has no instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Our token may read the service: there are none.
    Allowed,
    /// It may not, or that could not be found out: absence says nothing.
    Unknown,
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

    /// Whether our token may read the service. Consul leaves out what a token may not read, so an absent service is
    /// unhealthy only if we could have seen it (rule H4).
    pub async fn sight(&self, service: &ServiceName) -> Sight {
        #[derive(Deserialize)]
        struct Verdict {
            #[serde(rename = "Allow")]
            allow: bool,
        }
        let http = &self.server.http;
        let body = serde_json::json!([{ "Resource": "service", "Access": "read", "Segment": service.as_str() }]);
        let url = http.url("internal/acl/authorize", &[]);
        let ask = Ask::post(url, body.to_string(), "ask what the token may read").within(DEADLINE);
        let Ok(answer) = http.send(ask).await else { return Sight::Unknown };
        // Without ACLs everybody may read everything.
        if answer.status == 401 && String::from_utf8_lossy(&answer.body).contains("ACL support disabled") {
            return Sight::Allowed;
        }
        match serde_json::from_slice::<Vec<Verdict>>(&answer.body) {
            Ok(verdicts) if answer.status == 200 && verdicts.len() == 1 && verdicts[0].allow => Sight::Allowed,
            Ok(_) | Err(_) => Sight::Unknown,
        }
    }

    async fn nodes(
        &self,
        service: &ServiceName,
        filter: Option<&str>,
        passing: bool,
        doing: &str,
    ) -> Result<Vec<ServiceNode>, EdgeError> {
        let http = &self.server.http;
        let _slot = http.catalog_slot(doing).await?;
        let client = self.server.health.client(http, doing)?;
        // Its parts are put into a URL as they are, so they are encoded here.
        let encoded = filter.map(|filter| {
            let mut text = String::new();
            encode(filter, false, &mut text);
            text
        });
        let request = GetServiceNodesRequest { service: service.as_str(), near: None, passing, filter: encoded.as_deref() };
        let options = QueryOptions { datacenter: http.datacenter_in_url(), timeout: Some(DEADLINE), ..QueryOptions::default() };
        let answer = timeout(DEADLINE, client.get_service_nodes(request, Some(options))).await;
        let error = |kind| http.error(kind, doing);
        match answer {
            Ok(Ok(nodes)) => Ok(nodes.response),
            Ok(Err(ConsulError::UnexpectedResponseCode(status, text))) => {
                let text = text.unwrap_or_default();
                Err(fault::of_answer(http.operation(doing), status.as_u16(), text.as_bytes()))
            }
            Ok(Err(cause)) => Err(error(EdgeKind::Transient).because(cause)),
            Err(_) => Err(error(EdgeKind::Transient).because(format!("no answer within {DEADLINE:?}"))),
        }
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").finish_non_exhaustive()
    }
}

/// The connection that rs-consul uses.
pub(super) struct Health {
    https: HttpsClient,
    address: String,
}

impl Health {
    pub(super) fn new(config: &config::Consul) -> Result<Self, EdgeError> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(config)?)
            .https_or_http()
            .enable_http1()
            .build();
        let https = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Self { https, address: config.address.trim_end_matches('/').to_owned() })
    }

    /// A client with the token as it is now; it shares the connection. It must not be logged: its `Debug` shows the token.
    fn client(&self, http: &Http, doing: &str) -> Result<rs_consul::Consul, EdgeError> {
        let token = http.token(doing)?.and_then(|header| header.to_str().ok().map(str::to_owned));
        let config = rs_consul::Config { address: self.address.clone(), token, ..rs_consul::Config::default() };
        Ok(ConsulBuilder::new(config).with_https_client(self.https.clone()).build())
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
