//! What a probe needs of an environment's catalog: where the instances of a service are, and how they do.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use crate::config::ServiceAddress;
use crate::domain::name::ServiceName;
use crate::port::EdgeError;

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The service's own address, or its node's where it has none.
    pub address: String,
    /// Its port; 0 when it was registered without one.
    pub port: u16,
    /// Whether all of its checks and its node's are passing.
    pub passing: bool,
}

/// Which instances of a service are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// Only instances with this tag.
    pub tag: Option<&'a str>,
    /// Only instances whose service metadata has all of these.
    pub meta: &'a BTreeMap<String, String>,
}

impl fmt::Display for Selection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(f)?;
        let tag = self.tag.map(|tag| format!("tag {tag}"));
        let meta = self.meta.iter().map(|(key, value)| format!("{key}={value}"));
        let parts: Vec<String> = tag.into_iter().chain(meta).collect();
        if parts.is_empty() { Ok(()) } else { write!(f, " with {}", parts.join(", ")) }
    }
}

/// What a catalog says of a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instances {
    /// The instances that are meant, at least one.
    Listed(Vec<Instance>),
    /// None: either there is none, or our token may not see it.
    Absent {
        /// Whether the token is known to be allowed to read this service: only then does absence say anything (rule H4).
        readable: bool,
    },
}

/// An environment's catalog.
pub trait Catalog: Send + Sync {
    /// The instances that are meant, passing or not.
    fn instances(&self, selection: Selection<'_>) -> impl Future<Output = Result<Instances, EdgeError>> + Send;
}

/// The catalog of a target that has none.
#[derive(Debug, Clone, Copy)]
pub enum NoCatalog {}

impl Catalog for NoCatalog {
    async fn instances(&self, _: Selection<'_>) -> Result<Instances, EdgeError> {
        match *self {}
    }
}

/// How the services of an environment are found (rule F3).
#[derive(Debug)]
pub enum Services<C> {
    /// In its catalog.
    Catalog(C),
    /// In the controller's configuration, since a directory has no catalog. Tags don't count there: one address stands for
    /// the service whatever its tag.
    Named(BTreeMap<ServiceName, ServiceAddress>),
}
