//! Consul's usual environment variables, as defaults for the command line.
//!
//! They count as one set: only a `consul:` without an `address` takes its connection from here. An address from the file
//! never gets a token from the environment, since that token was meant for another server.

use std::path::PathBuf;

use super::Credential;

/// What the environment says of Consul.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsulVariables {
    /// `CONSUL_HTTP_ADDR`, with `https://` in front when `CONSUL_HTTP_SSL` asks for it and no scheme is given.
    pub address: Option<String>,
    /// `CONSUL_HTTP_TOKEN_FILE`, else `CONSUL_HTTP_TOKEN`: where to read it, not its value.
    pub token: Option<Credential>,
    /// `CONSUL_CACERT`.
    pub ca: Option<PathBuf>,
    /// `CONSUL_CLIENT_CERT` and `CONSUL_CLIENT_KEY`, both or none.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

impl ConsulVariables {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "config is where the environment is read")]
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Those that `lookup` knows; empty ones count as not set.
    #[must_use]
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let scheme = match get("CONSUL_HTTP_SSL").as_deref() {
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => "https",
            _ => "http",
        };
        let address = get("CONSUL_HTTP_ADDR")
            .map(|address| if address.contains("://") { address } else { format!("{scheme}://{address}") });
        let token = match get("CONSUL_HTTP_TOKEN_FILE") {
            Some(file) => Some(Credential::File(file.into())),
            None => get("CONSUL_HTTP_TOKEN").map(|_| Credential::Env("CONSUL_HTTP_TOKEN".into())),
        };
        let pair = get("CONSUL_CLIENT_CERT").zip(get("CONSUL_CLIENT_KEY"));
        Self {
            address,
            token,
            ca: get("CONSUL_CACERT").map(PathBuf::from),
            client_certificate: pair.map(|(certificate, key)| (certificate.into(), key.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(set: &[(&str, &str)], expected: &ConsulVariables) {
        let found = ConsulVariables::from_lookup(|name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        assert_eq!(&found, expected);
        assert!(!format!("{found:?}").contains("canary"), "Debug shows a token");
    }

    #[test]
    fn the_usual_variables_mean_what_consul_means_by_them() {
        check(&[], &ConsulVariables::default());
        check(&[("CONSUL_HTTP_ADDR", "")], &ConsulVariables::default());
        check(
            &[("CONSUL_HTTP_ADDR", "127.0.0.1:8500"), ("CONSUL_HTTP_TOKEN", "canary")],
            &ConsulVariables {
                address: Some("http://127.0.0.1:8500".into()),
                token: Some(Credential::Env("CONSUL_HTTP_TOKEN".into())),
                ..ConsulVariables::default()
            },
        );
        check(
            &[
                ("CONSUL_HTTP_ADDR", "consul.example:8501"),
                ("CONSUL_HTTP_SSL", "true"),
                ("CONSUL_HTTP_TOKEN", "canary"),
                ("CONSUL_HTTP_TOKEN_FILE", "/t"),
                ("CONSUL_CACERT", "/ca.pem"),
                ("CONSUL_CLIENT_CERT", "/c.pem"),
                ("CONSUL_CLIENT_KEY", "/k.pem"),
            ],
            &ConsulVariables {
                address: Some("https://consul.example:8501".into()),
                token: Some(Credential::File("/t".into())),
                ca: Some("/ca.pem".into()),
                client_certificate: Some(("/c.pem".into(), "/k.pem".into())),
            },
        );
    }
}
