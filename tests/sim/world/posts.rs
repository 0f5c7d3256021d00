//! Webhooks: what was pushed is delivered at once, late, several times, before its ref can be seen, or never.

use lockstep::domain::revision::Revision;
use lockstep::runtime::wakes::Deliveries;

use super::{REPLICAS, World};
use crate::bugs::Bug;
use crate::random::Random;

/// How long a ref takes at most until a fetch shows it.
const HIDDEN: usize = 6_000;
/// The same for a late delivery.
const LATE: usize = 20_000;

/// The forge's side of it. Its luck is its own, so that what else happens does not depend on it.
pub(crate) struct Posts {
    random: Random,
    /// Somebody has entered the webhook.
    works: bool,
    /// What is on its way: when it comes, to which replica, about which commit.
    under_way: Vec<(i64, usize, Option<Revision>)>,
    /// The branch as the forge has told of it.
    told: Option<Revision>,
    /// Until when a fetch shows the branch as it was before.
    hides: Option<(i64, Option<Revision>)>,
    /// Where each controller hears of deliveries.
    bells: [Deliveries; REPLICAS],
    /// Where the planted bug rings instead.
    wrong_bells: [lockstep::runtime::wakes::Fetches; REPLICAS],
}

impl Posts {
    pub(super) fn new(seed: u64, works: bool) -> Self {
        Self {
            random: Random::new(seed ^ 0x0057),
            works,
            under_way: Vec::new(),
            told: None,
            hides: None,
            bells: Default::default(),
            wrong_bells: Default::default(),
        }
    }
}

impl World {
    /// Where a controller that starts now hears of deliveries: what came before is lost with its predecessor.
    pub(crate) fn hears(&mut self, replica: usize, fetches: &lockstep::runtime::wakes::Fetches) -> Deliveries {
        self.posts.bells[replica] = Deliveries::default();
        self.posts.wrong_bells[replica] = fetches.clone();
        self.posts.bells[replica].clone()
    }

    /// The branch as a fetch shows it now.
    pub(crate) fn visible_tip(&self) -> Option<Revision> {
        match self.posts.hides {
            Some((until, before)) if self.now < until => before,
            _ => self.origin.tip,
        }
    }

    /// Sends what was pushed on its way, and brings what is due.
    pub(crate) fn post(&mut self) {
        let (tip, now) = (self.origin.tip, self.now);
        if self.posts.works && self.posts.told != tip {
            let before = std::mem::replace(&mut self.posts.told, tip);
            self.pushes(before);
        }
        let due = self.posts.under_way.extract_if(.., |(at, ..)| *at <= now).collect::<Vec<_>>();
        for (_, replica, about) in due {
            self.delivers(replica, about);
        }
    }

    fn pushes(&mut self, before: Option<Revision>) {
        let (now, stormy, tip) = (self.now, self.stormy, self.posts.told);
        let random = &mut self.posts.random;
        if stormy && before.is_some() && random.percent(40) {
            let lasts = random.below(HIDDEN);
            self.posts.hides = Some((now + i64::try_from(lasts).unwrap(), before));
        }
        for replica in 0..REPLICAS {
            let random = &mut self.posts.random;
            // A forge that nothing disturbs delivers.
            let (times, late) = match random.below(100) {
                0..=14 if stormy => (0, false),
                15..=34 if stormy => (1, true),
                35..=54 if stormy => (2 + random.below(3), random.percent(50)),
                _ => (1, false),
            };
            let coming: Vec<i64> =
                (0..times).map(|_| now + i64::try_from(random.below(if late { LATE } else { 300 })).unwrap()).collect();
            self.posts.under_way.extend(coming.into_iter().map(|at| (at, replica, tip)));
            for (is_so, situation) in [
                (times == 0, "a webhook that was never delivered"),
                (times > 1, "a webhook that was delivered more than once"),
                (late, "a webhook that was delivered late"),
            ] {
                if is_so {
                    self.reached(situation);
                }
            }
        }
    }

    fn delivers(&mut self, replica: usize, about: Option<Revision>) {
        if self.dead_until[replica] > self.now {
            return;
        }
        if self.posts.hides.is_some_and(|(until, _)| until > self.now) {
            self.reached("a webhook that was delivered before its ref could be seen");
        }
        self.is_told_of(replica, about);
        if self.bug == Some(Bug::LooksOnceForADelivery) {
            self.posts.wrong_bells[replica].ask();
        } else {
            self.posts.bells[replica].branch();
        }
    }

    /// Nothing disturbs the forge any more: what is on its way comes, and everybody is told once more of the branch as it is.
    pub(crate) fn posts_again(&mut self) {
        self.posts.hides = None;
        if self.posts.works {
            let tip = self.origin.tip;
            self.posts.under_way.extend((0..REPLICAS).map(|replica| (self.now, replica, tip)));
        }
    }
}
