//! lockstep keeps environments in step with a git repository.
//!
//! The modules below stand in dependency order: each names only modules above it, and data flows the same way. A test
//! (`tests/architecture.rs`) holds the whole tree to that.

// The tests' own tools are of the integration tests, which know this crate by its name.
#[cfg(test)]
extern crate self as lockstep;

pub mod domain;
pub mod config;
pub mod port;
pub mod telemetry;
pub mod client;
pub mod runtime;
pub mod server;
pub mod cli;
