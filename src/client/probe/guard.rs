//! Which addresses a check may reach. A check file is written by whoever can merge to the config repository, and the
//! controller stands inside the network: without this guard a check could ask a cloud's metadata service for its keys.
//!
//! The guard looks at addresses *after* resolution, and callers connect to exactly the addresses it returned, so a name
//! that resolves differently the second time (DNS rebinding) changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Network;

/// How many addresses of one name are tried.
const MOST_ADDRESSES: usize = 8;

/// Where an address comes from, and so what it may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    /// The environment's catalog or the controller's configuration: everything but what is never right.
    Service,
    /// The check file: only what the controller's `checks.allow` contains.
    Raw(&'a [Network]),
}

/// Resolves and filters. The error says why nothing is left; it never means that the service is unhealthy.
pub(super) async fn addresses(host: &str, port: u16, origin: Origin<'_>) -> Result<Vec<SocketAddr>, String> {
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => match tokio::net::lookup_host((host, port)).await {
            Ok(found) => found.collect(),
            Err(error) => return Err(format!("resolve {host}: {error}")),
        },
    };
    permitted(host, found, origin)
}

fn permitted(host: &str, found: Vec<SocketAddr>, origin: Origin<'_>) -> Result<Vec<SocketAddr>, String> {
    let mut refusal = None;
    let mut permitted = Vec::new();
    for address in found {
        match verdict(address.ip(), origin) {
            Ok(()) => permitted.push(address),
            Err(why) => refusal = refusal.or(Some((address.ip(), why))),
        }
    }
    permitted.truncate(MOST_ADDRESSES);
    match refusal {
        _ if !permitted.is_empty() => Ok(permitted),
        Some((address, why)) if address.to_string() == host => Err(format!("{address} {why}")),
        Some((address, why)) => Err(format!("{host} is {address}, which {why}")),
        None => Err(format!("{host} has no address")),
    }
}

fn verdict(address: IpAddr, origin: Origin<'_>) -> Result<(), &'static str> {
    if let Some(why) = never_right(address) {
        return Err(why);
    }
    match origin {
        Origin::Service => Ok(()),
        Origin::Raw(allowed) if allowed.iter().any(|network| network.contains(address)) => Ok(()),
        Origin::Raw(_) => Err("is not in the controller's checks.allow list"),
    }
}

/// Why no check may ever go there, if so: the metadata services of clouds, and addresses that name no host.
fn never_right(address: IpAddr) -> Option<&'static str> {
    const METADATA: &str = "is a metadata service of a cloud";
    const LINK_LOCAL: &str = "is link-local, where metadata services are";
    const NO_HOST: &str = "names no single host";
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let (alibaba, azure, oracle) =
                (Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192));
            if v4.is_link_local() {
                Some(LINK_LOCAL)
            } else if [alibaba, azure, oracle].contains(&v4) {
                Some(METADATA)
            } else if v4.octets()[0] == 0 || v4.is_multicast() || v4.octets()[0] >= 240 {
                Some(NO_HOST)
            } else {
                None
            }
        }
        IpAddr::V6(v6) => {
            let amazon = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            if v6.is_unicast_link_local() {
                Some(LINK_LOCAL)
            } else if v6 == amazon {
                Some(METADATA)
            } else if v6.is_unspecified() || v6.is_multicast() {
                Some(NO_HOST)
            } else {
                embedded(v6).and_then(|v4| never_right(IpAddr::V4(v4)))
            }
        }
    }
}

/// The IPv4 address that a translator would make of this one: IPv4-compatible, NAT64 (RFC 6052) and 6to4.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => None,
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(pair(high, low))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses_of(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 80)).collect()
    }

    #[test]
    fn metadata_and_addresses_of_no_host_are_refused_whoever_names_them() {
        let everything = [Network::parse("0.0.0.0/0").unwrap(), Network::parse("::/0").unwrap()];
        for bad in [
            "169.254.169.254",
            "169.254.0.1",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::ffff:0.0.0.0",
        ] {
            for origin in [Origin::Service, Origin::Raw(&everything)] {
                assert!(permitted("h", addresses_of(&[bad]), origin).is_err(), "{bad} is permitted to {origin:?}");
            }
        }
        for good in ["127.0.0.1", "::1", "10.0.0.1", "8.8.8.8", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1"] {
            assert!(permitted("h", addresses_of(&[good]), Origin::Service).is_ok(), "{good} is refused");
        }
    }

    #[test]
    fn a_raw_address_must_be_on_the_list_after_resolution() {
        let list = [Network::parse("10.0.0.0/8").unwrap()];
        let check = |found: &[&str]| permitted("h", addresses_of(found), Origin::Raw(&list));
        assert_eq!(check(&["10.1.2.3"]), Ok(addresses_of(&["10.1.2.3"])));
        assert_eq!(check(&["11.0.0.1"]), Err("h is 11.0.0.1, which is not in the controller's checks.allow list".into()));
        // A name with one good and one bad address reaches the good one only.
        assert_eq!(check(&["169.254.169.254", "10.1.2.3", "11.0.0.1"]), Ok(addresses_of(&["10.1.2.3"])));
        assert_eq!(check(&[]), Err("h has no address".into()));
        assert!(permitted("h", addresses_of(&["10.1.2.3"]), Origin::Raw(&[])).is_err(), "an empty list permits something");
    }

    #[tokio::test]
    async fn a_number_in_disguise_is_judged_as_what_it_resolves_to() {
        for disguise in ["0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518"] {
            let found = addresses(disguise, 80, Origin::Service).await;
            assert!(found.is_err(), "{disguise} became {found:?}");
        }
    }
}
