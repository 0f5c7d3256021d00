//! When a fetch is made: tables of what happens and of the moments at which the repository is looked at, in virtual time.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::domain::desired::FileTree;
use crate::domain::revision::Revision;
use crate::port::EdgeKind;
use crate::runtime::imagined::{Branch, Imagined, commit, stands_at};

/// A world of one repository. Its time passes when everybody waits.
#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Milliseconds.
    now: u64,
    /// What somebody sleeps until.
    timers: Vec<u64>,
    /// The commit that a fetch would bring, and the one that the last fetch brought.
    origin: u8,
    mirror: u8,
    /// The repository can't be reached.
    away: bool,
    /// When fetches were made.
    fetches: Vec<u64>,
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Branch for World {
    fn head(&self) -> Head {
        stands_at(commit(self.state().mirror))
    }

    fn tree(&self, _: Revision) -> Result<FileTree, EdgeError> {
        Err(EdgeError::new("test", EdgeKind::NotFound, "read a commit"))
    }

    fn fetched(&self) -> Result<(), EdgeError> {
        let mut state = self.state();
        let now = state.now;
        state.fetches.push(now);
        if state.away {
            return Err(EdgeError::new("test", EdgeKind::Transient, "fetch"));
        }
        state.mirror = state.origin;
        Ok(())
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.state().now.cast_signed())
    }
}

impl Scheduler for World {
    type Clock = Self;
    type Work = ();

    fn clock(&self) -> Self {
        self.clone()
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        let lasts = u64::try_from(time.as_millis()).unwrap();
        let mut until = None;
        std::future::poll_fn(move |_| {
            let mut state = self.state();
            let until = *until.get_or_insert(state.now + lasts);
            if until <= state.now {
                return Poll::Ready(());
            }
            state.timers.push(until);
            Poll::Pending
        })
    }

    fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {}
}

/// What happens.
#[derive(Clone, Copy)]
enum What {
    /// A webhook about a branch is delivered, or so many of them, one each millisecond.
    Delivered(u64),
    /// One about a pull request.
    PullDelivered,
    /// A new commit can be fetched from now on.
    Visible,
    /// The repository can't be reached from now on.
    Away,
    /// It can again.
    Back,
}

/// With this poll interval, and this happening at these milliseconds, fetches are made at exactly these.
#[track_caller]
fn check(poll: Duration, happens: &[(u64, What)], upto: u64, expected: &[u64]) {
    let world = World::default();
    let deliveries = Deliveries::default();
    let polling = Polling {
        source: Imagined(world.clone()),
        interval: poll,
        scheduler: world.clone(),
        telemetry: Arc::new(Telemetry::new()),
        wakes: Vec::new(),
        fetches: Fetches::default(),
        deliveries: deliveries.clone(),
    };
    let mut to_come: Vec<(u64, What)> = Vec::new();
    for (at, what) in happens {
        match what {
            What::Delivered(count) => to_come.extend((0..*count).map(|nth| (at + nth, What::Delivered(1)))),
            What::PullDelivered | What::Visible | What::Away | What::Back => to_come.push((*at, *what)),
        }
    }
    to_come.sort_by_key(|(at, _)| *at);
    let mut to_come = to_come.into_iter().peekable();
    let mut running = pin!(polling.run(|| 0.5));
    let mut context = Context::from_waker(Waker::noop());
    while world.state().now <= upto {
        let now = world.state().now;
        while let Some((_, what)) = to_come.next_if(|(at, _)| *at <= now) {
            match what {
                What::Delivered(_) => deliveries.branch(),
                What::PullDelivered => deliveries.pulls(),
                What::Visible => world.state().origin += 1,
                What::Away => world.state().away = true,
                What::Back => world.state().away = false,
            }
        }
        world.state().timers.clear();
        assert!(running.as_mut().poll(&mut context).is_pending());
        let mut state = world.state();
        let next = state.timers.iter().copied().chain(to_come.peek().map(|(at, _)| *at)).min();
        state.now = next.unwrap().max(now + 1);
    }
    let fetches: Vec<u64> = world.state().fetches.iter().copied().filter(|at| *at <= upto).collect();
    assert_eq!(fetches, expected);
}

const HOUR: Duration = Duration::from_hours(1);
const HALF_MINUTE: Duration = Duration::from_secs(30);

