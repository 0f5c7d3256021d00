//! How each environment is reached: its section of the controller's file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;

use super::environment_variables::ConsulVariables;
use super::fields::{Fields, Given, Problems, path_from, read_with, text_of};
use super::neighbours::{Neighbour, Neighbours};
use super::{Consul, Directory, ServiceAddress, TargetConfig};
use crate::domain::name::{EnvironmentName, KeyRoots, ServiceName};
use crate::domain::rollout::TargetId;

/// Reads `environments:`.
pub(super) fn environments(
    mut fields: Fields,
    base: &Path,
    variables: &ConsulVariables,
    problems: &mut Problems,
) -> BTreeMap<EnvironmentName, TargetConfig> {
    let mut found = BTreeMap::new();
    let mut neighbours = Neighbours::default();
    for (name, item) in fields.entries() {
        let at = name.at;
        let path = name.name.clone();
        let name =
            read_with(name, problems, |text| EnvironmentName::parse(text).map_err(|error| (error.to_string(), String::new())));
        // The target of a badly named environment is read too, so that its problems are not the second round.
        let target = Fields::of(&path, item, problems).and_then(|fields| target(fields, base, variables, problems));
        let (Some(name), Some(target)) = (name, target) else { continue };
        for (other, clash) in neighbours.settle(Neighbour { name: name.value.clone(), at }, &target) {
            let (line, column) = (other.at.line(), other.at.column());
            let problem = format!("{path} and environments.{} (at {line}:{column}) {clash}", other.name);
            problems.add(at, problem, "give each environment roots of its own, or a target of its own");
        }
        found.insert(name.value, target);
    }
    found
}

fn target(mut fields: Fields, base: &Path, variables: &ConsulVariables, problems: &mut Problems) -> Option<TargetConfig> {
    let (name, at) = (fields.name.clone(), fields.at);
    let over_consul = fields.section("consul", problems);
    let in_directory = fields.section("directory", problems);
    let target_id = fields.parsed("target_id", problems, |text| {
        TargetId::parse(text)
            .ok_or_else(|| ("it is no target id".to_owned(), "copy the line that lockstep init printed".to_owned()))
    });
    let keys = fields.texts("keys", problems);
    let keys_given = keys.is_some();
    let keys = keys.and_then(|given| {
        let texts: Vec<&str> = given.value.iter().map(|root| root.value.as_str()).collect();
        KeyRoots::parse(&texts).map_err(|error| problems.add(given.at, format!("{}: {error}", given.name), "")).ok()
    });
    fields.unsupported("vault", problems);
    fields.finish(problems);
    match (over_consul, in_directory) {
        (Some(section), None) => {
            if !keys_given {
                let hint = "name the roots that lockstep may write there: keys: [config/]";
                problems.add(at, format!("{name}.keys is missing"), hint);
            }
            // Without roots nothing can be written, but the other problems of the section are still found.
            let roots = keys.clone().unwrap_or_else(KeyRoots::all);
            let consul = consul(section, base, variables, roots, problems)?;
            keys?;
            Some(TargetConfig::Consul(Box::new(Consul { target_id: target_id.map(|given| given.value), ..consul })))
        }
        (None, Some(section)) => {
            if let Some(given) = target_id {
                problems.add(
                    given.at,
                    format!("{} belongs to a consul target", given.name),
                    "remove it: a directory needs none",
                );
            }
            directory_target(section, base, keys.unwrap_or_else(KeyRoots::all), problems).map(TargetConfig::Directory)
        }
        (Some(_), Some(_)) => {
            problems.add(at, format!("{name} has two targets"), "write either consul or directory");
            None
        }
        (None, None) => {
            problems.add(at, format!("{name} has no target"), "write consul: {address: …} or directory: {path: …}");
            None
        }
    }
}

