//! Putting drift right: back to the goal, key by key, and with patience where somebody keeps changing a key (rules R4, R9).

use std::collections::BTreeSet;
use std::time::Duration;

use super::fights::{Contested, RepairLog};
use super::head::Judgement;
use super::line::{HistoryLine, Outcome};
use super::observation::{HeadView, Observation};
use super::reached::Reached;
use super::record::Rollout;
use super::{Apply, Care, Save, Step};
use crate::domain::desired::DesiredState;
use crate::domain::environment::DriftPolicy;
use crate::domain::name::KeyPath;
use crate::domain::plan::{Intent, Obstacle, ObstacleKind, Plan};
use crate::domain::revision::Generation;
use crate::domain::time::Timestamp;
use crate::domain::words::{by_reason, count, one_or};

/// The third repair within the window makes a key contested.
const CONTESTED_AFTER: usize = 3;
/// The first wait after that; it doubles with each further repair.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
/// Keys whose repairs are logged at most: a bulk change by hand is no fight over one key.
const LOGGED: usize = 256;
/// Keys that an answer names at most.
const LISTED: usize = 5;

impl Rollout {
    /// The step that puts drift right, if there is drift and now is the time.
    pub(super) fn repair(&self, desired: &DesiredState, seen: &Observation<'_>) -> Care {
        let Some(goal) = self.goal.clone() else { return Care::Nothing(None) };
        let open = self.repair.as_ref();
        // What the head no longer has is left as it is, whatever is being judged (rule O9).
        if matches!(seen.head, HeadView::Retired(_)) && !self.repairs_on() {
            return Care::Nothing(None);
        }
        let generation = open.map_or_else(|| self.next_generation(seen), |line| line.generation);
        let mut leave: BTreeSet<KeyPath> = self.repairs.waiting(seen.now).collect();
        if let Some(denied) = seen.denied(Intent::Repair, goal.revision) {
            if denied.keys.is_empty() {
                return Care::Nothing(None);
            }
            leave.extend(denied.keys.iter().cloned());
        }
        let mut plan = self.plan_leaving(&leave, Intent::Repair, goal.revision, desired, generation, seen);
        let given_up = self.given_up(&plan, seen);
        if !given_up.is_empty() {
            leave.extend(given_up);
            plan = self.plan_leaving(&leave, Intent::Repair, goal.revision, desired, generation, seen);
        }
        // What a removal took and may not be put back yet is no drift: its line says so for as long.
        let stays_open = self.is_half_removed() && seen.denied(Intent::Repair, goal.revision).is_some();
        if plan.is_empty() && stays_open {
            return Care::Nothing(None);
        }
        if plan.is_empty() {
            let whole = leave.is_empty();
            return self.finish_repair(&plan, seen).map_or_else(|| Care::Nothing(whole.then_some(plan)), Care::Step);
        }
        if let Some(wait) = seen.backing_off() {
            return Care::Step(wait);
        }
        let opening = if open.is_some() { None } else { Some(self.begin_repair(&plan, desired, generation, seen)) };
        let mut record = opening.as_ref().map_or_else(|| self.clone(), |opening| opening.record.clone());
        let text = summary(&plan);
        let line = if stays_open { None } else { record.close_repair(Outcome::Repaired, &text, seen.now) };
        let record = Self { overwrite_drift: false, ..record.whole_after(&plan) };
        let closing = Save { history: line.into_iter().collect(), ..Save::of(record) };
        Care::Step(Step::Apply(Box::new(Apply { opening, plan, closing })))
    }

    /// Whether a repair has begun that is finished whatever the head says; a removal that was broken off is none.
    pub(super) fn repairs_on(&self) -> bool {
        self.repair.is_some() && !self.is_half_removed()
    }

    /// Keys without our mark that a repair would make ours again, and that the head drops which goes live as soon as it may: what
    /// a plan of it shows as left is left (rule O2). A head that is refused changes nothing here: drift is judged against the
    /// goal (rule R4).
    fn given_up(&self, repair: &Plan, seen: &Observation<'_>) -> Vec<KeyPath> {
        let Judgement::Candidate(candidate) = self.judge_head(seen) else { return Vec::new() };
        let marked =
            |key: &KeyPath| seen.live.entries.get(key).is_some_and(|found| found.flags.mark_of(self.identity.owner).is_some());
        let keys = repair.changes.iter().map(|change| &change.key);
        let dropped = keys.filter(|key| !candidate.desired.entries().contains_key(*key) && !marked(key));
        let dropped: Vec<KeyPath> = dropped.cloned().collect();
        if dropped.is_empty() || self.plan_advance(&candidate, seen).is_err() { Vec::new() } else { dropped }
    }

