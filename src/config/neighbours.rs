//! Which two environments can't live beside each other (rule O7): two that may write the same keys of one Consul, and two that
//! have the same directory, or one inside the other.
//!
//! Each new environment is held against those that it can meet, not against all: a file has a thousand of them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use reqwest::Url;
use serde_saphyr::Location;

use super::TargetConfig;
use crate::domain::name::{EnvironmentName, KeyRoots};

/// The environments so far, by where they live.
#[derive(Default)]
pub(super) struct Neighbours {
    on_consul: HashMap<Agent, Vec<OnConsul>>,
    in_directories: BTreeMap<PathBuf, Vec<Neighbour>>,
}

/// An environment and where the file names it.
#[derive(Clone)]
pub(super) struct Neighbour {
    pub(super) name: EnvironmentName,
    pub(super) at: Location,
}

struct OnConsul {
    neighbour: Neighbour,
    datacenter: Option<String>,
    keys: KeyRoots,
}

/// Two agents that are the same certainly have the same one: host and port, where each name of this machine is one host.
type Agent = (String, Option<u16>);

impl Neighbours {
    /// Takes one more in, and tells those before it that it can't live beside, with what they do.
    pub(super) fn settle(&mut self, neighbour: Neighbour, target: &TargetConfig) -> Vec<(Neighbour, &'static str)> {
        match target {
            TargetConfig::Consul(consul) => {
                let others = self.on_consul.entry(agent(&consul.address)).or_default();
                let meets = |other: &&OnConsul| {
                    // An unnamed datacenter is the agent's own, which may well be the one that the other names.
                    let (one, two) = (&consul.datacenter, &other.datacenter);
                    (one == two || one.is_none() || two.is_none()) && consul.keys.overlaps(&other.keys)
                };
                let clashes = others.iter().filter(meets).map(|other| other.neighbour.clone());
                let clashes = clashes.map(|other| (other, "may write the same keys of one Consul")).collect();
                let (datacenter, keys) = (consul.datacenter.clone(), consul.keys.clone());
                others.push(OnConsul { neighbour, datacenter, keys });
                clashes
            }
            TargetConfig::Directory(directory) => {
                let here = place(&directory.path);
                let around = here.ancestors().skip(1).filter_map(|place| self.in_directories.get(place));
                // In the order of paths, what is inside a directory follows right after it.
                let inside = self.in_directories.range(here.clone()..).take_while(|(place, _)| place.starts_with(&here));
                let clashes = around.chain(inside.map(|(_, others)| others)).flatten().cloned();
                let clashes = clashes.map(|other| (other, "have the same directory, or one inside the other")).collect();
                self.in_directories.entry(here).or_default().push(neighbour);
                clashes
            }
        }
    }
}

/// The place that an absolute path names: `..` is gone one up and symbolic links are followed, as far as there is anything. A
/// directory need not exist yet, so this asks for no more than the links on the way.
fn place(path: &Path) -> PathBuf {
    /// As many links in one path as Linux follows.
    const LINKS: usize = 40;
    let mut links = 0;
    let mut place = PathBuf::new();
    let mut ahead: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(next) = ahead.pop() {
        let mut parts = next.components();
        let Some(part) = parts.next() else { continue };
        ahead.push(parts.as_path().to_owned());
        match part {
            Component::ParentDir => drop(place.pop()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => place = PathBuf::from("/"),
            Component::Normal(name) => match std::fs::read_link(place.join(name)) {
                Ok(target) if links < LINKS => {
                    links += 1;
                    ahead.push(target);
                }
                Ok(_) | Err(_) => place.push(name),
            },
        }
    }
    place
}

fn agent(address: &str) -> Agent {
    let Ok(url) = Url::parse(address) else { return (address.to_owned(), None) };
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
    (if loopback { "localhost".to_owned() } else { host }, url.port_or_known_default())
}
