//! The config repository of the simulation: small commits whose health is part of their content.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use lockstep::domain::commit::Commit;
use lockstep::domain::desired::FileTree;
use lockstep::domain::name::EnvironmentName;
use lockstep::domain::revision::Revision;
use lockstep::domain::time::Timestamp;
use lockstep::port::LastSeen;

use crate::random::Random;
use crate::scenario::BELOW;

/// The names that the environment goes by in turn.
pub(crate) const NAMES: [&str; 3] = ["test", "live", "next"];

pub(crate) fn named(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

/// What a revision makes of the service, as soon as its keys are live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    Bad,
    /// Passes and fails in turn.
    Flapping,
    /// Can't be told.
    Unknown,
}

impl Health {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Flapping => "flapping",
            Self::Unknown => "unknown",
        }
    }
}

/// The content of one commit.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a commit may say, and they combine freely")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// What the environment is called.
    pub(crate) name: &'static str,
    /// And what it was called before.
    pub(crate) formerly: Option<&'static str>,
    pub(crate) keys: BTreeMap<String, String>,
    pub(crate) health: Health,
    pub(crate) checked: bool,
    /// The environment's file has an error.
    pub(crate) broken: bool,
    /// The environment is not in the repository.
    pub(crate) retired: bool,
    pub(crate) report_drift: bool,
    /// An unhealthy revision is taken back.
    pub(crate) auto_revert: bool,
    /// How many keys a commit may delete (`deletes.at_most`).
    pub(crate) at_most: u32,
    /// A check asks whether the service has read the generation that is live.
    pub(crate) follows: bool,
    pub(crate) readme: u32,
}

impl Content {
    pub(crate) fn first(random: &mut Random) -> Self {
        let mut content = Self {
            name: NAMES[0],
            formerly: None,
            keys: BTreeMap::new(),
            health: Health::Good,
            checked: true,
            broken: false,
            retired: false,
            report_drift: random.percent(10),
            auto_revert: true,
            at_most: if random.percent(60) { 3 } else { 50 },
            follows: random.percent(40),
            readme: 0,
        };
        for name in ["a", "b", "c", "d", "e"] {
            content.keys.insert(format!("config/{name}"), "1".to_owned());
        }
        // Many keys are rarely proven later on, and only of those the share that a commit deletes counts.
        if random.percent(15) {
            content.keys.extend(bulk().map(|key| (key, "1".to_owned())));
            content.at_most = 50;
        }
        content
    }

    /// What a commit of before said, under today's name: who goes back takes no rename back.
    pub(crate) fn as_before(&self, before: &Self) -> Self {
        Self { name: self.name, formerly: self.formerly, ..before.clone() }
    }

    /// Whether whoever reads it finds this environment in it, whatever is wrong with that.
    pub(crate) fn has(&self, name: &EnvironmentName) -> bool {
        !self.retired && self.name == name.as_str()
    }

    pub(crate) fn tree(&self) -> FileTree {
        let at = format!("environments/{}", self.name);
        let mut files: Vec<(String, String)> = vec![
            ("lockstep.yaml".into(), "name: sim\nlockstep: \"^1\"\n".into()),
            ("README.md".into(), format!("{}\n", self.readme)),
            ("environments/other/environment.yaml".into(), "layers: []\n".into()),
        ];
        if !self.retired {
            let drift = if self.report_drift { "report" } else { "correct" };
            let (revert, at_most) = (self.auto_revert, self.at_most);
            let mut environment = format!(
                "rollout:\n  settle: 2s\n  min_healthy_time: 4s\n  healthy_deadline: 20s\n  apply_deadline: 30s\n  \
                 auto_revert: {revert}\ndeletes: {{at_most: {at_most}}}\ndrift: {drift}\n"
            );
            if self.broken {
                environment.push_str("interval: 1d\n");
            }
            if let Some(former) = self.formerly {
                writeln!(environment, "formerly: {former}").unwrap();
            }
            files.push((format!("{at}/environment.yaml"), environment));
            for (key, value) in &self.keys {
                // A key below another one comes from a file of another kind.
                files.push(if key == BELOW {
                    (format!("{at}/kv/config/a/b.yaml"), format!("g: \"{value}\"\n"))
                } else {
                    (format!("{at}/files/{key}"), value.clone())
                });
            }
            let mut health = String::new();
            write!(health, "{}", self.health.word()).unwrap();
            if !self.keys.is_empty() {
                files.push((format!("{at}/files/config/health"), health));
            }
            if self.checked {
                let check = "kind: tcp\nservice: build\ninterval: 1s\ntimeout: 500ms\n";
                files.push((format!("{at}/checks/build.yaml"), check.into()));
                if self.follows {
                    let check = "kind: http\nservice: build\npath: /generation\nexpect: {body: \"${lockstep.generation}\"}\ninterval: 1s\n\
                                 timeout: 500ms\n";
                    files.push((format!("{at}/checks/generation.yaml"), check.into()));
                }
            }
        }
        FileTree::of_files(files)
    }
}

