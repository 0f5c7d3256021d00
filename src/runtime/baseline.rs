//! The baseline of an apply in the foreground (rule H5): nobody has sampled last good's checks here, so they are sampled before
//! the first write. A check that fails throughout then is not the commit's fault.

use std::time::Duration;

use super::clock::{RealTime, SystemClock};
use super::memory::Memory;
use super::observe;
use super::once::{News, Once};
use super::together::together;
use crate::domain::check::Check;
use crate::domain::health::{Finding, Sample};
use crate::domain::rollout::HeadView;
use crate::domain::time::Timestamp;
use crate::port::{Clock, EdgeError, Probe, Scheduler as _, Source, Target};

/// However slow the checks are, this is the longest that an apply waits for them.
const LONGEST: Duration = Duration::from_mins(1);

impl<S: Source, T: Target, P: Probe> Once<'_, S, T, P> {
    /// Samples last good's checks as often as makes a failure count, if the environment stands on last good and the head is
    /// something else. A check that passes once is sampled no more: it fails not throughout.
    ///
    /// # Errors
    /// When the record or the mirror can't be read.
    pub(super) async fn take_baseline(
        &self,
        memory: &mut Memory,
        clock: SystemClock,
        led_since: Timestamp,
        tell: &mut (dyn FnMut(News<'_>) + Send),
    ) -> Result<(), EdgeError> {
        let record = observe::record(memory, self.target).await?.record;
        let (head, books, _) = observe::repository(&record, memory, self.source).await?;
        let (Some(good), HeadView::At(tip)) = (record.standing_on_last_good(), head) else { return Ok(()) };
        let (Some(desired), Some(wanted)) = (books.of(good), books.desired.get(&tip)) else { return Ok(()) };
        let settle = self.target.character().settle;
        record.align(&mut memory.health, &mut memory.health_of, desired, settle, led_since, clock.now());
        let too_early = memory.health.start() > clock.now();
        if wanted.revision_digest() == good.digest || desired.checks().is_empty() || too_early {
            return Ok(());
        }
        let often = desired.environment().policy.rollout.fail_after.max(1);
        tell(News::Waiting("sampling the checks of last good, so that what fails already does not count against the commit"));
        let sampled =
            together(record.checks_asked(desired).map(|check| self.sample_until_it_passes(check, often, clock))).await;
        sampled.iter().flatten().for_each(|sample| memory.health.take(sample));
        Ok(())
    }

    async fn sample_until_it_passes(&self, check: Check, often: u32, clock: SystemClock) -> Vec<Sample> {
        let end = clock.now() + LONGEST;
        let mut samples = Vec::new();
        for _ in 0..often {
            let at = clock.now();
            let finding = self.probe.sample(&check).await;
            let passes = matches!(finding, Finding::Pass);
            samples.push(Sample { check: check.name.clone(), at, finding });
            let next = at + check.interval;
            if passes || samples.len() >= often as usize || next >= end {
                break;
            }
            RealTime.sleep(next.since(clock.now())).await;
        }
        samples
    }
}
