//! What whoever waits for a revision is told.

use super::{number, rollout_after};
use crate::domain::rollout::Awaited;

/// What became of a revision at the end of a sentence: the goal's, or the rejected one, or the head's.
fn became(sentence: &str) -> String {
    let record = rollout_after(sentence);
    let rejected = record.rejected.last().map(|rejection| (rejection.revision, rejection.digest));
    let goal = record.goal.as_ref().map(|goal| (goal.revision, goal.digest));
    let Some((revision, digest)) = rejected.or(goal) else { return "nothing".to_owned() };
    match record.awaited(revision, digest) {
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
        let found = became(sentence);
        assert!(found.starts_with(expected), "{sentence}: {found}");
    }
}
