//! The program: parse arguments, run, turn the result into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    lockstep::cli::run(std::env::args_os())
}
