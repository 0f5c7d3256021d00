//! `import consul`: a repository from the keys of a live Consul.

use super::live::Live;
use super::report::Report;
use super::write::Writing;
use crate::cli::error::{Exit, Failure};
use crate::cli::options::Options;
use crate::cli::output::Output;
use crate::cli::progress::Steps;
use crate::cli::text::count;
use crate::domain::name::EnvironmentName;

/// Write a repository from the live keys of a Consul
///
/// Reads every key below the prefixes once, consistently, values and all, and writes each as the format says it: text as YAML,
/// a file a folder or so, everything else byte for byte as a file. What was written is then read again and compared, key by
/// key. A key that can't or should not be there is told with its reason. Nothing is changed in Consul.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep import consul production --address http://127.0.0.1:8500 --into ../my-config config/ resources/
  lockstep import consul production --into ../my-config        below the roots of the controller's configuration
  lockstep import consul production --into ../my-config --leave-out '*/password' --output json > report.json

Where no --address is given and there is no configuration, CONSUL_HTTP_ADDR says where Consul is; CONSUL_HTTP_TOKEN_FILE,
CONSUL_HTTP_TOKEN, CONSUL_CACERT, CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY count for both.
Exits with 0 when every key was written, 3 when some were not or the token may not see all, 4 when Consul is not reachable.")]
pub(super) struct Args {
    /// The environment that the keys are of, as its directory will be named
    #[arg(value_name = "ENV")]
    environment: String,
    /// The keys that begin so, such as config/; / means every key [default: the environment's roots in the configuration]
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// Consul's address, instead of the configuration's
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    #[command(flatten)]
    writing: Writing,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let environment = EnvironmentName::parse(&args.environment)
        .map_err(|error| Failure::usage(format!("{:?} names no environment", args.environment)).because(&error))?;
    args.writing.check()?;
    let live = Live::of(&environment, args.address.as_deref(), &args.prefixes, options)?;
    let steps = Steps::new(output, environment.to_string());
    let mut gathering = args.writing.gathering();
    let read = live.read(&mut gathering, &mut |seen| steps.say(&format!("{} read", count(seen, "key")))).await;
    steps.say("writing the repository");
    let (seen, asked_out) = (gathering.seen(), gathering.asked_out());
    let written = match read {
        Ok(partial) => args.writing.write(&environment, gathering).await.map(|written| (written, partial)),
        Err(failure) => Err(failure),
    };
    drop(steps);
    let (written, partial) = written?;
    let mut report = Report::new(&environment, live.name(), &args.writing.into, seen, asked_out, written);
    if partial {
        report.is_partial = true;
    }
    output.show(&report)?;
    Ok(report.exit())
}
