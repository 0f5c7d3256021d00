//! The loop: look at the world, decide one step, do it.
//!
//! Time and tasks come through [`crate::port::Scheduler`], so the simulation drives [`keeper::Keeper`] and [`polling`] through virtual
//! time exactly as [`controller`] drives them through real time.

#[cfg(test)]
#[path = "../../tests/it/support/imagined.rs"]
mod imagined;

pub mod clock;
pub mod wakes;
mod failing;
pub mod reports;
pub mod outbox;
pub mod reporting;
mod refusals;
pub mod reading;
mod ahead;
mod denial;
pub mod memory;
pub mod observe;
pub mod succession;
pub mod interruption;
pub mod pass;
mod next;
mod events;
pub mod sampling;
pub mod keeper;
mod speaking;
mod sweeps;
mod lack;
mod leading;
mod election;
pub mod polling;
pub mod controller;
pub mod together;
pub mod preview;
pub mod pulls;
pub mod once;
pub mod removal;
