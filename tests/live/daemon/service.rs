//! The service whose health judges a commit: a consumer of the key `config/app/version`, registered in Consul's catalog.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::{Agent, request};

/// The version that the service can't work with.
pub(super) const BAD: &str = "bad";

/// Answers 200 on every path, or 503 while the version in Consul is [`BAD`]. Ends when dropped.
pub(super) struct Service {
    port: u16,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts it and registers it as `app`.
    pub(super) fn start(agent: &Agent) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let end = Arc::new(AtomicBool::new(false));
        let (ended, consul) = (Arc::clone(&end), agent.port());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                // A client that went away is none of the test's business.
                let _ = answer(stream, consul);
            }
        });
        let service = Self { port, end, thread: Some(thread) };
        service.register(agent);
        service
    }

    fn register(&self, agent: &Agent) {
        let body = format!(r#"{{"Name": "app", "Address": "127.0.0.1", "Port": {}}}"#, self.port);
        assert_eq!(agent.curl("PUT", "/v1/agent/service/register", body.as_bytes()).0, 200);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, consul: u16) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            read => head.extend_from_slice(&piece[..read]),
        }
    }
    let version = request(consul, "GET", "/v1/kv/config/app/version?raw", b"");
    let status = match version {
        Some((200, version)) if version == BAD.as_bytes() => "503 Service Unavailable",
        _ => "200 OK",
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}
