//! Host names that do not resolve for a while: the config repository's and Consul's.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::service::Service;
use super::site::{APP, Site, app};
use crate::git_server::GitServer;
use crate::support::{Agent, Options, eventually};

/// The system's resolver with one exception: while a file is there, `localhost` is a name that no server answers for. It stands
/// before the C library's own, so it needs no rights and changes nothing for others on this machine.
const RESOLVER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int resolve(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    const char *away = getenv("NAMES_AWAY");
    if (name && away && !strcmp(name, "localhost") && !access(away, F_OK)) return EAI_AGAIN;
    return ((resolve *)dlsym(RTLD_NEXT, "getaddrinfo"))(name, service, hints, found);
}
"#;

/// Whether names resolve, for the programs of one site.
struct Names {
    away: PathBuf,
}

impl Names {
    /// They do; from now on the site's programs ask our resolver.
    fn of(site: &mut Site) -> Self {
        let (library, source) = (site.home().join("resolver.so"), site.home().join("resolver.c"));
        std::fs::write(&source, RESOLVER).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").stdin(Stdio::null());
        // There is one: without it libgit2 had not been built.
        assert!(compiler.status().unwrap().success());
        let away = site.home().join("names-are-away");
        site.variables.push(("LD_PRELOAD", library.display().to_string()));
        site.variables.push(("NAMES_AWAY", away.display().to_string()));
        Self { away }
    }

    fn go_away(&self) {
        std::fs::write(&self.away, "").unwrap();
    }

    fn come_back(&self) {
        std::fs::remove_file(&self.away).unwrap();
    }
}

fn by_name(url: &str) -> String {
    url.replace("127.0.0.1", "localhost")
}

#[test]
fn names_that_do_not_resolve_for_a_while_delay_it_and_nothing_is_taken_back_for_them() {
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    site.readdress(&by_name(&agent.address()));
    let names = Names::of(&mut site);

    // Consul's, from the start.
    names.go_away();
    let mut controller = site.start("one");
    eventually("a pass fails", || controller.log().contains("pass-failed"));
    let said = site.run(&["status", "test"]).exits(4);
    assert!(said.out.contains("localhost") || said.err.contains("localhost"), "{said:?}");
    names.come_back();
    site.until_steady();
    controller.terminate();
    assert!(controller.ended().success());

    // The repository's, from the start.
    let server = GitServer::of(&site.repo.path());
    site.fetch_from = Some(by_name(&server.url));
    names.go_away();
    let mut controller = site.start("two");
    eventually("it waits for the repository", || controller.log().contains("waiting for the repository"));
    names.come_back();
    eventually("it goes on", || controller.log().contains("lease-gained"));

    // Both, in between: with a commit that nobody hears of, and a Consul to which every connection is new.
    names.go_away();
    site.repo.commit("Two", &[(APP, &app("two"))]);
    eventually("a fetch fails", || controller.log().contains("fetch-failed"));
    agent.kill();
    agent.start_again();
    agent.wait();
    names.come_back();
    site.until_steady();
    assert_eq!(agent.values("config/")["config/app/version"], b"two");
    assert_eq!(site.outcomes(), ["proven", "proven"]);
    assert!(controller.runs());
}
