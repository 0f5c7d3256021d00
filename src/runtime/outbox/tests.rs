//! A forge is told each thing once, in good order, and left alone when it asks for that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::*;
use crate::domain::name::EnvironmentName;
use crate::runtime::reports::Said;

/// A forge that keeps statuses, and fails as it is told to.
struct Desk {
    outbox: Outbox,
    said: BTreeMap<StatusContext, Said>,
    now: Timestamp,
    statuses: BTreeMap<Revision, BTreeMap<StatusContext, Posted>>,
    /// What becomes of the next writes: an error, and whether the status was written all the same.
    failures: VecDeque<(EdgeError, bool)>,
    /// Commits that the forge does not know.
    unknown: BTreeSet<Revision>,
    calls: Vec<String>,
}

fn commit(number: u8) -> Revision {
    Revision::parse(&format!("{number:x}").repeat(40)).unwrap()
}

fn context() -> StatusContext {
    StatusContext::of(&EnvironmentName::parse("test").unwrap())
}

fn error(kind: EdgeKind) -> EdgeError {
    EdgeError::new("gitea", kind, "write a status")
}

impl Desk {
    fn new() -> Self {
        Self {
            outbox: Outbox::default(),
            said: BTreeMap::from([(context(), Said { term: 1, ..Said::default() })]),
            now: Timestamp::from_millis(1_000_000),
            statuses: BTreeMap::new(),
            failures: VecDeque::new(),
            unknown: BTreeSet::new(),
            calls: Vec::new(),
        }
    }

    fn said(&mut self) -> &mut Said {
        self.said.get_mut(&context()).unwrap()
    }

    /// What is to be said from now on, in place of what was: `commit state text`.
    fn say(mut self, statuses: &[(u8, StatusState, &str)]) -> Self {
        self.said().statuses =
            statuses.iter().map(|(number, state, text)| (commit(*number), CommitStatus::new(*state, text))).collect();
        self
    }

    fn doubt(mut self, numbers: &[u8]) -> Self {
        self.said().doubtful = numbers.iter().copied().map(commit).collect();
        self
    }

    /// What somebody wrote before.
    fn stands(mut self, number: u8, state: StatusState, text: &str) -> Self {
        let posted = Posted { state: Some(state), text: text.to_owned(), link: None };
        self.statuses.entry(commit(number)).or_default().insert(context(), posted);
        self
    }

    fn fails(mut self, error: EdgeError, written: bool) -> Self {
        self.failures.push_back((error, written));
        self
    }

    /// Lets this many seconds pass with as many calls as are due; each takes no time.
    fn pass(mut self, seconds: u64) -> Self {
        let end = self.now + Duration::from_secs(seconds);
        for _ in 0..10_000 {
            match self.outbox.next(&self.said, self.now) {
                Next::Rest(Some(until)) if until <= end => self.now = until,
                Next::Rest(_) => {
                    self.now = end;
                    return self;
                }
                Next::Call(Call::Look(revision)) => {
                    self.calls.push(format!("look {}", &revision.short()[..1]));
                    let found = self.statuses.get(&revision).cloned().unwrap_or_default();
                    let missing = self.unknown.contains(&revision).then(|| error(EdgeKind::NotFound));
                    self.outbox.looked(revision, missing.as_ref().map_or(Ok(found), Err), self.now);
                }
                Next::Call(Call::Post(revision, of, status)) => {
                    let failure = self.failures.pop_front();
                    let posted = Posted { state: Some(status.state), text: status.text.clone(), link: None };
                    if failure.as_ref().is_none_or(|(_, written)| *written) {
                        self.statuses.entry(revision).or_default().insert(of.clone(), posted);
                    }
                    let outcome = failure.as_ref().map_or(Ok(()), |(error, _)| Err(error));
                    let given_up = self.outbox.posted(revision, &of, &status, outcome, Duration::from_secs(1), self.now);
                    let end = if given_up { ", given up" } else { "" };
                    self.calls.push(format!("{} {}: {}{end}", status.state.word(), &revision.short()[..1], status.text));
                }
            }
        }
        panic!("it never rests: {:?}", &self.calls[..10]);
    }

