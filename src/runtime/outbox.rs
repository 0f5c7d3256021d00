//! What is the next thing to ask or tell a forge, given what should be said, what stands there, and how the last calls went.
//!
//! Pure but for its memory: time comes in. A status is written only where what stands there says something else, so a restart, a
//! second replica or an answer that was lost writes nothing twice; each is tried so often and then given up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::reports::Said;
use crate::domain::commit_status::{CommitStatus, Posted, StatusContext, StatusState};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::port::{EdgeError, EdgeKind};

/// So often one status is tried: with the growing pauses below, some hours.
pub const MOST_TRIES: u32 = 30;
/// The same for what is not there: a forge may know a commit a little later than its git server.
pub const MOST_TRIES_UNSEEN: u32 = 6;
/// The longest pause after a failure that says nothing of when to come back.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// The longest pause that a forge may ask for.
const LONGEST_REST: Duration = Duration::from_hours(1);
/// So many texts of one state are written to a commit without a pause. A forge keeps a thousand statuses of a commit and no more.
const REWORDINGS: u32 = 3;

/// A call to the forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Ask what stands at a commit.
    Look(Revision),
    /// Write a status.
    Post(Revision, StatusContext, CommitStatus),
}

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This call.
    Call(Call),
    /// Nothing, until there is news or this moment has come.
    Rest(Option<Timestamp>),
}

/// What a status, or a look at a commit, is filed under.
type Subject = (Revision, Option<StatusContext>);

/// What a failed call leaves behind.
#[derive(Debug)]
struct Failed {
    /// What was to be written; another text is another try.
    status: Option<CommitStatus>,
    tries: u32,
    retry: Option<Timestamp>,
}

/// How often a commit was given another text without another state.
#[derive(Debug)]
struct Reworded {
    times: u32,
    last: Timestamp,
}

/// What stands at a commit, and in which order that was looked up.
#[derive(Debug, Default)]
struct Known {
    look: u64,
    posted: BTreeMap<StatusContext, Posted>,
}

/// A context's term, and the looks before which nothing counts in it.
#[derive(Debug, Clone, Copy)]
struct Term {
    number: u64,
    since: u64,
}

/// What is known of the forge.
#[derive(Debug, Default)]
pub struct Outbox {
    known: BTreeMap<Revision, Known>,
    /// Commits to which something may have been written: looked at whether or not anything is said of them any more.
    unsure: BTreeSet<Revision>,
    looks: u64,
    terms: BTreeMap<StatusContext, Term>,
    failed: BTreeMap<Subject, Failed>,
    reworded: BTreeMap<(Revision, StatusContext), Reworded>,
    /// Nothing is asked or told before this.
    rests: Option<Timestamp>,
    /// Failures since the last write that went well, but for those about one commit alone.
    outages: u32,
    /// The next write comes no sooner.
    paced: Option<Timestamp>,
}

impl Outbox {
    /// What to do next: what failed least, so that one commit that fails again and again keeps none of the others waiting.
    pub fn next(&mut self, said: &BTreeMap<StatusContext, Said>, now: Timestamp) -> Next {
        self.forget_what_is_over(said);
        if let Some(rests) = self.rests.filter(|rests| *rests > now) {
            return Next::Rest(Some(rests));
        }
        let mut best: Option<(u32, Call)> = None;
        let mut until: Option<Timestamp> = None;
        for (context, said) in said.iter().filter(|(_, said)| said.counts()) {
            for call in self.wanted(context, said) {
                let tries = self.failed.get(&call.subject()).map_or(0, |failed| failed.tries);
                match self.hindrance(&call, now) {
                    Hindrance::None if best.as_ref().is_none_or(|(least, _)| tries < *least) => best = Some((tries, call)),
                    Hindrance::None | Hindrance::GivenUp => {}
                    Hindrance::Until(moment) => until = until.into_iter().chain([moment]).min(),
                }
            }
        }
        best.map_or(Next::Rest(until), |(_, call)| Next::Call(call))
    }

