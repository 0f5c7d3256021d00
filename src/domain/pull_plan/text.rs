//! The comment as Markdown: a table of environments, then each one's changes, folded where they are long.
//!
//! Keys, values and texts in it were written by whoever opened the pull request. They stand in code blocks and code spans that
//! nothing in them can end, so that they mention nobody, link nowhere and close no issue.

use std::fmt::Write as _;

use super::{ChangeShown, Changes, Forecast, PullPlan, ValueShown};
use crate::domain::name::EnvironmentName;
use crate::domain::plan::Action;
use crate::domain::shown::{ChangeTag, clean, compared, one_way};
use crate::domain::words::{count, one_or};

/// What each such comment begins with, unseen: by it the comment is found again.
pub const MARKER: &str = "<!-- lockstep:plan -->";
/// The longest comment in bytes: GitHub takes 65,536 characters.
const LONGEST: usize = 60_000;
/// More lines than these are folded away.
const FOLDED: usize = 30;
/// So many lines of one environment at most.
const LINES: usize = 400;
/// So many lines of one value at most.
const VALUE_LINES: usize = 24;
/// So many characters of a line.
const WIDTH: usize = 160;
/// So many characters of a text in the table or beside a plan.
const TEXT: usize = 400;

/// The comment on a pull request.
#[must_use]
pub fn comment(plan: &PullPlan) -> String {
    let mut text = format!("{MARKER}\n### lockstep plan: {}\n", headline(plan));
    let (plans, trailers, from_fork) = match plan {
        PullPlan::Unknown(why) => {
            let _ = writeln!(text, "\nIt could not be planned: {}", code(why));
            return text;
        }
        PullPlan::Conflicts(files) => {
            text.push_str("\nThere is no merge result to plan until the conflict is resolved");
            text.push_str(if files.is_empty() { ".\n" } else { ":\n" });
            for file in files {
                let _ = writeln!(text, "- {}", code(file));
            }
            return text;
        }
        PullPlan::Merged { plans, trailers, from_fork } => (plans, trailers, *from_fork),
    };
    text.push_str("\nWhat the merge result would do:\n\n| environment | plan |\n|---|---|\n");
    for (environment, plan) in plans {
        let _ = writeln!(text, "| {} | {} |", code(environment.as_str()), cell(plan));
    }
    if !trailers.is_empty() {
        let trailers: Vec<String> = trailers.iter().map(|trailer| code(trailer)).collect();
        let until = if from_fork { " once they are merged (this plan leaves them out)" } else { "" };
        let _ = writeln!(text, "\nIts commits carry trailers that lockstep follows{until}: {}", trailers.join(", "));
    }
    for (environment, plan) in plans {
        let section = section(environment, plan);
        if text.len() + section.len() > LONGEST {
            text.push_str("\nThe rest is too long for a comment; `lockstep plan` shows all of it once it is merged.\n");
            break;
        }
        text.push_str(&section);
    }
    text
}

fn headline(plan: &PullPlan) -> String {
    let plans = match plan {
        PullPlan::Conflicts(_) => return "it conflicts with the branch".to_owned(),
        PullPlan::Unknown(_) => return "not known".to_owned(),
        PullPlan::Merged { plans, .. } => plans,
    };
    let number = |is_meant: fn(&Forecast) -> bool| plans.iter().filter(|(_, plan)| is_meant(plan)).count();
    let refused = number(|plan| matches!(plan, Forecast::Refused(..) | Forecast::Invalid(_)));
    let changed = number(|plan| matches!(plan, Forecast::Changes(_) | Forecast::Retired));
    let unknown = number(|plan| matches!(plan, Forecast::Unknown(_)));
    let told = match (refused, changed) {
        (0, 0) if unknown > 0 => return format!("not known for {}", count(unknown, "environment")),
        (0, 0) => "no changes".to_owned(),
        (0, changed) => format!("{} {}", count(changed, "environment"), one_or(changed, "changes", "change")),
        (refused, _) => format!("it would not be deployed to {}", count(refused, "environment")),
    };
    if unknown > 0 { format!("{told}; not known for {unknown}") } else { told }
}

fn cell(plan: &Forecast) -> String {
    match plan {
        Forecast::InStep | Forecast::Changes(_) | Forecast::Retired => plan.said(),
        Forecast::Refused(_, text) => format!("❌ refused: {}", code(text)),
        Forecast::Invalid(problems) => format!("❌ invalid: {}", count(problems.len(), "problem")),
        Forecast::Unknown(text) => format!("⚠️ not known: {}", code(text)),
    }
}

