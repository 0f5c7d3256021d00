//! `wait` beside a Consul that is away for longer than a request is tried again.

use super::service::Service;
use super::site::Site;
use crate::support::{Agent, Options, eventually};

#[test]
fn wait_outlasts_a_consul_that_is_away_and_says_at_the_end_that_it_still_is() {
    let mut agent = Agent::with(&Options { durable: true, ..Options::default() });
    let _service = Service::start(&agent);
    let site = Site::new(&agent);
    site.run(&["apply", "--once"]).exits(0);
    agent.kill();
    let said = site.run(&["wait", "test", "--timeout", "3s"]).exits(4).err;
    assert!(said.contains("was not proven within 3s in test, as far as could be seen"), "{said}");
    let mut waiting = site.begin("waiting", &["wait", "test", "--timeout", "2m"]);
    // An ordinary request is given up after ten seconds.
    eventually("it says that Consul does not answer", || waiting.log().contains("note: test: "));
    agent.start_again();
    agent.wait();
    assert_eq!(waiting.ended().code(), Some(0), "{}", waiting.log());
}
