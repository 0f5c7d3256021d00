//! Whom an `http` or `tcp` check asks: every instance of a service with the tag, or one raw address. All must pass.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::catalog::{Catalog, Instances, Selection, Services};
use super::guard::{self, Origin};
use super::text::{fail, unknown};
use crate::config::{Checks, ServiceAddress};
use crate::domain::check::Place;
use crate::domain::health::Finding;
use crate::domain::name::ServiceName;

/// How many instances are asked at the same time.
const AT_ONCE: usize = 32;

/// One host to ask.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// As people know it: `127.0.0.1:8080` or `build.example:80`.
    pub(super) name: String,
    /// The addresses that the guard let pass, to be tried in this order. Nothing else is connected to.
    pub(super) addresses: Vec<SocketAddr>,
}

/// Finds whom to ask. A finding instead means that nobody can be asked.
pub(super) async fn find<C: Catalog>(
    place: &Place,
    services: &Services<C>,
    checks: &Checks,
    deadline: Instant,
) -> Result<Vec<Peer>, Finding> {
    let finding = async {
        match place {
            Place::Address { host, port } => Ok(vec![peer(host, *port, Origin::Raw(&checks.allow)).await?]),
            Place::Service { service, tag } => match services {
                Services::Named(named) => {
                    let Some(ServiceAddress { host, port }) = named.get(service) else {
                        return Err(unknown(format!("{service} is not among the services of the controller's configuration")));
                    };
                    Ok(vec![peer(host, *port, Origin::Service).await?])
                }
                Services::Catalog(catalog) => in_catalog(catalog, service, tag.as_deref()).await,
            },
        }
    };
    timeout_at(deadline, finding).await.unwrap_or_else(|_| Err(unknown(format!("finding {} took too long", describe(place)))))
}

async fn in_catalog<C: Catalog>(catalog: &C, service: &ServiceName, tag: Option<&str>) -> Result<Vec<Peer>, Finding> {
    let selection = Selection { service, tag, meta: &BTreeMap::new() };
    let instances = match catalog.instances(selection).await {
        Err(error) => return Err(unknown(error.chain())),
        Ok(Instances::Absent { readable }) => return Err(absent(selection, readable)),
        Ok(Instances::Listed(instances)) => instances,
    };
    let mut peers = Vec::with_capacity(instances.len());
    for instance in instances {
        if instance.port == 0 {
            return Err(fail(format!("an instance of {service} at {} is registered without a port", instance.address)));
        }
        peers.push(peer(&instance.address, instance.port, Origin::Service).await?);
    }
    Ok(peers)
}

/// What it means that nothing of the selection is in the catalog (rule H4).
pub(super) fn absent(selection: Selection<'_>, readable: bool) -> Finding {
    if readable {
        fail(format!("the catalog has no instance of {selection}"))
    } else {
        let service = selection.service;
        unknown(format!(
            "the catalog shows no instance of {selection}; may the token read the service {service} and its nodes?"
        ))
    }
}

async fn peer(host: &str, port: u16, origin: Origin<'_>) -> Result<Peer, Finding> {
    let addresses = guard::addresses(host, port, origin).await.map_err(unknown)?;
    let name = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Ok(Peer { name, addresses })
}

fn describe(place: &Place) -> String {
    match place {
        Place::Service { service, .. } => format!("the instances of {service}"),
        Place::Address { host, .. } => host.clone(),
    }
}

/// Asks all, some at a time, and puts the findings together. Dropping the future stops every question.
pub(super) async fn ask_all<A, F>(peers: Vec<Peer>, ask: A) -> Finding
where
    A: Fn(Peer) -> F,
    F: Future<Output = Finding> + Send + 'static,
{
    let count = peers.len();
    let mut waiting = peers.into_iter().enumerate();
    let mut asking = JoinSet::new();
    let mut findings = vec![None; count];
    loop {
        while asking.len() < AT_ONCE {
            let Some((index, peer)) = waiting.next() else { break };
            let answer = ask(peer);
            asking.spawn(async move { (index, answer.await) });
        }
        match asking.join_next().await {
            Some(Ok((index, finding))) => findings[index] = Some(finding),
            Some(Err(error)) => return unknown(format!("a question ended early: {error}")),
            None => break,
        }
    }
    together(findings.into_iter().flatten().collect())
}

/// One failure fails the check; else one that could not be made leaves it unknown.
fn together(findings: Vec<Finding>) -> Finding {
    let count = findings.len();
    let (mut failed, mut unmade) = (Vec::new(), Vec::new());
    for finding in findings {
        match finding {
            Finding::Pass => {}
            Finding::Fail { because } => failed.push(because),
            Finding::Unknown { because } => unmade.push(because),
        }
    }
    let of = |some: usize| if count > 1 { format!("{some} of {count} instances: ") } else { String::new() };
    match (failed.first(), unmade.first()) {
        (Some(because), _) => fail(format!("{}{because}", of(failed.len()))),
        (None, Some(because)) => unknown(format!("{}{because}", of(unmade.len()))),
        (None, None) => Finding::Pass,
    }
}

/// What a failed connection means: the other side's refusal is its failure, our own machine's trouble says nothing.
pub(super) fn unconnected(name: &str, error: &(dyn Error + 'static)) -> Finding {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut deepest = error.to_string();
    while let Some(error) = cause {
        deepest = error.to_string();
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.get_ref().is_none()
        {
            let text = format!("connect to {name}: {error}");
            return if is_ours(error) { unknown(text) } else { fail(text) };
        }
        cause = error.source();
    }
    fail(format!("connect to {name}: {deepest}"))
}

fn is_ours(error: &io::Error) -> bool {
    const OUT_OF_FILES: [i32; 2] = [rustix::io::Errno::MFILE.raw_os_error(), rustix::io::Errno::NFILE.raw_os_error()];
    error.raw_os_error().is_some_and(|code| OUT_OF_FILES.contains(&code))
        || [
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::NetworkDown,
            io::ErrorKind::AddrNotAvailable,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::OutOfMemory,
        ]
        .contains(&error.kind())
}
