//! `checks/`: one file is one health check, the file's name its name.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use crate::domain::check::{Check, CheckKind, DnsRecord, Place as Asked};
use crate::domain::name::{CheckName, ServiceName};
use crate::domain::time::written;

use super::fields::{Field, Fields};
use super::problem::{FileProblems, Place, did_you_mean, quoted};
use super::variables::FILLED_LATER;
use super::yaml::{Content, Node};

const WHAT: &str = "a check";
const KINDS: [&str; 5] = ["consul-service", "http", "tcp", "dns", "exec"];
const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest text of a check in bytes: it is compared with what an answer of bounded size holds.
const LONGEST_TEXT: usize = 4096;

/// Reads a check whose variables are filled in.
pub(super) fn read(name: &CheckName, root: &Node, problems: &mut FileProblems) -> Option<Check> {
    let before = problems.count();
    let mut fields = Fields::of(root, WHAT, problems)?;
    let kind = fields.require("kind", problems)?;
    let word = plain_text(kind, problems)?;
    let interval = duration(&mut fields, "interval", Duration::from_millis(100)..=Duration::from_hours(1), problems);
    let timeout = duration(&mut fields, "timeout", Duration::from_millis(10)..=Duration::from_mins(1), problems);
    let interval = interval.unwrap_or_else(|| DEFAULT_INTERVAL.max(timeout.unwrap_or_default()));
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT.min(interval));
    if timeout > interval {
        let message = format!("the timeout ({}) is longer than the interval ({})", written(timeout), written(interval));
        problems.report_with_hint(fields.place(), message, "one sample ends before the next begins: raise the interval");
    }
    let what = format!("{} {word} check", if word == "exec" { "an" } else { "a" });
    let kind = match word {
        "consul-service" => consul_service(&mut fields, problems),
        "http" => http(&mut fields, problems),
        "tcp" => asked(&mut fields, problems).map(|at| CheckKind::Tcp { at }),
        "dns" => dns(&mut fields, problems),
        "exec" => exec(&mut fields, problems),
        "prometheus" | "metrics" => {
            problems.report(kind.place(), format!("the kind {word:?} is not supported by this version of lockstep"));
            return None;
        }
        other => {
            let hint = did_you_mean(other, KINDS).unwrap_or_else(|| format!("the kinds are: {}", KINDS.join(", ")));
            problems.report_with_hint(kind.place(), format!("there is no kind of check {}", quoted(other)), hint);
            return None;
        }
    };
    fields.finish(&what, problems);
    let kind = kind.filter(|_| problems.count() == before)?;
    Some(Check { name: name.clone(), kind, interval, timeout })
}

/// Where a check says what it asks: its service, address or program, or its kind where that alone decides.
pub(super) fn place_of_subject(kind: &CheckKind, root: &Node) -> Place {
    let field = match kind {
        CheckKind::Http { at, .. } | CheckKind::Tcp { at } => match at {
            Asked::Service { .. } => "service",
            Asked::Address { .. } => "address",
        },
        CheckKind::Exec { .. } => "program",
        CheckKind::Dns { .. } | CheckKind::ConsulService { .. } => "kind",
    };
    let Content::Mapping(entries) = &root.content else { return root.place };
    entries.iter().find(|(name, _)| **name == *field).map_or(root.place, |(_, node)| node.place)
}

fn duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    range: std::ops::RangeInclusive<Duration>,
    problems: &mut FileProblems,
) -> Option<Duration> {
    fields.take(name).and_then(|field| field.duration(&range, problems))
}

fn consul_service(fields: &mut Fields<'_>, problems: &mut FileProblems) -> Option<CheckKind> {
    let service = fields.require("service", problems).and_then(|field| plain(field, ServiceName::parse, problems));
    let tag = fields.take("tag").and_then(|field| filled_text(field, problems));
    let at_least = fields.take("at_least").map_or(Some(1), |field| field.number(&(1..=10_000), problems));
    let mut meta = BTreeMap::new();
    if let Some(field) = fields.take("meta") {
        for (name, (value, place)) in field.text_map(problems)? {
            if name.is_empty() || name.len() > 128 || value.len() > LONGEST_TEXT {
                problems.report(place, format!("the metadata {} is too long or has no name", quoted(name)));
            }
            meta.insert(name.to_owned(), value.to_owned());
        }
    }
    Some(CheckKind::ConsulService { service: service?, tag, meta, at_least: at_least? })
}