    /// What is to be done under one context, were there nothing in the way.
    fn wanted(&self, context: &StatusContext, said: &Said) -> Vec<Call> {
        let since = self.terms.get(context).map_or(0, |term| term.since);
        let fresh = |revision: &Revision| self.known.get(revision).filter(|known| known.look >= since);
        let mut calls = Vec::new();
        for revision in said.statuses.keys().chain(&said.doubtful).chain(&self.unsure) {
            match fresh(revision) {
                None => calls.push(Call::Look(*revision)),
                Some(known) => {
                    let status = due(context, said.statuses.get(revision), known.posted.get(context));
                    calls.extend(status.map(|status| Call::Post(*revision, context.clone(), status)));
                }
            }
        }
        // What this process knows to be pending, and nobody says any more: a newer commit took its place.
        for (revision, known) in self.known.iter().filter(|(_, known)| known.look >= since) {
            if !said.statuses.contains_key(revision) && !said.doubtful.contains(revision) {
                let status = due(context, None, known.posted.get(context));
                calls.extend(status.map(|status| Call::Post(*revision, context.clone(), status)));
            }
        }
        calls
    }

    /// What a look found.
    pub fn looked(&mut self, revision: Revision, found: Result<BTreeMap<StatusContext, Posted>, &EdgeError>, now: Timestamp) {
        match found {
            Ok(posted) => {
                self.looks += 1;
                self.known.insert(revision, Known { look: self.looks, posted });
                self.unsure.remove(&revision);
                self.failed.remove(&(revision, None));
            }
            Err(error) => self.has_failed((revision, None), None, error, now),
        }
    }

    /// What came of a write; the next one comes no sooner than after `pace`. Whether it is given up.
    pub fn posted(
        &mut self,
        revision: Revision,
        context: &StatusContext,
        status: &CommitStatus,
        outcome: Result<(), &EdgeError>,
        pace: Duration,
        now: Timestamp,
    ) -> bool {
        self.paced = Some(now + pace);
        let subject = (revision, Some(context.clone()));
        match outcome {
            Ok(()) => {
                self.count_rewording(revision, context, status, now);
                let stands = Posted { state: Some(status.state), text: status.text.clone(), link: None };
                if let Some(known) = self.known.get_mut(&revision) {
                    known.posted.insert(context.clone(), stands);
                }
                self.failed.remove(&subject);
                self.outages = 0;
                false
            }
            Err(error) => {
                if error.kind == EdgeKind::Transient {
                    // It may have been written all the same: looked at before it is tried again.
                    self.known.remove(&revision);
                    self.unsure.insert(revision);
                }
                self.has_failed(subject.clone(), Some(status), error, now);
                self.failed.get(&subject).is_some_and(|failed| failed.retry.is_none())
            }
        }
    }

    fn has_failed(&mut self, subject: Subject, status: Option<&CommitStatus>, error: &EdgeError, now: Timestamp) {
        let tries = match self.failed.get(&subject) {
            Some(before) if before.status.as_ref() == status => before.tries + 1,
            Some(_) | None => 1,
        };
        let most = match error.kind {
            EdgeKind::Refused => 0,
            EdgeKind::NotFound => MOST_TRIES_UNSEEN,
            EdgeKind::Transient | EdgeKind::Conflict | EdgeKind::Denied => MOST_TRIES,
        };
        // A forge that is away, or a token that may not: the next status would fare no better.
        if matches!(error.kind, EdgeKind::Transient | EdgeKind::Denied) || error.asked_to_wait().is_some() {
            self.outages = self.outages.saturating_add(1);
            let asked = error.asked_to_wait().map(|wait| wait.min(LONGEST_REST));
            self.rests = Some(now + asked.unwrap_or_else(|| pause(self.outages)));
        }
        let retry = (tries < most).then(|| now + pause(tries));
        self.failed.insert(subject, Failed { status: status.cloned(), tries, retry });
    }

