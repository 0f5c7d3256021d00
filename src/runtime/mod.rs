//! The loop: look at the world, decide one step, do it.
//!
//! [`pass`] knows ports and decisions only, no timers and no tasks, so the simulation drives it through virtual time exactly
//! as [`controller`] drives it through real time.

pub mod clock;
pub mod wakes;
pub mod reading;
pub mod memory;
pub mod observe;
pub mod pass;
mod events;
pub mod sampling;
pub mod keeper;
pub mod controller;
pub mod together;
pub mod preview;
pub mod once;
