//! History lines, requests and answers as JSON.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::bound::{LONGEST_NAME, LONGEST_TEXT, cut};
use super::permit::{prefixes, scope};
use super::scalar::{Number, Text};
use crate::domain::plan::{Counts, Intent};
use crate::domain::revision::{Generation, Revision};
use crate::domain::rollout::{Answer, Closed, HistoryLine, LetPass, Outcome, Request, RequestId, Verb};
use crate::domain::scope::KeyPrefix;
use crate::domain::time::Timestamp;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineWire {
    generation: Number<Generation>,
    intent: Text<Intent>,
    revision: Text<Revision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Text<Revision>>,
    by: String,
    because: String,
    counts: CountsWire,
    started: Text<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed: Option<ClosedWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CountsWire {
    created: u32,
    updated: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    adopted: u32,
    deleted: u32,
    released: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClosedWire {
    at: Text<Timestamp>,
    outcome: Text<Outcome>,
    text: String,
}

impl From<&HistoryLine> for LineWire {
    fn from(line: &HistoryLine) -> Self {
        let HistoryLine { generation, intent, revision, from, by, because, counts, started, closed } = line;
        let Counts { created, updated, adopted, deleted, released } = *counts;
        Self {
            generation: Number(*generation),
            intent: Text(*intent),
            revision: Text(*revision),
            from: from.map(Text),
            by: cut(by, LONGEST_NAME),
            because: cut(because, LONGEST_TEXT),
            counts: CountsWire { created, updated, adopted, deleted, released },
            started: Text(*started),
            closed: closed.as_ref().map(|Closed { at, outcome, text }| ClosedWire {
                at: Text(*at),
                outcome: Text(*outcome),
                text: cut(text, LONGEST_TEXT),
            }),
        }
    }
}

impl From<LineWire> for HistoryLine {
    fn from(wire: LineWire) -> Self {
        let LineWire { generation, intent, revision, from, by, because, counts, started, closed } = wire;
        let CountsWire { created, updated, adopted, deleted, released } = counts;
        Self {
            generation: generation.0,
            intent: intent.0,
            revision: revision.0,
            from: from.map(|from| from.0),
            by,
            because,
            counts: Counts { created, updated, adopted, deleted, released },
            started: started.0,
            closed: closed.map(|ClosedWire { at, outcome, text }| Closed { at: at.0, outcome: outcome.0, text }),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestWire {
    id: Text<RequestId>,
    by: String,
    at: Text<Timestamp>,
    reason: String,
    verb: VerbWire,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(super) fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum VerbWire {
    #[serde(rename = "rollback")]
    RollBack {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Text<Revision>>,
    },
    Release {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<Text<Revision>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lets_pass: Option<LetPassWire>,
    },
    Suspend {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Text<Timestamp>>,
    },
    Resume {},
    OverwriteDrift {},
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LetPassWire {
    head: Text<Revision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allow_deletes: Option<u32>,
    #[serde(default, skip_serializing_if = "is_false")]
    overriding: bool,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    adopts: BTreeSet<Text<KeyPrefix>>,
}

impl From<&Request> for RequestWire {
    fn from(request: &Request) -> Self {
        let Request { id, by, at, reason, verb } = request;
        Self {
            id: Text(id.clone()),
            by: cut(by, LONGEST_NAME),
            at: Text(*at),
            reason: cut(reason, LONGEST_TEXT),
            verb: match verb {
                Verb::RollBack { to } => VerbWire::RollBack { to: to.map(Text) },
                Verb::Release { revision, lets_pass } => VerbWire::Release {
                    revision: revision.map(Text),
                    lets_pass: lets_pass.as_ref().map(|LetPass { head, allow_deletes, overriding, adopts }| LetPassWire {
                        head: Text(*head),
                        allow_deletes: *allow_deletes,
                        overriding: *overriding,
                        adopts: prefixes(adopts),
                    }),
                },
                Verb::Suspend { until } => VerbWire::Suspend { until: until.map(Text) },
                Verb::Resume => VerbWire::Resume {},
                Verb::OverwriteDrift => VerbWire::OverwriteDrift {},
            },
        }
    }
}

impl From<RequestWire> for Request {
    fn from(wire: RequestWire) -> Self {
        let RequestWire { id, by, at, reason, verb } = wire;
        Self {
            id: id.0,
            by,
            at: at.0,
            reason,
            verb: match verb {
                VerbWire::RollBack { to } => Verb::RollBack { to: to.map(|to| to.0) },
                VerbWire::Release { revision, lets_pass } => Verb::Release {
                    revision: revision.map(|revision| revision.0),
                    lets_pass: lets_pass.map(|LetPassWire { head, allow_deletes, overriding, adopts }| LetPass {
                        head: head.0,
                        allow_deletes,
                        overriding,
                        adopts: scope(adopts),
                    }),
                },
                VerbWire::Suspend { until } => Verb::Suspend { until: until.map(|until| until.0) },
                VerbWire::Resume {} => Verb::Resume,
                VerbWire::OverwriteDrift {} => Verb::OverwriteDrift,
            },
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerWire {
    id: Text<RequestId>,
    at: Text<Timestamp>,
    accepted: bool,
    changed: bool,
    text: String,
}

impl From<&Answer> for AnswerWire {
    fn from(answer: &Answer) -> Self {
        let Answer { id, at, accepted, changed, text } = answer;
        Self { id: Text(id.clone()), at: Text(*at), accepted: *accepted, changed: *changed, text: cut(text, LONGEST_TEXT) }
    }
}

impl From<AnswerWire> for Answer {
    fn from(wire: AnswerWire) -> Self {
        let AnswerWire { id, at, accepted, changed, text } = wire;
        Self { id: id.0, at: at.0, accepted, changed, text }
    }
}
