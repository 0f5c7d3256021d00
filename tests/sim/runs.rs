//! Whole histories, the count of what they reached, and the planted bugs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use lockstep::domain::name::RepositoryName;
use lockstep::domain::resource::OwnerId;
use lockstep::domain::rollout::{Identity, Rollout, TargetId};

use crate::bugs::Bug;
use crate::edges::{Edge, Shared};
use crate::random::Random;
use crate::replica::Replica;
use crate::repository::{Content, NAMES, named};
use crate::rest::came_to_rest;
use crate::scenario::{self, Event};
use crate::world::{PERSON, REPLICAS, World};

/// Seeds of the ordinary run; `LOCKSTEP_SIM_SEEDS` asks for more.
const SEEDS: u64 = 400;
/// How long faults go on, and how long the world is watched afterwards.
const STORM: i64 = 240_000;
const CALM: i64 = 400_000;

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
    "a key below another",
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
    "a status of a rollback",
    "a status that another process left",
    "a status that nobody spoke of any more",
    "a stale removal was refused",
    "a trailer adopted a key",
    "a webhook that was delivered before its ref could be seen",
    "a webhook that was delivered late",
    "a webhook that was delivered more than once",
    "a webhook that was looked into again",
    "a webhook that was never delivered",
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
    "a commit brought back what was half removed",
    "a key was taken while it was removed",
    "a record was taken over",
    "a record was taken over across a name that nobody led",
    "a removal",
    "a removal gave back what was adopted",
    "a removal left strays",
    "a removal was broken off",
    "a removal was stopped for what the branch says",
    "a removal was taken up again",
    "a removed environment",
    "a removed environment came back",
    "a rename",
    "a retired environment",
    "a take-over was refused while another led",
    "an attempt went on under another name",
    "an environment got its old name back",
    "what a removal gave back was taken back",
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
            environment: named(NAMES[0]),
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
    let mut crowd = Crowd { world: Arc::clone(&world), bug, replicas: Vec::new(), person: None };
    (0..REPLICAS).for_each(|replica| crowd.replicas.push(crowd.start(replica)));
    let started = world.lock().unwrap().now;
    let mut next_event = started + 3_000;
    let mut calmed = false;
    loop {
        let mut events = Vec::new();
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
                events = scenario::calm(&mut world);
            }
            if now >= storm_ends + CALM || world.violations.len() > 3 {
                break;
            }
            scenario::fight_on(&mut world);
            if now >= next_event {
                next_event = now + 500 + i64::try_from(world.random.below(15_000)).unwrap();
                if !calmed {
                    events.push(scenario::happen(&mut world));
                } else if world.removes_to_the_end && !world.removing {
                    events.push(scenario::remove(&mut world));
                } else {
                    // A commit that came too late for a removal that was at its end.
                    scenario::want_again(&mut world);
                }
            }
        }
        for event in events {
            crowd.meets(&event);
        }
        crowd.step();
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

/// Everybody who acts: the controllers, and a person while a removal lasts.
struct Crowd {
    world: Shared,
    bug: Option<Bug>,
    replicas: Vec<Replica>,
    person: Option<Replica>,
}

impl Crowd {
    fn start(&self, replica: usize) -> Replica {
        Replica::start(|process| Edge::new(Arc::clone(&self.world), replica, self.bug, process))
    }

    fn meets(&mut self, event: &Event) {
        match *event {
            Event::Nothing => {}
            Event::Stop(replica) => {
                self.world.lock().unwrap().note(format!("replica {replica} is told to stop"));
                self.replicas[replica].stop();
            }
            Event::Crash(PERSON) => self.breaks_off(),
            Event::Crash(replica) => {
                self.world.lock().unwrap().dies(replica);
                self.replicas[replica] = self.start(replica);
            }
            Event::Remove if self.person.is_some() => {}
            Event::Remove => {
                {
                    let mut world = self.world.lock().unwrap();
                    (world.removing, world.dissolving) = (true, false);
                }
                let edge = |process| Edge::new(Arc::clone(&self.world), PERSON, self.bug, process);
                self.person = Some(Replica::removing(edge));
            }
        }
    }

    /// The person's process dies, wherever it was.
    fn breaks_off(&mut self) {
        if self.person.take().is_none() {
            return;
        }
        let mut world = self.world.lock().unwrap();
        world.note("the removal breaks off");
        if world.is_half_removed() {
            world.reached("a removal was broken off");
        }
        world.removing = false;
        world.dies(PERSON);
    }

    /// Lets one process that can go on cross one border, or time pass when none can. A controller that ended in good order starts
    /// again.
    fn step(&mut self) {
        let chosen = {
            let mut world = self.world.lock().unwrap();
            let now = world.now;
            world.renew_the_session();
            world.post();
            world.watchdog();
            world.loses_no_delivery();
            let free = |replica: usize, due: i64| due.max(world.paused_until[replica]).max(world.dead_until[replica]);
            let crowd = self.replicas.iter().chain(&self.person).enumerate();
            let due: Vec<i64> = crowd.map(|(number, replica)| free(number, replica.process.due())).collect();
            let ready: Vec<usize> = (0..due.len()).filter(|replica| due[*replica] <= now).collect();
            if ready.is_empty() {
                world.now = due.into_iter().min().unwrap_or(now + 100).clamp(now + 1, now + 500);
                return;
            }
            // Awaits take time: a little mostly, much at times.
            world.now += i64::from(world.random.percent(30)) * i64::try_from(1 + world.random.below(40)).unwrap();
            *world.random.pick(&ready)
        };
        match &mut self.person {
            Some(person) if chosen == PERSON => {
                if person.go_on() {
                    self.person = None;
                    self.world.lock().unwrap().removing = false;
                } else if self.dies_here() {
                    self.breaks_off();
                }
            }
            _ => {
                if self.replicas[chosen].go_on() {
                    {
                        let mut world = self.world.lock().unwrap();
                        world.reached("a graceful stop");
                        world.dies(chosen);
                    }
                    self.replicas[chosen] = self.start(chosen);
                }
            }
        }
    }

    /// A removal can break off at each of its borders.
    fn dies_here(&self) -> bool {
        let mut world = self.world.lock().unwrap();
        world.stormy && world.random.below(150) == 0
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
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    let mut broken = Vec::new();
    for seed in 0..seeds() {
        let report = history(seed, None);
        if !report.violations.is_empty() {
            broken.push(format!("seed {seed}: {}", report.violations.join("; ")));
        }
        report.situations.into_iter().for_each(|situation| *reached.entry(situation).or_default() += 1);
    }
    assert!(broken.is_empty(), "{} histories broke a rule:\n{}", broken.len(), broken.join("\n"));
    // What few histories reach is what the next change of the scenario loses.
    let mut rarest: Vec<(usize, &str)> =
        SITUATIONS.iter().map(|situation| (reached.get(situation).copied().unwrap_or_default(), *situation)).collect();
    rarest.sort_unstable();
    println!("the rarest, and in how many histories: {:?}", &rarest[..8]);
    let missed: Vec<&&str> = SITUATIONS.iter().filter(|situation| !reached.contains_key(*situation)).collect();
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