    /// What was called since the last time.
    #[track_caller]
    fn called(mut self, expected: &[&str]) -> Self {
        assert_eq!(std::mem::take(&mut self.calls), expected);
        self
    }
}

use StatusState::{Error, Failure, Pending, Success};

#[test]
fn a_status_is_written_once_and_nothing_is_asked_while_nothing_changes() {
    let desk = Desk::new().say(&[(1, Pending, "applying")]).pass(0).called(&["look 1", "pending 1: applying"]);
    let mut desk = desk.say(&[(1, Success, "proven")]).pass(60).called(&["success 1: proven"]);
    for _ in 0..1_000 {
        desk = desk.pass(30);
    }
    desk.called(&[]);
}

#[test]
fn what_stands_there_already_is_not_written_again() {
    for (stands, wanted, calls) in [
        ((Success, "proven: a passed for 4 s"), (Success, "proven: healthy"), &["look 1"][..]),
        ((Failure, "rolled back"), (Failure, "rolled back"), &["look 1"]),
        ((Failure, "rolling back"), (Failure, "rolled back"), &["look 1", "failure 1: rolled back"]),
        ((Pending, "applying"), (Success, "proven"), &["look 1", "success 1: proven"]),
    ] {
        Desk::new().stands(1, stands.0, stands.1).say(&[(1, wanted.0, wanted.1)]).pass(60).called(calls);
    }
}

#[test]
fn a_plan_is_written_again_when_it_says_something_else() {
    let mut desk = Desk::new();
    let said = desk.said.remove(&context()).unwrap();
    desk.said.insert(StatusContext::plan(), said);
    for (text, calls) in [
        ("1 to update", &["look 1", "success 1: 1 to update"][..]),
        ("1 to update", &[]),
        ("no changes", &["success 1: no changes"]),
    ] {
        let status = CommitStatus::new(Success, text);
        desk.said.get_mut(&StatusContext::plan()).unwrap().statuses = BTreeMap::from([(commit(1), status)]);
        desk = desk.pass(60).called(calls);
    }
}

#[test]
fn an_answer_that_was_lost_is_looked_for_before_anything_is_written_again() {
    let lost = Desk::new().fails(error(EdgeKind::Transient), true).say(&[(1, Success, "proven")]).pass(60);
    lost.called(&["look 1", "success 1: proven", "look 1"]);
    let failed = Desk::new().fails(error(EdgeKind::Transient), false).say(&[(1, Success, "proven")]).pass(60);
    failed.called(&["look 1", "success 1: proven", "look 1", "success 1: proven"]);
}

#[test]
fn what_may_have_been_written_is_looked_at_although_nobody_speaks_of_it_any_more() {
    let lost = Desk::new().fails(error(EdgeKind::Transient), true).say(&[(1, Pending, "waiting")]).pass(0);
    lost.say(&[(2, Pending, "applying")]).pass(60).called(&[
        "look 1",
        "pending 1: waiting",
        "look 2",
        "pending 2: applying",
        "look 1",
        "error 1: superseded by a newer commit",
    ]);
}

#[test]
fn what_nobody_speaks_of_any_more_is_not_left_pending() {
    let desk = Desk::new().say(&[(1, Pending, "waiting")]).pass(0).called(&["look 1", "pending 1: waiting"]);
    desk.say(&[(2, Pending, "applying")]).pass(5).called(&[
        "look 2",
        "pending 2: applying",
        "error 1: superseded by a newer commit",
    ]);
    // By another process, which died.
    let desk = Desk::new().stands(1, Pending, "applying").stands(2, Failure, "refused").doubt(&[1, 2, 3]);
    desk.say(&[(4, Success, "proven")]).pass(60).called(&[
        "look 4",
        "success 4: proven",
        "look 1",
        "look 2",
        "look 3",
        "error 1: superseded by a newer commit",
    ]);
}

#[test]
fn nothing_is_said_after_the_term_and_everything_is_looked_at_in_the_next() {
    let mut desk = Desk::new().say(&[(1, Pending, "applying")]).pass(0).called(&["look 1", "pending 1: applying"]);
    *desk.said() = Said { term: 1, is_over: true, ..Said::default() };
    let mut desk = desk.pass(600).called(&[]);
    // The other one proved it.
    desk.statuses.clear();
    *desk.said() = Said { term: 2, ..Said::default() };
    let desk = desk.stands(1, Success, "proven").say(&[(1, Success, "proven")]);
    desk.pass(60).called(&["look 1"]);
}

