//! Term after term: asks for the lease of an environment, leads it for as long as the lease lasts, and asks again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::failing::Failing;
use super::keeper::Keeper;
use super::lack::Lack;
use super::leading::End;
use super::memory::Memory;
use super::observe::{equipped, forget_removed, is_retired, keep, no_record};
use super::pass::Decide;
use super::refusals::{Refusals, Refused, SOON};
use super::succession::{Place, Taken, is_missing, take_over};
use super::wakes::News;
use crate::domain::commit_status::StatusContext;
use crate::domain::rollout::Rollout;
use crate::domain::time::{Timestamp, written};
use crate::port::{Clock, EdgeError, Leading, Probe, Scheduler, Source, Target};
use crate::telemetry::Event;

/// How often a free lease is asked for, besides at every sign that it may be free.
const ASK_AGAIN: Duration = SOON;
/// So long a controller whose mirror lacks commits leaves a lease that nobody holds to others (rule S2).
const PATIENCE: Duration = Duration::from_secs(15);

/// What came of an attempt to lead.
enum Chance<L> {
    Ours(L),
    /// Somebody else leads, or should; and when this controller will, if nobody does.
    Theirs {
        leader: String,
        hint: String,
    },
}

/// When this controller leads if a leader is gone whose lease lasts this long after it.
fn once_gone(outlived: Duration) -> String {
    if outlived.is_zero() {
        format!("if that one is gone, its lease went with it and this controller leads within {}", written(ASK_AGAIN))
    } else {
        let within = written(outlived);
        format!("if that one is gone, its lease ends by itself and this controller leads within {within}")
    }
}

/// When this controller leads if nobody takes a lease that it leaves to others.
fn once_patience_ends() -> String {
    format!("nobody leads now; this controller does within {} unless another takes the lease", written(PATIENCE + ASK_AGAIN))
}

/// What is the same until it changes, and told when it does.
#[derive(Default)]
struct Told {
    failure: Failing,
    leader: String,
}

/// How long this mirror has lacked commits while nobody led.
struct Patience<C> {
    clock: C,
    since: Option<Timestamp>,
}

impl<C: Clock> Patience<C> {
    fn has_run_out(&mut self) -> bool {
        let now = self.clock.now();
        now.since(*self.since.get_or_insert(now)) >= PATIENCE
    }
}

