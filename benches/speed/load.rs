//! What is deployed: the same keys and values for everybody, as a config repository and as pairs.

use std::fmt::Write as _;

use crate::repo::TestRepo;
use crate::support::Agent;

/// Bytes of each value.
pub(crate) const BYTES: usize = 100;
/// Keys of one file of the repository.
const A_FILE: usize = 100;
/// What the keys lie below.
pub(crate) const PREFIX: &str = "config/";
/// The environment's file: as soon as a revision is written it is proven.
const ENVIRONMENT: &str = "layers: [base]\nrollout: {settle: 0s, min_healthy_time: 10ms, healthy_deadline: 5s}\n";

/// So many keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load(pub(crate) usize);

impl Load {
    /// Every key with its value.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (String, String)> {
        (0..self.0).map(|number| (key(number), value(number)))
    }

    /// A config repository of one environment, whose desired state they are.
    pub(crate) fn repository(self) -> TestRepo {
        let files: Vec<(String, String)> = [
            ("lockstep.yaml".into(), "name: calvin-config\nlockstep: \"^1\"\n".into()),
            ("environments/test/environment.yaml".into(), ENVIRONMENT.into()),
        ]
        .into_iter()
        .chain((0..self.0.div_ceil(A_FILE)).map(|file| self.file(file, |_| None)))
        .collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        TestRepo::with(&files)
    }

    /// The same keys with one value.
    pub(crate) fn repository_of(self, text: &str) -> TestRepo {
        let mut repo = Self(0).repository();
        self.change_all(&mut repo, text);
        repo
    }

    /// Commits one other value of all keys.
    pub(crate) fn change_all(self, repo: &mut TestRepo, to: &str) {
        let files: Vec<_> = (0..self.0.div_ceil(A_FILE)).map(|file| self.file(file, |_| Some(to.to_owned()))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        repo.commit(&format!("All are {to}"), &files);
    }

    /// Commits another value of one key.
    pub(crate) fn change(self, repo: &mut TestRepo, number: usize, to: &str) {
        let (path, text) = self.file(number / A_FILE, |other| (other == number).then(|| to.to_owned()));
        repo.commit(&format!("{} is {to}", key(number)), &[(&path, &text)]);
    }

    /// A file of the repository, with some values other than usual.
    fn file(self, file: usize, other: impl Fn(usize) -> Option<String>) -> (String, String) {
        let mut text = String::new();
        for number in file * A_FILE..self.0.min((file + 1) * A_FILE) {
            let key = key(number);
            let setting = key.rsplit_once('/').unwrap().1;
            writeln!(text, "{setting}: {}", other(number).unwrap_or_else(|| value(number))).unwrap();
        }
        (format!("base/kv/{}.yaml", key(file * A_FILE).rsplit_once('/').unwrap().0), text)
    }

    /// All of it arrived.
    pub(crate) fn check(self, agent: &Agent) {
        let live = agent.values(PREFIX);
        let same = live.len() == self.0
            && self.pairs().all(|(key, value)| live.get(&key).is_some_and(|found| *found == value.as_bytes()));
        assert!(same, "the keys did not arrive as they should");
    }
}

/// The name of a key.
pub(crate) fn key(number: usize) -> String {
    format!("{PREFIX}service-{:04}/setting-{:02}", number / A_FILE, number % A_FILE)
}

/// Its value, as it is at first.
fn value(number: usize) -> String {
    let value = format!("{number:06}-");
    value.repeat(BYTES / value.len() + 1)[..BYTES].to_owned()
}
