//! Import: keys that live somewhere else become the files of a config repository, and nothing is lost unsaid.
//!
//! Every key that was found is either written so that our own parser reads exactly its bytes again, or told as left out with a
//! reason. [`gather()`](Gathering) decides which keys can be ours, [`lay_out`] writes them as files, [`compare`] holds what was
//! read again against what was found.

mod reason;
mod pattern;
mod secrets;
mod gather;
mod yaml_text;
mod form;
mod mapping;
mod layout;
mod compare;

pub use compare::{Compared, compare};
pub use gather::{Found, Gathering, MOST_BYTES, MOST_KEYS};
pub use layout::{LaidOut, lay_out};
pub use pattern::Pattern;
pub use reason::{LeftOut, Reason};
pub use secrets::looks_secret;
