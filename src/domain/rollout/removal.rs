//! Taking a retired environment out of its target: which keys go, under a number and a line of history of its own (rule O9).
//!
//! A removal is a plan to nothing at all. Both locks of a delete hold for each key (rule O3), what was there before lockstep
//! and what is to be kept is released, and marked keys that no reached revision has are left. Until the record itself goes,
//! which is the last thing, the environment only looks like one whose keys somebody deleted: a commit that brings it back
//! meanwhile finds drift and puts it right, under the removal's number. What was given back is taken back as what it was, since
//! the record knows what was ever adopted.

use std::collections::{BTreeMap, BTreeSet};

use super::line::{Closed, HistoryLine, Outcome};
use super::observation::{HeadView, Observation};
use super::phase::{Phase, Unproven};
use super::record::Rollout;
use super::{Apply, Identity, Save, Step, Suspension};
use crate::domain::desired::DesiredState;
use crate::domain::environment::{DriftPolicy, Environment, Policy};
use crate::domain::keymap::KeyMap;
use crate::domain::plan::{Intent, Obstacle, ObstacleKind, Plan, Terms, plan};
use crate::domain::revision::Revision;
use crate::domain::scope::KeyScope;
use crate::domain::time::Timestamp;
use crate::domain::words::{count, one_or};

/// A removal that may go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal {
    /// The branch head that does not have the environment.
    pub retired: Revision,
    /// The record while keys go, with the removal's line; none when a removal that was broken off goes on under its own.
    pub opening: Option<Save>,
    /// What is deleted and released, which marked keys stay, and which stay that lost their mark.
    pub plan: Plan,
    /// The record while keys go.
    record: Rollout,
    /// The open line.
    line: HistoryLine,
    /// There may be marked keys that nobody could see.
    partial: bool,
}

/// What is left to do once the keys are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// Whose record and owner entry go.
    pub identity: Identity,
    /// The removal's line, closed. History stays, and with it the numbers that were given out.
    pub line: HistoryLine,
    /// Keys with this owner's mark stay, or may: the owner id is given to nobody else.
    pub marks_stay: bool,
}

/// Why nothing is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRemoved {
    /// What stands against it.
    pub because: String,
    /// What to do.
    pub hint: String,
}

impl NotRemoved {
    /// Nobody can tell what the branch says.
    #[must_use]
    pub fn broken(because: String) -> Self {
        Self { because, hint: "commit a fix first: a broken file is never a removal".to_owned() }
    }
}

impl Rollout {
    /// What a removal does now, if the branch head has no such environment and nothing else stands against it.
    ///
    /// # Errors
    /// When the environment is not retired, is suspended or under way, or when it can't be told what it owns.
    pub fn removal(&self, by: &str, because: &str, seen: &Observation<'_>) -> Result<Removal, NotRemoved> {
        let retired = self.may_go(seen)?;
        let reached = self.known(seen)?;
        let generation = match &self.repair {
            Some(line) if line.intent == Intent::Remove => line.generation,
            Some(_) | None => self.next_generation(seen),
        };
        let terms = Terms {
            intent: Intent::Remove,
            revision: self.goal.as_ref().map_or(retired, |goal| goal.revision),
            generation,
            owner: self.identity.owner,
            desired: &self.nothing(),
            // Which keys lost their mark: they are left, and listed (rule O2).
            complete: self.complete.as_ref().and_then(|complete| seen.books.of(complete)),
            proven: None,
            reached: &reached,
            adopts: &KeyScope::default(),
            adopted: &KeyScope::default(),
            reverts: false,
            drift: DriftPolicy::Correct,
            half_removed: false,
            leave: &BTreeSet::new(),
        };
        let plan = plan(&terms, seen.live);
        let (opening, record, line) = match &self.repair {
            Some(line) if line.intent == Intent::Remove => (None, self.clone(), line.clone()),
            Some(_) | None => {
                let (save, line) = self.begin_removal(&plan, by, because, seen);
                (Some(save.clone()), save.record, line)
            }
        };
        Ok(Removal { retired, opening, plan, record, line, partial: seen.live.partial })
    }