#[test]
fn a_process_that_says_nothing_of_an_environment_leaves_alone_what_others_said() {
    let mut desk = Desk::new().stands(1, Pending, "applying");
    *desk.said() = Said { is_mute: true, ..Said::default() };
    let said = Said { statuses: BTreeMap::from([(commit(1), CommitStatus::new(Success, "no changes"))]), ..Said::default() };
    desk.said.insert(StatusContext::plan(), said);
    desk.pass(600).called(&["look 1", "success 1: no changes"]);
}

#[test]
fn what_the_forge_refuses_is_given_up_until_there_is_another_word() {
    let full = error(EdgeKind::Refused);
    let desk = Desk::new().fails(full, false).say(&[(1, Pending, "applying"), (2, Success, "proven")]).pass(600);
    let desk = desk.called(&["look 1", "pending 1: applying, given up", "look 2", "success 2: proven"]);
    desk.say(&[(1, Success, "proven"), (2, Success, "proven")]).pass(600).called(&["success 1: proven"]);
}

#[test]
fn a_forge_that_is_away_is_asked_ever_more_rarely_and_each_status_so_often_at_most() {
    for kind in [EdgeKind::Transient, EdgeKind::Denied] {
        let mut desk = Desk::new().say(&[(1, Success, "proven")]);
        desk.failures.extend((0..100).map(|_| (error(kind), false)));
        let desk = desk.pass(600);
        let within_ten_minutes = desk.calls.iter().filter(|call| call.starts_with("success")).count();
        assert!((8..=11).contains(&within_ten_minutes), "{kind:?}: {within_ten_minutes}");
        let desk = desk.pass(24 * 3_600);
        let tries = desk.calls.iter().filter(|call| call.starts_with("success")).count();
        assert_eq!(tries, MOST_TRIES as usize, "{kind:?}");
        let last = desk.calls.iter().rfind(|call| call.starts_with("success")).map(String::as_str);
        assert_eq!(last, Some("success 1: proven, given up"), "{kind:?}");
    }
}

#[test]
fn the_forge_says_when_it_may_be_asked_again_within_reason() {
    for (asked, waited) in [(30, 30), (7_200, 3_600)] {
        let limited = error(EdgeKind::Transient).retry_after(Duration::from_secs(asked));
        let desk = Desk::new().fails(limited, false).say(&[(1, Success, "proven"), (2, Success, "proven")]);
        let desk = desk.pass(waited - 1).called(&["look 1", "success 1: proven"]);
        desk.pass(3).called(&["look 1", "look 2", "success 2: proven", "success 1: proven"]);
    }
}

#[test]
fn a_commit_that_the_forge_does_not_know_keeps_no_other_waiting() {
    let mut desk = Desk::new().say(&[(1, Success, "proven"), (2, Success, "proven")]);
    desk.unknown.insert(commit(1));
    let desk = desk.pass(0).called(&["look 1", "look 2", "success 2: proven"]).pass(3_600);
    assert_eq!(desk.calls, vec!["look 1"; MOST_TRIES_UNSEEN as usize - 1]);
}

#[test]
fn texts_that_change_without_a_verdict_are_written_ever_more_rarely() {
    let mut desk = Desk::new();
    for second in 0..3_600 {
        let text = format!("not passing: a ({second})");
        desk = desk.say(&[(1, Pending, &text)]).pass(1);
    }
    let written = desk.calls.len() - 1;
    assert!((8..=12).contains(&written), "{written}");
    // A verdict does not wait.
    desk.calls.clear();
    desk.say(&[(1, Success, "proven")]).pass(1).called(&["success 1: proven"]);
}

#[test]
fn writes_keep_the_pace_that_the_forge_asks_for() {
    let desk = Desk::new().say(&[(1, Success, "a"), (2, Failure, "b"), (3, Error, "c")]).pass(0);
    let desk = desk.called(&["look 1", "success 1: a", "look 2", "look 3"]);
    let desk = desk.pass(1).called(&["failure 2: b"]);
    desk.pass(1).called(&["error 3: c"]);
}
