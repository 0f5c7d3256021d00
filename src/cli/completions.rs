//! `completions`: what a shell needs to complete lockstep's command line.

use clap::{Arg, ValueHint};

use super::error::{Exit, Failure};
use super::output::Output;

/// Print what a shell needs to complete lockstep's command line
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep completions bash > /etc/bash_completion.d/lockstep
  lockstep completions zsh  > ~/.zfunc/_lockstep
  lockstep completions fish > ~/.config/fish/completions/lockstep.fish

Verbs, flags and files are completed; names of environments and keys are not, since they are elsewhere.")]
pub(super) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args, command: clap::Command, output: &Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut hinted(command), "lockstep", &mut script);
    output.print(&script)?;
    Ok(Exit::Ok)
}

/// Without a word on what a value is a shell offers files for it: for an environment, a key or a commit none of them is right.
fn hinted(command: clap::Command) -> clap::Command {
    let of_arg = |arg: Arg| {
        let named = |name: &str| arg.get_value_names().is_some_and(|names| names.iter().any(|given| given == name));
        let is_unknown = arg.get_value_hint() == ValueHint::Unknown;
        match (named("DIR"), named("URL")) {
            _ if !arg.get_action().takes_values() => arg,
            (true, _) => arg.value_hint(ValueHint::DirPath),
            (false, true) if is_unknown => arg.value_hint(ValueHint::Url),
            (false, false) if is_unknown => arg.value_hint(ValueHint::Other),
            (false, _) => arg,
        }
    };
    command.mut_args(of_arg).mut_subcommands(hinted)
}
