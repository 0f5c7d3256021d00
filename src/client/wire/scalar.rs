//! Single values as JSON: ids, names, words and moments as texts, counters as numbers, checked while they are read.
//!
//! The domain's types know no serde; [`Text`] and [`Number`] carry them across, so that a stored record that reads at all
//! holds nothing that the domain could not have made.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::name::{CheckName, EnvironmentName, KeyPath, RepositoryName};
use crate::domain::plan::Intent;
use crate::domain::resource::OwnerId;
use crate::domain::revision::{Generation, Revision, RevisionDigest, StateDigest, ValueDigest};
use crate::domain::rollout::{Drifted, HeadVerdict, Outcome, Phase, Reached, RequestId, TargetId, Unproven};
use crate::domain::scope::KeyPrefix;
use crate::domain::time::Timestamp;

/// Something with a text of its own that reads back as itself.
pub(super) trait Scalar: Sized {
    /// Its text.
    fn write(&self) -> String;
    /// Reads the text; the error says what the text is not.
    fn read(text: &str) -> Result<Self, String>;
}

/// A value that is a text in JSON.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<T>(pub(super) T);

impl<T: Scalar> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.write())
    }
}

impl<'de, T: Scalar> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<T: Scalar> Visitor<'_> for Reader<T> {
            type Value = Text<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::read(text).map(Text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Reader(PhantomData))
    }
}

/// A counter or id that is a number in JSON.
#[derive(Clone, Copy)]
pub(super) struct Number<T>(pub(super) T);

impl Serialize for Number<Generation> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0.number())
    }
}

impl<'de> Deserialize<'de> for Number<Generation> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        Generation::new(number).map(Number).ok_or_else(|| D::Error::custom(format!("generation {number} is over 28 bits")))
    }
}

impl Serialize for Number<OwnerId> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0.number())
    }
}

impl<'de> Deserialize<'de> for Number<OwnerId> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        OwnerId::new(u16::deserialize(deserializer)?).map(Number).ok_or_else(|| D::Error::custom("owner id 0 is none"))
    }
}

fn quoted(text: &str) -> String {
    // What is stored may be anything by now; a message is for people.
    format!("{:?}", text.chars().take(80).collect::<String>())
}

macro_rules! scalar_by_parse {
    ($($type:ty),+) => {$(
        impl Scalar for $type {
            fn write(&self) -> String {
                self.to_string()
            }
            fn read(text: &str) -> Result<Self, String> {
                Self::parse(text).map_err(|error| error.to_string())
            }
        }
    )+};
}

scalar_by_parse!(
    KeyPrefix,
    Revision,
    StateDigest,
    RevisionDigest,
    ValueDigest,
    KeyPath,
    EnvironmentName,
    RepositoryName,
    CheckName
);

macro_rules! scalar_by_option {
    ($($type:ty: $what:literal),+) => {$(
        impl Scalar for $type {
            fn write(&self) -> String {
                self.to_string()
            }
            fn read(text: &str) -> Result<Self, String> {
                Self::parse(text).ok_or_else(|| format!("{} is no {}", quoted(text), $what))
            }
        }
    )+};
}

scalar_by_option!(TargetId: "target id", RequestId: "request id");

macro_rules! scalar_by_word {
    ($($type:ty: $what:literal),+) => {$(
        impl Scalar for $type {
            fn write(&self) -> String {
                self.word().to_owned()
            }
            fn read(text: &str) -> Result<Self, String> {
                Self::ALL.into_iter().find(|one| one.word() == text)
                    .ok_or_else(|| format!("{} is no {}", quoted(text), $what))
            }
        }
    )+};
}

scalar_by_word!(Phase: "phase", Outcome: "outcome", HeadVerdict: "verdict on a head", Intent: "intent", Unproven: "reason for a lack of proof", Drifted: "way to drift");

/// RFC 3339 with milliseconds, UTC. Moments beyond the year 9999 are written as its end: no deadline is that far.
impl Scalar for Timestamp {
    fn write(&self) -> String {
        let moment = jiff::Timestamp::from_millisecond(self.as_millis()).unwrap_or(if self.as_millis() < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        format!("{moment:.3}")
    }
    fn read(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>()
            .map(|moment| Self::from_millis(moment.as_millisecond()))
            .map_err(|error| format!("{} is no moment: {error}", quoted(text)))
    }
}

/// Whole milliseconds.
impl Scalar for Duration {
    fn write(&self) -> String {
        format!("{}ms", self.as_millis())
    }
    fn read(text: &str) -> Result<Self, String> {
        let millis = text.strip_suffix("ms").and_then(|number| number.parse().ok());
        millis.map(Self::from_millis).ok_or_else(|| format!("{} is no number of milliseconds", quoted(text)))
    }
}

/// One line, since a record can hold a thousand of them: generation, revision, tip (`=` when it is the revision), state
/// digest and revision digest. Rules are none of it: what was attempted only says which keys are ours (rule O3).
impl Scalar for Reached {
    fn write(&self) -> String {
        let Self { revision, tip, state, digest, generation, rules: _ } = self;
        let tip = if tip == revision { "=".to_owned() } else { tip.to_string() };
        format!("{generation} {revision} {tip} {state} {digest}")
    }
    fn read(text: &str) -> Result<Self, String> {
        let [generation, revision, tip, state, digest] = text.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("{} is no reached revision", quoted(text)));
        };
        let revision = Revision::read(revision)?;
        Ok(Self {
            revision,
            tip: if tip == "=" { revision } else { Revision::read(tip)? },
            state: StateDigest::read(state)?,
            digest: RevisionDigest::read(digest)?,
            generation: generation
                .parse()
                .ok()
                .and_then(Generation::new)
                .ok_or_else(|| format!("{} is no generation", quoted(generation)))?,
            rules: revision,
        })
    }
}
