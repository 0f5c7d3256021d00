//! `dns` checks: a name resolves through the environment's own DNS, asked anew each time.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tokio::time::{Instant, timeout_at};

use super::text::{fail, unknown};
use crate::domain::check::DnsRecord;
use crate::domain::health::Finding;
use crate::port::{EdgeError, EdgeKind};

/// How many answers a finding shows.
const SHOWN: usize = 5;

/// The environment's DNS.
pub(super) struct Dns {
    server: SocketAddr,
    resolver: TokioResolver,
}

impl Dns {
    /// Asks this server only: no cache, no hosts file, no search list.
    pub(super) fn new(server: SocketAddr) -> Result<Self, EdgeError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        let name_server = NameServerConfig::new(server.ip(), true, connections.into());
        let mut options = ResolverOpts::default();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.ndots = 0;
        options.attempts = 1;
        // The check's own deadline is shorter or ends it.
        options.timeout = Duration::from_secs(30);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![name_server]);
        let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(|error| EdgeError::new("dns", EdgeKind::Refused, format!("set up queries to {server}")).because(error))?;
        Ok(Self { server, resolver })
    }

    /// Asks once. A name that does not exist fails; a server that does not answer properly leaves it unknown (rule H4).
    pub(super) async fn ask(&self, name: &str, record: DnsRecord, expect: Option<&str>, deadline: Instant) -> Finding {
        let server = self.server;
        let Ok(mut name) = Name::from_utf8(name) else {
            return unknown(format!("{name} is no DNS name"));
        };
        name.set_fqdn(true);
        let (kind, word) = match record {
            DnsRecord::A => (RecordType::A, "A"),
            DnsRecord::Aaaa => (RecordType::AAAA, "AAAA"),
            DnsRecord::Srv => (RecordType::SRV, "SRV"),
        };
        let answers: Vec<String> = match timeout_at(deadline, self.resolver.lookup(name.clone(), kind)).await {
            Err(_) => return unknown(format!("the DNS server {server} did not answer in time")),
            Ok(Ok(lookup)) => lookup.answers().iter().filter_map(|answer| shown(&answer.data)).collect(),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => Vec::new(),
            Ok(Err(error)) => return unknown(format!("ask the DNS server {server} for {name}: {error}")),
        };
        if answers.is_empty() {
            return fail(format!("{name} has no {word} record at {server}"));
        }
        match expect {
            Some(expected) if !answers.iter().any(|answer| is_meant(answer, expected)) => {
                let (count, some) = (answers.len(), answers[..answers.len().min(SHOWN)].join(", "));
                fail(format!("{name} has {count} {word} record(s) at {server}, none is {expected}: {some}"))
            }
            _ => Finding::Pass,
        }
    }
}

/// An answer as people write it; aliases on the way are no answers.
#[expect(clippy::wildcard_enum_match_arm, reason = "forty kinds of records, three of which are asked for")]
fn shown(data: &RData) -> Option<String> {
    match data {
        RData::A(address) => Some(address.0.to_string()),
        RData::AAAA(address) => Some(address.0.to_string()),
        RData::SRV(place) => Some(format!("{}:{}", place.target, place.port)),
        _ => None,
    }
}

/// Whether an answer is the expected one: addresses by value; names without case, final dot and, if not given, port.
fn is_meant(answer: &str, expected: &str) -> bool {
    if let Ok(answer) = answer.parse::<IpAddr>() {
        return expected.parse().is_ok_and(|expected: IpAddr| answer == expected);
    }
    let plain = |text: &str| text.to_ascii_lowercase().replace(".:", ":").trim_end_matches('.').to_owned();
    let (answer, expected) = (plain(answer), plain(expected));
    answer == expected || answer.rsplit_once(':').is_some_and(|(target, _)| target == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expected_answer_is_compared_as_people_mean_it() {
        for (answer, expected, meant) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.10", false),
            ("2001:db8::1", "2001:0db8:0:0::1", true),
            ("2001:db8::1", "2001:db8:", false),
            ("Node-1.node.dc1.consul.:8080", "node-1.node.dc1.consul", true),
            ("node-1.node.dc1.consul.:8080", "node-1.node.dc1.consul:8080", true),
            ("node-1.node.dc1.consul.:8080", "node-1.node.dc1.consul:8081", false),
        ] {
            assert_eq!(is_meant(answer, expected), meant, "{answer} and {expected}");
        }
    }
}
