//! Which Consul an import reads, and which of its keys.

use crate::cli::error::Failure;
use crate::cli::options::Options;
use crate::client::consul::Server;
use crate::config::{self, ConsulVariables, TargetConfig};
use crate::domain::import::{Found, Gathering};
use crate::domain::name::{EnvironmentName, KeyRoots};

/// A Consul, and the prefixes of an environment in it.
pub(super) struct Live {
    /// The connection.
    pub(super) server: std::sync::Arc<Server>,
    /// Each ends with `/`; a single empty one means everything.
    pub(super) prefixes: Vec<String>,
}

impl Live {
    /// The Consul at an address, or that of the environment in the controller's configuration, or that of Consul's usual
    /// variables; below the prefixes that are given, else below the environment's roots.
    pub(super) fn of(
        environment: &EnvironmentName,
        address: Option<&str>,
        prefixes: &[String],
        options: &Options,
    ) -> Result<Self, Failure> {
        let variables = ConsulVariables::of_process();
        let at = |address: Option<&str>| {
            config::Consul::at(address, &variables).map_err(|(problem, hint)| Failure::usage(problem).hint(hint))
        };
        let is_configured = options.given_config().is_some() || options.config().exists();
        let consul = match address {
            None if is_configured => configured(environment, &variables, options)?,
            address => at(address)?,
        };
        let given = if prefixes.is_empty() { consul.keys.prefixes().to_vec() } else { checked(prefixes)? };
        if given.is_empty() {
            return Err(Failure::usage("nobody says which keys").hint("name the prefixes, such as config/, or / for every key"));
        }
        Ok(Self { server: Server::connect(&consul)?, prefixes: given })
    }

    /// What is live to compare with: an environment of the controller's configuration below its roots, or all of the Consul
    /// at an address.
    pub(super) fn against(text: &str, options: &Options) -> Result<Self, Failure> {
        let variables = ConsulVariables::of_process();
        let consul = if text.contains("://") {
            config::Consul::at(Some(text), &variables).map_err(|(problem, hint)| Failure::usage(problem).hint(hint))?
        } else {
            let environment = EnvironmentName::parse(text).map_err(|error| {
                Failure::usage(format!("{text:?} names nothing to compare with"))
                    .because(&error)
                    .hint("name an environment, or an address such as http://127.0.0.1:8500")
            })?;
            configured(&environment, &variables, options)?
        };
        let mut prefixes = consul.keys.prefixes().to_vec();
        if prefixes.is_empty() {
            prefixes.push(String::new());
        }
        Ok(Self { server: Server::connect(&consul)?, prefixes })
    }

    /// Where it is, for messages.
    pub(super) fn name(&self) -> String {
        format!("consul at {}", self.server.name())
    }

    /// Reads every key; `tell` hears how many there were so far. Returns whether the token may not surely read all of them.
    pub(super) async fn read(&self, gathering: &mut Gathering, tell: &mut (dyn FnMut(usize) + Send)) -> Result<bool, Failure> {
        const NEWS: usize = 500;
        let mut partial = false;
        for prefix in &self.prefixes {
            let mut take = |found: crate::client::consul::Exported| {
                let crate::client::consul::Exported { key, value, flags, locked } = found;
                gathering.add(Found { key, value: value.into(), flags, locked });
                if gathering.seen().is_multiple_of(NEWS) {
                    tell(gathering.seen());
                }
            };
            self.server.export(prefix, &mut take).await?;
            partial |= self.server.may_hide_below(prefix).await?;
        }
        Ok(partial)
    }
}

fn configured(
    environment: &EnvironmentName,
    variables: &ConsulVariables,
    options: &Options,
) -> Result<config::Consul, Failure> {
    let config = config::read(options.config(), variables)?;
    match config.environments.get(environment) {
        Some(TargetConfig::Consul(consul)) => Ok((**consul).clone()),
        Some(TargetConfig::Directory(_)) => {
            Err(Failure::usage(format!("{environment} is a directory in {}", options.config().display()))
                .hint("its files are there; name a Consul with --address"))
        }
        None => Err(Failure::usage(format!("{} has no environment {environment}", options.config().display()))
            .hint("name a Consul with --address and the prefixes, or correct the environment's name")),
    }
}

/// `/` means everything; everything else is a key that ends with `/`, and none lies inside another.
fn checked(prefixes: &[String]) -> Result<Vec<String>, Failure> {
    if prefixes == ["/"] {
        return Ok(vec![String::new()]);
    }
    let roots = KeyRoots::parse(prefixes).map_err(|error| {
        Failure::usage("a prefix can't be used")
            .because(&error)
            .hint("write what the keys begin with, each up to a '/' at its end, such as config/; / means every key")
    })?;
    Ok(roots.prefixes().to_vec())
}
