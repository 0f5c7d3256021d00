//! What this controller serves over HTTP: endpoints that wake it, and the pages that commit statuses link to, behind limits that
//! hold whoever asks.
//!
//! [`router()`] joins the parts that have something to serve and answers for everything else; [`serving`] accepts connections, so
//! many at once and none for ever. TLS is a proxy's affair.

mod limits;
mod problem;
mod socket;
pub mod serving;
pub mod webhooks;
pub mod pages;
mod router;

pub use limits::Limits;
pub use problem::Problem;
pub use router::router;