/// Keys that come and go together, so many that their share of all keys counts (rule G1).
pub(crate) fn bulk() -> impl Iterator<Item = String> {
    (1..=12).map(|number| format!("config/bulk/{number}"))
}

/// One commit of the simulated history.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) parent: Option<Revision>,
    pub(crate) content: Content,
    pub(crate) trailers: Vec<(String, String)>,
    /// When it was made, in the world's time.
    pub(crate) at: i64,
}

/// The origin: every commit ever made, and the branch.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pub(crate) commits: BTreeMap<Revision, Node>,
    pub(crate) tip: Option<Revision>,
    /// The world's time, for the commits made now.
    pub(crate) now: i64,
    counter: u32,
}

impl Origin {
    pub(crate) fn commit(&mut self, parent: Option<Revision>, content: Content, trailers: Vec<(String, String)>) -> Revision {
        self.counter += 1;
        let mut id = [0; 20];
        // Readable in a log: the counter is in the digits that people see.
        id[..4].copy_from_slice(&(self.counter << 4).to_be_bytes());
        id[19] = 1;
        let revision = Revision::from_bytes(id);
        self.commits.insert(revision, Node { parent, content, trailers, at: self.now });
        self.tip = Some(revision);
        revision
    }

    pub(crate) fn content(&self, revision: Revision) -> &Content {
        &self.commits[&revision].content
    }

    pub(crate) fn descends(&self, revision: Revision, of: Revision) -> bool {
        self.ancestry(revision).any(|ancestor| ancestor == of)
    }

    /// The commit and its ancestors, newest first.
    pub(crate) fn ancestry(&self, from: Revision) -> impl Iterator<Item = Revision> {
        std::iter::successors(Some(from), |revision| self.commits.get(revision).and_then(|node| node.parent))
    }

    /// How an environment was when the branch had it last, no further back than to `since`.
    pub(crate) fn last_seen(&self, name: &EnvironmentName, upto: Revision, since: Option<Revision>) -> Option<LastSeen> {
        let mut gone = None;
        for revision in self.ancestry(upto) {
            let content = self.content(revision);
            if content.has(name) {
                return Some(LastSeen { formerly: content.formerly.map(named), gone });
            }
            if Some(revision) == since {
                break;
            }
            gone = Some(revision);
        }
        None
    }

    /// The names that the environment of a commit had before, the newest first. One that it had again since ends them: the newest
    /// word of a name counts.
    pub(crate) fn former_names(&self, at: Revision) -> Vec<&'static str> {
        let mut names: Vec<&str> = self.content(at).formerly.filter(|_| !self.content(at).retired).into_iter().collect();
        let mut passed = BTreeSet::new();
        for content in self.ancestry(at).map(|revision| self.content(revision)).filter(|content| !content.retired) {
            passed.insert(content.name);
            if names.last() == Some(&content.name) {
                match content.formerly.filter(|former| !passed.contains(former)) {
                    Some(former) => names.push(former),
                    None => break,
                }
            }
        }
        names
    }

    /// Whether a commit says, without an error, that this environment is nobody's any more.
    pub(crate) fn lets_go(&self, at: Revision, name: &EnvironmentName) -> bool {
        let content = self.content(at);
        let is_other = content.name != name.as_str() && !content.broken;
        content.retired || is_other && !self.former_names(at).contains(&name.as_str())
    }

    pub(crate) fn describe(&self, revision: Revision) -> Commit {
        Commit {
            revision,
            author: "Ada".to_owned(),
            subject: format!("commit {}", revision.short()),
            trailers: self.commits[&revision].trailers.clone(),
            unread: 0,
            at: Timestamp::from_millis(0),
        }
    }
}
