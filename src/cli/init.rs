//! `init`: the first record of an environment, and the line to pin it with.

use serde::Serialize;

use super::edges::{Edges, Freshness};
use super::error::{Exit, Failure};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use crate::config::TargetConfig;
use crate::port::Target as _;

/// Prepare a target for an environment, once, and print the `target_id` to pin
///
/// Makes the environment's first record, so that a wrong address, an empty Consul or a restored snapshot can never look like
/// a first use. Refused when there is a record already.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  lockstep init production
  # then put the printed line beside `address:` in lockstep-controller.yaml:
  #   target_id: 6f1c0a52d4b94e07")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::Fetched).await?;
    let environment = edges.environment(&args.environment)?;
    let target = edges.target(&environment)?;
    let made = target.initialise().await;
    edges.close().await;
    let identity = made.map_err(|error| {
        let hint = error.hint.clone();
        let failure = Failure::from(error);
        Failure { hint: hint.or_else(|| Some(format!("`lockstep status {environment}` shows what is there"))), ..failure }
    })?;
    output.show(&Initialised {
        version: VERSION,
        environment: environment.to_string(),
        target: target.character().name,
        target_id: identity.target.to_string(),
        owner: identity.owner.number(),
        config: options.config().display().to_string(),
        pinned: match edges.target_config(&environment)? {
            TargetConfig::Consul(_) => false,
            // Only one machine can see it, and its path is the pin.
            TargetConfig::Directory(_) => true,
        },
    })?;
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Initialised {
    version: u32,
    environment: String,
    target: String,
    target_id: String,
    owner: u16,
    #[serde(skip)]
    config: String,
    #[serde(skip)]
    pinned: bool,
}

impl View for Initialised {
    fn human(&self, page: &mut Page) {
        page.line(format_args!("{} is ready at {}", self.environment, self.target));
        if self.pinned {
            page.line("a directory needs no pin; for the record, its id is");
        } else {
            page.line(format_args!("pin it below environments.{} in {}, beside `consul:`", self.environment, self.config));
        }
        // A line of its own, so that it can be copied, or cut out by a script.
        page.line(format_args!("target_id: {}", self.target_id));
    }
}
