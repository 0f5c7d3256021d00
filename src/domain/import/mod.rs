//! Import: keys that live somewhere else become the files of a config repository, and nothing is lost unsaid.
//!
//! Every key that was found is either written so that our own parser reads exactly its bytes again, or told as left out with a
//! reason. [`gather()`](Gathering) decides which keys can be ours, [`lay_out`] writes them as files, [`compare()`] holds what was
//! read again against what was found. [`gonsul()`], [`git2consul()`] and [`set_consulkv()`] know which keys those tools write
//! from a repository of theirs.

mod reason;
mod pattern;
mod secrets;
mod gather;
mod yaml_text;
mod form;
mod mapping;
mod compare;
mod layout;
mod numbers;
mod words;
mod tree;
mod legacy;
mod properties;
mod gonsul;
mod git2consul;
mod set_consulkv;

pub use compare::{Compared, compare};
pub use gather::{Found, Gathering, MOST_BYTES, MOST_KEYS};
pub use git2consul::{Git2consul, git2consul};
pub use gonsul::{Gonsul, gonsul};
pub use layout::{LaidOut, lay_out};
pub use legacy::{Legacy, Told};
pub use pattern::Pattern;
pub use reason::{LeftOut, Reason};
pub use secrets::looks_secret;
pub use set_consulkv::{SetConsulKv, set_consulkv};
