//! `render`: what a revision says of one environment, merged, with nothing of the target in it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use super::edges::Edges;
use super::error::{Exit, Failure};
use super::hiding::{Shown, hidden};
use super::key::{at, open, read, shown};
use super::options::Options;
use super::output::{Output, Page, VERSION, View};
use super::text::{clean, count};
use super::value::{Value, line};
use crate::domain::desired::DesiredState;
use crate::domain::name::{EnvironmentName, KeyPath};
use crate::domain::revision::Revision;

/// Print what a revision says of an environment
///
/// Every key with its merged value and where that stands, also of a commit that has the environment under a former name. The target
/// is asked only what commit a generation was of, and what the branch does not tell: what the environment was called, or, where
/// the branch does not have the commit, what may tag what that shows. Of the repository only the environment's layers are read, and
/// what may tag a value since. Values tagged `!sensitive`, there, at the branch head, or
/// when the key was last on the branch, are hidden, and left out of an export.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lockstep render production
  lockstep render production --at HEAD~3 --format json
  lockstep render production --at 12                          as generation 12 was to be
  lockstep render production --format consul-export > production.json    as `consul kv import` takes it

`consul kv import` stops at a key with a character that is not printable, such as U+00A0 or U+202E: a note names the first one.
Exits with 1 when the revision has no such environment or can't be read for it.")]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Instead of the branch head: a commit (an id, its first digits, HEAD~1) or the number of a generation
    #[arg(long, value_name = "REV|GENERATION")]
    at: Option<String>,
    /// The form [default: as --output says]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Form>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// The same as --output json
    Json,
    /// What `consul kv export` prints and `consul kv import` reads
    ConsulExport,
}

pub(super) async fn run(args: &Args, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let edges = open(options, output).await?;
    let environment = edges.environment(&args.environment)?;
    let asked = at(&edges, std::slice::from_ref(&environment), args.at.as_ref()).await?;
    if let Some(note) = &asked.note {
        output.note(note);
    }
    let at = asked.revision;
    let unread = |error| asked.unread(&environment, error);
    let name = asked.called(&edges, &environment).await.map_err(unread)?;
    let read = read(&edges, &name, at)
        .await
        .map_err(unread)?
        .map_err(|problems| Failure { problems, ..Failure::new(format!("{} can't be read for {environment}", at.short())) })?;
    let Some(desired) = read else {
        return Err(Failure::new(format!("{} has no environment {environment}", at.short())));
    };
    let called = Some(name.to_string()).filter(|_| name != environment);
    let tagged = tagged(&edges, &environment, at, &desired).await?;
    if args.format == Some(Form::ConsulExport) {
        let left_out = desired.entries().keys().filter(|key| tagged.contains(*key)).count();
        if left_out > 0 {
            output.note(&format!("left out, because tagged !sensitive: {}", count(left_out, "key")));
        }
        if let Some(called) = &called {
            output.note(&format!("{environment} was called {called} then"));
        }
        let refused: Vec<&KeyPath> = desired.entries().keys().filter(|key| !tagged.contains(*key) && !imports(key)).collect();
        if let [first, others @ ..] = refused.as_slice() {
            let first = first.as_str().escape_debug();
            let more = if others.is_empty() { String::new() } else { format!(", and {} more", others.len()) };
            output.note(&format!(
                "`consul kv import` refuses a key with a character that is not printable, and leaves out all that comes after it: \
                 {first}{more}"
            ));
        }
        Output::bytes(&export(&desired, &tagged)?)?;
        return Ok(Exit::Ok);
    }
    let rendered = Rendered { called, ..Rendered::of(&environment, at, &desired, &tagged) };
    if args.format == Some(Form::Json) {
        output.json(&rendered)?;
    } else {
        output.show(&rendered)?;
    }
    Ok(Exit::Ok)
}

/// The keys whose values stay hidden: those that the revision tags `!sensitive`, and those that newer ones do.
async fn tagged(
    edges: &Edges,
    environment: &EnvironmentName,
    at: Revision,
    desired: &DesiredState,
) -> Result<BTreeSet<KeyPath>, Failure> {
    let keys = |sensitive: bool| {
        let entries = desired.entries().iter().filter(move |(_, entry)| entry.sensitive == sensitive);
        entries.map(|(key, _)| key.clone()).collect::<BTreeSet<KeyPath>>()
    };
    let mut tagged = keys(true);
    // The branch head itself has the last word.
    if edges.head() != Some(at) {
        tagged.extend(hidden(edges, environment, keys(false), Shown::At(&[at])).await?);
    }
    Ok(tagged)
}

