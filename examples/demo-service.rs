//! The demo's service: it reads its configuration where lockstep writes it, and `GET /health` says whether it can work with
//! it and which revision it has.
//!
//! It stands for any service that is configured through Consul or through files, and it shows how such a service reads one
//! revision and no mixture of two: in a directory it resolves `current` once and stays with that version; in Consul it sees
//! the `revision` key say `complete` with the same generation before and after its reads (docs/consumers.md).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use serde::{Deserialize, Serialize};

/// No value, request or answer of the demo is longer.
const LONGEST: u64 = 64 * 1024;
/// How long the other side of a connection may take.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Parser)]
#[command(about = "The demo's service: GET /health says whether its configuration works, and which revision it is of")]
struct Options {
    /// Where to listen; port 0 takes a free one. The first line that is printed is the address.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The key that must hold a port number.
    #[arg(long, default_value = "config/services/builds/protocols/http/port")]
    port_key: String,
    /// A directory target: keys are files in current/.
    #[arg(long, required_unless_present = "consul", conflicts_with = "consul")]
    directory: Option<PathBuf>,
    /// A Consul's HTTP address, host:port.
    #[arg(long, requires = "repository", requires = "environment")]
    consul: Option<SocketAddr>,
    /// The name of the config repository, with --consul.
    #[arg(long)]
    repository: Option<String>,
    /// The name of the environment, with --consul.
    #[arg(long)]
    environment: Option<String>,
}

/// Where the configuration is.
enum Settings {
    /// In a directory target.
    Directory(PathBuf),
    /// In Consul's KV.
    Consul { address: SocketAddr, revision_key: String },
}

/// What the service reads in one go.
struct Reading {
    /// The revision that the value is of, if any was deployed.
    revision: Option<String>,
    /// The value of the key; none when there is no such key.
    port: Option<String>,
    /// False when a new revision was being written meanwhile.
    whole: bool,
}

/// Consul's `revision` key.
#[derive(PartialEq, Eq, Deserialize)]
struct Version {
    state: String,
    revision: String,
    generation: u32,
}

/// What `/health` answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Health {
    status: String,
    revision: Option<String>,
}

impl Settings {
    fn read(&self, key: &str) -> io::Result<Reading> {
        match self {
            Self::Directory(path) => {
                let version = match path.join("current").read_link() {
                    Ok(version) => path.join(version),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        return Ok(Reading { revision: None, port: None, whole: true });
                    }
                    Err(error) => return Err(error),
                };
                Ok(Reading { revision: Some(revision_of(&version)?), port: file(&version.join(key))?, whole: true })
            }
            Self::Consul { address, revision_key } => {
                let version = || -> io::Result<Option<Version>> {
                    consul_value(*address, revision_key)?
                        .map(|text| serde_json::from_str(&text).map_err(io::Error::other))
                        .transpose()
                };
                let (before, port, after) = (version()?, consul_value(*address, key)?, version()?);
                let whole = before == after && after.as_ref().is_none_or(|version| version.state == "complete");
                Ok(Reading { revision: after.map(|version| version.revision), port, whole })
            }
        }
    }
}

/// Reads the configuration and judges it: the HTTP status, and what to say.
fn health(settings: &Settings, port_key: &str) -> (u16, Health) {
    let Reading { revision, port, whole } = match settings.read(port_key) {
        Ok(reading) => reading,
        Err(error) => return (503, Health { status: format!("can't read the configuration: {error}"), revision: None }),
    };
    let problem = match port {
        _ if !whole => Some("between two revisions".to_owned()),
        None => Some(format!("{port_key} is missing")),
        Some(port) if port.trim().parse::<u16>().is_err() => Some(format!("{port_key} is no port number: {port:?}")),
        Some(_) => None,
    };
    match problem {
        None => (200, Health { status: "ready".to_owned(), revision }),
        Some(status) => (503, Health { status, revision }),
    }
}

/// The revision that a version was built for: a line of the list that lies beside it.
fn revision_of(version: &Path) -> io::Result<String> {
    let list = BufReader::new(File::open(version.with_added_extension("manifest"))?.take(LONGEST));
    for line in list.lines().take(3) {
        if let Some(revision) = line?.strip_prefix("revision ") {
            return Ok(revision.to_owned());
        }
    }
    Err(io::Error::other("the version's list names no revision"))
}