    /// Whether a removal has begun that is neither over nor taken back.
    pub(super) fn is_half_removed(&self) -> bool {
        self.repair.as_ref().is_some_and(|line| line.intent == Intent::Remove)
    }

    /// Whether what is gone may be what a removal took that was broken off: its line is open, or the attempt that came upon it has
    /// not written everything yet.
    pub(super) fn puts_back(&self) -> bool {
        self.is_half_removed() || self.attempt.as_ref().is_some_and(|attempt| attempt.puts_back)
    }

    /// Once this plan is written all is put back, but for what can't be seen or written just now: what is gone from then on
    /// somebody took by hand.
    pub(super) fn has_put_back(&mut self, plan: &Plan) {
        let waits = |obstacle: &Obstacle| matches!(obstacle.kind, ObstacleKind::Hidden | ObstacleKind::Left);
        if let Some(attempt) = &mut self.attempt {
            attempt.puts_back &= plan.obstacles.iter().any(waits);
        }
    }

    /// Ends a removal that was broken off where nothing was ever reached, once the head has the environment again: no key had
    /// gone, so there is nothing to put right.
    pub(super) fn finish_removal_of_nothing(&self, seen: &Observation<'_>) -> Option<Step> {
        let is_back = matches!(seen.head, HeadView::At(_) | HeadView::Unfit(..) | HeadView::Invalid(..));
        if self.goal.is_some() || !is_back || !self.is_half_removed() {
            return None;
        }
        let mut record = self.clone();
        let line = record.close_repair(Outcome::Repaired, "no key had gone", seen.now);
        Some(Step::Record(Box::new(Save { history: line.into_iter().collect(), ..Save::of(record) })))
    }

    /// A desired state without a key: what a removal goes to.
    #[must_use]
    pub fn nothing(&self) -> DesiredState {
        let name = self.identity.environment.clone();
        let environment =
            Environment { name, layers: Vec::new(), variables: BTreeMap::new(), policy: Policy::default(), formerly: None };
        DesiredState::new(environment, KeyMap::default(), BTreeMap::new())
    }

    /// The head, if it says that the environment is not wanted any more.
    ///
    /// # Errors
    /// When it says something else, or nothing that may be believed.
    pub fn retired_by(&self, head: &HeadView) -> Result<Revision, NotRemoved> {
        let name = &self.identity.environment;
        let refuse = |because: String, hint: &str| Err(NotRemoved { because, hint: hint.to_owned() });
        let hint = "only a valid branch head without the environment retires it: commit its removal from the repository first";
        match head {
            HeadView::Retired(tip) => Ok(*tip),
            HeadView::At(tip) | HeadView::Unfit(tip, _) => {
                refuse(format!("the branch head {} has the environment {name}", tip.short()), hint)
            }
            HeadView::Invalid(tip, text) => Err(NotRemoved::broken(format!("the branch head {} is {text}", tip.short()))),
            HeadView::Rewound(tip) => {
                let text = format!("the branch went to {}, which does not contain the commit followed so far", tip.short());
                refuse(text, "run it again: a second fetch, one poll interval later, has to agree")
            }
            HeadView::None(text) => refuse(text.clone(), hint),
        }
    }

    /// The head that no longer has the environment, if nothing stands against removing it.
    fn may_go(&self, seen: &Observation<'_>) -> Result<Revision, NotRemoved> {
        let name = &self.identity.environment;
        let refuse = |because: String, hint: &str| Err(NotRemoved { because, hint: hint.to_owned() });
        let tip = self.retired_by(&seen.head)?;
        if let Some(suspension) = self.suspension.as_ref().filter(|_| self.is_suspended(seen.now)) {
            return refuse(
                Suspension::said(suspension),
                &format!("`lockstep resume {name}` first: nothing is written meanwhile"),
            );
        }
        if matches!(self.phase, Phase::Applying | Phase::Verifying) {
            let hint = format!("a controller, or `lockstep apply --once {name}`, brings it to its end first");
            return refuse(format!("an attempt is under way: it is {}", self.phase.word()), &hint);
        }
        Ok(tip)
    }

