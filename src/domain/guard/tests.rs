//! What the guard lets pass (rules G1, G2, G4, H1; T25): limits with their exact edges, allowances, exemptions.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::*;
use crate::domain::desired::sketch::desired;
use crate::domain::live::{Fence, LiveEntry, LiveState};
use crate::domain::name::KeyPath;
use crate::domain::plan::{Terms, plan};
use crate::domain::resource::{Flags, KeyMark, OwnerId};
use crate::domain::revision::{Generation, Revision, ValueDigest};
use crate::domain::scope::KeyScope;
use crate::domain::time::Timestamp;

/// A change from `live` (all of it ours, and last good unless the case says otherwise) to `wanted`.
struct Change {
    live: DesiredState,
    wanted: DesiredState,
    last_good: Option<DesiredState>,
    base_is_lost: bool,
    intent: Intent,
    proven: bool,
    overridden: bool,
    allowed: u32,
    trailers: Vec<(String, String)>,
    /// Keys that carry another program's flags.
    foreign: Vec<&'static str>,
    /// Keys that nobody has marked, with the value `there`.
    unmarked: Vec<&'static str>,
}

fn change(live: &str, wanted: &str) -> Change {
    Change {
        live: desired(live),
        wanted: desired(wanted),
        last_good: Some(desired(live)),
        base_is_lost: false,
        intent: Intent::Advance,
        proven: false,
        overridden: false,
        allowed: 0,
        trailers: Vec::new(),
        foreign: Vec::new(),
        unmarked: Vec::new(),
    }
}

impl Change {
    fn last_good(mut self, words: Option<&str>) -> Self {
        self.last_good = words.map(desired);
        self
    }

    fn last_good_in_no_mirror(mut self) -> Self {
        (self.last_good, self.base_is_lost) = (None, true);
        self
    }

    fn intent(mut self, intent: Intent) -> Self {
        self.intent = intent;
        self
    }

    fn proven_before(mut self) -> Self {
        self.proven = true;
        self
    }

    fn overridden(mut self) -> Self {
        self.overridden = true;
        self
    }

    fn allowed(mut self, deletes: u32) -> Self {
        self.allowed = deletes;
        self
    }

    fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn outcome(&self) -> Result<(), Refusal> {
        let owner = OwnerId::new(7).unwrap();
        let generation = Generation::new(3).unwrap();
        let flags: Flags = KeyMark { adopted: false, owner, generation }.flags();
        let entries = self.live.entries().iter();
        let entries = entries.map(|(key, entry)| (key.clone(), LiveEntry { digest: entry.digest, flags, fence: Fence(5) }));
        let mut live = LiveState { entries: entries.collect(), ..LiveState::default() };
        for key in &self.foreign {
            let entry = LiveEntry { digest: ValueDigest::of(b"foreign"), flags: Flags(42), fence: Fence(6) };
            live.entries.insert(KeyPath::parse(key).unwrap(), entry);
        }
        for key in &self.unmarked {
            let entry = LiveEntry { digest: ValueDigest::of(b"there"), flags: Flags(0), fence: Fence(7) };
            live.entries.insert(KeyPath::parse(key).unwrap(), entry);
        }
        let leave = BTreeSet::new();
        let terms = Terms {
            intent: self.intent,
            revision: Revision::from_bytes([1; 20]),
            generation: generation.next(),
            owner,
            desired: &self.wanted,
            complete: Some(&self.live),
            proven: Some(&self.live),
            reached: &[&self.live],
            adopts: &KeyScope::default(),
            adopted: &KeyScope::default(),
            reverts: self.proven,
            drift: self.wanted.environment().policy.drift,
            half_removed: false,
            leave: &leave,
        };
        let commits: Vec<Commit> = self
            .trailers
            .iter()
            .map(|trailer| Commit {
                revision: Revision::from_bytes([2; 20]),
                author: "Ada".to_owned(),
                subject: "a change".to_owned(),
                trailers: vec![trailer.clone()],
                unread: 0,
                at: Timestamp::default(),
            })
            .collect();
        let around = Circumstances {
            desired: &self.wanted,
            complete: Some(&self.live),
            last_good: self.last_good.as_ref(),
            base_is_lost: self.base_is_lost,
            proven: self.proven,
            commits: &commits,
            allowed_deletes: self.allowed,
            overridden: self.overridden,
        };
        guard(&plan(&terms, &live), &around)
    }
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
fn check(change: &Change, expected: Expect) {
    let text = match change.outcome() {
        Ok(()) => "passes".to_owned(),
        Err(Refusal(text)) => text.split("; to allow it").next().unwrap_or_default().to_owned(),
    };
    expected.assert_eq(&text);
}

#[test]
fn the_count_is_exact_at_its_limit() {
    check(&change("k*1000 d*50", "k*1000"), expect!["passes"]);
    check(
        &change("k*1000 d*51", "k*1000"),
        expect!["it would delete 51 of 1051 keys; deletes.at_most is 50 and 0 more are allowed"],
    );
}

#[test]
fn the_percentage_is_exact_and_counts_only_above_ten() {
    check(&change("k*40 d*10", "k*40"), expect!["passes"]);
    check(&change("k*5 d*10", "k*5"), expect!["passes"]);
    check(&change("k*4 d*11", "k*4"), expect!["it would delete 11 of 15 keys (73.3 %); deletes.at_most_percent is 20"]);
    check(&change("k*44 d*11", "k*44"), expect!["passes"]);
    check(&change("k*43 d*11", "k*43"), expect!["it would delete 11 of 54 keys (20.4 %); deletes.at_most_percent is 20"]);
}

#[test]
fn an_empty_tree_over_more_than_ten_keys_is_refused_with_numbers() {
    check(&change("d*11", ""), expect!["it would delete 11 of 11 keys (100.0 %); deletes.at_most_percent is 20"]);
    check(&change("d*10", ""), expect!["passes"]);
    check(&change("d*10000", ""), expect!["it would delete 10000 of 10000 keys; deletes.at_most is 50 and 0 more are allowed"]);
}

#[test]
fn only_keys_of_last_good_count() {
    check(&change("k*40 d*60", "k*40").last_good(Some("k*40")), expect!["passes"]);
    check(
        &change("k*40 d*60", "k*40").last_good(Some("k*40 d*20")),
        expect!["it would delete 20 of 60 keys (33.3 %); deletes.at_most_percent is 20"],
    );
    // Nothing is proven yet: what is live counts.
    check(
        &change("k*40 d*60", "k*40").last_good(None),
        expect!["it would delete 60 of 100 keys; deletes.at_most is 50 and 0 more are allowed"],
    );
}

#[test]
fn every_delete_counts_while_nobody_knows_what_last_good_has() {
    check(
        &change("k*40 d*60", "k*40").last_good_in_no_mirror(),
        expect!["it would delete 60 of 100 keys; deletes.at_most is 50 and 0 more are allowed"],
    );
    check(&change("k*100 d*10 ?build", "k*100 ?build").last_good_in_no_mirror(), expect!["passes"]);
}

#[test]
fn allowances_add_up_and_count_against_both_limits() {
    let emptied = || change("k*40 d*60", "k*40");
    check(
        &emptied().trailer("Lockstep-Allow-Deletes", "20"),
        expect!["it would delete 60 of 100 keys; 20 are allowed, and the other 40 are 40.0 %; deletes.at_most_percent is 20"],
    );
    check(
        &emptied().trailer("Lockstep-Allow-Deletes", "20").trailer("lockstep-allow-deletes", "20").allowed(20),
        expect!["passes"],
    );
    check(
        &emptied().trailer("Lockstep-Allow-Deletes", "all of them"),
        expect!["it would delete 60 of 100 keys; deletes.at_most is 50 and 0 more are allowed"],
    );
    check(
        &emptied().trailer("Lockstep-Allow-Deletes", "-60"),
        expect!["it would delete 60 of 100 keys; deletes.at_most is 50 and 0 more are allowed"],
    );
    check(
        &emptied().trailer("Lockstep-Allow-Deletes", "99999999999999"),
        expect!["it would delete 60 of 100 keys; deletes.at_most is 50 and 0 more are allowed"],
    );
    check(&emptied().allowed(50), expect!["passes"]);
    check(&emptied().allowed(49), expect!["passes"]);
}

#[test]
fn a_rollback_a_repair_and_a_proven_digest_are_exempt() {
    check(&change("d*100", "").intent(Intent::RollBack), expect!["passes"]);
    check(&change("d*100", "").intent(Intent::Repair), expect!["passes"]);
    check(&change("d*100", "a=1").proven_before(), expect!["passes"]);
    check(&change("d*100 ?build", "a=1").proven_before(), expect!["passes"]);
}

#[test]
fn the_stricter_of_the_live_limits_and_the_new_ones_holds() {
    check(
        &change("k*90 d*15", "k*90 @at_most=14"),
        expect!["it would delete 15 of 105 keys; deletes.at_most is 14 and 0 more are allowed"],
    );
    check(
        &change("k*90 d*15 @at_most=14", "k*90 @at_most=1000"),
        expect!["it would delete 15 of 105 keys; deletes.at_most is 14 and 0 more are allowed"],
    );
    check(
        &change("k*90 d*15 @percent=10", "k*90 @percent=100"),
        expect!["it would delete 15 of 105 keys (14.3 %); deletes.at_most_percent is 10"],
    );
    check(&change("k*90 d*15", "k*90"), expect!["passes"]);
}

#[test]
fn a_revision_without_checks_where_last_good_had_some_is_refused() {
    check(
        &change("a=1 ?build ?other", "a=2"),
        expect![
            "it has no health checks and last good has 2; if that is meant, give a commit of this change the trailer `Lockstep-Allow-No-Checks: true`"
        ],
    );
    check(&change("a=1 ?build ?other", "a=2 ?other"), expect!["passes"]);
    check(
        &change("a=1", "a=2").last_good_in_no_mirror(),
        expect![
            "it has no health checks and what last good has can't be read; if that is meant, give a commit of this change the trailer `Lockstep-Allow-No-Checks: true`"
        ],
    );
    check(&change("a=1", "a=2").last_good_in_no_mirror().trailer("Lockstep-Allow-No-Checks", "true"), expect!["passes"]);
    check(&change("a=1 ?build", "a=2").trailer("Lockstep-Allow-No-Checks", "true"), expect!["passes"]);
    check(&change("a=1", "a=2"), expect!["passes"]);
    check(&change("a=1 ?build", "a=2").last_good(None), expect!["passes"]);
}

#[test]
fn an_override_passes_every_limit() {
    check(&change("d*100 ?build", "").overridden(), expect!["passes"]);
}

#[test]
fn a_key_that_is_not_ours_refuses_even_what_is_proven_or_overridden() {
    let taken = |change: Change| Change { foreign: vec!["b"], ..change };
    let said = expect![[
        r"b: exists already and is not managed by lockstep: it carries another program's flags; nothing was written. Another program's flags are never overwritten: take the key out of the repository, or delete it in the target so that lockstep can create it"
    ]];
    let all = [change("a=1", "a=2 b=1"), change("a=1", "a=2 b=1").proven_before(), change("a=1", "a=2 b=1").overridden()];
    for change in all.map(taken) {
        said.assert_eq(&change.outcome().unwrap_err().0);
    }
    check(&taken(change("a=1", "a=2 b=1").intent(Intent::RollBack)), expect!["passes"]);
    let many = Change { foreign: vec!["b", "c", "d", "e", "f", "g", "h"], ..change("", "b=1 c=1 d=1 e=1 f=1 g=1 h=1") };
    check(
        &many,
        expect![
            "b, c, d, e, f and 2 more: exists already and is not managed by lockstep: it carries another program's flags; nothing was written. Another program's flags are never overwritten: take the key out of the repository, or delete it in the target so that lockstep can create it"
        ],
    );
}

#[test]
fn a_key_that_can_be_adopted_is_refused_with_the_command_that_does_it() {
    let there = |change: Change| Change { unmarked: vec!["k/b", "k/c d"], ..change };
    check(
        &there(change("a=1", "a=1 k/b=there")),
        expect![[
            r"k/b: exists already and is not managed by lockstep, with the same value; nothing was written. To take over what has the same value, run `lockstep adopt test k/b`, or give a commit of this change the trailer `Lockstep-Adopt: k/b`"
        ]],
    );
    check(
        &there(change("a=1", "a=1 k/b=other")),
        expect![[
            r"k/b: exists already and is not managed by lockstep, with another value; nothing was written. Where the value is another (`lockstep unmanaged test` has both digests), commit what is live, take the key out of the repository, or delete it in the target so that lockstep can create it"
        ]],
    );
}

#[test]
fn what_to_do_is_said_with_the_number_and_the_environment() {
    expect!["it would delete 100 of 100 keys; deletes.at_most is 50 and 0 more are allowed; to allow it, give a commit of this change the trailer `Lockstep-Allow-Deletes: 100`, or run `lockstep release test 0101010 --allow-deletes 100`"].assert_eq(&change("d*100", "").outcome().unwrap_err().0);
}
