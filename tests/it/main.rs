//! Integration tests in one binary: the edges against real files, real repositories and fake servers.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "a test that fails says so; it measures real time; its items are for this binary"
)]

#[path = "../live/suite.rs"]
#[macro_use]
mod suite;
mod support;
mod directory;
mod source;
mod config;
mod config_forge;
mod forges;
mod probe;
mod telemetry;
mod controller;
mod cli;
mod format;
mod webhooks;
