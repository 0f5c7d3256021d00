//! Tests against a real Consul. A missing Consul fails them; they never skip.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::similar_names,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking; it measures real time; its items are for this binary"
)]

#[macro_use]
mod suite;

#[path = "../it/support/repo.rs"]
#[allow(dead_code, reason = "the integration tests use the rest of it")]
mod repo;

#[path = "../it/support/git_server.rs"]
#[allow(dead_code, reason = "the integration tests use the rest of it")]
mod git_server;

#[path = "../it/support/contract.rs"]
#[allow(dead_code, reason = "the integration tests use the rest of it")]
mod contract;

#[path = "../it/support/forge_server.rs"]
#[allow(dead_code, reason = "the integration tests use the rest of it")]
mod forge_server;

#[path = "../it/support/signing.rs"]
mod signing;

#[path = "../it/support/pages.rs"]
mod pages;

mod git_ssh;

mod support;
mod stage;
mod fake;
mod larger;
mod pki;
mod consul_suite;
mod consul_state;
mod consul_init;
mod consul_apply;
mod consul_reads;
mod consul_faults;
mod consul_looks;
mod consul_watch;
mod consul_sharing;
mod consul_rights;
mod consul_catalog;
mod consumers;
mod import;
mod import_tools;
mod import_adopts;
mod operations;
mod probe;
mod daemon;
