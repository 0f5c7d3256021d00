//! Whatever happens, no key of others is touched: a random run on a Consul that is full of them.
//!
//! The run is as long as `LOCKSTEP_RANDOM_SECONDS` says (20 unless told), and does what follows from `LOCKSTEP_RANDOM_SEED`; a
//! failure names both. What the processes make of it differs from run to run, so a seed brings the same deeds, not always the
//! same end.

#![allow(clippy::print_stdout, reason = "which seed it was, and what came of it, is worth a line")]

mod deeds;
mod theirs;

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deeds::{DEEDS, Play};

/// So many keys of others are there before lockstep is.
const FOREIGN: usize = 20_000;
/// How long deeds are done unless the environment says otherwise.
const SECONDS: u64 = 20;

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

#[test]
fn random_commits_reverts_hand_edits_copies_and_kills_change_no_key_of_others_by_a_byte() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = number("LOCKSTEP_RANDOM_SEED", now);
    let length = Duration::from_secs(number("LOCKSTEP_RANDOM_SECONDS", || SECONDS));
    let mut told = Told { seed, deeds: Vec::new() };
    let mut dice = Dice(seed);
    let mut play = Play::begin(FOREIGN, &mut dice);

    let weights: usize = DEEDS.iter().map(|(weight, _)| weight).sum();
    let begin = Instant::now();
    while begin.elapsed() < length {
        let mut at = dice.below(weights);
        let deed = DEEDS.iter().find_map(|(weight, deed)| match at.checked_sub(*weight) {
            Some(rest) => {
                at = rest;
                None
            }
            None => Some(deed),
        });
        let what = deed.unwrap()(&mut play, &mut dice);
        told.deeds.push(format!("{:>7.1?} {what}", begin.elapsed()));
        // How far what was done before has come differs; nothing is waited for here.
        std::thread::sleep(Duration::from_millis(dice.below(400).try_into().unwrap()));
        if told.deeds.len().is_multiple_of(50) {
            play.check_theirs();
        }
    }
    let summary = play.end();
    println!("seed {seed}: {} deeds in {:.0?}; {summary}", told.deeds.len(), begin.elapsed());
}
