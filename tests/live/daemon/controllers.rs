//! Several controllers of one environment.

use std::time::{Duration, Instant};

use super::service::Service;
use super::site::{APP, Controller, Site, app};
use crate::support::Agent;

/// Waits until this one leads, and says how long that took.
#[track_caller]
fn until_leads(site: &Site, controller: &Controller, limit: Duration) -> Duration {
    let begin = Instant::now();
    site.until("the other leads", |status| controller.leads(status));
    let took = begin.elapsed();
    assert!(took < limit, "{took:?}\n{}", site.logs());
    took
}

#[test]
fn of_two_controllers_one_acts_and_the_other_takes_over_after_a_crash_and_after_a_good_end() {
    let agent = Agent::start();
    let _service = Service::start(&agent);
    let mut site = Site::new(&agent);
    let mut first = site.start("first");
    site.until("the first leads", |status| first.leads(status));
    let second = site.start("second");
    site.until_steady();
    site.repo.commit("Two", &[(APP, &app("two"))]);
    site.until_steady();
    assert_eq!(site.outcomes(), ["proven", "proven"], "one of them acts");
    assert!(first.leads(&site.status()));

    // Twice the session's time to live of ten seconds, and two.
    first.kill();
    until_leads(&site, &second, Duration::from_secs(22));
    site.repo.commit("Three", &[(APP, &app("three"))]);
    site.until_steady();

    // Its start counts too: it is as if the handover took that much longer.
    let first = site.start("first");
    let mut second = second;
    second.terminate();
    until_leads(&site, &first, Duration::from_secs(3));
    assert!(second.ended().success());
    assert_eq!(site.outcomes(), ["proven", "proven", "proven"]);
}
