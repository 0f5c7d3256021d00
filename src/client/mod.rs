//! Effects: one module per outside system, no decisions.

pub mod wire;
pub mod git;
pub mod forge;
pub mod consul;
pub mod directory;
pub mod probe;
pub mod folder;
