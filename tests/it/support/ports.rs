//! Ports for the servers of tests. A port that a test asked the kernel for and let go again is soon some connection's own end, of which
//! hundreds of tests at once make thousands: these lie below all that the kernel gives to connections, and are this process's until
//! it ends.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Connections have what comes after, unless somebody set it otherwise.
const RANGE: Range<u16> = 12_000..32_000;
/// Fewer ports than this are no use; a machine whose connections have all of them leaves nobody safe.
const LEAST: u16 = 4_000;
/// As many as one server takes, and a few more.
const BLOCK: u16 = 8;

/// The locks of this process.
static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Ports that nobody listens on, and which no other test gets.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    assert!(N <= usize::from(BLOCK));
    let locks = std::env::temp_dir().join(format!("lockstep-test-ports-{}", rustix::process::getuid().as_raw()));
    std::fs::create_dir_all(&locks).unwrap();
    let end = connections_from().filter(|first| *first >= RANGE.start + LEAST).unwrap_or(RANGE.end).min(RANGE.end);
    let blocks = u32::from((end - RANGE.start) / BLOCK);
    // Processes that start together look in different places.
    for at in (0..blocks).map(|further| (std::process::id() + further) % blocks) {
        let first = RANGE.start + u16::try_from(at).unwrap() * BLOCK;
        let lock = File::options().create(true).append(true).open(locks.join(first.to_string())).unwrap();
        if lock.try_lock().is_ok() && (first..first + BLOCK).all(is_free) {
            TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
            let mut ports = first..;
            return std::array::from_fn(|_| ports.next().unwrap());
        }
    }
    panic!("no {BLOCK} ports in a row are free in {RANGE:?}");
}

/// A place where nobody answers until the test listens there.
pub(crate) fn free_place() -> SocketAddr {
    let [port] = free_ports();
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The first port that the kernel gives to a connection, where it says so.
fn connections_from() -> Option<u16> {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?.split_whitespace().next()?.parse().ok()
}

/// Whatever listens for either kind, wherever: a server of ours may want all addresses.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() && UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
