//! Commands as the documentation prints them, for the tests that run them.

use std::path::Path;
use std::process::{Command, Stdio};

/// A fenced block of a page.
pub(crate) struct Block {
    /// The heading that it stands below.
    pub(crate) heading: String,
    /// What stands behind the opening fence.
    pub(crate) language: String,
    /// The text between the fences.
    pub(crate) text: String,
}

/// A page of this repository.
pub(crate) fn page(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The fenced blocks of a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut heading = String::new();
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(language) => {
                inside = true;
                blocks.push(Block { heading: heading.clone(), language: language.to_owned(), text: String::new() });
            }
            None if inside => {
                let text = &mut blocks.last_mut().expect("a fence was opened").text;
                text.push_str(line);
                text.push('\n');
            }
            None if line.starts_with('#') => line.trim_start_matches('#').trim().clone_into(&mut heading),
            None => {}
        }
    }
    blocks
}

/// The shell commands below a heading of a page, block by block.
#[track_caller]
pub(crate) fn commands(page: &str, heading: &str) -> Vec<String> {
    let found: Vec<String> = blocks(page)
        .into_iter()
        .filter(|block| block.heading == heading && block.language == "sh")
        .map(|block| block.text)
        .collect();
    assert!(!found.is_empty(), "the page has no commands below {heading:?}");
    found
}

/// Runs commands in a directory with these variables, as a person would type them, and gives what they print. They may take
/// a minute; a command that fails ends them.
#[track_caller]
pub(crate) fn run(commands: &str, directory: &Path, variables: &[(&str, &str)]) -> Result<String, String> {
    let mut shell = Command::new("timeout");
    shell.args(["60", "sh", "-euc", commands]).current_dir(directory).stdin(Stdio::null());
    let output = shell.envs(variables.iter().copied()).output().expect("a shell runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.into_owned()) } else { Err(format!("{}\n{out}{err}\n{commands}", output.status)) }
}
