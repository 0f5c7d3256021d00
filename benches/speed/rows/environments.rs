//! Many environments of one repository and one controller, deployed for the first time: directories, and roots of one Consul.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::daemon::{Place, until};
use crate::repo::TestRepo;
use crate::support::Agent;
use crate::table::{Line, ratio, seconds};

/// Directory targets.
const DIRECTORIES: usize = 1_000;
/// Environments on one Consul.
const ON_CONSUL: usize = 50;
/// Keys that each has.
const KEYS: usize = 20;
/// Until all are deployed, at most.
const GOAL: Duration = Duration::from_secs(20);
/// Resident memory in MiB, at most.
const GOAL_MEMORY: f64 = 175.0;
const MANIFEST: (&str, &str) = ("lockstep.yaml", "name: calvin-config\nlockstep: \"^1\"\n");

pub(crate) fn measure(_rounds: usize) -> Vec<Line> {
    vec![directories(), on_consul()]
}

fn name(number: usize) -> String {
    format!("e{number:04}")
}

fn keys(of: &str) -> String {
    (0..KEYS).fold(String::new(), |mut text, number| {
        writeln!(text, "key-{number:02}: {of}").unwrap();
        text
    })
}

fn repository(count: usize, own: impl Fn(&str) -> (String, String)) -> TestRepo {
    let mut files = vec![(MANIFEST.0.to_owned(), MANIFEST.1.to_owned()), ("base/kv/shared.yaml".into(), keys("shared"))];
    for name in (0..count).map(name) {
        let (layers, path) = own(&name);
        files.push((format!("environments/{name}/environment.yaml"), format!("layers: [{layers}]\n")));
        files.push((format!("environments/{name}/kv/{path}.yaml"), keys(&name)));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    TestRepo::with(&files)
}

fn configuration(repo: &Path, environments: impl Iterator<Item = String>) -> String {
    let mut text = format!("repository: {{url: \"{}\", poll: 30s}}\ndata_dir: ./data\nenvironments:\n", repo.display());
    for environment in environments {
        writeln!(text, "  {environment}").unwrap();
    }
    text
}

fn directories() -> Line {
    let repo = repository(DIRECTORIES, |_| ("base".into(), "own".into()));
    let target = |name: &str| format!("{name}: {{directory: {{path: ./live/{name}}}}}");
    let place = Place::with(&configuration(&repo.path(), (0..DIRECTORIES).map(|number| target(&name(number)))));
    let last = |name: &str| -> PathBuf { place.path().join(format!("live/{name}/current/own/key-{:02}", KEYS - 1)) };
    std::fs::create_dir(place.path().join("live")).unwrap();
    let begin = Instant::now();
    let mut controller = place.start();
    let mut left: Vec<String> = (0..DIRECTORIES).map(name).collect();
    until("every directory has its keys", Duration::from_millis(20), || {
        left.retain(|name| !last(name).exists());
        left.is_empty()
    });
    let took = begin.elapsed();
    for name in (0..DIRECTORIES).map(name) {
        assert_eq!(std::fs::read_to_string(last(&name)).unwrap(), name);
    }
    let usage = controller.usage();
    controller.stop();
    Line {
        what: format!("first deploy of {DIRECTORIES} environments on directory targets, {} keys each", 2 * KEYS),
        beside: "Flux: 4 min 15 s for 1,000 Kustomizations, 175 MiB (published)".into(),
        ours: format!("{}, {:.0} MiB", seconds(took), usage.peak),
        goal: format!("at most {} and {GOAL_MEMORY} MiB", seconds(GOAL)),
        share: Some(ratio(took, GOAL).max(usage.peak / GOAL_MEMORY)),
        usage: Some(usage),
    }
}

fn on_consul() -> Line {
    let repo = repository(ON_CONSUL, |name| (String::new(), format!("{name}/own")));
    let agent = Agent::start();
    let target =
        |name: &str, pin: &str| format!("{name}: {{consul: {{address: \"{}\"}}, {pin}keys: [{name}/]}}", agent.address());
    let place = Place::with(&configuration(&repo.path(), (0..ON_CONSUL).map(|number| target(&name(number), ""))));
    let pins: Vec<String> = (0..ON_CONSUL).map(|number| place.init(&name(number))).collect();
    place.write(&configuration(&repo.path(), (0..ON_CONSUL).map(|number| target(&name(number), &pins[number]))));
    let begin = Instant::now();
    let mut controller = place.start();
    until("every environment has its keys", Duration::from_millis(20), || {
        (0..ON_CONSUL).all(|number| {
            let name = name(number);
            agent.get(&format!("{name}/own/key-{:02}", KEYS - 1)) == Some(name.into_bytes())
        })
    });
    let took = begin.elapsed();
    let usage = controller.usage();
    controller.stop();
    Line {
        what: format!("first deploy of {ON_CONSUL} environments on one Consul, {KEYS} keys each"),
        ours: seconds(took),
        goal: format!("at most {}", seconds(GOAL)),
        share: Some(ratio(took, GOAL)),
        usage: Some(usage),
        ..Line::default()
    }
}
