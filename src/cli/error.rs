//! Failures as the command line tells them: message, causes, hint, exit code.

use std::error::Error;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::domain::desired::Problem;
use crate::port::{EdgeError, EdgeKind};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// All is well, or was already.
    Ok,
    /// It failed, or what was asked for was refused.
    Failed,
    /// The command line or a name on it is wrong.
    Usage,
    /// `plan` found differences.
    Differences,
    /// Something was not reachable.
    Unreachable,
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Differences => 3,
            Self::Unreachable => 4,
        }
    }

    /// The one that counts when several environments end differently.
    pub(super) fn worst(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Ok => 0,
            Self::Differences => 1,
            Self::Failed => 2,
            Self::Usage => 3,
            Self::Unreachable => 4,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command, or its part for one environment, failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// What was being done, or what is wrong.
    pub(super) message: String,
    /// Why, outermost first.
    pub(super) causes: Vec<String>,
    /// What to do.
    pub(super) hint: Option<String>,
    /// Problems of a file, each with its place.
    pub(super) problems: Vec<Problem>,
    /// The exit code.
    pub(super) exit: Exit,
}

impl Failure {
    /// A failure with exit code 1.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hint: None, problems: Vec::new(), exit: Exit::Failed }
    }

    /// A wrong command line.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(message) }
    }

    /// With its cause and whatever is below that.
    pub(super) fn because(mut self, cause: &dyn Error) -> Self {
        let mut next = Some(cause);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// With what to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Failure {
    /// Logs it as something that will be tried again; the same text again and again is one line.
    pub(super) fn warn_once(&self, doing: &str, last: &mut String) {
        let Self { message, causes, hint, problems, exit: _ } = self;
        let parts = [message].into_iter().chain(causes).cloned().chain(problems.iter().map(ToString::to_string));
        let text = parts.collect::<Vec<_>>().join(": ");
        if text != *last {
            tracing::warn!(because = text, hint, "{doing}");
            *last = text;
        }
    }
}

impl From<EdgeError> for Failure {
    fn from(error: EdgeError) -> Self {
        let exit = match error.kind {
            EdgeKind::Transient | EdgeKind::NotFound => Exit::Unreachable,
            EdgeKind::Conflict | EdgeKind::Refused | EdgeKind::Denied => Exit::Failed,
        };
        let mut failure = Self { exit, ..Self::new(error.to_string()) };
        if let Some(source) = error.source() {
            failure = failure.because(source);
        }
        Self { hint: error.hint, ..failure }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::File { .. } => Self::new(error.to_string())
                .because_source(&error)
                .hint("name it with --config FILE or LOCKSTEP_CONFIG; docs/controller.md has every field"),
            ConfigError::Invalid(problems) => Self { problems, ..Self::new("the controller's configuration is invalid") },
        }
    }
}

impl Failure {
    /// With what is below this error, whose own text is the message.
    pub(super) fn because_source(self, error: &dyn Error) -> Self {
        match error.source() {
            Some(source) => self.because(source),
            None => self,
        }
    }
}
