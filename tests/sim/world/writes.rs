//! The writes that a target carries out: each is one transaction, all or nothing, under the fences of who writes.

use lockstep::domain::live::LiveState;
use lockstep::domain::plan::{Action, Change};
use lockstep::domain::revision::Generation;
use lockstep::domain::rollout::{Phase, RequestId, Retention, Rollout, Save};

use super::{Found, KEPT, Refused, Stored, Unfenced, World};
use crate::invariants;

impl World {
    /// One transaction: all or nothing.
    pub(crate) fn transact(
        &mut self,
        session: u64,
        replica: usize,
        expected: u64,
        save: Option<&Save>,
        changes: &[(Change, Option<Vec<u8>>)],
        unfenced: Unfenced,
    ) -> Result<(u64, Vec<Found>), Refused> {
        let holds = self.holds(session);
        if !holds && !unfenced.session {
            self.reached("a stale leader's write was refused");
            return Err(Refused::Session);
        }
        if self.store.record.as_ref().map_or(0, |(_, index)| *index) != expected && !unfenced.record {
            return Err(Refused::Record);
        }
        let denied: Vec<String> =
            changes.iter().map(|(change, _)| change.key.to_string()).filter(|key| self.denied == Some(key.as_str())).collect();
        if !denied.is_empty() {
            self.reached("a write was denied");
            return Err(Refused::Denied(denied));
        }
        let stale: Vec<String> = changes
            .iter()
            .filter(|(change, _)| self.store.keys.get(change.key.as_str()).map_or(0, |stored| stored.index) != change.fence.0)
            .map(|(change, _)| change.key.to_string())
            .collect();
        if !stale.is_empty() && !unfenced.keys {
            self.reached("a conflict on a key");
            return Err(Refused::Keys(stale));
        }
        if let Some(opened) = save.and_then(|save| save.opens).filter(|opened| self.store.history.contains_key(opened)) {
            return Err(Refused::History(opened));
        }
        invariants::before_write(self, replica, (holds, expected), save, changes);
        self.store.index += 1;
        self.last_write = self.now;
        let index = self.store.index;
        let mut written = Vec::new();
        for (change, value) in changes {
            let key = change.key.as_str();
            self.touch_health(key);
            let entry = match (change.action, value) {
                (Action::Delete, _) => {
                    self.store.keys.remove(key);
                    None
                }
                (Action::Release, _) => {
                    let value = self.store.keys.get(key).map(|stored| stored.value.clone()).unwrap_or_default();
                    Some(Stored { value, flags: change.flags.0, index })
                }
                (Action::Create | Action::Update | Action::Adopt, value) => {
                    Some(Stored { value: value.clone().unwrap_or_default(), flags: change.flags.0, index })
                }
            };
            self.edited.remove(key);
            written.push((change.key.clone(), entry.as_ref().map(Stored::entry)));
            if let Some(entry) = entry {
                self.store.keys.insert(key.to_owned(), entry);
            }
        }
        let mut fence = expected;
        if let Some(save) = save {
            for line in &save.history {
                self.store.history.insert(line.generation, line.clone());
            }
            for answer in &save.answers {
                if self.store.requests.get(&answer.id).is_none_or(|asked| asked.answer.is_some()) {
                    self.violated(format!("L2: the request {} was answered again", answer.id));
                }
                invariants::answered(self, answer, &save.record);
                if let Some(asked) = self.store.requests.get_mut(&answer.id) {
                    asked.answer = Some(answer.clone());
                }
            }
            let Rollout { phase, reason, .. } = &save.record;
            let goal = save.record.goal.as_ref().map(|goal| goal.revision.short()).unwrap_or_default();
            self.note(format!("replica {replica}: {} {goal} {reason}", phase.word()));
            self.store.record = Some((save.record.clone(), index));
            fence = index;
            let goal = save.record.goal.as_ref().map(|goal| goal.generation).unwrap_or_default();
            if save.record.repair.is_none() && save.record.phase != Phase::Applying && goal != self.shown.1 {
                self.shown = (self.shown.1, goal, self.now);
            }
        }
        invariants::after_write(self, replica, save.is_some());
        Ok((fence, written))
    }

    /// Lines that may go, as of now. Careless: keys' generations don't count.
    pub(crate) fn old_lines(&self, retention: &Retention, careless: bool) -> Vec<Generation> {
        let lines = self.store.history.keys().copied();
        match self.record().filter(|_| careless) {
            Some(record) => Retention::new(KEPT, record, &LiveState::default()).old_lines(lines),
            None => retention.old_lines(lines),
        }
    }

    /// Answers that may go, as of now.
    pub(crate) fn old_answers(&self, retention: &Retention) -> Vec<RequestId> {
        let answers = self.store.requests.values().filter_map(|asked| asked.answer.as_ref());
        let old = retention.old_answers(answers.map(|answer| (answer.at, answer.id.clone())));
        old.into_iter().map(|(_, id)| id).collect()
    }

    /// Drops this of the past in one transaction, under the fences of every write.
    pub(crate) fn forget(
        &mut self,
        session: u64,
        replica: usize,
        expected: u64,
        lines: &[Generation],
        answers: &[RequestId],
    ) -> Result<(), Refused> {
        if !self.holds(session) {
            self.reached("a stale leader's forgetting was refused");
            return Err(Refused::Session);
        }
        if self.store.record.as_ref().map_or(0, |(_, index)| *index) != expected {
            return Err(Refused::Record);
        }
        self.store.index += 1;
        for line in lines {
            self.store.history.remove(line);
            self.reached("a line of history was forgotten");
        }
        for id in answers {
            self.store.requests.remove(id);
            self.reached("an answer was forgotten");
        }
        invariants::after_write(self, replica, false);
        Ok(())
    }
}
