//! What a command prints: one view, for people or for programs.
//!
//! A view is a structure that serialises, with a version, and that knows how people read it, so both forms say the same.

use std::fmt::Display;
use std::io::{self, Write as _};

use anstream::{AutoStream, ColorChoice};
use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::error::{Exit, Failure};
use super::options::{Color, Format, Options};
use super::text::{clean, one_way};

/// The version of every structured form; a field that changes its meaning or goes away makes it 2.
pub(super) const VERSION: u32 = 1;

/// Something that can be printed.
pub(super) trait View: Serialize {
    /// As people read it.
    fn human(&self, page: &mut Page);
}

/// Where a command prints.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
    color: ColorChoice,
}

impl Output {
    pub(super) fn new(options: &Options) -> Self {
        let color = match options.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        color.write_global();
        Self { format: options.output, color }
    }

    /// Where nobody can say yet what else was asked for.
    pub(super) fn plain(format: Format) -> Self {
        Self { format, color: ColorChoice::Auto }
    }

    /// Whether a person reads.
    pub(super) fn is_human(&self) -> bool {
        self.format == Format::Human
    }

    /// Prints a view to standard output.
    pub(super) fn show(&self, view: &impl View) -> Result<(), Failure> {
        let text = match self.format {
            Format::Human => {
                let mut page = Page::default();
                view.human(&mut page);
                page.0
            }
            Format::Json => return self.json(view),
            Format::Yaml => serde_yaml::to_string(view).map_err(|error| Failure::new("write YAML").because(&error))?,
        };
        self.print(text.as_bytes())
    }

    /// Prints a view as JSON, whatever was asked for.
    pub(super) fn json(&self, view: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(view).map_err(|error| Failure::new("write JSON").because(&error))?;
        self.print(format!("{text}\n").as_bytes())
    }

    /// Prints bytes to standard output as they are, but for colours that the reader doesn't want.
    pub(super) fn print(&self, bytes: &[u8]) -> Result<(), Failure> {
        write(&mut AutoStream::new(io::stdout(), self.color), bytes)
    }

    /// Prints bytes to standard output exactly as they are.
    pub(super) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
        write(&mut io::stdout(), bytes)
    }

    /// Says something beside the result, on standard error.
    pub(super) fn note(&self, text: &str) {
        let mut stream = AutoStream::new(io::stderr(), self.color);
        let _ = writeln!(stream, "{} {}", "note:".style(Style::new().cyan().bold()), clean(text));
    }

    /// Shows people something before the result, on standard error.
    pub(super) fn beside(&self, view: &impl View) {
        let mut page = Page::default();
        view.human(&mut page);
        let _ = AutoStream::new(io::stderr(), self.color).write_all(page.0.as_bytes());
    }

    /// The end: a failure goes to standard error, and to standard output too where a program reads that.
    pub(super) fn settle(&self, outcome: Result<Exit, Failure>) -> Exit {
        let failure = match outcome {
            Ok(exit) => return exit,
            Err(failure) => failure,
        };
        self.tell(&failure);
        let mut page = Page::default();
        page.failure(&failure);
        let mut stream = AutoStream::new(io::stderr(), self.color);
        let _ = stream.write_all(page.0.as_bytes());
        failure.exit
    }

    /// A failure to standard output, where a program reads that.
    pub(super) fn tell(&self, failure: &Failure) {
        if !self.is_human() {
            let _ = self.show(&FailureView { version: VERSION, error: Told::of(failure) });
        }
    }
}

fn write(stream: &mut impl io::Write, bytes: &[u8]) -> Result<(), Failure> {
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::new("write to standard output").because(&error)),
    }
}

/// A text in the making, with colours that are taken out again where nobody wants them.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// The text without its colours.
    #[cfg(test)]
    pub(super) fn plain(&self) -> String {
        anstream::adapter::strip_str(&self.0).to_string()
    }

    /// A line, which nothing in it turns round.
    pub(super) fn line(&mut self, text: impl Display) {
        self.0.push_str(&one_way(&text.to_string()));
        self.0.push('\n');
    }

    /// A name and what it is, aligned.
    pub(super) fn field(&mut self, name: &str, text: impl Display) {
        self.line(format_args!("  {} {text}", format_args!("{name:<12}").style(Style::new().dimmed())));
    }

    /// A failure with its causes and hint.
    pub(super) fn failure(&mut self, failure: &Failure) {
        self.line(format_args!("{} {}", "error:".style(Style::new().red().bold()), clean(&failure.message)));
        for cause in &failure.causes {
            self.line(format_args!("  because: {}", clean(cause)));
        }
        for problem in &failure.problems {
            self.line(format_args!("  {}", clean(&problem.to_string())));
            if let Some(hint) = &problem.hint {
                self.hint(hint);
            }
        }
        if let Some(hint) = &failure.hint {
            self.hint(hint);
        }
    }

    /// What to do.
    pub(super) fn hint(&mut self, hint: &str) {
        self.line(format_args!("  {} {}", "hint:".style(Style::new().cyan()), clean(hint)));
    }
}

#[derive(Serialize)]
struct FailureView {
    version: u32,
    error: Told,
}

impl View for FailureView {
    fn human(&self, _: &mut Page) {}
}

/// A failure for programs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Told {
    message: String,
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    #[serde(skip)]
    failure: Option<Box<Failure>>,
}

impl Told {
    /// The failure.
    pub(super) fn of(failure: &Failure) -> Self {
        let Failure { message, causes, hint, problems, exit: _ } = failure.clone();
        let problems = problems.iter().map(ToString::to_string).collect();
        Self { message, causes, hint, problems, failure: Some(Box::new(failure.clone())) }
    }

    /// As people read it.
    pub(super) fn human(&self, page: &mut Page) {
        if let Some(failure) = &self.failure {
            page.failure(failure);
        }
    }
}