    /// What keeps a call from being made now.
    fn hindrance(&self, call: &Call, now: Timestamp) -> Hindrance {
        let subject = call.subject();
        let (patience, status) = match call {
            Call::Post(revision, context, status) => (self.patience(*revision, context, status).max(self.paced), Some(status)),
            Call::Look(_) => (None, None),
        };
        let failed = self.failed.get(&subject).filter(|failed| failed.status.as_ref() == status);
        let retry = match failed.map(|failed| failed.retry) {
            Some(None) => return Hindrance::GivenUp,
            Some(retry) => retry,
            None => None,
        };
        patience.max(retry).filter(|until| *until > now).map_or(Hindrance::None, Hindrance::Until)
    }

    /// Until when a status waits that differs in its text alone from what stands there.
    fn patience(&self, revision: Revision, context: &StatusContext, status: &CommitStatus) -> Option<Timestamp> {
        self.known.get(&revision)?.posted.get(context).filter(|stands| stands.state == Some(status.state))?;
        let reworded = self.reworded.get(&(revision, context.clone()))?;
        let beyond = reworded.times.checked_sub(REWORDINGS)?;
        Some(reworded.last + (Duration::from_mins(1) * (1 << beyond.min(6))))
    }

    fn count_rewording(&mut self, revision: Revision, context: &StatusContext, status: &CommitStatus, now: Timestamp) {
        let stood = self.known.get(&revision).and_then(|known| known.posted.get(context));
        let subject = (revision, context.clone());
        if stood.is_some_and(|stood| stood.state == Some(status.state)) {
            let reworded = self.reworded.entry(subject).or_insert(Reworded { times: 0, last: now });
            (reworded.times, reworded.last) = (reworded.times.saturating_add(1), now);
        } else {
            self.reworded.remove(&subject);
        }
    }

    /// Drops what nobody asks about any more, and what was known of a context before its term.
    fn forget_what_is_over(&mut self, said: &BTreeMap<StatusContext, Said>) {
        for (context, Said { term, .. }) in said {
            if self.terms.get(context).is_none_or(|known| known.number != *term) {
                self.terms.insert(context.clone(), Term { number: *term, since: self.looks + 1 });
            }
        }
        let open = || said.iter().filter(|(_, said)| said.counts());
        let wanted: BTreeSet<Revision> =
            open().flat_map(|(_, said)| said.statuses.keys().chain(&said.doubtful)).chain(&self.unsure).copied().collect();
        let failed = &self.failed;
        self.unsure.retain(|revision| failed.get(&(*revision, None)).is_none_or(|failed| failed.retry.is_some()));
        // What is pending under a context of ours is still to be closed, unless it can't be.
        let is_open = |revision: &Revision, known: &Known| {
            open().any(|(context, _)| {
                let given_up = failed.get(&(*revision, Some(context.clone()))).is_some_and(|failed| failed.retry.is_none());
                !given_up && due(context, None, known.posted.get(context)).is_some()
            })
        };
        self.known.retain(|revision, known| wanted.contains(revision) || is_open(revision, known));
        let known = &self.known;
        let stays = |revision: &Revision| wanted.contains(revision) || known.contains_key(revision);
        self.failed.retain(|(revision, _), _| stays(revision));
        self.reworded.retain(|(revision, _), _| stays(revision));
    }
}

impl Call {
    fn subject(&self) -> Subject {
        match self {
            Self::Post(revision, context, _) => (*revision, Some(context.clone())),
            Self::Look(revision) => (*revision, None),
        }
    }
}

/// What keeps a call from being made.
enum Hindrance {
    None,
    Until(Timestamp),
    GivenUp,
}

/// The status to write, if what stands there does not say it. What is proven is proven, however that is worded; a plan is its text.
fn due(context: &StatusContext, wanted: Option<&CommitStatus>, stands: Option<&Posted>) -> Option<CommitStatus> {
    let Some(wanted) = wanted else {
        let is_open = stands.is_some_and(|stands| stands.state == Some(StatusState::Pending));
        return is_open.then(CommitStatus::superseded);
    };
    let says_it = stands.is_some_and(|stands| {
        let may_differ = wanted.state == StatusState::Success && !context.is_plan();
        stands.state == Some(wanted.state) && (may_differ || stands.text == wanted.text)
    });
    (!says_it).then(|| wanted.clone())
}

/// How long after this many failures in a row: a second, then ever longer.
fn pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