impl<S: Source, T: Target, P: Probe + 'static, R: Scheduler> Keeper<S, T, P, R> {
    /// Keeps the environment until it is told to stop. The pass under way is finished then, and the lease given back.
    pub async fn keep(&self, stop: &CancellationToken) {
        self.keep_with(stop, &Rollout::decide).await;
    }

    /// The same with another decision: the simulation plants bugs here and must notice each.
    pub async fn keep_with(&self, stop: &CancellationToken, decide: &Decide<'_>) {
        let watch = async {
            self.target.watch(&*self.wakes).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = self.terms(stop, decide) => {}
            () = watch => {}
        }
    }

    async fn terms(&self, stop: &CancellationToken, decide: &Decide<'_>) {
        let mut memory = Memory::new(self.environment.clone(), self.repository.clone(), self.fit.clone());
        let mut patience = Patience { clock: self.scheduler.clock(), since: None };
        let mut told = Told::default();
        let mut lack = Lack::default();
        let mut refusals = Refusals::default();
        while !stop.is_cancelled() {
            let (mut end, mut wait) = (End::Lost, ASK_AGAIN);
            match self.try_to_lead(&mut memory, &mut patience).await {
                Ok(Chance::Ours(lease)) => {
                    patience.since = None;
                    told = Told::default();
                    refusals.are_over();
                    self.emit(&Event::LeaseGained);
                    end = self.lead(&mut memory, &lease, &mut lack, stop, decide).await;
                    // Nobody else speaks for an environment that nobody leads.
                    if let Some(speaker) = self.speaker.as_ref().filter(|_| end != End::Retired) {
                        speaker.reports.end(&StatusContext::of(&self.environment));
                    }
                    let released = self.target.release(lease).await;
                    if let Err(error) = &released {
                        self.report(error, &memory);
                    }
                    self.emit(&end.told(released.is_ok()));
                }
                Ok(Chance::Theirs { leader, hint }) => {
                    told.failure.is_over();
                    refusals.are_over();
                    if told.leader != leader {
                        self.emit(&Event::Following { leader: leader.clone(), hint });
                        told.leader = leader;
                    }
                }
                Err(Refused { error, ends }) => {
                    self.report_once(&error, &memory, &mut told.failure);
                    wait = refusals.wait_after(&error, ends);
                }
            }
            self.wait_for_a_chance(end, wait, stop).await;
        }
    }

    /// Takes the lease, unless the mirror lacks what leading needs and another controller may have it.
    async fn try_to_lead(&self, memory: &mut Memory, patience: &mut Patience<R::Clock>) -> Result<Chance<T::Lease>, Refused> {
        // Before anything is written there, the lease included: it may be the wrong place.
        let mut found = self.target.load().await;
        let mut refused: fn(EdgeError) -> Refused = Refused::from;
        if is_missing(&found) {
            let place = Place { environment: &self.environment, repository: &self.repository, fit: &self.fit };
            let now = self.scheduler.clock().now();
            let remembered = memory.remembered;
            let taken = take_over(&mut memory.readings, place, &self.source, &*self.target, remembered, now).await;
            match taken.map_err(Refused::silently)? {
                Taken::Over(number) => {
                    // Before the record is read: by then the target may have been restored to a state without it.
                    memory.gave_out(number);
                    found = self.target.load().await;
                }
                Taken::Nothing => {}
                Taken::NotThere => refused = Refused::silently,
                Taken::NotYet(error) => return Err(error.into()),
            }
        }
        if is_missing(&found) {
            forget_removed(memory, &self.source, &*self.target, &self.environment).await?;
        }
        match found.map_err(refused)? {
            // What the branch does not have was removed, or never wanted: no record is made for it.
            None if self.initialises_itself && is_retired(memory, &self.source).await? => {
                let leader = "nobody: the branch head has no such environment".to_owned();
                return Ok(Chance::Theirs { leader, hint: "a commit that has it makes its record".to_owned() });
            }
            None if self.initialises_itself => drop(self.target.initialise().await?),
            None => return Err(refused(no_record(&*self.target))),
            Some(stored) => {
                keep(memory, &self.source, &[&stored.record], false).await?;
                if !equipped(memory, &self.source, &stored.record).await? {
                    self.fetches.ask();
                    // Patience is with a lease that nobody takes; whoever leads will not be driven out by it.
                    if let Some(leader) = self.target.leader().await? {
                        patience.since = None;
                        return Ok(self.theirs(leader));
                    }
                    if !patience.has_run_out() {
                        let leader = "whoever has the commits that this mirror lacks".to_owned();
                        return Ok(Chance::Theirs { leader, hint: once_patience_ends() });
                    }
                }
            }
        }
        Ok(match self.target.lead().await? {
            Leading::Ours(lease) => Chance::Ours(lease),
            Leading::Theirs(leader) => self.theirs(leader),
        })
    }

    fn theirs(&self, leader: String) -> Chance<T::Lease> {
        Chance::Theirs { leader, hint: once_gone(self.target.character().outlived) }
    }

    /// Waits for news of the state or the head, or until the time is over. Keys that change are no sign that this controller may
    /// lead, and whoever begins to lead looks at all of them.
    async fn wait_for_a_chance(&self, end: End, time: Duration, stop: &CancellationToken) {
        if end == End::Retired {
            return self.rest_retired(stop).await;
        }
        let timer = self.scheduler.sleep(time);
        tokio::pin!(timer);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.wakes.next() => {}
                () = &mut timer => break,
            }
            let news = self.wakes.take();
            if news.state || news.head {
                return;
            }
        }
        self.wakes.take();
    }

    /// Only a new head brings a retired environment back, and only a request wants a leader meanwhile.
    async fn rest_retired(&self, stop: &CancellationToken) {
        let mut news = News { state: true, ..News::default() };
        while !stop.is_cancelled() {
            let asked = news.state && self.target.requests().await.map_or(true, |requests| !requests.is_empty());
            if news.head || asked {
                return;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.wakes.next() => {}
            }
            news = self.wakes.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stands_by_says_when_it_leads_if_nobody_else_does() {
        let consul = once_gone(Duration::from_secs(22));
        assert_eq!(consul, "if that one is gone, its lease ends by itself and this controller leads within 22s");
        let directory = once_gone(Duration::ZERO);
        assert_eq!(directory, "if that one is gone, its lease went with it and this controller leads within 5s");
        let nobody = once_patience_ends();
        assert_eq!(nobody, "nobody leads now; this controller does within 20s unless another takes the lease");
    }
}