/// A file's text; none when there is no such file.
fn file(path: &Path) -> io::Result<Option<String>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(LONGEST).read_to_string(&mut text).map(|_| Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A key's value; none when there is no such key.
fn consul_value(address: SocketAddr, key: &str) -> io::Result<Option<String>> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0, so that the answer ends where the connection does.
    connection.write_all(format!("GET /v1/kv/{key}?raw&consistent HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    connection.take(LONGEST).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(Some(body.to_owned())),
        Some("404") => Ok(None),
        _ => Err(io::Error::other(format!("consul answered {}", head.lines().next().unwrap_or_default()))),
    }
}

/// Answers one connection.
fn serve(mut connection: TcpStream, settings: &Settings, port_key: &str) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let request = head(&mut connection)?;
    let (status, body) = if request.starts_with(b"GET /health ") {
        let (status, health) = health(settings, port_key);
        (status, serde_json::to_string(&health)?)
    } else {
        (404, r#"{"status":"ask for GET /health"}"#.to_owned())
    };
    let word = if status == 200 { "OK" } else { "Not OK" };
    let answer = format!(
        "HTTP/1.1 {status} {word}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(answer.as_bytes())
}

/// The head of a request, or as much of it as there is.
fn head(connection: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && (request.len() as u64) < LONGEST {
        match connection.read(&mut part)? {
            0 => break,
            read => request.extend_from_slice(&part[..read]),
        }
    }
    Ok(request)
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let settings = match (options.directory, options.consul, options.repository, options.environment) {
        (Some(path), ..) => Settings::Directory(path),
        (None, Some(address), Some(repository), Some(environment)) => {
            Settings::Consul { address, revision_key: format!("lockstep/{repository}/{environment}/revision") }
        }
        _ => return Err(io::Error::other("say where the configuration is: --directory, or --consul with its two names")),
    };
    let listener = TcpListener::bind(options.listen)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    for connection in listener.incoming() {
        // A client that hangs up is its own affair.
        let _ = connection.and_then(|connection| serve(connection, &settings, &options.port_key));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::{fs, thread};

    use super::*;

    const KEY: &str = "config/port";

    fn directory(manifest: &str, port: Option<&str>) -> (tempfile::TempDir, Settings) {
        let scratch = tempfile::tempdir().unwrap();
        let version = scratch.path().join("versions/17");
        fs::create_dir_all(version.join("config")).unwrap();
        symlink("versions/17", scratch.path().join("current")).unwrap();
        fs::write(scratch.path().join("versions/17.manifest"), manifest).unwrap();
        if let Some(port) = port {
            fs::write(version.join(KEY), port).unwrap();
        }
        let settings = Settings::Directory(scratch.path().to_owned());
        (scratch, settings)
    }

    const MANIFEST: &str = "lockstep manifest 1\ngeneration 17\nrevision 1a2b\nend 0\n";

    #[track_caller]
    fn check(port: Option<&str>, status: u16, said: &str) {
        let (_scratch, settings) = directory(MANIFEST, port);
        let expected = Health { status: said.to_owned(), revision: Some("1a2b".to_owned()) };
        assert_eq!(health(&settings, KEY), (status, expected));
    }

    #[test]
    fn it_is_healthy_only_with_a_configuration_that_it_can_work_with() {
        check(Some("8080"), 200, "ready");
        check(Some("8080\n"), 200, "ready");
        check(Some("80a80"), 503, "config/port is no port number: \"80a80\"");
        check(None, 503, "config/port is missing");
    }

    #[test]
    fn before_the_first_deploy_it_says_what_is_missing() {
        let settings = Settings::Directory("/nowhere/at/all".into());
        let expected = Health { status: "config/port is missing".to_owned(), revision: None };
        assert_eq!(health(&settings, KEY), (503, expected));
    }

    #[test]
    fn a_version_without_its_list_is_said() {
        let (_scratch, settings) = directory("", Some("8080"));
        let (status, health) = health(&settings, KEY);
        assert_eq!((status, health.revision), (503, None));
        assert_eq!(health.status, "can't read the configuration: the version's list names no revision");
    }

    /// Gives these answers to that many requests, and checks what was asked.
    fn fake_consul(answers: Vec<(&'static str, &'static str)>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (key, answer) in answers {
                let (mut connection, _) = listener.accept().unwrap();
                assert!(
                    head(&mut connection)
                        .unwrap()
                        .starts_with(format!("GET /v1/kv/{key}?raw&consistent HTTP/1.0\r\n").as_bytes())
                );
                connection.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn a_value_is_read_from_consul() {
        let read = |answer| consul_value(fake_consul(vec![(KEY, answer)]), KEY);
        assert_eq!(read("HTTP/1.0 200 OK\r\nX-Consul-Index: 7\r\n\r\n8080").unwrap().as_deref(), Some("8080"));
        assert_eq!(read("HTTP/1.0 404 Not Found\r\n\r\n").unwrap(), None);
        assert_eq!(
            read("HTTP/1.0 500 Internal Server Error\r\n\r\nNo cluster leader").unwrap_err().to_string(),
            "consul answered HTTP/1.0 500 Internal Server Error"
        );
        assert!(read("").is_err());
    }

    #[test]
    fn in_consul_only_a_whole_revision_counts() {
        const COMPLETE: &str = "HTTP/1.0 200 OK\r\n\r\n{\"state\":\"complete\",\"revision\":\"1a2b\",\"generation\":3}";
        const NEXT: &str = "HTTP/1.0 200 OK\r\n\r\n{\"state\":\"complete\",\"revision\":\"1a2b\",\"generation\":4}";
        const APPLYING: &str = "HTTP/1.0 200 OK\r\n\r\n{\"state\":\"applying\",\"revision\":\"1a2b\",\"generation\":3}";
        for (before, after, status, said) in [
            (COMPLETE, COMPLETE, 200, "ready"),
            (COMPLETE, NEXT, 503, "between two revisions"),
            (APPLYING, APPLYING, 503, "between two revisions"),
        ] {
            let answers = vec![("l/revision", before), (KEY, "HTTP/1.0 200 OK\r\n\r\n8080"), ("l/revision", after)];
            let settings = Settings::Consul { address: fake_consul(answers), revision_key: "l/revision".to_owned() };
            let expected = Health { status: said.to_owned(), revision: Some("1a2b".to_owned()) };
            assert_eq!(health(&settings, KEY), (status, expected));
        }
    }

    #[test]
    fn it_answers_over_http() {
        let (_scratch, settings) = directory(MANIFEST, Some("8080"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            for _ in 0..2 {
                serve(listener.accept().unwrap().0, &settings, KEY).unwrap();
            }
        });
        let ask = |request: &str| {
            let mut connection = TcpStream::connect(address).unwrap();
            connection.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).unwrap();
            answer
        };
        let answer = ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{\"status\":\"ready\",\"revision\":\"1a2b\"}"), "{answer}");
        assert!(ask("POST /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        server.join().unwrap();
    }
}
