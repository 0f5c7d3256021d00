//! What several integration tests need.

pub(crate) mod contract;
pub(crate) mod forge_server;
pub(crate) mod git_server;
pub(crate) mod imagined;
pub(crate) mod pages;
pub(crate) mod ports;
pub(crate) mod repo;
pub(crate) mod signing;
