//! Why a change is made, put into words where it is told: of a first deploy's hundred thousand nobody reads more than a few.

use std::fmt;

use crate::domain::desired::Origin;

/// Why a change is made, for people: "new in base/kv/a.yaml:3", "changed by hand".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// No key yet, and this place gives it a value.
    New(Origin),
    /// This place gives it another value.
    Changed(Origin),
    /// It has the value of this place already, and nobody's mark.
    There(Origin),
    /// The place that gave it its value is gone.
    Dropped(Origin),
    /// Something else, as it is said.
    Said(&'static str),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(origin) => write!(f, "new in {origin}"),
            Self::Changed(origin) => write!(f, "changed in {origin}"),
            Self::There(origin) => write!(f, "is there with the value of {origin}"),
            Self::Dropped(origin) => write!(f, "no longer in the repository (was in {origin})"),
            Self::Said(text) => f.write_str(text),
        }
    }
}
