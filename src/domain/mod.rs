//! The decisions of lockstep as pure functions: no IO, no clock, no randomness, nothing asynchronous.
//!
//! A commit runs along the stations below, in this order: a file tree becomes a desired state, desired and live state
//! become a plan, the guard lets it pass or refuses it, samples become a verdict, and the rollout decides the next step.
//! A station names only stations above it.

pub mod words;
pub mod shown;
pub mod name;
pub mod scope;
pub mod keymap;
pub mod revision;
pub mod time;
pub mod commit;
mod canonical;
pub mod check;
pub mod environment;
pub mod resource;
pub mod desired;
pub mod live;
pub mod plan;
pub mod guard;
pub mod health;
pub mod rollout;
pub mod past;
pub mod report;
pub mod pull;
pub mod commit_status;
pub mod pull_plan;
pub mod import;
