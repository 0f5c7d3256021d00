//! Whole histories, the count of what they reached, and the planted bugs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lockstep::domain::name::RepositoryName;
use lockstep::domain::resource::OwnerId;
use lockstep::domain::revision::Revision;
use lockstep::domain::rollout::{HeadVerdict, Identity, Phase, Rollout, TargetId, Unproven};

use crate::bugs::Bug;
use crate::edges::{Edge, Shared};
use crate::invariants::{self, environment};
use crate::random::Random;
use crate::replica::Replica;
use crate::repository::{Content, Health};
use crate::scenario::{self, Event};
use crate::world::{REPLICAS, World};

/// Seeds of the ordinary run; `LOCKSTEP_SIM_SEEDS` asks for more.
const SEEDS: u64 = 400;
/// How long faults go on, and how long the world is watched afterwards.
const STORM: i64 = 240_000;
const CALM: i64 = 400_000;
const QUIET: i64 = 60_000;

/// Every situation that some seed must reach, or the run proves less than it says.
const SITUATIONS: &[&str] = &[
    "a baseline failure",
    "a call failed",
    "a clock jump",
    "a commit removed what was adopted",
    "a commit that the mirror lost",
    "a commit of several transactions",
    "a conflict on a key",
    "a contested key",
    "a copied mark",
    "a deleted branch",
    "a forced push",
    "a graceful stop",
    "a later transaction landed although an earlier one failed",
    "a look at what moved",
    "a lost mirror",
    "a lost record",
    "a git server that lags",
    "a hand edit",
    "a line of history was forgotten",
    "a mirror without the commits it needs",
    "a revision read from another one",
    "a machine that slept for two hours",
    "a paused process",
    "a person adopted a key",
    "a repair was superseded",
    "a restored snapshot",
    "a restored target was noticed",
    "a recovered record",
    "a revert",
    "a revert gave back what was adopted",
    "a rollback gave back what was adopted",
    "a rollback stayed unproven",
    "a rollback was frozen",
    "a rollback was proven",
    "a rollback was superseded",
    "a service that is sick by itself",
    "a stale leader's write was refused",
    "a trailer adopted a key",
    "a write was denied",
    "an adopted key got its lost mark back",
    "an adoption of several transactions",
    "an adoption was last good at once",
    "an adoption was raced",
    "an adoption was refused for another value",
    "an agent said that a denied key may be written",
    "another token",
    "the same token was allowed to write what it was denied",
    "a person allowed deletes",
    "a person overrode the guard",
    "a proven revision passed the guard",
    "a trailer allowed deletes",
    "an advance was proven",
    "an advance was refused part-way",
    "an advance was rolled back",
    "an advance was superseded",
    "an advance stayed unproven",
    "an answer was forgotten",
    "an answer was lost",
    "applying over several steps",
    "checks that can't be made",
    "drift was repaired",
    "frozen",
    "held after a rollback",
    "held refused",
    "held unproven",
    "one denial was over and another began",
    "pinned by a person",
    "requests that came with the lease",
    "somebody else's key",
    "steady",
    "stopped at a batch boundary",
    "superseded while applying",
    "suspended by a person",
    "the guard refused a number",
    "the guard refused a share",
    "verifying",
];

/// What one history came to.
struct Report {
    violations: Vec<String>,
    situations: BTreeSet<&'static str>,
    log: Vec<String>,
}