fn consul(
    mut fields: Fields,
    base: &Path,
    variables: &ConsulVariables,
    keys: KeyRoots,
    problems: &mut Problems,
) -> Option<Consul> {
    let name = fields.name_of("address");
    let written = fields.take("address");
    let from_file = written.is_some();
    let given = match written {
        Some(given) => text_of(given, problems),
        None => variables.address.clone().map(|value| Given { value, at: fields.at, name: "CONSUL_HTTP_ADDR".into() }),
    };
    if given.is_none() && !from_file {
        problems.add(fields.at, format!("{name} is missing"), "write address: https://host:8501, or set CONSUL_HTTP_ADDR");
    }
    let address = given.and_then(|given| read_with(given, problems, consul_address));
    let datacenter = fields.parsed("datacenter", problems, |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
            return Err(("it is no name of a datacenter".into(), "Consul's own are letters, digits, '-' and '_'".into()));
        }
        Ok(text.to_ascii_lowercase())
    });
    let mut ca = fields.path("ca", base, problems);
    let mut token = fields.credential("token", base, problems);
    let mut client_certificate = fields.section("client_certificate", problems).and_then(|mut pair| {
        let hint = "a client certificate is two PEM files: {cert: …, key: …}";
        let (cert, key) = (pair.required("cert", hint, problems), pair.required("key", hint, problems));
        pair.finish(problems);
        let mut read =
            |given: Option<Given<String>>| given.and_then(|given| read_with(given, problems, |text| path_from(text, base)));
        Some((read(cert)?.value, read(key)?.value))
    });
    if !from_file {
        ca = ca.or_else(|| variables.ca.clone());
        token = token.or_else(|| variables.token.clone());
        client_certificate = client_certificate.or_else(|| variables.client_certificate.clone());
    }
    let dns = fields.parsed("dns", problems, |text| {
        text.parse::<SocketAddr>().map_err(|_| ("it is no address with a port".to_owned(), "write 127.0.0.1:8600".to_owned()))
    });
    let connections = fields.parsed("connections", problems, |text| count(text, 1, CONNECTIONS));
    let watches = fields.parsed("watches", problems, |text| count(text, 3, WATCHES));
    fields.finish(problems);
    Some(Consul {
        address: address?.value,
        datacenter: datacenter.map(|given| given.value),
        ca,
        client_certificate,
        token,
        dns: dns.map(|given| given.value),
        target_id: None,
        keys,
        connections: connections.map_or(CONNECTIONS, |given| given.value),
        watches: watches.map_or(WATCHES, |given| given.value),
    })
}

impl Consul {
    /// A Consul at an address that a person names, or else at that of Consul's usual variables; everything else is as these say
    /// and by default. Good for reading: it has no roots to write below.
    ///
    /// # Errors
    /// When neither says an address, or it is none; what is wrong, and a hint.
    pub fn at(address: Option<&str>, variables: &ConsulVariables) -> Result<Self, (String, String)> {
        let address = match address.or(variables.address.as_deref()) {
            Some(address) => {
                consul_address(address).map_err(|(problem, hint)| (format!("the address is wrong: {problem}"), hint))?
            }
            None => {
                return Err((
                    "nobody says where Consul is".to_owned(),
                    "name it with --address, or set CONSUL_HTTP_ADDR".to_owned(),
                ));
            }
        };
        Ok(Self {
            address,
            datacenter: None,
            ca: variables.ca.clone(),
            client_certificate: variables.client_certificate.clone(),
            token: variables.token.clone(),
            dns: None,
            target_id: None,
            keys: KeyRoots::all(),
            connections: CONNECTIONS,
            watches: WATCHES,
        })
    }
}

/// Connections for requests, and for watches, unless somebody says otherwise.
const CONNECTIONS: u16 = 4;
const WATCHES: u16 = 16;

/// A number of connections.
fn count(text: &str, least: u16, default: u16) -> Result<u16, (String, String)> {
    match text.parse() {
        Ok(number) if (least..=64).contains(&number) => Ok(number),
        _ => Err((format!("it is no number from {least} to 64"), format!("the default is {default}"))),
    }
}

/// `http(s)://host:port` and nothing else. The text is not repeated: it may hold a password.
fn consul_address(text: &str) -> Result<String, (String, String)> {
    let refuse = |message: &str| Err((message.to_owned(), "write https://host:8501".to_owned()));
    let Ok(url) = Url::parse(text) else {
        return refuse("it is no URL");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("its scheme is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("it holds credentials; use token: {file: …} or {env: …}");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return refuse("it has a path, a query or a fragment");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn directory_target(mut fields: Fields, base: &Path, keys: KeyRoots, problems: &mut Problems) -> Option<Directory> {
    let required = fields.required("path", "write the directory that shall hold current/", problems);
    let path = required.and_then(|given| read_with(given, problems, |text| path_from(text, base)));
    let keep = fields.duration("keep", Duration::from_hours(1), (Duration::ZERO, Duration::from_hours(24 * 30)), problems);
    let mut services = BTreeMap::new();
    if let Some(mut listed) = fields.section("services", problems) {
        for (name, item) in listed.entries() {
            let address = Given { at: item.referenced, name: name.name.clone(), value: item };
            let address = text_of(address, problems).and_then(|given| read_with(given, problems, ServiceAddress::parse));
            let name =
                read_with(name, problems, |text| ServiceName::parse(text).map_err(|error| (error.to_string(), String::new())));
            if let (Some(name), Some(address)) = (name, address) {
                services.insert(name.value, address.value);
            }
        }
    }
    fields.finish(problems);
    Some(Directory { path: path?.value, services, keep, keys })
}