/// Whether Consul takes the key in a URL, where `consul kv import` puts it: of no character that Unicode counts as not printable. Those
/// are the ones that Rust escapes, besides quotes, backslashes and what combines with the character before.
fn imports(key: &KeyPath) -> bool {
    let is_printable = |c: char| matches!(c, '"' | '\'' | '\\') || format!("x{c}").escape_debug().nth(2).is_none();
    key.as_str().chars().all(is_printable)
}

/// What `consul kv export` prints of the same keys, to the byte: an array of key, flags and the value in base64.
fn export(desired: &DesiredState, tagged: &BTreeSet<KeyPath>) -> Result<Vec<u8>, Failure> {
    #[derive(Serialize)]
    struct Exported<'d> {
        key: &'d str,
        flags: u64,
        value: String,
    }
    let entries = desired.entries().iter().filter(|(key, _)| !tagged.contains(*key));
    let exported: Vec<Exported<'_>> =
        entries.map(|(key, entry)| Exported { key: key.as_str(), flags: 0, value: STANDARD.encode(&entry.value) }).collect();
    let mut bytes = Vec::new();
    let form = PrettyFormatter::with_indent(b"\t");
    exported
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, form))
        .map_err(|error| Failure::new("write JSON").because(&error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[derive(Serialize)]
struct Rendered {
    version: u32,
    environment: String,
    /// What the revision calls it, where that is a former name.
    #[serde(skip_serializing_if = "Option::is_none")]
    called: Option<String>,
    revision: String,
    /// What the revision says of its state, as one digest: the same for every commit that says the same.
    digest: String,
    keys: Vec<Key>,
    checks: Vec<String>,
    #[serde(skip)]
    short: String,
}

#[derive(Serialize)]
struct Key {
    #[serde(rename = "key")]
    name: String,
    value: Value,
    file: String,
    line: u32,
    keep: bool,
    #[serde(skip)]
    place: String,
}

impl Rendered {
    fn of(environment: &EnvironmentName, at: Revision, desired: &DesiredState, tagged: &BTreeSet<KeyPath>) -> Self {
        let keys = desired.entries().iter().map(|(key, entry)| Key {
            name: key.to_string(),
            value: shown(entry, tagged.contains(key)),
            file: entry.origin.file.to_string(),
            line: entry.origin.line,
            keep: entry.keep,
            place: clean(&entry.origin.to_string()),
        });
        Self {
            version: VERSION,
            environment: environment.to_string(),
            called: None,
            revision: at.to_string(),
            digest: desired.state_digest().to_string(),
            keys: keys.collect(),
            checks: desired.checks().keys().map(ToString::to_string).collect(),
            short: at.short(),
        }
    }
}

impl View for Rendered {
    fn human(&self, page: &mut Page) {
        let Self { environment, called, short, keys, checks, .. } = self;
        let (keys_count, checks_count) = (count(keys.len(), "key"), count(checks.len(), "check"));
        let name = environment.style(Style::new().bold());
        let called = called.as_ref().map_or_else(String::new, |called| format!(" (called {called} then)"));
        page.line(format_args!("{name}{called} at {short}: {keys_count}, {checks_count}"));
        for Key { name, value, place, .. } in keys {
            let place = format!("({place})");
            page.line(format_args!("  {name} = {}  {}", line(value), place.style(Style::new().dimmed())));
        }
        for check in checks {
            page.line(format_args!("  check {check}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_imported_whose_every_character_is_printable() {
        for (key, expected) in [
            ("config/a b", true),
            ("config/\"quoted\" and 'quoted'", true),
            ("config/grün/ñ", true),
            ("config/e\u{301}", true),
            ("config/\u{1f980}", true),
            ("config/a\u{a0}b", false),
            ("config/a\u{3000}b", false),
            ("config/a\u{ad}b", false),
            ("config/a\u{200b}b", false),
            ("config/a\u{202e}b", false),
            ("config/a\u{e000}b", false),
        ] {
            assert_eq!(imports(&KeyPath::parse(key).unwrap()), expected, "{key:?}");
        }
    }
}