fn history(seed: u64, bug: Option<Bug>) -> Report {
    let world: Shared = Arc::new(Mutex::new(World::new(seed)));
    {
        let mut world = world.lock().unwrap();
        world.bug = bug;
        let mut random = Random::new(seed ^ 0xF00D);
        let content = Content::first(&mut random);
        world.origin.commit(None, content, Vec::new());
        let identity = Identity {
            repository: RepositoryName::parse("sim").unwrap(),
            environment: environment(),
            target: TargetId::parse("0123456789abcdef").unwrap(),
            owner: OwnerId::new(7).unwrap(),
        };
        world.store.index = 1;
        world.store.record = Some((Rollout::new(identity), 1));
        world.edit("config/of-others", Some((b"foreign".to_vec(), 0)));
        for key in scenario::FOREIGN {
            world.edit(key, Some((b"1".to_vec(), 0)));
        }
    }
    let start = |replica| Replica::start(|process| Edge::new(Arc::clone(&world), replica, bug, process));
    let mut replicas: Vec<Replica> = (0..REPLICAS).map(start).collect();
    let started = world.lock().unwrap().now;
    let mut next_event = started + 3_000;
    let mut calmed = false;
    loop {
        {
            let mut world = world.lock().unwrap();
            let now = world.now;
            let storm_ends = started + STORM + world.slept;
            if now >= storm_ends && !calmed {
                calmed = true;
                if world.origin.tip.is_none() {
                    world.origin.tip = world.truth.deleted.take();
                    world.truth.rewound_at = now;
                }
                scenario::calm(&mut world);
            }
            if now >= storm_ends + CALM || world.violations.len() > 3 {
                break;
            }
            scenario::fight_on(&mut world);
            if now >= next_event && !calmed {
                next_event = now + 500 + i64::try_from(world.random.below(15_000)).unwrap();
                match scenario::happen(&mut world) {
                    Event::Nothing => {}
                    Event::Stop(replica) => {
                        world.note(format!("replica {replica} is told to stop"));
                        replicas[replica].stop();
                    }
                    Event::Crash(replica) => {
                        world.dies(replica);
                        drop(world);
                        replicas[replica] = start(replica);
                    }
                }
            }
        }
        step(&world, &mut replicas, &start);
    }
    let mut world = world.lock().unwrap();
    if world.violations.is_empty() {
        came_to_rest(&mut world);
    }
    Report {
        violations: std::mem::take(&mut world.violations),
        situations: std::mem::take(&mut world.situations),
        log: std::mem::take(&mut world.log),
    }
}

/// Lets one replica that can go on cross one border, or time pass when none can. One that ended in good order starts again.
fn step(world: &Shared, replicas: &mut [Replica], start: &impl Fn(usize) -> Replica) {
    let chosen = {
        let mut world = world.lock().unwrap();
        let now = world.now;
        world.renew_the_session();
        world.watchdog();
        let free = |replica: usize, due: i64| due.max(world.paused_until[replica]).max(world.dead_until[replica]);
        let due: Vec<i64> = replicas.iter().enumerate().map(|(number, replica)| free(number, replica.process.due())).collect();
        let ready: Vec<usize> = (0..replicas.len()).filter(|replica| due[*replica] <= now).collect();
        if ready.is_empty() {
            world.now = due.into_iter().min().unwrap_or(now + 100).clamp(now + 1, now + 500);
            return;
        }
        // Awaits take time: a little mostly, much at times.
        world.now += i64::from(world.random.percent(30)) * i64::try_from(1 + world.random.below(40)).unwrap();
        *world.random.pick(&ready)
    };
    if replicas[chosen].go_on() {
        {
            let mut world = world.lock().unwrap();
            world.reached("a graceful stop");
            world.dies(chosen);
        }
        replicas[chosen] = start(chosen);
    }
}

/// Whether a head waits for something that is over once nobody does anything any more.
const fn waits(verdict: HeadVerdict) -> bool {
    matches!(verdict, HeadVerdict::NotBelieved | HeadVerdict::Pinned | HeadVerdict::Suspended | HeadVerdict::Frozen)
}

/// Whether whoever leads lacks this commit; between two terms nobody leads.
fn is_out_of_reach(world: &World, goal: Revision) -> bool {
    let leader = world.lease.as_ref().map(|session| session.replica);
    let has = |replica: usize| world.mirrors[replica].known.contains(&goal);
    leader.map_or_else(|| !(0..world.mirrors.len()).any(has), |leader| !has(leader))
}

/// Whether nobody else holds a key of the goal: that keeps it from being proven, whatever its checks say (rule A9).
fn is_whole(record: &Rollout) -> bool {
    record.attempt.as_ref().is_none_or(|attempt| attempt.except.is_empty())
}

/// Nothing goes on at the end that will never be over.
fn nothing_is_left_open(world: &mut World, record: &Rollout) {
    if matches!(record.phase, Phase::Applying | Phase::Verifying) {
        world.violated(format!("liveness: still {}: {} {:?}", record.phase.word(), record.reason, record.note));
    }
    if record.repair.is_some() {
        world.violated("liveness: a repair was never finished");
    }
    let open: Vec<u32> =
        world.store.history.values().filter(|line| line.closed.is_none()).map(|line| line.generation.number()).collect();
    if !open.is_empty() && record.phase != Phase::HeldRefused && world.restored_at == 0 {
        world.violated(format!("liveness: history lines {open:?} were never closed"));
    }
    if world.store.requests.values().any(|(_, answer)| answer.is_none()) {
        world.violated("liveness: a request was never answered");
    }
}