fn section(environment: &EnvironmentName, plan: &Forecast) -> String {
    let (lines, notes) = match plan {
        Forecast::Changes(changes) | Forecast::Refused(changes, _) => (changes_of(changes), changes.notes.as_slice()),
        Forecast::Invalid(problems) => (problems.iter().map(|problem| format!("- {}", clean(problem))).collect(), &[][..]),
        Forecast::InStep | Forecast::Retired | Forecast::Unknown(_) => return String::new(),
    };
    if lines.is_empty() && notes.is_empty() {
        return String::new();
    }
    let is_folded = lines.len() > FOLDED;
    let title = format!("{}: {}", code(environment.as_str()), if is_folded { plan_said(plan) } else { String::new() });
    let mut text = String::from("\n");
    if is_folded {
        // Markdown is read inside only after an empty line.
        let _ = writeln!(text, "<details><summary>{environment}: {}, {} lines</summary>\n", plan_said(plan), lines.len());
    } else {
        let _ = writeln!(text, "**{}**", title.trim_end_matches([':', ' ']));
    }
    for note in notes {
        let _ = writeln!(text, "\n> {}", code(note));
    }
    if !lines.is_empty() {
        let shown = &lines[..lines.len().min(LINES)];
        let mut block = shown.join("\n");
        if let Some(more) = lines.len().checked_sub(LINES).filter(|more| *more > 0) {
            let _ = write!(block, "\n… {} more", count(more, "line"));
        }
        let fence = fence(&block);
        let _ = writeln!(text, "\n{fence}diff\n{block}\n{fence}");
    }
    if is_folded {
        text.push_str("\n</details>\n");
    }
    text
}

/// In words that hold nothing that somebody else wrote: they stand outside of code.
fn plan_said(plan: &Forecast) -> String {
    match plan {
        Forecast::Changes(changes) | Forecast::Refused(changes, _) => changes.said(),
        Forecast::Invalid(problems) => count(problems.len(), "problem"),
        Forecast::InStep | Forecast::Retired | Forecast::Unknown(_) => String::new(),
    }
}

fn changes_of(changes: &Changes) -> Vec<String> {
    changes.lines.iter().flat_map(change_lines).collect()
}

fn change_lines(change: &ChangeShown) -> Vec<String> {
    let ChangeShown { key, action, before, after } = change;
    let key = one_way(key.as_str());
    let one = |sign: char, value: &ValueShown| match value {
        ValueShown::Text(text) if text.lines().count() <= 1 => vec![format!("{sign} {key} = {}", cut(text))],
        ValueShown::Text(text) => {
            let lines = text.lines().map(|line| format!("{sign}   {}", cut(line)));
            std::iter::once(format!("{sign} {key} =")).chain(bounded(lines, sign)).collect()
        }
        ValueShown::Size(size) => vec![format!("{sign} {key} = ({})", count(size, "byte"))],
        ValueShown::Hidden => vec![format!("{sign} {key} = (sensitive)")],
    };
    match (action, before, after) {
        // What a key holds that is in no revision, somebody wrote: it is not shown.
        (Action::Create, _, Some(after)) | (Action::Update, None, Some(after)) => one('+', after),
        (Action::Update, Some(ValueShown::Hidden), Some(_)) => vec![format!("! {key} = (sensitive)")],
        (Action::Update, Some(ValueShown::Text(old)), Some(ValueShown::Text(new)))
            if old.lines().count().max(new.lines().count()) > 1 =>
        {
            std::iter::once(format!("! {key}")).chain(differing(old, new)).collect()
        }
        (Action::Update, Some(before), Some(after)) => [one('-', before), one('+', after)].concat(),
        (Action::Adopt, _, _) => vec![format!("  {key} (taken over with its value)")],
        (Action::Delete, Some(before), _) => one('-', before),
        (Action::Delete, None, _) => vec![format!("- {key}")],
        (Action::Release, _, _) => vec![format!("  {key} (released: it stays with its value)")],
        (Action::Create | Action::Update, _, None) => vec![format!("! {key}")],
    }
}

fn differing(old: &str, new: &str) -> Vec<String> {
    let Some(lines) = compared(old, new) else {
        return vec![
            format!("-   ({})", count(old.lines().count(), "line")),
            format!("+   ({})", count(new.lines().count(), "line")),
        ];
    };
    let signed = lines.iter().map(|(tag, line)| {
        let sign = match tag {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        format!("{sign}   {}", cut(line.trim_end_matches(['\n', '\r']))).trim_end().to_owned()
    });
    bounded(signed, ' ')
}

fn bounded(lines: impl Iterator<Item = String>, sign: char) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    if let Some(more) = lines.len().checked_sub(VALUE_LINES).filter(|more| *more > 0) {
        lines.truncate(VALUE_LINES);
        lines.push(format!("{sign}   … {}", count(more, "more line")));
    }
    lines
}

fn cut(line: &str) -> String {
    let text = clean(line);
    if text.chars().count() <= WIDTH { text } else { format!("{}…", text.chars().take(WIDTH).collect::<String>()) }
}

/// A text as a code span that nothing in it can end, in one line and fit for a cell of a table.
fn code(text: &str) -> String {
    let text = clean(text);
    let text: String =
        if text.chars().count() <= TEXT { text } else { format!("{}…", text.chars().take(TEXT).collect::<String>()) };
    // A pipe ends a cell even inside of code.
    let text = text.replace('|', "\\|");
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// A fence that nothing in the block can end.
fn fence(block: &str) -> String {
    "`".repeat(longest_run(block).max(2) + 1)
}

/// The longest run of back-ticks.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}
