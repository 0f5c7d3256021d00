//! A repository with a long past: the first fetch, and the verbs that ask about it, against git itself.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::Place;
use crate::table::{Line, ratio, seconds};

/// Files, each with one key.
const FILES: usize = 100_000;
/// Commits after the first; each changes one file.
const COMMITS: usize = 50_000;
/// Files of one directory.
const A_DIRECTORY: usize = 100;
/// The file whose past is asked for: it changes this often.
const EVERY: usize = 2_500;

pub(crate) fn measure(_rounds: usize) -> Vec<Line> {
    let home = tempfile::tempdir().unwrap();
    let repository = home.path().join("origin.git");
    import(&repository);
    let place = Place::with(&format!(
        "repository: {{url: \"{}\", poll: 30s}}\ndata_dir: ./data\nenvironments:\n  test: {{directory: {{path: ./live}}}}\n",
        repository.display()
    ));
    let key = key(0);
    let path = path(0);
    let mut lines = Vec::new();

    let cloned = home.path().join("clone.git");
    let (clone, _) = timed(git(
        home.path(),
        &["clone", "--quiet", "--bare", "--no-hardlinks", &repository.display().to_string(), &cloned.display().to_string()],
    ));
    let (fetch, said) = timed(place.command(&["why", &key]));
    assert!(said.contains("value"), "{said}");
    lines.push(Line {
        what: format!("first fetch of {FILES} files and {COMMITS} commits from this machine, and `why`"),
        beside: format!("`git clone --bare --no-hardlinks`: {}", seconds(clone)),
        ours: seconds(fetch),
        ..Line::default()
    });

    let (log, _) = timed(git(&repository, &["log", "--first-parent", "--format=%H", "main", "--", &path]));
    for (what, arguments) in [
        ("`why KEY`", vec!["why", &key]),
        ("`kv log KEY`, the newest 5", vec!["kv", "log", &key, "--limit", "5"]),
        ("`kv log KEY`, all", vec!["kv", "log", &key, "--limit", "1000"]),
        ("`diff` of two neighbours", vec!["diff", "HEAD~1", "HEAD"]),
        ("`render`", vec!["render", "test"]),
    ] {
        let (ours, said) = timed(place.command(&arguments));
        assert!(!said.is_empty(), "{what}");
        lines.push(Line {
            what: format!("{what} of {FILES} files and {COMMITS} commits"),
            beside: format!("`git log --first-parent -- FILE`: {}", seconds(log)),
            ours: format!("{} ({:.2} x)", seconds(ours), ratio(ours, log)),
            ..Line::default()
        });
    }
    lines
}

fn path(file: usize) -> String {
    format!("base/kv/{}.yaml", name(file))
}

fn name(file: usize) -> String {
    format!("config/service-{:04}/file-{:02}", file / A_DIRECTORY, file % A_DIRECTORY)
}

fn key(file: usize) -> String {
    format!("{}/value", name(file))
}

fn git(at: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(at);
    command
}

/// How long a command took, and what it printed.
fn timed(mut command: Command) -> (Duration, String) {
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let time = begin.elapsed();
    // `diff` ends with 3 where there are differences.
    let is_good = output.status.success() || output.status.code() == Some(3);
    assert!(is_good, "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    (time, String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Makes the repository, as a stream for `git fast-import`.
fn import(repository: &Path) {
    timed(git(Path::new("/"), &["init", "--quiet", "--bare", "--initial-branch=main", &repository.display().to_string()]));
    let mut import = git(repository, &["fast-import", "--quiet"]);
    let mut import = import.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stream = BufWriter::with_capacity(1 << 20, import.stdin.take().unwrap());
    let mut commit = |number: usize, files: &mut dyn Iterator<Item = (String, String)>| {
        let message = format!("Commit {number}");
        let time = 1_600_000_000 + number * 60;
        writeln!(stream, "commit refs/heads/main\ncommitter Tester <tester@example.org> {time} +0000").unwrap();
        writeln!(stream, "data {}\n{message}", message.len()).unwrap();
        for (path, text) in files {
            writeln!(stream, "M 100644 inline {path}\ndata {}\n{text}", text.len()).unwrap();
        }
        writeln!(stream).unwrap();
    };
    let fixed = [
        ("lockstep.yaml", "name: calvin-config\nlockstep: \"^1\"\n"),
        ("environments/test/environment.yaml", "layers: [base]\n"),
    ];
    let fixed = fixed.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned()));
    commit(0, &mut fixed.chain((0..FILES).map(|file| (path(file), format!("value: first {file}\n")))));
    for number in 1..=COMMITS {
        let file = if number % EVERY == 0 { 0 } else { 1 + number * 7919 % (FILES - 1) };
        commit(number, &mut std::iter::once((path(file), format!("value: commit {number}\n"))));
    }
    stream.flush().unwrap();
    drop(stream);
    assert!(import.wait().unwrap().success(), "git fast-import failed");
}
