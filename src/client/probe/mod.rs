//! Carries out health checks: whom to ask, what counts as an answer, and what an answer means.
//!
//! A check that was made and went wrong fails; one that could not be made is unknown (rule H4). Everything that a check
//! file can say is hostile until proven otherwise: addresses pass the guard, programs come from the controller's list, what
//! comes back is bounded.

mod text;
mod catalog;
mod consul;
mod guard;
mod peer;
mod tcp;
mod http;
mod consul_service;
mod dns;
mod exec;

pub use catalog::{Catalog, Instance, Instances, NoCatalog, Selection, Services};

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::Checks;
use crate::domain::check::{Check, CheckKind, Place};
use crate::domain::health::Finding;
use crate::domain::name::EnvironmentName;
use crate::port::{EdgeError, Probe};

/// Takes the samples of one environment.
pub struct Prober<C> {
    environment: EnvironmentName,
    services: Services<C>,
    checks: Checks,
    dns: Option<dns::Dns>,
    http: reqwest::Client,
}

impl<C: Catalog> Prober<C> {
    /// A prober for this environment; `dns` is the environment's own DNS server.
    ///
    /// # Errors
    /// When a client can't be set up; nothing is connected to yet.
    pub fn new(
        environment: EnvironmentName,
        services: Services<C>,
        checks: Checks,
        dns: Option<SocketAddr>,
    ) -> Result<Self, EdgeError> {
        let dns = dns.map(dns::Dns::new).transpose()?;
        Ok(Self { environment, services, checks, dns, http: http::client()? })
    }

    async fn peers(&self, at: &Place, deadline: Instant) -> Result<Vec<peer::Peer>, Finding> {
        peer::find(at, &self.services, &self.checks, deadline).await
    }

    async fn ask(&self, kind: &CheckKind, deadline: Instant) -> Result<Finding, Finding> {
        Ok(match kind {
            CheckKind::ConsulService { service, tag, meta, at_least } => {
                let selection = Selection { service, tag: tag.as_deref(), meta };
                consul_service::ask(&self.services, selection, *at_least, deadline).await
            }
            CheckKind::Http { at, path, status, body } => {
                let question = http::Question { path: path.clone(), status: *status, body: body.clone() };
                let question = Arc::new(question);
                let peers = self.peers(at, deadline).await?;
                let ask = |peer| http::ask(self.http.clone(), peer, Arc::clone(&question), deadline);
                peer::ask_all(peers, ask).await
            }
            CheckKind::Tcp { at } => peer::ask_all(self.peers(at, deadline).await?, |peer| tcp::ask(peer, deadline)).await,
            CheckKind::Dns { name, record, expect } => match &self.dns {
                Some(dns) => dns.ask(name, *record, expect.as_deref(), deadline).await,
                None => text::unknown("the controller's configuration gives this environment no dns address"),
            },
            CheckKind::Exec { program, subject } => match self.checks.exec.get(program) {
                Some(path) => exec::ask(path, &self.environment, *subject, deadline).await,
                None => text::unknown(format!("the controller's checks.exec list has no program {program:?}")),
            },
        })
    }
}

impl<C: Catalog> Probe for Prober<C> {
    async fn sample(&self, check: &Check) -> Finding {
        // Sampling is the edge: how long an answer took is measured here, when it was taken is the caller's to say.
        let deadline = Instant::now() + check.timeout;
        self.ask(&check.kind, deadline).await.unwrap_or_else(|finding| finding)
    }
}
