//! The service that follows the keys, whoever writes them, and the token's rights: what the world answers when it is asked.

use lockstep::domain::health::Finding;
use lockstep::domain::name::KeyPath;

use super::{REACTION, Stored, World};

impl World {
    /// The policy of the token becomes another.
    pub(crate) fn denies(&mut self, key: Option<&'static str>) {
        self.note(format!("denied: {key:?}"));
        self.denied_before = (std::mem::replace(&mut self.denied, key), self.now);
        self.truth.may_try_again();
    }

    /// Whether the token may write these keys, as an agent answers whose cache may be old.
    pub(crate) fn permits(&mut self, replica: usize, keys: &[KeyPath]) -> bool {
        const CACHED: i64 = 10_000;
        let (before, since) = self.denied_before;
        let old = self.now - since < CACHED && self.random.percent(70);
        let says = |denied: Option<&str>| keys.iter().all(|key| denied != Some(key.as_str()));
        let (said, is) = (says(if old { before } else { self.denied }), says(self.denied));
        if said && !is {
            self.reached("an agent said that a denied key may be written");
        }
        self.truth.eyes[replica].permitted |= said;
        said
    }

    /// Somebody writes, copies or deletes a key.
    pub(crate) fn edit(&mut self, key: &str, to: Option<(Vec<u8>, u64)>) {
        self.note(format!("hand: {key} = {to:?}"));
        self.touch_health(key);
        self.store.index += 1;
        if let Some((value, flags)) = to {
            let index = self.store.index;
            self.store.keys.insert(key.to_owned(), Stored { value, flags, index });
        } else {
            self.store.keys.remove(key);
            self.truth.is_gone(key);
        }
        self.edited.insert(key.to_owned(), self.now);
    }

    pub(super) fn touch_health(&mut self, key: &str) {
        if key == "config/health" && self.now - self.health_before.1 > REACTION {
            self.health_before = (self.store.keys.get(key).map(|stored| stored.value.clone()), self.now);
        }
    }

    /// Whether the service has read this generation: it takes a while to notice a new one.
    pub(crate) fn follows(&mut self, asked: &str) -> Finding {
        let (before, last, since) = self.shown;
        let read = if self.now - since < REACTION { before } else { last };
        if self.now < self.blind_until {
            return Finding::Unknown { because: "the checker is blind".to_owned() };
        }
        if read.to_string() == asked && self.now >= self.sick_until {
            return Finding::Pass;
        }
        // A controller that does not lead any more may ask for an old one: that says nothing about the goal.
        if self.record().and_then(|record| record.goal.as_ref()).is_some_and(|goal| goal.generation.to_string() == asked) {
            self.last_fail = self.now;
        }
        Finding::Fail { because: format!("it has read {read}, not {asked}") }
    }

    /// What a check of the service finds now.
    pub(crate) fn probe(&mut self) -> Finding {
        if self.now < self.blind_until {
            return Finding::Unknown { because: "the checker is blind".to_owned() };
        }
        let current = self.store.keys.get("config/health").map(|stored| stored.value.clone());
        let follows = if self.now - self.health_before.1 < REACTION { self.health_before.0.clone() } else { current };
        let fail = |because: &str| Finding::Fail { because: because.to_owned() };
        let finding = match follows.as_deref() {
            _ if self.now < self.sick_until => fail("the service is sick"),
            None | Some(b"good") => Finding::Pass,
            Some(b"bad") => fail("got 503"),
            Some(b"flapping") if self.now / 1000 % 2 == 0 => Finding::Pass,
            Some(b"flapping") => fail("got 503 this time"),
            Some(_) => Finding::Unknown { because: "can't be told".to_owned() },
        };
        match finding {
            Finding::Fail { .. } => self.last_fail = self.now,
            Finding::Unknown { .. } => self.last_unknown = self.now,
            Finding::Pass => {}
        }
        finding
    }
}
