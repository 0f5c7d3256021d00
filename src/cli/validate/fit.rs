//! Whether an environment fits the target and the permissions that the controller's configuration gives it.

use crate::cli::edges;
use crate::cli::text::clean;
use crate::config::{Checks, TargetConfig};
use crate::domain::check::{Check, CheckKind, Place};
use crate::domain::desired::{Affected, DesiredState, Problem};

/// Everything that only the controller's configuration can tell.
pub(super) fn problems(state: &DesiredState, target: &TargetConfig, allowed: &Checks) -> Vec<Problem> {
    let mut problems = edges::fit(target).problems(state);
    let refused = state.checks().values().filter_map(|check| refusal(check, target, allowed).map(|text| (check, text)));
    problems.extend(refused.map(|(check, (message, hint))| {
        let (file, line, column) = match state.check_origin(&check.name) {
            Some(origin) => (clean(&origin.file), origin.line, origin.column),
            None => (format!("environments/{}/environment.yaml", state.environment().name), 0, 0),
        };
        let message = format!("the check {}: {message}", check.name);
        let environments = Affected::one(&state.environment().name);
        Problem { file, line, column, message, hint: Some(hint.to_owned()), environments }
    }));
    problems
}

/// Why a check could never be made.
fn refusal(check: &Check, target: &TargetConfig, allowed: &Checks) -> Option<(String, &'static str)> {
    let place = match &check.kind {
        CheckKind::Http { at, .. } | CheckKind::Tcp { at } => at,
        CheckKind::ConsulService { .. } => {
            let TargetConfig::Directory(_) = target else { return None };
            return Some(("a directory has no catalog to ask".to_owned(), "use an http or tcp check, or a Consul target"));
        }
        CheckKind::Dns { .. } => {
            let missing = match target {
                TargetConfig::Consul(consul) => consul.dns.is_none(),
                TargetConfig::Directory(_) => true,
            };
            let hint = "give consul: {dns: 127.0.0.1:8600} in the controller's configuration";
            return missing.then(|| ("the environment has no DNS server to ask".to_owned(), hint));
        }
        CheckKind::Exec { program, .. } => {
            let hint = "name it below checks.exec in the controller's configuration";
            return (!allowed.exec.contains_key(program))
                .then(|| (format!("the controller's list has no program {program:?}"), hint));
        }
    };
    match (place, target) {
        (Place::Service { service, .. }, TargetConfig::Directory(directory)) => {
            let hint = "name its address below directory.services in the controller's configuration";
            (!directory.services.contains_key(service))
                .then(|| (format!("the controller's configuration has no address of the service {service}"), hint))
        }
        (Place::Service { .. }, TargetConfig::Consul(_)) => None,
        (Place::Address { host, .. }, _) => {
            // A name is resolved, and judged, when the check is made.
            let refused = match host.parse() {
                Ok(address) => !allowed.allow.iter().any(|network| network.contains(address)),
                Err(_) => allowed.allow.is_empty(),
            };
            let hint = "name its network below checks.allow in the controller's configuration, or use `service:`";
            refused.then(|| (format!("raw addresses such as {host} are not allowed here"), hint))
        }
    }
}
