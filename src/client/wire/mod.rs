//! The record, history, requests and answers as JSON: the one format that every target stores.
//!
//! Every document carries its format version, `"v": 1`. A document of another version, or with a field that this version
//! doesn't know, is an error rather than a guess: a controller that dropped what it doesn't understand would write the
//! record back without it. Texts for people are cut, so a record fits one value of any target.
//!
//! Version 1 is what `golden.rs` shows, byte by byte. Before the first release it may change; from then on a change of it is
//! version 2, read beside version 1 for as long as somebody may still have one. A field is left out where it says nothing.

mod bound;
mod scalar;
mod permit;
mod history;
mod parts;
mod record;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use self::history::{AnswerWire, LineWire, RequestWire};
use self::record::RecordWire;
use crate::domain::rollout::{Answer, HistoryLine, Request, Rollout};

/// The format that this program writes and reads.
pub const VERSION: u32 = 1;

/// Bytes of the longest document that is read at all; the largest that is written is well below.
pub const LONGEST: usize = 1 << 20;

/// Why a stored document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It is larger than any that lockstep writes.
    #[error("the stored {what} has {size} bytes, more than lockstep ever writes: something else wrote it")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its size.
        size: usize,
    },
    /// It is of a format that this program doesn't know.
    #[error(
        "the stored {what} has format version {found}, and this lockstep reads version {VERSION}: run the lockstep that \
         wrote it, or a newer one"
    )]
    Version {
        /// Which document.
        what: &'static str,
        /// The version it has.
        found: u64,
    },
    /// It is no document of ours.
    #[error("the stored {what} can't be read: it was changed by hand, cut short, or written by another lockstep")]
    Garbled {
        /// Which document.
        what: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
}

/// One kind of document: a function that writes it and one that reads it. The envelope `{"v": 1, "<kind>": {…}}` says what
/// it is, so a history line can't be taken for a request.
macro_rules! document {
    ($what:literal, $domain:ty, $wire:ty, $(#[$to_doc:meta])* $to:ident, $from:ident) => {
        $(#[$to_doc])*
        #[must_use]
        pub fn $to(value: &$domain) -> Vec<u8> {
            #[derive(Serialize)]
            struct Envelope {
                v: u32,
                #[serde(rename = $what)]
                body: $wire,
            }
            encode(&Envelope { v: VERSION, body: value.into() })
        }

        #[doc = concat!("Reads a ", $what, ".")]
        ///
        /// # Errors
        /// When it is too large, of another format version, or no such document.
        pub fn $from(bytes: &[u8]) -> Result<$domain, WireError> {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Envelope {
                #[serde(rename = "v")]
                _v: u32,
                #[serde(rename = $what)]
                body: $wire,
            }
            check_version($what, bytes)?;
            let envelope: Envelope =
                serde_json::from_slice(bytes).map_err(|source| WireError::Garbled { what: $what, source })?;
            Ok(envelope.body.into())
        }
    };
}

document!(
    "record", Rollout, RecordWire,
    /// Writes a record. Texts are cut; lists stay within what [`Rollout`] keeps; the log of repairs within a budget.
    record_to_json, record_from_json
);
document!(
    "history", HistoryLine, LineWire,
    /// Writes a line of history.
    history_to_json, history_from_json
);
document!(
    "request", Request, RequestWire,
    /// Writes a request.
    request_to_json, request_from_json
);
document!(
    "answer", Answer, AnswerWire,
    /// Writes an answer.
    answer_to_json, answer_from_json
);

/// What the `revision` key holds for those who read the environment's keys: which revision they are of, and whether all of
/// them are (rule A4). None before the first goal.
///
/// `digest` is the state digest: it changes exactly when a key's value does.
#[must_use]
pub fn revision_key(record: &Rollout) -> Option<Vec<u8>> {
    #[derive(Serialize)]
    struct RevisionKey {
        state: &'static str,
        revision: String,
        generation: u32,
        digest: String,
    }
    // A rollback that waits has written nothing.
    let goal = record.stands_on()?;
    // By generation, since a repair rewrites the same state; not by phase, since the record that closes a plan is still
    // called applying, and a plan that was given up half-way is not complete whatever its phase is called.
    let written = record.complete.as_ref().is_some_and(|done| (done.state, done.generation) == (goal.state, goal.generation));
    let state = if written { "complete" } else { "applying" };
    Some(encode(&RevisionKey {
        state,
        revision: goal.revision.to_string(),
        generation: goal.generation.number(),
        digest: goal.state.to_string(),
    }))
}

/// Looks at the version before anything else, so that a later format is named rather than called garbled.
fn check_version(what: &'static str, bytes: &[u8]) -> Result<(), WireError> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    if bytes.len() > LONGEST {
        return Err(WireError::TooLarge { what, size: bytes.len() });
    }
    let Version { v } = serde_json::from_slice(bytes).map_err(|source| WireError::Garbled { what, source })?;
    if v == u64::from(VERSION) { Ok(()) } else { Err(WireError::Version { what, found: v }) }
}

fn encode(document: &impl Serialize) -> Vec<u8> {
    // Maps with keys that are no texts and failing `Serialize`s are the only failures, and there are none here; the tests
    // write every kind of document.
    #[expect(clippy::expect_used, reason = "these types have text keys and cannot fail to serialise")]
    serde_json::to_vec(document).expect("plain types serialise")
}
