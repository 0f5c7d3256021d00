//! Whatever happens, no key of others is touched: a random run on a Consul that is full of them.
//!
//! The run is as long as `LOCKSTEP_RANDOM_SECONDS` says (10 unless told), and does what follows from `LOCKSTEP_RANDOM_SEED`; a
//! failure names both. It ends when that time is over and every kind of deed was done. What the processes make of it differs
//! from run to run, so a seed brings the same deeds, not always the same end.

#![allow(clippy::print_stdout, reason = "which seed it was, and what came of it, is worth a line")]

mod theirs;
mod found;
mod tally;
mod play;
mod deeds;
mod faults;
mod adoptions;
mod returns;
mod comings;

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deeds::{DEEDS, Kind};
use play::Play;

/// So many keys of others are there before lockstep is.
const FOREIGN: usize = 20_000;
/// How long deeds are done unless the environment says otherwise.
const SECONDS: u64 = 10;
/// Every so often a long run says how far it is.
const NEWS: Duration = Duration::from_mins(1);
/// Keys of others are compared after so many deeds.
const EVERY: usize = 50;

/// `SplitMix64`: the same as the simulation's.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to, not including, `bound`.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    /// Once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Any bytes, up to so many.
    fn bytes(&mut self, at_most: usize) -> Vec<u8> {
        (0..self.below(at_most + 1)).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

fn number(variable: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number, but is {text:?}")),
        Err(_) => otherwise(),
    }
}

/// What was done, for whoever has to find out why. Told when the test fails, wherever that is.
struct Told {
    seed: u64,
    deeds: Vec<String>,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut last = String::new();
            for deed in &self.deeds[self.deeds.len().saturating_sub(40)..] {
                writeln!(last, "  {deed}").unwrap();
            }
            println!("LOCKSTEP_RANDOM_SEED={} after {} deeds, of which the last are\n{last}", self.seed, self.deeds.len());
        }
    }
}

/// Which deed comes next: each once, then as often as its weight says.
struct Deck(Vec<usize>);

impl Deck {
    /// In any order, but those that begin and end at rest together and last, since to come to rest takes seconds.
    fn shuffled(dice: &mut Dice) -> Self {
        let mut order: Vec<usize> = (0..DEEDS.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, dice.below(at + 1));
        }
        order.sort_by_key(|at| DEEDS[*at].kind == Kind::Meanwhile);
        Self(order)
    }

    fn draw(&mut self, dice: &mut Dice) -> usize {
        self.0.pop().unwrap_or_else(|| {
            let mut left = dice.below(DEEDS.iter().map(|deed| deed.weight).sum());
            let chosen = DEEDS.iter().position(|deed| match left.checked_sub(deed.weight) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            });
            chosen.unwrap()
        })
    }
}

#[test]
fn random_commits_reverts_adoptions_removals_hand_edits_copies_and_kills_change_no_key_of_others_by_a_byte() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = number("LOCKSTEP_RANDOM_SEED", now);
    let length = Duration::from_secs(number("LOCKSTEP_RANDOM_SECONDS", || SECONDS));
    let mut told = Told { seed, deeds: Vec::new() };
    let mut dice = Dice(seed);
    let mut play = Play::begin(FOREIGN, &mut dice);

    let mut deck = Deck::shuffled(&mut dice);
    let mut counts = [0_usize; DEEDS.len()];
    let begin = Instant::now();
    let mut told_at = Duration::ZERO;
    while begin.elapsed() < length || !deck.0.is_empty() {
        let at = deck.draw(&mut dice);
        counts[at] += 1;
        // Said before it is done: that it fails is when somebody wants to know.
        told.deeds.push(format!("{:>7.1?} {}", begin.elapsed(), DEEDS[at].name));
        let what = play.does(&DEEDS[at], &mut dice);
        write!(told.deeds.last_mut().unwrap(), ": {what}").unwrap();
        // How far what was done before has come differs; nothing is waited for here.
        std::thread::sleep(Duration::from_millis(dice.below(400).try_into().unwrap()));
        if told.deeds.len().is_multiple_of(EVERY) {
            play.check_under_way();
        }
        if begin.elapsed() > told_at + NEWS {
            told_at = begin.elapsed();
            println!("seed {seed}, {} s, {} deeds: {}", told_at.as_secs(), told.deeds.len(), play.tally());
        }
    }
    let summary = play.end(&mut dice);
    let kinds: Vec<String> = DEEDS.iter().zip(counts).map(|(deed, count)| format!("{} {count}", deed.name)).collect();
    println!("seed {seed}: {} deeds in {} s ({}); {summary}", told.deeds.len(), begin.elapsed().as_secs(), kinds.join(", "));
}
