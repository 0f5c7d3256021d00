//! Decisions of the rollout as tables: each case is a sentence about a small world, and what the world looks like at its end.
//!
//! [`script`] reads the sentences, [`world`] is an in-memory target with a repository, people and a clock around the real
//! decision. Every pass of every case is held to what must always be true of a step (see [`world::World::pass`]).

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

mod world;
mod script;
mod showing;
mod verdicts;
mod freezes;
mod heads;
mod decisions;
mod adoptions;
mod deletes;
mod removal;
mod renaming;
mod writes;
mod drift;
mod rules;
mod people;
mod pending;
mod awaited;
mod baseline;
mod properties;

use script::{answers_after, check};
pub(crate) use script::{history_after, rollout_after};
pub(crate) use world::number;
