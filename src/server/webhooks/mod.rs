//! `POST /webhooks/github` and `/webhooks/gitea`: a signed delivery wakes the controller, and carries nothing else (rule R12).
//!
//! The body is hashed while it comes in, never kept and never parsed. A forge without secrets has no endpoint.

mod refusal;
mod presented;
mod event;
mod secrets;
mod receiving;
mod refusals;
mod door;

pub use door::{Doors, SecretError};
pub use refusal::Refusal;
