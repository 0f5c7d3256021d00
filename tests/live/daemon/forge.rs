//! A merge goes live, a bad one is taken back, a revert is in step, and the forge shows all of it: over HTTP, with webhooks, real
//! `git http-backend`, a real Consul, and a forge that holds every request to its API's description.

mod desk;
mod hooks;
mod pages;
mod pulls;
mod statuses;

use std::fmt::Write as _;

use lockstep::config::ForgeKind;
use tempfile::TempDir;

use self::desk::Desk;
use super::service::Service;
use super::site::{Controller, Site};
use crate::forge_server::{TOKEN, write_private};
use crate::git_server::GitServer;
use crate::repo::TestRepo;
use crate::support::{Agent, free_ports};

/// The secret of the webhook.
const SECRET: &str = "canary-7d1e-hook";

/// One environment whose repository is at a forge, reached over HTTP alone.
struct Town {
    site: Site,
    controller: Option<Controller>,
    desk: Desk,
    git: GitServer,
    kind: ForgeKind,
    port: u16,
    agent: Agent,
    _service: Service,
    _secrets: TempDir,
}

impl Town {
    /// It polls so rarely that all that happens comes from deliveries.
    fn at(kind: ForgeKind) -> Self {
        Self::with(kind, "")
    }

    /// The same with more members of `forge:`.
    fn with(kind: ForgeKind, more: &str) -> Self {
        let agent = Agent::start();
        let service = Service::start(&agent);
        let mut site = Site::new(&agent);
        let git = GitServer::of(&site.repo.path());
        let desk = Desk::of(kind, site.home());
        let secrets = tempfile::tempdir().unwrap();
        for (name, text) in [("token", TOKEN), ("hook", SECRET)] {
            write_private(&secrets.path().join(name), text);
        }
        let [port] = free_ports();
        let (word, folder) = (kind.word(), secrets.path().display());
        site.poll = "1h";
        site.fetch_from = Some(git.url.clone());
        write!(
            site.more,
            "server: {{listen: \"127.0.0.1:{port}\", public_url: \"https://lockstep.example\"}}\n\
             webhooks: {{{word}: {{secrets: [{{file: {folder}/hook}}]}}}}\n\
             forge: {{{word}: {{url: \"{}\", repository: boss/config, token: {{file: {folder}/token}}}}{more}}}\n",
            desk.url()
        )
        .unwrap();
        Self { site, controller: None, desk, git, kind, port, agent, _service: service, _secrets: secrets }
    }

    /// Starts the controller and waits until the first commit is proven.
    fn start(&mut self) {
        self.controller = Some(self.site.start("one"));
        self.site.until_steady();
    }

    fn repo(&mut self) -> &mut TestRepo {
        &mut self.site.repo
    }

    /// Delivers an event as the forge does, and gives the answer.
    fn deliver(&self, event: &str) -> u16 {
        hooks::deliver(self.port, self.kind, event, SECRET)
    }
}