/// Liveness: once the faults stop, the environment is where it should be, and nothing is written any more.
fn came_to_rest(world: &mut World) {
    let Some(record) = world.record().cloned() else { return };
    // A service that passes and fails in turn is told of each time.
    let unsteady = record.goal.as_ref().is_some_and(|goal| world.origin.content(goal.revision).health == Health::Flapping);
    if !unsteady && world.now - world.last_write < QUIET {
        let since = world.now - world.last_write;
        world.violated(format!("liveness: written {since} ms ago, and no end in sight"));
    }
    let goal = record.goal.as_ref().map(|goal| goal.revision);
    let leader = world.lease.as_ref().map(|session| session.replica);
    if goal.is_some_and(|goal| is_out_of_reach(world, goal)) {
        // Forced out, restored from a snapshot, or lost with the last mirror of those who would lead: only people can bring
        // the commit back.
        world.reached("a goal that the leader's mirror lost");
        if goal.is_some_and(|goal| world.mirrors.iter().any(|mirror| mirror.known.contains(&goal))) {
            world.violated("S2: a leader without the goal's commit clings to the lease, and a standby has it");
        }
        return;
    }
    nothing_is_left_open(world, &record);
    let Some(tip) = world.origin.tip else { return };
    let content = world.origin.content(tip).clone();
    let state = invariants::desired(world, tip);
    match (&record.note, record.phase) {
        (Some(note), _) if note.verdict == HeadVerdict::Invalid && !content.broken => {
            let text = note.text.clone();
            world.violated(format!("liveness: a valid head is called invalid: {text}"));
        }
        (Some(note), _) if note.verdict == HeadVerdict::Retired && !content.retired => {
            world.violated("liveness: a head with the environment is called retired");
        }
        (Some(note), _) if waits(note.verdict) => {
            let verdict = note.verdict;
            if record.phase != Phase::Frozen {
                world.violated(format!("liveness: the head is {} although nothing is wrong with it", verdict.word()));
            }
        }
        (Some(note), _) if note.text.starts_with("it would delete") && !invariants::is_refused_rightly(world, &record, tip) => {
            world.violated("liveness: refused for deletes that are allowed");
        }
        (None, Phase::Steady) => {
            let Some(state) = state else { return };
            let goal = record.goal.as_ref().map(|goal| goal.digest);
            if goal != Some(state.revision_digest()) {
                world.violated("liveness: steady on something else than the head");
            }
            let rules = record.goal.as_ref().and_then(|goal| invariants::desired(world, goal.rules));
            if rules.is_none_or(|rules| rules.environment().policy != state.environment().policy) {
                world.violated("liveness: steady under other rules than the head's");
            }
            if record.reason.contains("failing now: generation") {
                world.violated("liveness: a check asks for a generation that nothing shows");
            }
            let wrong: Vec<String> = state
                .entries()
                .iter()
                .filter(|(key, entry)| {
                    world.store.keys.get(key.as_str()).map(|stored| stored.value.as_slice()) != Some(&*entry.value)
                })
                .map(|(key, _)| key.to_string())
                .filter(|key| !record.repairs.contested.keys().any(|contested| contested.as_str() == key))
                // What somebody changed stays so under `drift: report`; everything else is as the head says there too.
                .filter(|key| !(content.report_drift && world.edited.contains_key(key)))
                .collect();
            let held: Vec<&String> = wrong
                .iter()
                .filter(|key| {
                    let flags = world.store.keys.get(key.as_str()).map_or(0, |stored| stored.flags);
                    lockstep::domain::resource::Flags(flags).ownership() != lockstep::domain::resource::Ownership::Foreign
                        && flags != 0
                })
                .collect();
            if wrong.len() > held.len() {
                world.violated(format!("liveness: steady, and {wrong:?} are not as the head says"));
            }
        }
        (None, Phase::HeldUnproven) if content.health == Health::Good && content.checked => {
            // Under `drift: report` the service may follow a value that somebody wrote.
            let lives = world.store.keys.get("config/health").is_some_and(|stored| stored.value == b"good");
            if lives
                && is_whole(&record)
                && matches!(record.unproven, Some(Unproven::Unknown | Unproven::NothingToGoBackTo | Unproven::Released))
            {
                world.violated(format!("liveness: healthy and never proven: {}", record.reason));
            }
        }
        (_, Phase::HeldUnproven) if content.health == Health::Bad && record.unproven == Some(Unproven::Unknown) => {
            let lives = world.store.keys.get("config/health").is_some_and(|stored| stored.value == b"bad");
            let back = record.last_good.as_ref().map(|good| good.revision);
            let back = back.zip(leader).is_some_and(|(good, leader)| world.mirrors[leader].known.contains(&good));
            if lives && back && content.checked && record.baseline.is_empty() && record.suspension.is_none() {
                world.violated("liveness: held for what could not be told, failing, and never taken back");
            }
        }
        _ => {}
    }
}

