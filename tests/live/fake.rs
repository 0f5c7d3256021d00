//! An HTTP server between lockstep and a Consul: it can lose answers, refuse, and play another version.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One request as it came.
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    /// The token that it came with; without one it may do everything.
    token: String,
}

impl Asked {
    pub(crate) fn is_transaction(&self) -> bool {
        self.path.starts_with("/v1/txn")
    }

    /// A watch, or a look for what a watch has told of.
    pub(crate) fn is_of_a_watch(&self) -> bool {
        self.path.contains("?keys&separator=/")
    }

    /// A transaction that writes; probes and reads are not.
    pub(crate) fn writes(&self) -> bool {
        self.is_transaction() && String::from_utf8_lossy(&self.body).contains("\"cas\"")
    }

    /// How many operations its transaction has with this verb.
    pub(crate) fn count(&self, verb: &str) -> usize {
        String::from_utf8_lossy(&self.body).matches(&format!("\"{verb}\"")).count()
    }

    /// Asks the real one, longer than a watch blocks.
    pub(crate) fn forward(&self, port: u16) -> Reply {
        let patience = Duration::from_secs(70);
        let Some(answer) = crate::support::exchange(port, &self.token, &self.method, &self.path, &self.body, patience) else {
            return Reply::refuse(502, "");
        };
        let index = answer.headers.lines().find(|line| line.to_ascii_lowercase().starts_with("x-consul-index:"));
        let headers = index.map_or_else(String::new, |line| format!("{line}\r\n"));
        Reply::Answer { status: answer.status, headers, body: answer.body }
    }
}

/// What it answers.
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: String,
        body: Vec<u8>,
    },
    /// Closes the connection without a word.
    Lost,
}

impl Reply {
    /// With one more line in its head.
    pub(crate) fn with(self, header: &str) -> Self {
        match self {
            Self::Answer { status, headers, body } => Self::Answer { status, headers: format!("{headers}{header}\r\n"), body },
            Self::Lost => Self::Lost,
        }
    }

    /// Its status, if it is sent.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            Self::Lost => None,
        }
    }

    pub(crate) fn refuse(status: u16, text: &str) -> Self {
        Self::Answer { status, headers: String::new(), body: text.as_bytes().to_vec() }
    }
}

/// A running server; it ends when dropped.
pub(crate) struct Fake {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl Fake {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, answer) = (Arc::new(AtomicBool::new(false)), Arc::new(answer));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, stream) = (answer.clone(), stream.unwrap());
                std::thread::spawn(move || serve(stream, &*answer));
            }
        });
        Self { port, stop }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accept.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Answers the requests of one connection; any end of it is fine.
fn serve(stream: TcpStream, answer: &dyn Fn(&Asked) -> Reply) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|&length| length > 0)?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        let mut token = crate::support::MASTER.to_owned();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            } else if name.eq_ignore_ascii_case("x-consul-token") {
                value.trim().clone_into(&mut token);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        match answer(&Asked { method, path, body, token }) {
            Reply::Lost => return None,
            Reply::Answer { status, headers, body } => {
                let head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
                writer.write_all(head.as_bytes()).ok()?;
                writer.write_all(&body).ok()?;
            }
        }
    }
}
