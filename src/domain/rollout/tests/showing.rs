//! The world as the tables show it: few lines, with `r1` for the first commit.

use super::world::{OWNER, World, number, revision};
use crate::domain::resource::{OwnerId, Ownership};
use crate::domain::rollout::Reached;

impl World {
    /// Phase and goal, what differs from it, why, and the live keys.
    pub(super) fn state(&self) -> Vec<String> {
        let record = &self.record;
        let goal = record.goal.as_ref();
        let name = |reached: &Reached| format!("r{}", number(reached.revision));
        let mut first = match goal {
            None => record.phase.word().to_owned(),
            Some(goal) => format!("{} {}", record.phase.word(), name(goal)),
        };
        let mut add = |what: &str, which: String| first.extend([", ", what, " ", &which]);
        for (what, reached) in [("complete", &record.complete), ("good", &record.last_good)] {
            let other = reached.as_ref().filter(|reached| goal.is_none_or(|goal| goal.generation != reached.generation));
            if reached.is_none() && goal.is_some() {
                add(what, "none".to_owned());
            } else if let Some(other) = other.filter(|other| goal.is_none_or(|goal| goal.revision != other.revision)) {
                add(what, name(other));
            }
        }
        let list = |names: Vec<String>| names.join(" ");
        if !record.rejected.is_empty() {
            add("rejected", list(record.rejected.iter().map(|rejection| format!("r{}", number(rejection.revision))).collect()));
        }
        if let Some(why) = record.unproven {
            add("unproven", why.word().to_owned());
        }
        if !record.baseline.is_empty() {
            add("baseline", list(record.baseline.iter().map(ToString::to_string).collect()));
        }
        if let Some(pin) = &record.pin {
            add("pinned by", pin.by.clone());
        }
        if let Some(permit) = &record.permit {
            let deletes = permit.deletes.iter().map(|deletes| format!("{} deletes by {}", deletes.count, deletes.grant.by));
            let every = permit.every_gate.iter().map(|grant| format!("every gate by {}", grant.by));
            let adopts = permit.adopts.iter().map(|adopts| format!("{} adopted by {}", adopts.scope, adopts.grant.by));
            let what: Vec<String> = deletes.chain(every).chain(adopts).collect();
            add("permit for", format!("{}: {}", permit.revision.short(), what.join(" and ")));
        }
        if let Some(suspension) = &record.suspension {
            add("suspended by", suspension.by.clone());
        }
        if let Some(refused) = &record.refused {
            add("not permitted:", refused.text.clone());
        }
        if !record.repairs.contested.is_empty() {
            add("contested", list(record.repairs.contested.keys().map(ToString::to_string).collect()));
        }
        let mut lines = vec![first];
        if !record.reason.is_empty() {
            lines.push(format!("because: {}", record.reason));
        }
        if record.drift.keys > 0 {
            let named: Vec<String> =
                record.drift.named.iter().map(|(key, sides)| format!("{key} ({})", sides.said())).collect();
            lines.push(format!("drift of {}: {}", record.drift.keys, named.join(", ")));
        }
        if let Some(note) = &record.note {
            lines.push(format!("head {}: {}", note.verdict.word(), note.text));
        }
        let said = record.note.as_ref().is_some_and(|note| note.text == self.waiting);
        if !self.waiting.is_empty() && !said {
            lines.push(format!("waits: {}", self.waiting));
        }
        lines.push(format!("live: {}", self.keys()));
        lines.iter().map(|line| self.named(line)).collect()
    }

    /// Every key; those of one folder and one value as a count, and whose it is unless it is ours.
    fn keys(&self) -> String {
        let mut shown: Vec<(String, u32)> = Vec::new();
        for (key, value) in &self.values {
            let whose = match self.live.entries[key].flags.ownership() {
                Ownership::Marked(mark) if mark.owner == OwnerId::new(OWNER).unwrap() => "",
                Ownership::Marked(_) => "(theirs)",
                Ownership::Unmarked => "(unmarked)",
                Ownership::Foreign => "(foreign)",
            };
            let text = match key.as_str().split_once('/') {
                Some((folder, _)) => format!("{folder}/…{whose}"),
                None => format!("{key}={value}{whose}"),
            };
            match shown.last_mut().filter(|(last, _)| *last == text) {
                Some((_, count)) => *count += 1,
                None => shown.push((text, 1)),
            }
        }
        let texts = shown.into_iter().map(|(text, count)| if count > 1 { format!("{text}×{count}") } else { text });
        texts.collect::<Vec<_>>().join(" ")
    }

    /// History, one line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.history.values().map(|line| {
            let end = line
                .closed
                .as_ref()
                .map_or_else(|| "under way".to_owned(), |closed| format!("{}: {}", closed.outcome.word(), brief(&closed.text)));
            let goal = number(line.revision);
            self.named(&format!("{}. {} r{goal} by {}: {end}", line.generation, line.intent.word(), line.by))
        });
        lines.collect()
    }

    /// A text with `r1` for the id of the first commit, and so on.
    pub(super) fn named(&self, text: &str) -> String {
        (1..=self.commits.len()).fold(text.to_owned(), |text, commit| {
            let name = format!("r{commit}");
            text.replace(&revision(commit).to_string(), &name).replace(&revision(commit).short(), &name)
        })
    }
}

/// The evidence without what each check did, which would be on every line; one test is about that.
fn brief(text: &str) -> String {
    let rest = text.strip_prefix("healthy (").and_then(|rest| rest.split_once(')'));
    rest.map_or_else(|| text.to_owned(), |(_, rest)| format!("healthy{rest}"))
}
