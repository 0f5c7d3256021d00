//! `acl-policy`: the least rights on Consul for whoever keeps an environment, or reads it.

use serde::Serialize;

use super::error::{Exit, Failure};
use super::former::names;
use super::key::open;
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use crate::client::consul::acl;
use crate::config::TargetConfig;

/// Print the least ACL rules that a token needs for an environment on Consul
///
/// For the controller's token, and for every verb but those that give owner ids out or take them back: with --init for these, which
/// are `init`, `recover` and `env remove`. With --consumer for a program that reads the keys and which revision they are of.
///
/// Where the environment had another name before, the rules have what lies there: to be written until its record is taken over,
/// and its history to be read from then on, so print them again after that. Nothing is asked of Consul but the record, which
/// tells those names.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep acl-policy production | consul acl policy create -name lockstep-production -rules -
  lockstep acl-policy production --init           also for `init`, `recover` and `env remove`
  lockstep acl-policy production --consumer")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// For a program that reads the keys: it can write nothing
    #[arg(long, conflicts_with = "init")]
    consumer: bool,
    /// For `init`, `recover` and `env remove` too, which need one rule more
    #[arg(long)]
    init: bool,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = open(options, output).await?;
    let environment = edges.environment(&args.environment)?;
    let TargetConfig::Consul(consul) = edges.target_config(&environment)? else {
        let message = format!("{environment} is a directory, where rights are those of its files");
        return Err(
            Failure::usage(message).hint("the controller's user owns the directory; whoever reads it needs to read files")
        );
    };
    let (repository, keys) = (&edges.repository, &consul.keys);
    let rules = if args.consumer {
        acl::rules_to_read(repository, &environment, keys)
    } else {
        let (former, note) = names(&edges, &environment, &edges.target(&environment)?).await?;
        if let Some(note) = note {
            output.note(&note);
        }
        if args.init {
            acl::rules_to_initialise(repository, &environment, keys, &former)
        } else {
            acl::rules(repository, &environment, keys, &former)
        }
    };
    edges.close().await;
    output.show(&Policy { version: VERSION, environment: environment.to_string(), rules })?;
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Policy {
    version: u32,
    environment: String,
    /// As Consul takes them.
    rules: String,
}

impl View for Policy {
    fn human(&self, page: &mut Page) {
        self.rules.lines().for_each(|rule| page.line(rule));
    }
}
