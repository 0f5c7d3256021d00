//! Options that every verb takes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::error::Failure;
use crate::telemetry::{self, LogFormat};

/// Where the configuration is looked for when nobody says.
const DEFAULT_CONFIG: &str = "lockstep-controller.yaml";

/// Options that every verb takes.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The controller's own configuration [default: lockstep-controller.yaml]
    #[arg(long, global = true, env = "LOCKSTEP_CONFIG", value_name = "FILE", help_heading = "Global options")]
    config: Option<PathBuf>,
    /// What is printed
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Global options")]
    pub(super) output: Format,
    /// When to use colours; `NO_COLOR` is respected
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "Global options")]
    pub(super) color: Color,
    /// What is logged to standard error, such as lockstep=debug [default: info for run, else warn]
    #[arg(long, global = true, env = "LOCKSTEP_LOG", value_name = "FILTER", help_heading = "Global options")]
    log: Option<String>,
    /// What a log line looks like: human or json
    #[arg(long, global = true, default_value = "human", value_name = "FORMAT", help_heading = "Global options")]
    log_format: LogFormat,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Human,
    /// One JSON document with a version
    Json,
    /// The same as YAML
    Yaml,
}

/// What was to be printed, by a command line that can't be parsed.
pub(super) fn named_format(arguments: &[OsString]) -> Format {
    let words: Vec<&str> = arguments.iter().take_while(|word| *word != "--").filter_map(|word| word.to_str()).collect();
    let given = |pair: &[&str]| match pair {
        ["--output", format] => Some((*format).to_owned()),
        [_, word] => word.strip_prefix("--output=").map(str::to_owned),
        _ => None,
    };
    words.windows(2).rev().find_map(given).and_then(|word| Format::from_str(&word, false).ok()).unwrap_or_default()
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Even into a file
    Always,
    /// Nowhere
    Never,
}

impl Options {
    /// The configuration's path.
    pub(super) fn config(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG))
    }

    /// The configuration's path, if somebody named it.
    pub(super) fn given_config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Starts logging: the log is what the controller says, and only a word beside what the other verbs print.
    pub(super) fn log(&self, controller: bool) -> Result<(), Failure> {
        let usual = if controller { "info" } else { "warn" };
        telemetry::init(self.log_format, self.log.as_deref().unwrap_or(usual))
            .map_err(|error| Failure::usage("start logging").because(&error))
    }
}
