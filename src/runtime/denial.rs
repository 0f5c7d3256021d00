//! What is known of the rights to write what was denied: when the target is asked, and how far its word is trusted (rule H6).
//!
//! The one that is asked need not be the one that judges: an agent answers from its cache, and the leader denies the
//! transaction. So a word that turned out wrong is believed again only after a pause, which grows each time.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::name::KeyPath;
use crate::domain::time::Timestamp;

/// A denial, or a word about one, is taken for settled so long; then it is worth another try.
pub(super) const DENIAL_HOLDS: Duration = Duration::from_mins(1);
/// The longest pause after words that turned out wrong.
const LONGEST: Duration = Duration::from_hours(1);

/// What the target said of the keys that were denied.
#[derive(Debug, Default)]
pub(super) struct Denial {
    /// The keys that it was last asked about.
    about: BTreeSet<KeyPath>,
    /// It says that they may be written by now.
    over: bool,
    /// It was believed, and no advance was wholly written or denied since.
    believed: bool,
    /// When it is asked again although there is no news: rights change without a sign.
    ask_again: Option<Timestamp>,
    /// It is neither asked nor believed before: it said yes, and the write was denied all the same.
    not_before: Option<Timestamp>,
    /// How long it was not believed the last time.
    pause: Option<Duration>,
}

impl Denial {
    /// Whether to ask about these keys now.
    pub(super) fn is_due(&mut self, keys: &BTreeSet<KeyPath>, news: bool, now: Timestamp) -> bool {
        if let Some(pause) = self.not_before.filter(|until| *until > now) {
            self.ask_again = Some(pause);
            return false;
        }
        news || *keys != self.about || self.ask_again.is_none_or(|due| due <= now)
    }

    /// What it said; no when it could not be asked.
    pub(super) fn answered(&mut self, keys: &BTreeSet<KeyPath>, over: bool, now: Timestamp) {
        self.about.clone_from(keys);
        self.over = over;
        self.ask_again = Some(now + DENIAL_HOLDS);
    }

    /// Whether it is believed that these keys may be written.
    pub(super) fn is_over(&mut self, keys: &BTreeSet<KeyPath>) -> bool {
        let over = self.over && *keys == self.about;
        self.believed |= over;
        over
    }

    /// There is nothing to ask about.
    pub(super) fn is_idle(&mut self) {
        self.over = false;
        self.ask_again = None;
    }

    /// An advance was denied.
    pub(super) fn denied(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.believed) {
            let pause = self.pause.map_or(DENIAL_HOLDS, |pause| (pause * 2).min(LONGEST));
            self.pause = Some(pause);
            self.not_before = Some(now + pause);
            self.over = false;
        }
    }

    /// When it is worth a look, at the latest.
    pub(super) fn ask_again(&self) -> Option<Timestamp> {
        self.ask_again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Carries out a sentence: `N` is the second at which the next step happens, `yes` and `no` what the target would say then,
    /// `denied` and `written` what comes of an advance, `idle` that nothing is refused. Shows what was asked and believed.
    #[track_caller]
    fn check(sentence: &str, expected: &str) {
        let mut denial = Denial::default();
        let mut now = Timestamp::from_millis(0);
        let mut shown = Vec::new();
        for word in sentence.split_whitespace() {
            let (word, news) = word.strip_suffix('!').map_or((word, false), |word| (word, true));
            let (word, key) = word.split_once(':').unwrap_or((word, "a"));
            let keys = BTreeSet::from([KeyPath::parse(key).unwrap()]);
            match word {
                "yes" | "no" => {
                    let asked = denial.is_due(&keys, news, now);
                    if asked {
                        denial.answered(&keys, word == "yes", now);
                    }
                    shown.push(match (asked, denial.is_over(&keys)) {
                        (true, true) => "believed",
                        (true, false) => "asked",
                        (false, true) => "still",
                        (false, false) => "-",
                    });
                }
                "denied" => denial.denied(now),
                "written" => denial = Denial::default(),
                "idle" => denial.is_idle(),
                second => now = Timestamp::from_millis(1_000 * second.parse::<i64>().unwrap()),
            }
        }
        assert_eq!(shown.join(" "), expected, "{sentence}");
    }

    #[test]
    fn it_is_asked_at_once_with_news_of_other_keys_and_every_minute() {
        check("0 no 1 no 59 no 60 no 61 no 62 no!", "asked - - asked - asked");
        check("0 no 1 no:b 2 no:b", "asked asked -");
        check("0 no 60 yes 61 yes", "asked believed still");
        check("0 yes 1 idle no", "believed asked");
        check("0 yes 1 no:b", "believed asked");
    }

    #[test]
    fn after_a_yes_that_was_wrong_the_pause_doubles_up_to_an_hour_until_an_advance_is_written() {
        check("0 denied yes denied yes! 59 yes! 60 yes denied 179 yes! 180 yes", "believed - - believed - believed");
        check("0 yes denied 60 yes denied 180 yes written denied yes", "believed believed believed believed");
        let mut denial = Denial::default();
        let pauses: Vec<u64> = (0..9)
            .map(|_| {
                denial.believed = true;
                denial.denied(Timestamp::from_millis(0));
                denial.pause.unwrap().as_secs() / 60
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_no_or_other_keys_in_between_end_no_pause() {
        check("0 yes denied 60 no 61 no! 62 yes! denied 120 yes! 182 yes!", "believed asked asked believed - believed");
        check("0 yes denied 1 no:b! 2 idle yes! 60 yes", "believed - - believed");
    }
}
