//! Station 1: the files of one revision become the desired state of each environment.
//!
//! Reading never stops at the first problem: every problem of every file is reported with its place and a hint, and an
//! environment is usable when none of them touches it (format 1, rules F1 to F3). The modules stand in the order in which
//! a file passes them: bytes, values, layers, the merged state, and whether that fits a target.

pub mod tree;
pub mod state;
mod problem;
mod yaml;
mod duration;
mod fields;
mod variables;
mod manifest;
mod environment_file;
mod values;
mod files;
mod checks;
mod layer;
mod selection;
mod merge;
mod repository;
mod naming;
mod provenance;
mod tagging;
mod part;
mod renewal;
mod fit;
#[cfg(test)]
pub(in crate::domain) mod sketch;

pub use duration::{DurationError, parse_duration};
pub use environment_file::{ENVIRONMENTS, FILE as ENVIRONMENT_FILE};
pub use fit::{deadline_too_short, long_segments, nested_keys, outside_roots};
pub use manifest::FORMAT;
pub use naming::{Heirs, environment_file, former_name, goes_on_as};
pub use part::{Part, affected, head_of, heads, manifest_alone, own_files, read_part, whole_environment};
pub use problem::{Affected, Problem};
pub(in crate::domain) use problem::{FileProblems, Place};
pub use provenance::{Provenance, Said, files_of, files_of_all, provenance};
pub use renewal::{Renewal, renewal};
pub use repository::{Repository, environment_names, read, read_environment, read_for};
pub use selection::{Extent, Selection};
pub use state::{DesiredState, Entry, EntrySum, Origin};
pub use tagging::Tagging;
pub use tree::{FileTree, Node, Size};
pub(in crate::domain) use yaml::{Content, Node as YamlNode, read as yaml_document};

/// The largest value of a key in bytes: what fits one transaction of Consul with room for the rest (rule A2).
pub const LARGEST_VALUE: usize = 390_000;
