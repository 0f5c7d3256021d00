//! What whoever waits for a revision is told.

use std::collections::BTreeMap;

use super::{number, rollout_after};
use crate::domain::commit::Commit;
use crate::domain::revision::Revision;
use crate::domain::rollout::Awaited;
use crate::domain::time::Timestamp;

/// What became of a revision at the end of a sentence: the goal's, or the rejected one, or the head's. After each verdict
/// came a commit with this trailer.
fn became(sentence: &str, trailer: &str) -> String {
    let record = rollout_after(sentence);
    let rejected = record.rejected.last().map(|rejection| (rejection.revision, rejection.digest));
    let goal = record.goal.as_ref().map(|goal| (goal.revision, goal.digest));
    let Some((revision, digest)) = rejected.or(goal) else { return "nothing".to_owned() };
    let commit = Commit {
        revision: Revision::from_bytes([9; 20]),
        author: "Ann".into(),
        subject: "s".into(),
        trailers: vec![(trailer.to_owned(), record.identity.environment.to_string())],
        at: Timestamp::from_millis(0),
    };
    let later: BTreeMap<_, _> = record.verdict_tips(digest).map(|tip| (tip, vec![commit.clone()])).collect();
    match record.awaited(revision, digest, &later) {
        Awaited::Proven(generation) => format!("r{} proven, generation {generation}", number(revision)),
        Awaited::Lost(why) => format!("r{} lost: {why}", number(revision)),
        Awaited::Waits(why) => format!("r{} waits: {why}", number(revision)),
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
        let found = became(sentence, "Lockstep-Other");
        assert!(found.starts_with(expected), "{sentence}: {found}");
    }
}

#[test]
fn a_commit_that_asks_to_try_again_is_not_lost_before_anybody_looked_at_it() {
    const REJECTED: &str = "commit good, settle, commit a=2 bad, settle";
    const FROZEN: &str =
        "commit good, settle, commit a=2, settle, ask rollback, wait 1, build sick, settle, ask resume, settle";
    for (sentence, trailer, expected) in [
        (REJECTED, "Lockstep-Retry", "r2 waits: nothing of a000002 is written yet"),
        (REJECTED, "Lockstep-Release", "r2 lost: a000002 is rejected: "),
        (FROZEN, "Lockstep-Release", "r1 waits: "),
        (FROZEN, "Lockstep-Retry", "r1 lost: the environment is frozen: "),
    ] {
        let found = became(sentence, trailer);
        assert!(found.starts_with(expected), "{sentence}, {trailer}: {found}");
    }
}