    /// Puts drift right once, on a person's word, where the policy is to report it (rule R10). Refused while nothing is written,
    /// and where nothing of what drifted can be: nobody should find it overwritten later.
    pub(super) fn asked_to_overwrite(&self, seen: &Observation<'_>) -> Result<(Save, String), String> {
        let name = &self.identity.environment;
        if let Some(suspension) = self.suspension.as_ref().filter(|_| self.is_suspended(seen.now)) {
            return Err(suspension.stops(name));
        }
        if let HeadView::Retired(tip) = seen.head {
            return Err(self.retired_at(tip));
        }
        let unchanged = |text: &str| Ok((Save::of(self.clone()), text.to_owned()));
        let Some(goal) = &self.goal else { return unchanged("nothing was ever applied here") };
        if self.overwrite_drift {
            return unchanged("drift is being put right already");
        }
        let desired = seen.books.of(goal).ok_or_else(|| seen.books.why_unknown(goal.revision))?;
        let record = Self { overwrite_drift: true, ..self.clone() };
        let (is_some, stays) = self.overwritable(&record, goal, desired, seen);
        let left =
            || format!("left as it is: {}", by_reason(stays.iter().map(|(key, why)| (key.as_str(), why.as_str())), LISTED));
        match (is_some, stays.is_empty()) {
            (false, true) => unchanged("nothing drifted here"),
            (false, false) => Err(left()),
            (true, true) => Ok((Save::of(record), "drift is put right once".to_owned())),
            (true, false) => Ok((Save::of(record), format!("drift is put right once; {}", left()))),
        }
    }

    /// Whether there is drift that goes when it may be overwritten, and the keys that stay as they are all the same, with why: an
    /// answer is stored, and has no digest of what any head may come to call sensitive.
    fn overwritable(
        &self,
        overwriting: &Self,
        goal: &Reached,
        desired: &DesiredState,
        seen: &Observation<'_>,
    ) -> (bool, Vec<(KeyPath, String)>) {
        let in_the_way = |plan: &Plan| plan.obstacles.iter().any(|obstacle| obstacle.kind == ObstacleKind::Drifted);
        if let Some(attempt) = self.being_written() {
            let plan = self.plan(attempt.line.intent, goal.revision, desired, goal.generation, seen);
            // The attempt goes on only when nothing else stands in its way.
            let others = plan.obstacles.iter().filter(|obstacle| obstacle.kind != ObstacleKind::Drifted);
            let others: Vec<_> = others.map(|obstacle| (obstacle.key.clone(), obstacle.why.clone())).collect();
            return (others.is_empty() && (!plan.drifted.is_empty() || in_the_way(&plan)), others);
        }
        let generation = self.next_generation(seen);
        let mut leave: BTreeSet<KeyPath> = self.repairs.waiting(seen.now).collect();
        let repair = |leave: &_| overwriting.plan_leaving(leave, Intent::Repair, goal.revision, desired, generation, seen);
        let given_up = overwriting.given_up(&repair(&leave), seen);
        leave.extend(given_up.iter().cloned());
        let plan = repair(&leave);
        let why = |obstacle: &Obstacle| match self.repairs.contested.get(&obstacle.key) {
            Some(fight) if obstacle.kind == ObstacleKind::Left && fight.waits(seen.now) => fight.said(),
            _ if given_up.contains(&obstacle.key) => "the head drops it".to_owned(),
            _ => obstacle.why.clone(),
        };
        let stays = plan.obstacles.iter().map(|obstacle| (obstacle.key.clone(), why(obstacle))).collect();
        let head = match self.judge_head(seen) {
            Judgement::Candidate(head) => in_the_way(&self.plan(Intent::Advance, head.tip, head.desired, generation, seen)),
            Judgement::InStep | Judgement::NotFollowed(_) => false,
        };
        (!plan.is_empty() || head, stays)
    }

    /// When the next contested key is due, so that the loop looks again then.
    pub(super) fn next_repair(&self, now: Timestamp) -> Option<Timestamp> {
        self.repairs.contested.values().filter(|contested| contested.waits(now)).map(|contested| contested.next).min()
    }

