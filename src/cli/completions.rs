//! `completions`: what a shell needs to complete lockstep's command line.

use super::error::{Exit, Failure};
use super::output::Output;

/// Print what a shell needs to complete lockstep's command line
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep completions bash > /etc/bash_completion.d/lockstep
  lockstep completions zsh  > ~/.zfunc/_lockstep
  lockstep completions fish > ~/.config/fish/completions/lockstep.fish")]
pub(super) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args, command: &mut clap::Command, output: &Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "lockstep", &mut script);
    output.print(&script)?;
    Ok(Exit::Ok)
}
