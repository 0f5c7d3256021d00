//! The loop over virtual time: one seed is one history of failures, crashes and hand edits.
//!
//! Two replicas run the real pass against a world that loses answers, drops futures between any two awaits, lets mirrors
//! lag, keys be edited by hand and the clock jump. Invariants are checked at every write, liveness once the faults stop.
//! Planted bugs show that the invariants notice; situations are counted, so that a seed range that misses one fails.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![allow(clippy::print_stdout, reason = "what a run reached is worth a line")]

mod random;
mod executor;
mod repository;
mod world;
mod invariants;
mod bugs;
mod edges;
mod ears;
mod person;
mod replica;
mod losses;
mod scenario;
mod spoiled;
mod planted;
mod rest;
mod runs;