    /// What every reached revision says: without one of them nobody knows which keys may go (rule O3).
    fn known<'a>(&self, seen: &Observation<'a>) -> Result<Vec<&'a DesiredState>, NotRemoved> {
        let all = [&self.last_good, &self.complete, &self.goal].into_iter().flatten().chain(&self.attempted);
        let mut reached = Vec::new();
        for one in all {
            reached.push(seen.books.of(one).ok_or_else(|| NotRemoved {
                because: format!("which keys may go is not known: {}", seen.books.why_unknown(one.revision)),
                hint: "nothing is deleted on a guess".to_owned(),
            })?);
        }
        match seen.live.hidden.first_key_value() {
            None => Ok(reached),
            Some((key, why)) => Err(NotRemoved {
                because: format!("{} can't be read, such as {key}: {why}", count(seen.live.hidden.len(), "key")),
                hint: "give the token the right to read every key below the environment's roots".to_owned(),
            }),
        }
    }

    /// The record before the first key goes. Readers are told by its goal's new number that what they find is not whole.
    fn begin_removal(&self, plan: &Plan, by: &str, because: &str, seen: &Observation<'_>) -> (Save, HistoryLine) {
        let mut record = self.clone();
        let half_way = self.attempt.as_ref().filter(|attempt| attempt.line.closed.is_none()).map(|attempt| attempt.line.intent);
        let closed = record.close_open_lines(Outcome::Superseded, "superseded by the environment's removal", seen.now);
        // Should the environment be wanted again, its goal is put right and still has to be judged (rule R8).
        if let Some(intent) = half_way {
            record.phase = Phase::HeldUnproven;
            let rolling_back = intent == Intent::RollBack;
            record.unproven = Some(if rolling_back { Unproven::RollbackUnknown } else { Unproven::Unknown });
            "a removal began before it was written completely and judged".clone_into(&mut record.reason);
        }
        record.generation = plan.generation;
        if let Some(goal) = &mut record.goal {
            goal.generation = plan.generation;
        }
        let line = HistoryLine {
            generation: plan.generation,
            intent: Intent::Remove,
            revision: plan.revision,
            from: self.goal.as_ref().map(|goal| goal.revision),
            by: by.to_owned(),
            because: because.to_owned(),
            counts: plan.counts(),
            started: seen.now,
            closed: None,
        };
        record.repair = Some(line.clone());
        (Save::opening(record, line.clone()).with_lines(closed), line)
    }
}

impl Removal {
    /// The plan with the record around it; the line stays open until the record goes.
    #[must_use]
    pub fn apply(&self) -> Apply {
        Apply { opening: self.opening.clone(), plan: self.plan.clone(), closing: Save::of(self.record.clone()) }
    }

    /// What is left to do once the plan is written.
    #[must_use]
    pub fn farewell(&self, now: Timestamp) -> Farewell {
        let strays = self.plan.strays.len();
        let left = [(strays, "stray", "with its mark"), (self.plan.unmanaged.len(), "key", "without its mark")];
        let left = left.into_iter().filter(|(number, ..)| *number > 0).map(|(number, what, how)| {
            let stay = one_or(number, "stays", "stay");
            format!("{} {how} {stay}", count(number, what))
        });
        let texts: Vec<String> = ["removed".to_owned()].into_iter().chain(left).collect();
        let closed = Some(Closed { at: now, outcome: Outcome::Removed, text: texts.join("; ") });
        Farewell {
            identity: self.record.identity.clone(),
            line: HistoryLine { closed, ..self.line.clone() },
            marks_stay: strays > 0 || self.partial,
        }
    }
}
