//! `consul-service` checks: the catalog has enough instances, and every one that counts is passing.

use tokio::time::{Instant, timeout_at};

use super::catalog::{Catalog, Instance, Instances, Selection, Services};
use super::peer::absent;
use super::text::{fail, unknown};
use crate::domain::health::Finding;

/// Asks the catalog once. `at_least` so many of the instances that are meant must be passing, and none may fail.
pub(super) async fn ask<C: Catalog>(
    services: &Services<C>,
    selection: Selection<'_>,
    at_least: u32,
    deadline: Instant,
) -> Finding {
    let Services::Catalog(catalog) = services else {
        return unknown(format!("this environment has no catalog to look {} up in", selection.service));
    };
    match timeout_at(deadline, catalog.instances(selection)).await {
        Err(_) => unknown(format!("the catalog did not answer about {} in time", selection.service)),
        Ok(Err(error)) => unknown(error.chain()),
        Ok(Ok(Instances::Absent { readable })) => absent(selection, readable),
        Ok(Ok(Instances::Listed(instances))) => judge(&instances, selection, at_least),
    }
}

fn judge(instances: &[Instance], selection: Selection<'_>, at_least: u32) -> Finding {
    let count = instances.len();
    let passing = instances.iter().filter(|instance| instance.passing).count();
    if let Some(Instance { address, port, .. }) = instances.iter().find(|instance| !instance.passing) {
        return fail(format!("{passing} of {count} instance(s) of {selection} pass; {address}:{port} does not"));
    }
    if passing < usize::try_from(at_least).unwrap_or(usize::MAX) {
        return fail(format!("{passing} instance(s) of {selection} pass, expected at least {at_least}"));
    }
    Finding::Pass
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::name::ServiceName;

    #[track_caller]
    fn check(passing: &[bool], at_least: u32, expected: &str) {
        let instances: Vec<Instance> = (1..)
            .zip(passing)
            .map(|(port, passing)| Instance { address: "10.0.0.1".into(), port, passing: *passing })
            .collect();
        let service = ServiceName::parse("build").unwrap();
        let meta = BTreeMap::from([("revision".to_owned(), "r1".to_owned())]);
        let selection = Selection { service: &service, tag: Some("active"), meta: &meta };
        let text = match judge(&instances, selection, at_least) {
            Finding::Pass => "pass".to_owned(),
            Finding::Fail { because } | Finding::Unknown { because } => because,
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn enough_instances_must_pass_and_none_may_fail() {
        check(&[true], 1, "pass");
        check(&[true, true], 2, "pass");
        check(&[true, false], 1, "1 of 2 instance(s) of build with tag active, revision=r1 pass; 10.0.0.1:2 does not");
        check(&[true], 2, "1 instance(s) of build with tag active, revision=r1 pass, expected at least 2");
    }
}
