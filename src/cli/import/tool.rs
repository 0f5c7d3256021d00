//! What the imports from other tools have in common: a branch's files in, a repository and its parity with a live Consul out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::live::Live;
use super::parity::Parity;
use super::report::Report;
use super::write::Writing;
use crate::cli::error::{Exit, Failure};
use crate::cli::options::Options;
use crate::cli::output::Output;
use crate::cli::progress::Steps;
use crate::cli::text::count;
use crate::client::git::{TreeLimits, read_commit};
use crate::domain::desired::FileTree;
use crate::domain::import::{Found, Legacy};
use crate::domain::name::{EnvironmentName, STATE_PREFIX};
use crate::domain::resource::Flags;
use crate::domain::revision::{Revision, ValueDigest};
use crate::domain::words::shell_word;

/// Options of both.
#[derive(Debug, clap::Args)]
pub(super) struct Tooling {
    /// The environment that the keys are of, as its directory will be named
    #[arg(value_name = "ENV", value_parser = |text: &str| EnvironmentName::parse(text).map_err(|error| error.to_string()))]
    pub(super) environment: EnvironmentName,
    /// The git repository that the tool reads, bare or a clone, on this machine
    #[arg(long, value_name = "DIR", alias = "repo-root")]
    pub(super) repo: PathBuf,
    /// Compare with what is live: an environment of the controller's configuration, or Consul's address
    #[arg(long, value_name = "ENV|URL")]
    against: Option<String>,
    #[command(flatten)]
    pub(super) writing: Writing,
}

impl Tooling {
    /// The files of a branch, from git objects: nothing is checked out, so no link is followed and no filter runs.
    pub(super) async fn files(&self, branch: &str) -> Result<(Revision, FileTree), Failure> {
        let (path, branch) = (self.repo.clone(), branch.to_owned());
        let read = move || {
            let limits = TreeLimits::default();
            // A clone has the branches of its origin under another name.
            read_commit(&path, &branch, &limits)
                .or_else(|error| read_commit(&path, &format!("origin/{branch}"), &limits).map_err(|_| error))
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| Failure::new("read the files").because(&error))?;
        let (revision, tree) = read.map_err(|error| Failure { exit: Exit::Failed, ..Failure::from(error) })?;
        match &tree.cut {
            Some(cut) => Err(Failure::new(format!("{} can't be read: {cut}", revision.short()))),
            None => Ok((revision, tree)),
        }
    }

    /// Writes the repository, compares, and reports.
    pub(super) async fn finish(
        &self,
        source: String,
        mut legacy: Legacy,
        options: &Options,
        output: &Output,
    ) -> Result<Exit, Failure> {
        if legacy.keys.is_empty() && legacy.left_out.is_empty() {
            return Err(self.nothing());
        }
        // Where nothing answers, nothing is written either.
        let live = match &self.against {
            Some(against) => Some(self.live(against, &legacy, options, output).await?),
            None => None,
        };
        let mut gathering = self.writing.gathering();
        for (key, value) in std::mem::take(&mut legacy.keys) {
            gathering.add(Found { key, value, flags: Flags(0), locked: false });
        }
        for left in std::mem::take(&mut legacy.left_out) {
            gathering.leave_out(left.key, left.reason);
        }
        let (seen, asked_out) = (gathering.seen(), gathering.asked_out());
        let wanted: BTreeMap<String, ValueDigest> =
            gathering.keys().iter().map(|(key, value)| (key.to_string(), ValueDigest::of(value))).collect();
        let written = self.writing.write(&self.environment, gathering).await?;
        let mut report = Report::new(&self.environment, source, &self.writing.into, seen, asked_out, written);
        if let Some((place, live, partial)) = live {
            report.is_partial |= partial;
            let mut known = report.left_out();
            known.extend(legacy.own.iter().cloned());
            report.parity = Some(Parity::of(place, &wanted, &live, &known));
        }
        report.tells(legacy);
        output.show(&report)?;
        Ok(report.exit())
    }

    /// Why there is nothing to write: none of the files is one that the tool reads.
    fn nothing(&self) -> Failure {
        let repo = shell_word(&self.repo.display().to_string());
        Failure::new("there is no key to write: the tool would read no file of this commit").hint(format!(
            "are the branch, the directory in the repository and the extensions right? `git -C {repo} ls-tree -r --name-only BRANCH` \
             lists its files"
        ))
    }

    /// The digests of what is live where the tool writes; where that is; and whether there may be more.
    async fn live(
        &self,
        against: &str,
        legacy: &Legacy,
        options: &Options,
        output: &Output,
    ) -> Result<(String, BTreeMap<String, ValueDigest>, bool), Failure> {
        let live = Live::against(against, options)?;
        let prefixes = if legacy.prefix.is_empty() { live.prefixes.clone() } else { vec![legacy.prefix.clone()] };
        let steps = Steps::new(output, self.environment.to_string());
        let mut found = BTreeMap::new();
        let mut partial = false;
        for prefix in &prefixes {
            let mut take = |exported: crate::client::consul::Exported| {
                if !exported.key.starts_with(STATE_PREFIX) {
                    found.insert(exported.key, ValueDigest::of(&exported.value));
                }
            };
            live.server.export(prefix, &mut take).await?;
            partial |= live.server.may_hide_below(prefix).await?;
            steps.say(&format!("{} read", count(found.len(), "live key")));
        }
        Ok((live.name(), found, partial))
    }
}
