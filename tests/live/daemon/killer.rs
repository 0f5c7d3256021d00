//! Kills a process between two writes of a large apply, wherever the test wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::fake::{Fake, Reply};

/// A proxy that kills a process at one write of many keys, before it is carried out or just after.
#[derive(Default)]
pub(super) struct Killer {
    /// Whom; 0: nobody.
    whom: AtomicU32,
    /// Writes that go through first.
    after: AtomicUsize,
    carried_out: AtomicBool,
}

impl Killer {
    pub(super) fn arm(&self, whom: u32, after: usize, carried_out: bool) {
        self.after.store(after, Ordering::SeqCst);
        self.carried_out.store(carried_out, Ordering::SeqCst);
        self.whom.store(whom, Ordering::SeqCst);
    }

    /// Nobody is killed from now on.
    pub(super) fn disarm(&self) {
        self.whom.store(0, Ordering::SeqCst);
    }

    pub(super) fn has_struck(&self) -> bool {
        self.whom.load(Ordering::SeqCst) == 0
    }

    pub(super) fn start(self: &Arc<Self>, port: u16) -> Fake {
        let this = Arc::clone(self);
        Fake::start(move |asked| {
            let whom = this.whom.load(Ordering::SeqCst);
            let of_many = asked.writes() && String::from_utf8_lossy(&asked.body).contains("config/many/");
            if whom == 0 || !of_many || this.after.fetch_sub(1, Ordering::SeqCst) > 0 {
                return asked.forward(port);
            }
            if this.carried_out.load(Ordering::SeqCst) {
                assert_eq!(asked.forward(port).status(), Some(200));
            }
            kill_process(Pid::from_raw(i32::try_from(whom).unwrap()).unwrap(), Signal::KILL).unwrap();
            this.whom.store(0, Ordering::SeqCst);
            Reply::Lost
        })
    }
}
