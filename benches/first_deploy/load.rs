//! What is deployed: the same keys and values for everybody, as a config repository and as pairs.

use std::fmt::Write as _;

use crate::repo::TestRepo;
use crate::support::Agent;

/// How many keys.
pub(crate) const KEYS: usize = 10_000;
/// Bytes of each value.
pub(crate) const BYTES: usize = 100;
/// Keys of one file of the repository.
const A_FILE: usize = 100;
/// What the keys lie below.
pub(crate) const PREFIX: &str = "config/";

/// Every key with its value.
pub(crate) fn pairs() -> impl Iterator<Item = (String, String)> {
    (0..KEYS).map(|number| {
        let (service, setting) = (number / A_FILE, number % A_FILE);
        let value = format!("{number:06}-");
        (
            format!("{PREFIX}service-{service:03}/setting-{setting:02}"),
            value.repeat(BYTES / value.len() + 1)[..BYTES].to_owned(),
        )
    })
}

/// A config repository of one environment, whose desired state they are.
pub(crate) fn repository() -> TestRepo {
    let mut files: Vec<(String, String)> = vec![
        ("lockstep.yaml".into(), "name: calvin-config\nlockstep: \"^1\"\n".into()),
        ("environments/test/environment.yaml".into(), "layers: [base]\n".into()),
    ];
    for (number, (key, value)) in pairs().enumerate() {
        let (file, setting) = key.rsplit_once('/').unwrap();
        if number % A_FILE == 0 {
            files.push((format!("base/kv/{file}.yaml"), String::new()));
        }
        writeln!(files.last_mut().unwrap().1, "{setting}: {value}").unwrap();
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    TestRepo::with(&files)
}

/// All of it arrived.
pub(crate) fn check(agent: &Agent) {
    let live = agent.values(PREFIX);
    let same = live.len() == KEYS && pairs().all(|(key, value)| live.get(&key).is_some_and(|found| *found == value.as_bytes()));
    assert!(same, "the keys did not arrive as they should");
}
