//! Whether a desired state fits the target it is for: what the repository alone can't tell.
//!
//! `validate` with a controller configuration and `plan` ask these; each problem names the place that sets the key.

use std::time::Duration;

use crate::domain::name::{KeyPath, KeyRoots};

use super::environment_file::{DEADLINE_HINT, ENVIRONMENTS, FILE};
use super::problem::{Affected, Problem, printable, whole_file};
use super::state::{DesiredState, Entry};

/// The longest name of a file on common file systems, in bytes.
const LONGEST_SEGMENT: usize = 255;

/// Keys outside the only roots that the controller may write in this environment (rule O7).
#[must_use]
pub fn outside_roots(state: &DesiredState, roots: &KeyRoots) -> Vec<Problem> {
    let outside = state.entries().iter().filter(|(key, _)| !roots.contains(key.as_str()));
    let hint = format!("the controller's configuration lets this environment write below {}", roots.prefixes().join(", "));
    outside
        .map(|(key, entry)| at(state, entry, format!("the key {key} lies outside this environment's roots"), &hint))
        .collect()
}

/// Keys that are a prefix of another at `/`: on a directory target one would be a file and a directory at once (rule D3).
#[must_use]
pub fn nested_keys(state: &DesiredState) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut last: Option<&str> = None;
    for key in state.entries().keys() {
        for (slash, _) in key.as_str().match_indices('/') {
            let Some((above, entry)) = state.entries().get_key_value(&key.as_str()[..slash]) else { continue };
            // One problem for a key, however many lie below it.
            if last != Some(above.as_str()) {
                let place = &state.entries()[key].origin;
                let message =
                    format!("the key {above} can't be a file, since {key} ({}) lies below it", printable(&place.to_string()));
                problems.push(at(state, entry, message, "on a directory target a key is a file: rename one of the two"));
            }
            last = Some(above.as_str());
        }
    }
    problems
}

/// Keys with a segment that is too long for the name of a file, on a directory target (rule D3).
#[must_use]
pub fn long_segments(state: &DesiredState) -> Vec<Problem> {
    let is_long = |key: &KeyPath| key.as_str().split('/').any(|segment| segment.len() > LONGEST_SEGMENT);
    let long = state.entries().iter().filter(|(key, _)| is_long(key));
    let message = |key| format!("the key {key} has a segment over {LONGEST_SEGMENT} bytes");
    long.map(|(key, entry)| at(state, entry, message(key), "on a directory target a segment is a file's name")).collect()
}

/// Deadlines that could never be met with the target's own `settle` (rule H3); what is wrong on every target has been told
/// when the revision was read.
#[must_use]
pub fn deadline_too_short(state: &DesiredState, default_settle: Duration) -> Option<Problem> {
    let environment = state.environment();
    let message = environment.policy.rollout.deadline_problem(default_settle)?;
    let file = format!("{ENVIRONMENTS}/{}/{FILE}", environment.name);
    Some(whole_file(&file, message, Some(DEADLINE_HINT), Affected::one(&environment.name)))
}

fn at(state: &DesiredState, entry: &Entry, message: String, hint: &str) -> Problem {
    let origin = &entry.origin;
    let problem = whole_file(&origin.file, message, Some(hint), Affected::one(&state.environment().name));
    Problem { line: origin.line, column: origin.column, ..problem }
}
