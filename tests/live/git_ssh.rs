//! The mirror over a real ssh client and a real sshd, on loopback, with keys made for the purpose.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lockstep::client::git::{GitOptions, GitSource};
use lockstep::config::{KeepRefs, Repository, RepositoryUrl};
use lockstep::domain::time::Timestamp;
use lockstep::port::{Clock, EdgeKind, Source, Tip};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::repo::TestRepo;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

/// An sshd of our own, gone when dropped.
struct Sshd {
    home: TempDir,
    daemon: Child,
    port: u16,
}

impl Sshd {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        for key in ["host", "client", "stranger"] {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(home.path().join(key)));
        }
        fs::copy(home.path().join("client.pub"), home.path().join("authorized")).unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let at = home.path().display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized\nPidFile none\n\
             UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        );
        fs::write(home.path().join("config"), config).unwrap();
        if runs_as_root() {
            // sshd run by root wants its empty directory; the package makes it only when it starts the service.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let mut daemon = Command::new("/usr/sbin/sshd");
        daemon.args(["-D", "-e", "-f"]).arg(home.path().join("config")).stderr(Stdio::null());
        let daemon = daemon.spawn().expect("sshd is missing: install openssh-server");
        let sshd = Self { home, daemon, port };
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "sshd does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sshd
    }

    fn stop(&mut self) {
        // Both fail only when it has ended already.
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A file of known hosts that has this key for the server.
    fn known(&self, key: &str) -> PathBuf {
        let public = fs::read_to_string(self.file(&format!("{key}.pub"))).unwrap();
        let path = self.file(&format!("known-{key}"));
        fs::write(&path, format!("[127.0.0.1]:{} {public}", self.port)).unwrap();
        path
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn runs_as_root() -> bool {
    name_of_user() == "root"
}

fn name_of_user() -> String {
    let out = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

fn source(sshd: &Sshd, repository: &Path, data: &Path, key: &str, known_hosts: PathBuf) -> GitSource {
    let settings = Repository {
        url: RepositoryUrl::Ssh {
            user: name_of_user(),
            host: "127.0.0.1".to_owned(),
            port: sshd.port,
            path: repository.to_str().unwrap().trim_end_matches('/').to_owned(),
        },
        branch: "main".to_owned(),
        poll: Duration::from_secs(30),
        fetch_timeout: Duration::from_secs(30),
        token: None,
        ssh_key: Some(sshd.file(key)),
        known_hosts: Some(known_hosts),
        ca: None,
        keep_refs: KeepRefs::Mirror,
    };
    fs::set_permissions(sshd.file(key), fs::Permissions::from_mode(0o600)).unwrap();
    GitSource::open(&settings, data, Arc::new(Still), GitOptions::default()).unwrap()
}

#[tokio::test]
async fn a_branch_is_followed_through_a_real_sshd_and_strangers_are_not_trusted() {
    let mut sshd = Sshd::start().await;
    let mut repo = TestRepo::with(&[("a", "1")]);
    let data = tempfile::tempdir().unwrap();
    let good = source(&sshd, &repo.path(), data.path(), "client", sshd.known("host"));
    for text in ["2", "3"] {
        let tip = repo.commit("next", &[("a", text)]);
        good.fetch().await.unwrap_or_else(|error| panic!("{}", error.chain()));
        assert_eq!(good.head().await.unwrap().tip, Tip::At(tip));
        assert!(good.tree(tip).await.is_ok());
    }
    fs::write(sshd.file("known-none"), "").unwrap();
    let nowhere = Path::new("/no/such/repository");
    for (what, source, kind) in [
        (
            "a server that nobody knows",
            source(&sshd, &repo.path(), data.path(), "client", sshd.file("known-none")),
            EdgeKind::Denied,
        ),
        (
            "a server with another key",
            source(&sshd, &repo.path(), data.path(), "client", sshd.known("stranger")),
            EdgeKind::Denied,
        ),
        (
            "a key that is not registered",
            source(&sshd, &repo.path(), data.path(), "stranger", sshd.known("host")),
            EdgeKind::Denied,
        ),
        ("no such repository", source(&sshd, nowhere, data.path(), "client", sshd.known("host")), EdgeKind::NotFound),
    ] {
        let error = source.fetch().await.expect_err(what);
        assert_eq!(error.kind, kind, "{what}: {}", error.chain());
    }
    sshd.stop();
    let error = good.fetch().await.expect_err("the server is gone");
    assert_eq!(error.kind, EdgeKind::Transient, "{}", error.chain());
}
