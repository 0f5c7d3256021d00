//! What tells a forge, where the configuration names one.

use std::sync::Arc;

use crate::cli::edges::{AnyTarget, Edges};
use crate::cli::error::Failure;
use crate::client::forge::ForgeClient;
use crate::client::git::GitSource;
use crate::config::{Config, Statuses};
use crate::runtime::clock::RealTime;
use crate::runtime::controller::Controller;
use crate::runtime::pulls::{Planner, Pulls};
use crate::runtime::reporting::Reporting;
use crate::runtime::reports::{Says, Speaker};
use crate::runtime::wakes::Deliveries;
use crate::telemetry::Telemetry;

/// Where leaders put down what they have to say; none where nobody listens.
pub(super) fn speaker(config: &Config) -> Option<Speaker> {
    let forge = config.forge.as_ref()?;
    let says = match forge.statuses {
        Statuses::Changes => Says::Changes,
        Statuses::EveryCommit => Says::EveryCommit,
        Statuses::Off => Says::Nothing,
    };
    Some(Speaker { reports: Arc::default(), says })
}

/// Lets the controller tell its forge of commits and pull requests.
pub(super) fn tell(
    edges: &Edges,
    controller: &mut Controller<GitSource>,
    speaker: &Speaker,
    deliveries: &Deliveries,
    telemetry: &Arc<Telemetry>,
) -> Result<(), Failure> {
    let Some(config) = &edges.config.forge else { return Ok(()) };
    let forge = Arc::new(ForgeClient::new(config)?);
    let reporting = Reporting {
        forge: Arc::clone(&forge),
        reports: Arc::clone(&speaker.reports),
        scheduler: RealTime,
        telemetry: Arc::clone(telemetry),
        public_url: edges.config.server.public_url.clone(),
    };
    controller.beside(async move { reporting.run().await });
    if config.plans {
        let planners = edges.environments(&[])?.into_iter().map(|environment| {
            let (fit, target) = (edges.fit(&environment)?, Arc::new(edges.target(&environment)?));
            Ok(Planner::<AnyTarget> { repository: edges.repository.clone(), environment, fit, target })
        });
        let pulls = Pulls {
            source: edges.source.with_proposals(),
            branch: edges.config.repository.branch.clone(),
            forge,
            planners: planners.collect::<Result<_, Failure>>()?,
            reports: Arc::clone(&speaker.reports),
            news: deliveries.clone(),
            scheduler: RealTime,
            telemetry: Arc::clone(telemetry),
        };
        controller.beside(async move { pulls.run().await });
    }
    Ok(())
}