#[test]
fn a_delivery_of_what_is_visible_is_one_fetch_however_often_it_comes() {
    use What::{Delivered, PullDelivered, Visible};
    check(HOUR, &[(9_000, Visible), (10_000, Delivered(1))], 3_000_000, &[0, 10_050]);
    // The last of a burst counts.
    check(HOUR, &[(9_000, Visible), (10_000, Delivered(500))], 3_000_000, &[0, 10_549]);
    check(
        HOUR,
        &[(9_000, Visible), (10_000, Delivered(1)), (10_049, Delivered(1)), (10_098, Delivered(1))],
        3_000_000,
        &[0, 10_148],
    );
    // One that does not end is answered every five seconds. What comes after the new commit is looked into again.
    check(HOUR, &[(9_000, Visible), (10_000, Delivered(9_000))], 20_000, &[0, 15_000, 19_049]);
    // Two that are further apart are two.
    check(
        HOUR,
        &[(9_000, Visible), (10_000, Delivered(1)), (19_000, Visible), (20_000, Delivered(1))],
        3_000_000,
        &[0, 10_050, 20_050],
    );
    // Polls go on as if nothing had been.
    check(HALF_MINUTE, &[(9_000, Visible), (10_000, Delivered(1))], 71_000, &[0, 10_050, 40_050, 70_050]);
    check(HALF_MINUTE, &[(10_000, PullDelivered)], 61_000, &[0, 30_000, 60_000]);
}

#[test]
fn a_delivery_before_its_ref_is_visible_is_looked_into_ever_later_until_the_poll_is_as_near() {
    use What::{Delivered, Visible};
    let series = [0, 10_050, 11_050, 13_050, 17_050, 25_050, 41_050];
    check(HALF_MINUTE, &[(10_000, Delivered(1))], 102_000, &[&series[..], &[71_050, 101_050]].concat());
    // Seen at the next look, and then no more are made.
    check(HALF_MINUTE, &[(10_000, Delivered(1)), (12_000, Visible)], 72_000, &[0, 10_050, 11_050, 13_050, 43_050]);
    check(
        HOUR,
        &[(10_000, Delivered(1)), (100_000, Visible)],
        4_000_000,
        &[&series[..], &[73_050, 137_050, 3_737_050]].concat(),
    );
    // Another delivery begins anew.
    check(
        HALF_MINUTE,
        &[(10_000, Delivered(1)), (20_000, Delivered(1)), (20_060, Visible)],
        40_000,
        &[0, 10_050, 11_050, 13_050, 17_050, 20_050, 21_050],
    );
    // With a poll as near as the second look there is nothing to look again for.
    check(
        Duration::from_secs(1),
        &[(10_500, Delivered(1))],
        12_600,
        &[0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000, 9_000, 10_000, 10_550, 11_550, 12_550],
    );
}

#[test]
fn a_delivery_that_comes_while_nothing_was_fetched_yet_or_while_nothing_can_be_is_not_lost() {
    use What::{Away, Back, Delivered, Visible};
    check(HOUR, &[(0, Delivered(1)), (500, Visible)], 4_000, &[0, 1_000]);
    check(
        HOUR,
        &[(9_000, Away), (10_000, Delivered(1)), (12_000, Visible), (12_000, Back)],
        20_000,
        &[0, 10_050, 11_050, 13_050],
    );
    // A failure does not make the series slower than the poll would be.
    let poll = Duration::from_secs(20);
    check(poll, &[(9_000, Away), (10_000, Delivered(1))], 80_000, &[0, 10_050, 11_050, 13_050, 17_050, 25_050, 41_050]);
}

#[test]
fn a_jump_of_the_wall_clock_is_noticed_once_in_either_direction() {
    let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
    let mut gap = Gap::default();
    let seen = [(100, 100), (131, 130), (3_760, 160), (3_790, 190), (220, 220), (281, 250)];
    let jumps = seen.map(|(wall, monotonic)| gap.jumped(at(wall), at(monotonic)).map(|by| by.as_secs()));
    assert_eq!(jumps, [None, None, Some(3_599), None, Some(3_600), None]);
}

#[test]
fn after_failures_the_poll_comes_sooner_at_first_and_then_ever_later() {
    let polls = [0, 1, 2, 5, 40].map(|failures| next_poll(Duration::from_secs(30), failures).as_secs());
    assert_eq!(polls, [30, 6, 12, 96, 120]);
    assert_eq!(next_poll(Duration::from_secs(1), 1), Duration::from_secs(1));
}
