//! What whoever waits for a revision is told.

use std::collections::BTreeMap;

use super::world::revision;
use super::{number, rollout_after};
use crate::domain::commit::Commit;
use crate::domain::rollout::Awaited;
use crate::domain::time::Timestamp;

/// What became of a revision at the end of a sentence: the rejected one, or the goal's. With a trailer, of a commit on top of
/// it that says the same, has the trailer, and was not looked at yet: r9.
fn became(sentence: &str, trailer: Option<&str>) -> String {
    let record = rollout_after(sentence);
    let rejected = record.rejected.last().map(|rejection| (rejection.revision, rejection.digest));
    let goal = record.goal.as_ref().map(|goal| (goal.revision, goal.digest));
    let Some((decided, digest)) = rejected.or(goal) else { return "nothing".to_owned() };
    let commit = trailer.map(|trailer| Commit {
        revision: revision(9),
        author: "Ann".into(),
        subject: "s".into(),
        trailers: vec![(trailer.to_owned(), record.identity.environment.to_string())],
        unread: 0,
        at: Timestamp::from_millis(0),
    });
    let awaited = commit.as_ref().map_or(decided, |commit| commit.revision);
    let later: BTreeMap<_, _> = record.verdict_tips(digest).map(|tip| (tip, commit.clone().into_iter().collect())).collect();
    match record.awaited(awaited, digest, &later) {
        Awaited::Proven(generation) => format!("r{} proven, generation {generation}", number(awaited)),
        Awaited::Lost(why) => format!("r{} lost: {why}", number(awaited)),
        Awaited::Waits(why) => format!("r{} waits: {why}", number(awaited)),
    }
}

#[test]
fn a_revision_is_proven_or_lost_or_may_come_yet() {
    for (sentence, expected) in [
        ("commit good, settle", "r1 proven, generation 1"),
        ("commit good, settle, commit readme, settle", "r1 proven, generation 1"),
        ("commit good, settle, commit a=2, pass, pass", "r2 waits: a000002 is being judged"),
        ("commit good, settle, commit a=2 bad, settle", "r2 lost: a000002 is rejected: "),
        ("commit good, settle, commit a=2 unknown, settle", "r2 lost: a000002 is live and stays unproven: "),
    ] {
        let found = became(sentence, None);
        assert!(found.starts_with(expected), "{sentence}: {found}");
    }
}

#[test]
fn a_commit_that_asks_to_try_again_is_not_lost_before_anybody_looked_at_it() {
    const REJECTED: &str = "commit good, settle, commit a=2 bad, settle";
    const FROZEN: &str =
        "commit good, settle, commit a=2, settle, ask rollback, wait 1, build sick, settle, ask resume, settle";
    for (sentence, trailer, expected) in [
        (REJECTED, "Lockstep-Retry", "r9 waits: nothing of a000009 is written yet"),
        (REJECTED, "Lockstep-Release", "r9 lost: a000009 is rejected: "),
        (FROZEN, "Lockstep-Release", "r9 waits: "),
        (FROZEN, "Lockstep-Retry", "r9 lost: the environment is frozen: "),
    ] {
        let found = became(sentence, Some(trailer));
        assert!(found.starts_with(expected), "{sentence}, {trailer}: {found}");
    }
}