fn asked<T: std::str::FromStr>(name: &str) -> Option<T> {
    #[expect(clippy::disallowed_methods, reason = "a test's own knobs, read nowhere else")]
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// `LOCKSTEP_SIM_SEEDS` asks for more histories.
fn seeds() -> u64 {
    asked("LOCKSTEP_SIM_SEEDS").unwrap_or(SEEDS)
}

fn explain(seed: u64, report: &Report) -> String {
    format!("seed {seed}: {:#?}\n{}", report.violations, report.log.join("\n"))
}

#[test]
fn no_history_breaks_a_rule_and_every_situation_is_reached() {
    #[expect(clippy::disallowed_methods, reason = "how fast the simulation itself is; nothing is decided by it")]
    let began = std::time::Instant::now();
    let mut reached = BTreeSet::new();
    let mut broken = Vec::new();
    for seed in 0..seeds() {
        let report = history(seed, None);
        if !report.violations.is_empty() {
            broken.push(format!("seed {seed}: {}", report.violations.join("; ")));
        }
        reached.extend(report.situations);
    }
    assert!(broken.is_empty(), "{} histories broke a rule:\n{}", broken.len(), broken.join("\n"));
    let missed: Vec<&&str> = SITUATIONS.iter().filter(|situation| !reached.contains(*situation)).collect();
    assert!(missed.is_empty(), "no seed reached {missed:?}");
    let pace = f64::from(u32::try_from(seeds()).unwrap()) / began.elapsed().as_secs_f64();
    println!("{} histories, {pace:.0} a second, {} situations reached", seeds(), reached.len());
}

/// `LOCKSTEP_SIM_SEED=n cargo test --test sim same -- --nocapture` shows one history in full.
#[test]
fn the_same_seed_is_the_same_history() {
    let seed = asked("LOCKSTEP_SIM_SEED");
    let report = history(seed.unwrap_or(3), None);
    if let Some(seed) = seed {
        println!("{}", explain(seed, &report));
    }
    assert_eq!(report.log, history(seed.unwrap_or(3), None).log);
}

#[test]
fn the_rules_page_says_how_many_bugs_are_planted_and_situations_reached() {
    let page = include_str!("../../docs/rules.md").replace('\n', " ");
    for figure in [format!("plants {} bugs", Bug::ALL.len()), format!("must reach {} situations", SITUATIONS.len())] {
        assert!(page.contains(&figure), "docs/rules.md does not say: {figure}");
    }
}

/// `LOCKSTEP_SIM_BUG=ForgetsThePin cargo test --test sim planted -- --nocapture` plants one only.
#[test]
fn every_planted_bug_is_noticed() {
    let mut slept_through = Vec::new();
    let only: Option<String> = asked("LOCKSTEP_SIM_BUG");
    for bug in Bug::ALL.into_iter().filter(|bug| only.as_ref().is_none_or(|only| format!("{bug:?}").contains(only))) {
        // The rarest situation that a bug needs may be some hundred histories away.
        let noticed = (0..3 * seeds()).find_map(|seed| {
            let violation = history(seed, Some(bug)).violations.into_iter().next()?;
            history(seed, None).violations.is_empty().then_some((seed, violation))
        });
        match noticed {
            Some((seed, violation)) => println!("{bug:?}: noticed by seed {seed}: {violation}"),
            None => slept_through.push(bug),
        }
    }
    assert!(slept_through.is_empty(), "not noticed: {slept_through:?}");
}
