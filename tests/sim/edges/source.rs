//! The mirror of the config repository: it lags, its server lags, and what nothing names goes with the next fetch.

use std::collections::{BTreeMap, BTreeSet};

use lockstep::domain::commit::Commit;
use lockstep::domain::desired::FileTree;
use lockstep::domain::name::EnvironmentName;
use lockstep::domain::revision::Revision;
use lockstep::port::{EdgeError, EdgeKind, Head, LastSeen, Source, Tip};

use super::Edge;
use crate::bugs::Bug;
use crate::world::{PERSON, POLL, World};

impl Edge {
    /// The head that a pass sees; with the bug the oldest one that a wake was about and that was not gone to yet.
    fn worked_off(&self, world: &World, tip: Revision) -> Revision {
        if !self.has(Bug::CarriesTheHeadInAWake) {
            return tip;
        }
        let mut told = self.told.lock().unwrap();
        let goal = world.record().and_then(|record| record.goal.as_ref()).map(|goal| goal.tip);
        if told.len() > 1 && (told.first().copied() == goal || !world.mirrors[self.replica].known.contains(&told[0])) {
            told.remove(0);
        }
        told.first().copied().unwrap_or(tip)
    }
}

impl Source for Edge {
    async fn head(&self) -> Result<Head, EdgeError> {
        self.border().await;
        let world = self.world();
        let mirror = &world.mirrors[self.replica];
        let tip = match (mirror.fetched, mirror.tip) {
            (false, _) => Tip::Unfetched,
            (true, None) => Tip::Gone("main".to_owned()),
            (true, Some(tip)) => Tip::At(self.worked_off(&world, tip)),
        };
        Ok(Head { tip, confirmed: mirror.confirmed || self.has(Bug::BelievesEveryHead), trouble: None })
    }

    async fn fetch(&self) -> Result<(), EdgeError> {
        if self.has(Bug::RemovesByAnOldHead) && self.replica == PERSON && self.world().mirrors[PERSON].fetched {
            return Ok(());
        }
        self.world().begins_to_fetch(self.replica);
        // A slow git server: mirrors lag by up to a few polls.
        self.dawdle(20, 3 * POLL).await;
        let started = self.call("fetch").await;
        let mut world = self.world();
        let now = world.now;
        let mut tip = world.visible_tip();
        // A git server that lags shows the commit before, once.
        let lagged = world.mirrors[self.replica].lagged;
        let lags = world.stormy && !lagged && world.random.percent(8);
        if lags {
            tip = tip.and_then(|tip| world.origin.commits[&tip].parent).or(tip);
            world.reached("a git server that lags");
        }
        world.mirrors[self.replica].lagged = lags;
        let known: Vec<Revision> = tip.map(|tip| world.origin.ancestry(tip).collect()).unwrap_or_default();
        let kept: Vec<Revision> = world.mirrors[self.replica]
            .kept
            .iter()
            .copied()
            .filter(|revision| world.mirrors[self.replica].known.contains(revision))
            .collect();
        let kept: Vec<Revision> =
            kept.iter().flat_map(|revision| world.origin.ancestry(*revision).collect::<Vec<_>>()).collect();
        // Whoever removes by hand looks again sooner.
        let poll = if self.replica == PERSON { POLL } else { world.poll };
        if started.is_err() {
            world.mirrors[self.replica].confirmed = false;
            world.mirrors[self.replica].seen_at = now;
            world.failed_to_fetch(self.replica);
            return started;
        }
        let mirror = &mut world.mirrors[self.replica];
        let same = mirror.fetched && mirror.tip == tip;
        mirror.confirmed = same && (mirror.confirmed || now - mirror.seen_at >= poll);
        if !same {
            mirror.seen_at = now;
        }
        mirror.fetched = true;
        mirror.tip = tip;
        // What nothing names any more is gone with the next fetch.
        mirror.known = known.into_iter().chain(kept).collect();
        world.fetched(self.replica, tip);
        drop(world);
        let mut told = self.told.lock().unwrap();
        if let Some(tip) = tip.filter(|tip| told.last() != Some(tip)) {
            told.push(tip);
        }
        Ok(())
    }

    async fn tree(&self, revision: Revision) -> Result<FileTree, EdgeError> {
        self.border().await;
        let mut world = self.world();
        if world.mirrors[self.replica].known.contains(&revision) {
            Ok(world.origin.content(revision).tree())
        } else {
            world.reached("a mirror without the commits it needs");
            Err(EdgeError::new("sim", EdgeKind::NotFound, "read a commit"))
        }
    }

    async fn differing(&self, before: Revision, after: Revision) -> Result<Option<Vec<String>>, EdgeError> {
        self.border().await;
        let mut world = self.world();
        if [before, after].iter().any(|revision| !world.mirrors[self.replica].known.contains(revision)) {
            return Ok(None);
        }
        let [before, after] = [before, after].map(|revision| world.origin.content(revision).tree().nodes);
        world.reached("a revision read from another one");
        let paths = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
        Ok(Some(paths.cloned().collect()))
    }

    async fn descends(&self, revision: Revision, of: Revision) -> Result<bool, EdgeError> {
        self.border().await;
        let world = self.world();
        Ok(world.mirrors[self.replica].known.contains(&of) && world.origin.descends(revision, of))
    }

    async fn commits(&self, after: Option<Revision>, upto: Revision) -> Result<Vec<Commit>, EdgeError> {
        self.border().await;
        let world = self.world();
        let known = after.filter(|after| world.mirrors[self.replica].known.contains(after));
        let Some(after) = known else { return Ok(vec![world.origin.describe(upto)]) };
        let old: Vec<Revision> = world.origin.ancestry(after).collect();
        Ok(world
            .origin
            .ancestry(upto)
            .take_while(|revision| !old.contains(revision))
            .map(|revision| world.origin.describe(revision))
            .collect())
    }

    async fn last_seen(
        &self,
        environments: &BTreeSet<EnvironmentName>,
        upto: Revision,
        since: Option<Revision>,
    ) -> Result<BTreeMap<EnvironmentName, LastSeen>, EdgeError> {
        self.border().await;
        if self.has(Bug::ForgetsTheNamesBetween) {
            return Ok(BTreeMap::new());
        }
        let world = self.world();
        if !world.mirrors[self.replica].known.contains(&upto) {
            return Err(EdgeError::new("sim", EdgeKind::NotFound, "read what was said of environments last"));
        }
        Ok(environments.iter().filter_map(|name| Some((name.clone(), world.origin.last_seen(name, upto, since)?))).collect())
    }

    async fn watch(&self, _wake: &(dyn Fn() + Sync)) {}

    async fn keep(&self, _: &EnvironmentName, revisions: &[Revision], _: Option<Revision>) -> Result<(), EdgeError> {
        self.call("keep").await?;
        if !self.has(Bug::KeepsNothing) {
            self.world().mirrors[self.replica].kept = revisions.iter().copied().collect();
        }
        Ok(())
    }

    async fn forget(&self, _: &EnvironmentName, heir: Option<&EnvironmentName>) -> Result<(), EdgeError> {
        self.call("forget").await?;
        // What is kept for the heir is the same environment's here.
        if heir.is_none() {
            self.world().mirrors[self.replica].kept.clear();
        }
        Ok(())
    }
}
