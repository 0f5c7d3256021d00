//! The command line: one file per verb, over the same passes and decisions as the controller.
//!
//! Exit codes: 0 ok (also when there was nothing to do), 1 failed or refused, 2 wrong usage, 3 `plan`, `diff` or `import` found differences,
//! 4 something was not reachable.

mod text;
mod error;
mod options;
mod output;
mod progress;
mod value;
mod edges;
mod lineage;
mod trace;
mod renames;
mod hiding;
mod completions;
mod help;
mod validate;
mod former;
mod init;
mod plan;
mod status;
mod history;
mod key;
mod acl_policy;
mod why;
mod kv;
mod render;
mod diff;
mod import;
mod ask;
mod apply;
mod wait;
mod rollback;
mod release;
mod adopt;
mod below;
mod unmanaged;
mod strays;
mod suspend;
mod resume;
mod confirm;
mod env;
mod forge;
mod recover;
mod run;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::error::{Exit, Failure};
use self::options::Options;
use self::output::Output;

const EXAMPLES: &str = "\
Examples:
  lockstep validate .                     check a config repository before it is merged
  lockstep plan                           show what the branch head would change, and exit 3 if anything
  lockstep apply --once test              take one environment to the branch head and judge it
  lockstep status --output json           where every environment stands, for a program
  lockstep rollback production --reason 'checkout is slow'

Exit codes:
  0 ok, or nothing to do   1 failed or refused   2 wrong usage   3 differences found (plan, diff, import)   4 not reachable";

/// Keeps environments in step with a git repository.
#[derive(Debug, Parser)]
#[command(name = "lockstep", version, after_help = EXAMPLES, max_term_width = 120)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Validate(validate::Args),
    Init(init::Args),
    AclPolicy(acl_policy::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Wait(wait::Args),
    Status(status::Args),
    History(history::Args),
    Why(why::Args),
    Kv(kv::Args),
    Render(render::Args),
    Diff(diff::Args),
    Import(import::Args),
    Rollback(rollback::Args),
    Release(release::Args),
    Adopt(adopt::Args),
    Unmanaged(unmanaged::Args),
    Strays(strays::Args),
    Suspend(suspend::Args),
    Resume(resume::Args),
    Env(env::Args),
    Recover(recover::Args),
    Forge(forge::Args),
    Completions(completions::Args),
}

/// Every verb and option.
fn command() -> clap::Command {
    help::with(Cli::command())
}

/// Runs one command line, writing to standard output and standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = command().try_get_matches_from(&arguments).and_then(|matches| match help::asked(&matches) {
        Some(words) => command().try_get_matches_from(words),
        None => Ok(matches),
    });
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Whoever reads the help through `head` is served all the same.
            let _ = error.print();
            if error.use_stderr() {
                Output::plain(options::named_format(&arguments)).tell(&misused(&error));
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = Output::new(&cli.options);
    let outcome = start(cli, &output);
    output.settle(outcome).into()
}

/// A command line that can't be parsed, as any other failure is told to a program: what is wrong, and how it is written.
fn misused(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    let mut paragraphs = text.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let usage = Failure::usage(paragraphs.next().unwrap_or_default());
    usage.hint(paragraphs.collect::<Vec<_>>().join("; "))
}

fn start(cli: Cli, output: &Output) -> Result<Exit, Failure> {
    if let Verb::Completions(args) = &cli.verb {
        return completions::run(args, command(), output);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("start the runtime").because(&error))?;
    let outcome = runtime.block_on(carry_out(cli, output));
    // A file system that hangs must not keep a finished command from ending.
    runtime.shutdown_background();
    outcome
}

async fn carry_out(cli: Cli, output: &Output) -> Result<Exit, Failure> {
    let Cli { options, verb } = cli;
    options.log(matches!(verb, Verb::Run(_)))?;
    match verb {
        Verb::Run(args) => run::run(&args, &options).await,
        Verb::Validate(args) => validate::run(&args, &options, output).await,
        Verb::Init(args) => init::run(&args, &options, output).await,
        Verb::AclPolicy(args) => acl_policy::run(&args, &options, output).await,
        Verb::Plan(args) => plan::run(&args, &options, output).await,
        Verb::Apply(args) => apply::run(&args, &options, output).await,
        Verb::Wait(args) => wait::run(&args, &options, output).await,
        Verb::Status(args) => status::run(&args, &options, output).await,
        Verb::History(args) => history::run(&args, &options, output).await,
        Verb::Why(args) => why::run(&args, &options, output).await,
        Verb::Kv(args) => kv::run(&args, &options, output).await,
        Verb::Render(args) => render::run(&args, &options, output).await,
        Verb::Diff(args) => diff::run(&args, &options, output).await,
        Verb::Import(args) => import::run(&args, &options, output).await,
        Verb::Rollback(args) => rollback::run(args, &options, output).await,
        Verb::Release(args) => release::run(args, &options, output).await,
        Verb::Adopt(args) => adopt::run(args, &options, output).await,
        Verb::Unmanaged(args) => unmanaged::run(&args, &options, output).await,
        Verb::Strays(args) => strays::run(&args, &options, output).await,
        Verb::Suspend(args) => suspend::run(args, &options, output).await,
        Verb::Resume(args) => resume::run(args, &options, output).await,
        Verb::Recover(args) => recover::run(&args, &options, output).await,
        Verb::Env(args) => env::run(&args, &options, output).await,
        Verb::Forge(args) => forge::run(&args, &options, output).await,
        Verb::Completions(_) => Ok(Exit::Ok),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
