//! `help`: the help of a command, by the words that it is called with.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};

const NAME: &str = "help";
const WORDS: &str = "command";

/// The same command line with a verb `help` wherever there are verbs: clap's own takes no flag, not even `--help`.
pub(super) fn with(command: Command) -> Command {
    if !command.has_subcommands() {
        return command;
    }
    let words = Arg::new(WORDS).value_name("COMMAND").num_args(0..).value_parser(ValueParser::os_string());
    let help = Command::new(NAME)
        .about("Show the help of a command")
        .arg(words.help("The command, in as many words as it has [default: all of them]"))
        .after_help("Examples:\n  lockstep help status\n  lockstep help kv log     the same as `lockstep kv log --help`");
    command.disable_help_subcommand(true).mut_subcommands(with).subcommand(help)
}

/// The command line that shows the help that was asked for; none: something else was.
pub(super) fn asked(matches: &ArgMatches) -> Option<Vec<OsString>> {
    let (mut words, mut at) = (vec![OsString::from("lockstep")], matches);
    while let Some((name, below)) = at.subcommand() {
        if name == NAME {
            words.extend(below.get_many::<OsString>(WORDS).into_iter().flatten().cloned());
            words.push("--help".into());
            return Some(words);
        }
        words.push(name.into());
        at = below;
    }
    None
}
