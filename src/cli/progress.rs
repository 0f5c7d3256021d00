//! What goes on while a command works, on standard error: one line that moves on a terminal; elsewhere, such as in the log of a
//! pipeline, a line for each thing that is new, so that no long work is silent.

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::output::Output;

/// Lines of a log are so far apart at least: what is passed by faster is not told there.
const APART: Duration = Duration::from_secs(5);

/// The progress of one piece of work. It is over when this is dropped.
#[derive(Debug)]
pub(super) struct Steps<'o> {
    about: String,
    way: Way<'o>,
}

#[derive(Debug)]
enum Way<'o> {
    Terminal(indicatif::ProgressBar),
    Log(&'o Output, Mutex<Pace>),
    /// A program reads, and wants the result alone.
    Silent,
}

impl<'o> Steps<'o> {
    /// Progress of work on what this names.
    pub(super) fn new(output: &'o Output, about: impl Into<String>) -> Self {
        let way = match (output.is_human(), io::stderr().is_terminal()) {
            (false, _) => Way::Silent,
            (true, true) => {
                let bar = indicatif::ProgressBar::new_spinner();
                bar.enable_steady_tick(Duration::from_millis(120));
                Way::Terminal(bar)
            }
            (true, false) => Way::Log(output, Mutex::new(Pace { told: String::new(), from: Instant::now() + APART })),
        };
        Self { about: about.into(), way }
    }

    /// Says what goes on now.
    pub(super) fn say(&self, text: &str) {
        let line = format!("{}: {text}", self.about);
        match &self.way {
            Way::Terminal(bar) => bar.set_message(line),
            Way::Log(output, pace) => {
                if pace.lock().unwrap_or_else(PoisonError::into_inner).is_due(&line, Instant::now()) {
                    output.note(&line);
                }
            }
            Way::Silent => {}
        }
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        if let Way::Terminal(bar) = &self.way {
            bar.finish_and_clear();
        }
    }
}

/// What of all that goes on is told in a log.
#[derive(Debug)]
struct Pace {
    told: String,
    /// Nothing is told before.
    from: Instant,
}

impl Pace {
    /// Whether this line is told now.
    fn is_due(&mut self, line: &str, now: Instant) -> bool {
        let due = self.told != line && now >= self.from;
        if due {
            line.clone_into(&mut self.told);
            self.from = now + APART;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_what_lasts_once_and_not_what_is_passed_by_faster() {
        let begin = Instant::now();
        let mut pace = Pace { told: String::new(), from: begin + APART };
        let said =
            [(1, "applying"), (5, "verifying"), (6, "build fails"), (9, "verifying"), (10, "verifying"), (12, "build fails")];
        let told = said.map(|(second, line)| pace.is_due(line, begin + Duration::from_secs(second)));
        assert_eq!(told, [false, true, false, false, false, true]);
    }
}