    fn begin_repair(&self, plan: &Plan, desired: &DesiredState, generation: Generation, seen: &Observation<'_>) -> Save {
        let mut record = self.clone();
        record.generation = generation;
        if let Some(goal) = &mut record.goal {
            goal.generation = generation;
        }
        record.repairs.note(plan, desired, seen);
        let line = HistoryLine {
            generation,
            intent: Intent::Repair,
            revision: plan.revision,
            from: Some(plan.revision),
            by: HistoryLine::LOCKSTEP.to_owned(),
            because: summary(plan),
            counts: plan.counts(),
            started: seen.now,
            closed: None,
        };
        record.repair = Some(line.clone());
        Save::opening(record, line)
    }

    /// A repair that was interrupted, and whose keys are right now, is finished; so is one that a person asked for.
    fn finish_repair(&self, plan: &Plan, seen: &Observation<'_>) -> Option<Step> {
        let mut record = self.clone();
        record.overwrite_drift = false;
        // A person may have stopped what another had asked for.
        let text = match plan.drifted.len() {
            0 => "put right".to_owned(),
            left => {
                let stay = one_or(left, "stays as it is", "stay as they are");
                format!("put right in part; {} {stay}", count(left, "key"))
            }
        };
        let Some(line) = record.close_repair(Outcome::Repaired, &text, seen.now) else {
            // What stays although a person wanted it overwritten was told when it was asked for; nothing later is meant.
            return self.overwrite_drift.then(|| Step::record(record));
        };
        let record = record.whole_after(plan);
        Some(Step::Record(Box::new(Save { history: vec![line], ..Save::of(record) })))
    }
}

impl Rollout {
    /// The record after this repair was written: complete, unless it had to leave keys. What it left stays as much ours, or
    /// as little, as it was before (rule O2).
    fn whole_after(mut self, plan: &Plan) -> Self {
        self.has_put_back(plan);
        if plan.obstacles.is_empty() {
            self.complete.clone_from(&self.goal);
        }
        self
    }
}

/// Names some of the keys and what happened to them.
fn summary(plan: &Plan) -> String {
    const SHOWN: usize = 3;
    by_reason(plan.changes.iter().map(|change| (change.key.as_str(), &change.why)), SHOWN)
}

impl Contested {
    /// Why it is left.
    pub(super) fn said(&self) -> String {
        format!("somebody else keeps changing it; not repaired again before {}", self.next)
    }

    /// Whether its next repair is still ahead. One further ahead than any back-off was set by another clock (rule L3).
    fn waits(&self, now: Timestamp) -> bool {
        self.next > now && self.next.since(now) <= RepairLog::WINDOW
    }
}

impl RepairLog {
    /// Contested keys that are not due.
    pub(super) fn waiting(&self, now: Timestamp) -> impl Iterator<Item = KeyPath> {
        self.contested.iter().filter(move |(_, contested)| contested.waits(now)).map(|(key, _)| key.clone())
    }

    /// Notes that the keys of a plan are repaired now.
    fn note(&mut self, plan: &Plan, desired: &DesiredState, seen: &Observation<'_>) {
        let now = seen.now;
        self.recent.retain(|_, times| {
            times.retain(|at| now.since(*at) <= RepairLog::WINDOW);
            !times.is_empty()
        });
        let recent = &self.recent;
        self.contested.retain(|key, contested| recent.contains_key(key) || now.since(contested.next) <= RepairLog::WINDOW);
        for change in plan.changes.iter().take(LOGGED) {
            if !self.recent.contains_key(&change.key) && self.recent.len() >= LOGGED {
                continue;
            }
            let times = self.recent.entry(change.key.clone()).or_default();
            times.push(now);
            let repairs = times.len();
            let known = self.contested.get(&change.key).map(|contested| contested.wait);
            // Where drift is only reported, each repair is a person's word, and no fight.
            let fights = desired.environment().policy.drift == DriftPolicy::Correct;
            if !fights || repairs < CONTESTED_AFTER && known.is_none() {
                continue;
            }
            let wait = known.map_or(FIRST_BACK_OFF, |wait| (wait * 2).min(RepairLog::WINDOW));
            let told = !seen.books.hides(&change.key);
            let contested = Contested {
                ours: desired.entries().get(&change.key).filter(|_| told).map(|entry| entry.digest),
                theirs: seen.live.entries.get(&change.key).filter(|_| told).map(|entry| entry.digest),
                wait,
                next: now + wait,
            };
            self.contested.insert(change.key.clone(), contested);
        }
    }
}
