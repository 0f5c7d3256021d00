//! Address ranges and addresses of services, as checks may reach them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Network, ServiceAddress};

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8` or a single address.
    ///
    /// # Errors
    /// When the text is none of these, or bits are set behind the prefix; with a hint.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let shape =
            || (format!("{:?} is no address range", short(text)), "write one such as 10.0.0.0/8 or 127.0.0.1".to_owned());
        let (address, prefix) = if let Some((address, prefix)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| shape())?;
            // `parse` alone would take "+8".
            if prefix.is_empty() || !prefix.bytes().all(|digit| digit.is_ascii_digit()) {
                return Err(shape());
            }
            (address, prefix.parse().map_err(|_| shape())?)
        } else {
            let address: IpAddr = text.parse().map_err(|_| shape())?;
            (address, if address.is_ipv4() { 32 } else { 128 })
        };
        if prefix > if address.is_ipv4() { 32 } else { 128 } {
            return Err(shape());
        }
        let first = first_of(address, prefix);
        if first != address {
            return Err((format!("{text:?} has bits behind its prefix"), format!("write {first}/{prefix} or {address}")));
        }
        Ok(Self { address, prefix })
    }

    /// Whether the address lies in the range. An IPv4 address in IPv6 dress counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && first_of(address, self.prefix) == self.address
    }
}

/// The first address of the range that this one lies in.
fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

impl ServiceAddress {
    /// Reads `127.0.0.1:8080`, `[::1]:8080` or `build.example:8080`.
    ///
    /// # Errors
    /// When the text is none of these; with a hint.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let refuse = || (format!("{:?} is no address with a port", short(text)), "write one such as 127.0.0.1:8080".to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
        if !port.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(refuse());
        }
        let port: u16 = port.parse().map_err(|_| refuse())?;
        let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().map_err(|_| refuse())?.to_string(),
            None => host.to_owned(),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_name = !host.is_empty() && host.len() <= 253 && !host.starts_with('-') && host.chars().all(plain);
        if port == 0 || !(is_name || host.parse::<Ipv6Addr>().is_ok() && text.starts_with('[')) {
            return Err(refuse());
        }
        Ok(Self { host, port })
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_contains_what_its_prefix_says() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::ffff:128.0.0.1"),
            ("fd00::/8", "fdff::1", "fe80::1"),
            ("::/0", "::1", "127.0.0.1"),
        ] {
            let range = Network::parse(range).unwrap();
            assert!(range.contains(inside.parse().unwrap()), "{range:?} lacks {inside}");
            assert!(!range.contains(outside.parse().unwrap()), "{range:?} has {outside}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/+8", "::/129", "example.com", "10.0.0.0/8/8"] {
            assert!(Network::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn an_address_of_a_service_has_a_host_and_a_port() {
        for good in ["127.0.0.1:8080", "[::1]:80", "build.example:65535"] {
            assert!(ServiceAddress::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "", ":80", "a", "a:", "a:0", "a:65536", "a:+80", "::1:80", "[::1]", "-a:80", "a b:80", "u@h:80", "h/x:80", "[a]:80",
        ] {
            assert!(ServiceAddress::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
