//! Nothing is new, a thousand times.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use lockstep::domain::revision::Revision;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use super::site::{APP, CHECK, MANY, Running, Site, app, dump, many};
use crate::fake::Fake;
use crate::repo::TestRepo;
use crate::support::{Agent, PATIENCE, eventually};

/// Makes controllers look at the branch although nothing is new there, and tells when they have.
pub(super) struct Looks {
    opened: OwnedFd,
    branch: PathBuf,
    tip: Revision,
}

impl Looks {
    pub(super) fn at(repo: &TestRepo) -> Self {
        let opened = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&opened, repo.path().join("refs/heads"), inotify::WatchFlags::OPEN).unwrap();
        Self { opened, branch: repo.path().join("refs/heads/main"), tip: repo.tip() }
    }

    /// Writes the branch anew, always to the same commit: each time the controller wakes, fetches and looks. By hand, since
    /// git itself writes nothing where nothing changes.
    pub(super) fn again(&self, times: usize) {
        for _ in 0..times {
            let lock = self.branch.with_extension("lock");
            std::fs::write(&lock, format!("{}\n", self.tip)).unwrap();
            self.take();
            std::fs::rename(&lock, &self.branch).unwrap();
            self.next();
        }
    }

    /// Forgets what was, and says whether the branch was among it.
    fn take(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.opened, &mut buffer);
        let mut seen = false;
        while let Ok(event) = events.next() {
            seen |= event.file_name().is_some_and(|name| name.to_bytes() == b"main");
        }
        seen
    }

    /// Waits for the next one.
    fn next(&self) {
        while !self.take() {
            let limit = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
            let found = poll(&mut [PollFd::new(&self.opened, PollFlags::IN)], Some(&limit)).unwrap();
            assert!(found > 0, "nobody looked at the branch within {PATIENCE:?}");
        }
    }
}

/// Resident memory in kibibytes, and open files.
fn size_of(process: u32) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    (resident.trim().trim_end_matches(" kB").parse().unwrap(), files)
}

#[test]
fn a_thousand_polls_without_news_write_nothing_say_nothing_and_grow_nothing() {
    let mut it = Running::on(Agent::start(), |repo| {
        repo.commit("Some", &[(MANY, &many(100, "x"))]);
    });
    let looks = Looks::at(&it.site.repo);
    looks.again(100);
    let before = dump(&it.agent, "");
    let (log, (resident, files)) = (it.controller.log(), size_of(it.controller.id()));
    looks.again(1_000);
    assert_eq!(dump(&it.agent, ""), before);
    assert_eq!(it.controller.log(), log);
    let (resident_after, files_after) = size_of(it.controller.id());
    assert!(resident_after < resident + 2_048, "{resident} kB became {resident_after} kB");
    assert!(files_after <= files + 4, "{files} open files became {files_after}");
    it.site.repo.commit("Awake", &[(APP, &app("two"))]);
    it.site.until_steady();
}

#[test]
fn while_nothing_happens_a_controller_of_thousands_of_keys_renews_its_session_and_asks_nothing_else() {
    let agent = Agent::start();
    let mut site = Site::new(&agent);
    site.repo.remove("No checks", &[CHECK.0]);
    site.repo.commit("Many", &[(MANY, &many(5_000, "x"))]);
    let asked_for: Arc<Mutex<Vec<String>>> = Arc::default();
    let (list, port) = (Arc::clone(&asked_for), agent.port());
    let proxy = Fake::start(move |asked| {
        // A query that waits for news costs nothing until there are some.
        if !asked.path.contains("&wait=") {
            list.lock().unwrap().push(format!("{} {}", asked.method, asked.path));
        }
        asked.forward(port)
    });
    site.readdress(&proxy.address());
    let _controller = site.start("one");
    site.until_steady();
    let is_beat = |line: &String| line.starts_with("PUT /v1/session/renew/");
    let beats = |count: usize| {
        eventually("the session is renewed", || asked_for.lock().unwrap().iter().filter(|line| is_beat(line)).count() >= count);
        std::mem::take(&mut *asked_for.lock().unwrap())
    };
    // What was written is looked at once more, in a moment; after that nothing but the session.
    eventually("nothing else is asked for between two renewals and the two after them", || beats(2).iter().all(is_beat));
}

#[test]
fn before_its_init_an_environment_is_not_read_again_for_keys_that_others_write_and_the_init_is_noticed_at_once() {
    let agent = Agent::start();
    for number in 0..100 {
        agent.put(&format!("config/theirs/{number}"), b"1");
    }
    let (reads, news) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (read, told, port) = (Arc::clone(&reads), Arc::clone(&news), agent.port());
    let proxy = Fake::start(move |asked| {
        read.fetch_add(usize::from(asked.path.starts_with("/v1/kv/config/?recurse")), Ordering::SeqCst);
        let reply = asked.forward(port);
        told.fetch_add(usize::from(asked.path.starts_with("/v1/kv/config/") && asked.is_of_a_watch()), Ordering::SeqCst);
        reply
    });
    let mut site = Site::named("demo", &proxy.address());
    let begin = Instant::now();
    let controller = site.start("one");
    eventually("it is refused", || controller.log().contains("was never initialised"));
    for number in 0..20 {
        let before = news.load(Ordering::SeqCst);
        agent.put("config/theirs/1", number.to_string().as_bytes());
        eventually("the watch has told of it", || news.load(Ordering::SeqCst) > before);
    }
    // At first, once the watch stands, and then after 5, 15, 35 s.
    let due = (1..20).take_while(|tries| 5 * ((1 << tries) - 1) <= begin.elapsed().as_secs()).count();
    let reads = reads.load(Ordering::SeqCst);
    assert!(reads <= 2 + due, "{reads} full reads in {:?}", begin.elapsed());

    site.readdress(&agent.address());
    site.init();
    let begin = Instant::now();
    eventually("the record is seen", || controller.log().contains("pins no target id"));
    assert!(begin.elapsed().as_secs() < 5, "noticed after {:?}", begin.elapsed());
}
