//! `suspend`: nothing is written to an environment until somebody resumes it, or until a moment.

use super::ask::{Asking, Question, ask, reason};
use super::edges::{Edges, Freshness};
use super::error::{Exit, Failure};
use super::options::Options;
use super::output::Output;
use super::text::named_moment;
use crate::domain::desired::parse_duration;
use crate::domain::rollout::Verb;
use crate::domain::time::Timestamp;

/// Write nothing to an environment until it is resumed
///
/// Observation, checks and status go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep suspend production --reason 'migration' --until 2h
  lockstep suspend production --reason 'freeze' --until 2026-12-27T08:00:00Z
  lockstep suspend production --reason 'freeze' --until 2026-12-27T08:00     in this machine's time zone

Exits with 0 when it was carried out, or when there was nothing to do; with 1 when it was refused, and says why; with 4 when a
target or the repository is not reachable.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Until when: a duration from now, or a moment [default: until it is resumed]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Why: shown in status
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(args: Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = Edges::open(options, Freshness::AsItIs).await?;
    let environment = edges.environment(&args.environment)?;
    let until = match &args.until {
        Some(text) => Some(until(text, edges.now())?),
        None => None,
    };
    let question = Question { environment, verb: Verb::Suspend { until }, reason: args.reason };
    ask(&edges, question, &args.asking, output).await
}

fn until(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Ok(duration) = parse_duration(text) {
        return Ok(now + duration);
    }
    let at = named_moment(text).ok_or_else(|| {
        Failure::usage(format!("--until {text:?} is neither a duration nor a moment"))
            .hint("write 2h, 2026-12-27T08:00:00Z, or 2026-12-27T08:00 in this machine's time zone")
    })?;
    if at <= now {
        return Err(Failure::usage(format!("--until {text:?} lies in the past")));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        let found = until(text, Timestamp::from_millis(1_000)).ok().map(Timestamp::as_millis);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_duration_or_a_moment_is_taken_and_nothing_else() {
        check("2h", Some(1_000 + 7_200_000));
        check("2026-12-27T08:00:00Z", Some(1_798_358_400_000));
        check("2026-12-27T09:00:00+01:00", Some(1_798_358_400_000));
        check("1970-01-01T00:00:00Z", None);
        check("tomorrow", None);
        check("", None);
    }
}