fn http(fields: &mut Fields<'_>, problems: &mut FileProblems) -> Option<CheckKind> {
    let at = asked(fields, problems);
    let path = fields.take("path").map_or(Some("/".to_owned()), |field| {
        let path = filled_text(field, problems)?;
        let fine = path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic());
        if !fine {
            field.expected("a path that begins with '/', without spaces and with %-escapes for other than ASCII", problems);
        }
        fine.then_some(path)
    });
    let mut status = Some(200);
    let mut body = None;
    if let Some(field) = fields.take("expect") {
        let mut expect = Fields::of(field.node, "expect", problems)?;
        status = expect.take("status").map_or(status, |field| field.number(&(100..=599), problems));
        body = expect.take("body").and_then(|field| filled_text(field, problems));
        expect.finish("expect", problems);
    }
    Some(CheckKind::Http { at: at?, path: path?, status: u16::try_from(status?).ok()?, body })
}

fn dns(fields: &mut Fields<'_>, problems: &mut FileProblems) -> Option<CheckKind> {
    let name = fields.require("name", problems).and_then(|field| {
        let name = filled_text(field, problems)?;
        let fine = name.len() <= 253 && is_host(&name.replace("${lockstep.", "").replace('}', ""));
        if !fine {
            field.expected("a DNS name", problems);
        }
        fine.then_some(name)
    });
    let records = [DnsRecord::A, DnsRecord::Aaaa, DnsRecord::Srv].map(|record| (record.word(), record));
    let record = fields.take("record").map_or(Some(DnsRecord::default()), |field| field.word(&records, problems));
    let expect = fields.take("expect").and_then(|field| filled_text(field, problems));
    Some(CheckKind::Dns { name: name?, record: record?, expect })
}

fn exec(fields: &mut Fields<'_>, problems: &mut FileProblems) -> Option<CheckKind> {
    let program = fields.require("program", problems)?;
    // The name of an entry in the controller's list, never a path or a command line.
    let name = plain(program, CheckName::parse, problems)?;
    Some(CheckKind::Exec { program: name.to_string(), subject: None })
}

/// `service` with an optional `tag`, or `address`.
fn asked(fields: &mut Fields<'_>, problems: &mut FileProblems) -> Option<Asked> {
    let (service, address, tag) = (fields.take("service"), fields.take("address"), fields.take("tag"));
    match (service, address) {
        (Some(service), None) => {
            let tag = tag.and_then(|field| filled_text(field, problems));
            let service = plain(service, ServiceName::parse, problems)?;
            Some(Asked::Service { service, tag })
        }
        (None, Some(address)) => {
            if let Some(tag) = tag {
                problems.report(tag.place(), "a tag selects instances of a service and means nothing beside an address");
            }
            plain(address, host_and_port, problems)
        }
        (Some(_), Some(address)) => {
            let message = "a check asks a service or an address, not both";
            problems.report_with_hint(address.place(), message, "remove the address: a service is found wherever it runs");
            None
        }
        (None, None) => {
            let hint = "name one that the environment's catalog knows, such as service: build";
            problems.report_with_hint(fields.place(), "the field \"service\" is missing", hint);
            None
        }
    }
}

fn host_and_port(text: &str) -> Result<Asked, &'static str> {
    const RULE: &str = "an address is host:port, such as 10.0.0.7:8080 or [::1]:8080";
    let (host, port) = text.rsplit_once(':').ok_or(RULE)?;
    let port: u16 = port.parse().map_err(|_| RULE)?;
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fine = match inner {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    if port == 0 || !fine {
        return Err(RULE);
    }
    Ok(Asked::Address { host: inner.unwrap_or(host).to_owned(), port })
}

/// Letters, digits, `-`, `_` and `.`, beginning with none of the signs.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty()
        && text.len() <= 253
        && text.starts_with(plain)
        && text.chars().all(|c| plain(c) || c == '-' || c == '.')
        && !text.contains("..")
}

/// A text in which `${lockstep.…}` may stand.
fn filled_text(field: Field<'_>, problems: &mut FileProblems) -> Option<String> {
    let text = field.text(problems)?;
    if text.is_empty() || text.len() > LONGEST_TEXT {
        field.expected(&format!("a text of 1 to {LONGEST_TEXT} bytes"), problems);
        return None;
    }
    Some(text.to_owned())
}

/// A text in which `${lockstep.…}` would stay unfilled.
fn plain_text<'n>(field: Field<'n>, problems: &mut FileProblems) -> Option<&'n str> {
    let text = field.text(problems)?;
    if FILLED_LATER.iter().any(|name| text.contains(name)) {
        let message = format!("${{lockstep.…}} can't stand in {:?}", field.name);
        problems.report_with_hint(field.place(), message, "it can in path, body, tag, meta, name and expect");
        return None;
    }
    Some(text)
}

fn plain<T, E: Display>(field: Field<'_>, parse: impl FnOnce(&str) -> Result<T, E>, problems: &mut FileProblems) -> Option<T> {
    plain_text(field, problems)?;
    field.parsed(parse, problems)
}
