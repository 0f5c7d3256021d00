//! Health checks as a revision defines them; how a probe carries them out is not known here.

use std::collections::BTreeMap;
use std::time::Duration;

use super::canonical::Canonical;
use super::name::{CheckName, ServiceName};
use super::revision::{Generation, Revision};

/// One health check: what to ask, how often, and how long an answer may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its file's name.
    pub name: CheckName,
    /// What is asked.
    pub kind: CheckKind,
    /// From the start of one sample to the start of the next.
    pub interval: Duration,
    /// How long one sample may take.
    pub timeout: Duration,
}

/// What a check asks. Texts may hold `${lockstep.revision}` and `${lockstep.generation}` until [`Check::filled`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// Every instance that Consul's catalog has of a service is passing.
    ConsulService {
        /// The service.
        service: ServiceName,
        /// Only instances with this tag.
        tag: Option<String>,
        /// Only instances whose service metadata has all of these.
        meta: BTreeMap<String, String>,
        /// At least so many instances must be passing.
        at_least: u32,
    },
    /// An HTTP request answers as expected.
    Http {
        /// Whom to ask.
        at: Place,
        /// Path and query, beginning with `/`.
        path: String,
        /// The status that means pass.
        status: u16,
        /// A text that the body must contain.
        body: Option<String>,
    },
    /// A TCP connection can be opened.
    Tcp {
        /// Where.
        at: Place,
    },
    /// A name resolves through the environment's own DNS.
    Dns {
        /// The name.
        name: String,
        /// Which records.
        record: DnsRecord,
        /// An address or target that must be among the answers; none: any answer passes.
        expect: Option<String>,
    },
    /// A program from the controller's own list ends with status 0 (`checks.exec` in its configuration).
    Exec {
        /// The name in that list; the program itself is never named in the repository.
        program: String,
        /// What is being judged, for the program to know: none in the repository, set by [`Check::filled`].
        subject: Option<(Revision, Generation)>,
    },
}

/// Whom an `http` or `tcp` check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An instance of a service, resolved in the environment's own catalog (rule F3).
    Service {
        /// The service.
        service: ServiceName,
        /// Only instances with this tag.
        tag: Option<String>,
    },
    /// A raw address; the controller's `checks.allow` list must contain it.
    Address {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Which DNS records a `dns` check asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DnsRecord {
    /// IPv4 addresses.
    #[default]
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Service locations.
    Srv,
}

impl DnsRecord {
    /// The word that stands in a check file's `record:`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
        }
    }
}

impl CheckKind {
    /// The word that stands in a check file's `kind:`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::ConsulService { .. } => "consul-service",
            Self::Http { .. } => "http",
            Self::Tcp { .. } => "tcp",
            Self::Dns { .. } => "dns",
            Self::Exec { .. } => "exec",
        }
    }
}

impl Check {
    /// The check with `${lockstep.revision}` and `${lockstep.generation}` filled in: "healthy" can then mean "healthy with
    /// this revision". Digests are taken before this, so the same check stays the same from commit to commit (rule F2).
    #[must_use]
    pub fn filled(&self, revision: &Revision, generation: Generation) -> Self {
        let fill = |text: &str| {
            text.replace("${lockstep.revision}", &revision.to_string())
                .replace("${lockstep.generation}", &generation.to_string())
        };
        let kind = match &self.kind {
            CheckKind::ConsulService { service, tag, meta, at_least } => CheckKind::ConsulService {
                service: service.clone(),
                tag: tag.as_deref().map(fill),
                meta: meta.iter().map(|(key, value)| (key.clone(), fill(value))).collect(),
                at_least: *at_least,
            },
            CheckKind::Http { at, path, status, body } => {
                CheckKind::Http { at: at.clone(), path: fill(path), status: *status, body: body.as_deref().map(fill) }
            }
            CheckKind::Tcp { at } => CheckKind::Tcp { at: at.clone() },
            CheckKind::Dns { name, record, expect } => {
                CheckKind::Dns { name: fill(name), record: *record, expect: expect.as_deref().map(fill) }
            }
            CheckKind::Exec { program, subject: _ } => {
                CheckKind::Exec { program: program.clone(), subject: Some((*revision, generation)) }
            }
        };
        Self { kind, ..self.clone() }
    }

    /// Whether the question is another one for another generation: then what was answered before says nothing about it.
    #[must_use]
    pub fn names_the_generation(&self) -> bool {
        let names = |text: &String| text.contains("${lockstep.generation}");
        match &self.kind {
            CheckKind::ConsulService { service: _, tag, meta, at_least: _ } => {
                tag.as_ref().is_some_and(names) || meta.values().any(names)
            }
            CheckKind::Http { at: _, path, status: _, body } => names(path) || body.as_ref().is_some_and(names),
            CheckKind::Tcp { at: _ } => false,
            CheckKind::Dns { name, record: _, expect } => names(name) || expect.as_ref().is_some_and(names),
            // It is told what is being judged; what it makes of that is its own.
            CheckKind::Exec { program: _, subject: _ } => true,
        }
    }

    /// The check's meaning as bytes, for the revision digest: every field, in a fixed order (see `canonical`).
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        // Taken apart without `..`: a new field does not compile until somebody decides whether proofs depend on it.
        let Self { name, kind, interval, timeout } = self;
        let check = Canonical::of("check")
            .text("name", name.as_str())
            .text("kind", kind.word())
            .duration("interval", *interval)
            .duration("timeout", *timeout);
        kind.canonical(check).finish()
    }
}

impl CheckKind {
    fn canonical(&self, check: Canonical) -> Canonical {
        match self {
            Self::ConsulService { service, tag, meta, at_least } => {
                let check = check.text("service", service.as_str()).optional("tag", tag.as_deref());
                let check = check.number("at_least", *at_least);
                meta.iter().fold(check, |check, (key, value)| check.text("meta", key).text("is", value))
            }
            Self::Http { at, path, status, body } => {
                at.canonical(check).text("path", path).number("status", *status).optional("body", body.as_deref())
            }
            Self::Tcp { at } => at.canonical(check),
            Self::Dns { name, record, expect } => {
                check.text("query", name).text("record", record.word()).optional("expect", expect.as_deref())
            }
            // What is being judged is filled in after digests are taken (rule F2): it is none of the check's meaning.
            Self::Exec { program, subject: _ } => check.text("program", program),
        }
    }
}

impl Place {
    fn canonical(&self, check: Canonical) -> Canonical {
        match self {
            Self::Service { service, tag } => check.text("service", service.as_str()).optional("tag", tag.as_deref()),
            Self::Address { host, port } => check.text("host", host).number("port", *port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_text_of_a_check_is_held_because_digests_rest_on_it() {
        let check = Check {
            name: CheckName::parse("build-answers").unwrap(),
            kind: CheckKind::Http {
                at: Place::Service { service: ServiceName::parse("build").unwrap(), tag: None },
                path: "/health".into(),
                status: 200,
                body: Some("${lockstep.revision}".into()),
            },
            interval: Duration::from_secs(2),
            timeout: Duration::from_millis(500),
        };
        assert_eq!(
            String::from_utf8(check.canonical()).unwrap(),
            "is=5:check\nname=13:build-answers\nkind=4:http\ninterval=10:2000000000\ntimeout=9:500000000\n\
             service=5:build\npath=7:/health\nstatus=3:200\nbody=20:${lockstep.revision}\n"
        );
    }
}
