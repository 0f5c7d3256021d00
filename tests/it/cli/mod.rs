//! The program itself, on directory targets and scratch repositories: every verb, what it prints, and how it exits.

mod acts;
mod adopts;
mod applies;
mod completions;
mod consumers;
mod decisions;
mod documents;
mod forges;
mod hidden;
mod imports;
mod keys;
mod looks;
mod missing;
mod recovers;
mod removes;
mod renames;
mod reused;
mod revisions;
mod rewritten;
mod says;
mod shapes;
pub(crate) mod stage;
mod validate;
mod versions;
mod waits;
