//! A git server on loopback: real `git http-backend` behind a few lines of HTTP, or one of the ways in which servers fail.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How the server answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As a git server does.
    Git,
    /// With this status and nothing else.
    Status(u16),
    /// With a web page.
    Page,
    /// It takes the request and never answers.
    Silent,
    /// It sends the first byte of an answer and no more.
    OneByte,
    /// It answers, and its body never ends: one byte each 10 ms.
    Drip,
    /// It answers as a git server does until half of a pack is sent.
    HalfAPack,
    /// The same, and then it says nothing more without closing the connection.
    Stall,
    /// It answers as a git server does, in [`PIECES`] pieces with a pause before each.
    Trickle,
}

/// So many pieces has an answer that trickles.
pub(crate) const PIECES: u32 = 30;
/// The pause before each of them.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// A server that ends when dropped.
pub(crate) struct GitServer {
    /// The repository's address.
    pub(crate) url: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    address: std::net::SocketAddr,
}

struct Shared {
    project_root: std::path::PathBuf,
    /// `user:token` in base64, when the server wants it.
    authorization: Option<String>,
    manner: Mutex<Manner>,
    requests: Mutex<Vec<String>>,
    stopping: AtomicBool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl GitServer {
    /// Serves the repository at this path over http.
    pub(crate) fn of(repository: &Path) -> Self {
        Self::start(repository, None, None)
    }

    /// Serves it to whoever has this token.
    pub(crate) fn with_token(repository: &Path, token: &str) -> Self {
        Self::start(repository, Some(token), None)
    }

    /// Serves it over https with a certificate of a private CA, whose own certificate is the second value, in PEM form.
    pub(crate) fn over_tls(repository: &Path, token: &str) -> (Self, String) {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let chain = vec![CertificateDer::from(own.der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        (Self::start(repository, Some(token), Some(Arc::new(tls))), ca_certificate.pem())
    }

    /// From now on it answers so.
    pub(crate) fn answer(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// The first line of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    fn start(repository: &Path, token: Option<&str>, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        use base64::Engine as _;
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let name = repository.file_name().unwrap().to_str().unwrap();
        let url = if tls.is_some() {
            format!("https://localhost:{}/{name}", address.port())
        } else {
            format!("http://127.0.0.1:{}/{name}", address.port())
        };
        let encode = |token| base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
        let shared = Arc::new(Shared {
            project_root: repository.parent().unwrap().to_owned(),
            authorization: token.map(encode),
            manner: Mutex::new(Manner::Git),
            requests: Mutex::default(),
            stopping: AtomicBool::new(false),
            tls,
        });
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if serving.stopping.load(Ordering::SeqCst) {
                    break;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&serving));
                stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
                // A client that goes away in the middle is no failure of the server.
                connections.push(std::thread::spawn(move || shared.secure(stream).ok()));
            }
            for connection in connections {
                connection.join().unwrap();
            }
        });
        Self { url, shared, accepting: Some(accepting), address }
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.accepting.take() {
            thread.join().ok();
        }
    }
}

impl Shared {
    fn secure(&self, stream: TcpStream) -> io::Result<()> {
        match &self.tls {
            None => self.serve(Patient(stream, &self.stopping)),
            Some(tls) => {
                let session = rustls::ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
                let mut stream = rustls::StreamOwned::new(session, Patient(stream, &self.stopping));
                self.serve(&mut stream)?;
                stream.conn.send_close_notify();
                stream.flush()
            }
        }
    }

    /// One request a connection.
    fn serve(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let header = |name: &str| {
            let mut found = head.iter().filter_map(|line| line.split_once(": "));
            found.find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
        };
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        stream.read_exact(&mut body)?;
        self.requests.lock().unwrap().push(head[0].clone());
        let out = stream.get_mut();

        let wanted = self.authorization.as_ref().map(|credentials| format!("Basic {credentials}"));
        if wanted.is_some_and(|wanted| header("authorization") != wanted) {
            return out.write_all(b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n");
        }
        let manner = *self.manner.lock().unwrap();
        match manner {
            Manner::Status(status) => {
                write!(out, "HTTP/1.1 {status} So\r\nlocation: http://127.0.0.1:1/x\r\ncontent-length: 4\r\n\r\nbody")
            }
            Manner::Page => write!(out, "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<p/>"),
            Manner::Silent => wait_for_end(out),
            Manner::OneByte => {
                out.write_all(b"H")?;
                out.flush()?;
                wait_for_end(out)
            }
            Manner::Drip => {
                let kind = "application/x-git-upload-pack-advertisement";
                write!(
                    out,
                    "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: 1000000\r\n\r\n001e# service=git-upload-pack\n00000fff"
                )?;
                while !self.stopping.load(Ordering::SeqCst) {
                    out.write_all(b"x")?;
                    out.flush()?;
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(())
            }
            Manner::Git | Manner::HalfAPack | Manner::Stall | Manner::Trickle => {
                let mut request = head[0].split(' ');
                let (method, target) = (request.next().unwrap(), request.next().unwrap());
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                let answer = self.run_backend(method, path, query, header("content-type"), &body);
                let half = matches!(manner, Manner::HalfAPack | Manner::Stall) && method == "POST";
                let sent = if half { &answer[..answer.len() / 2] } else { &answer[..] };
                if manner == Manner::Trickle {
                    for piece in sent.chunks(sent.len().div_ceil(PIECES as usize)) {
                        std::thread::sleep(PAUSE);
                        out.write_all(piece)?;
                        out.flush()?;
                    }
                    return Ok(());
                }
                out.write_all(sent)?;
                out.flush()?;
                if half && manner == Manner::Stall { wait_for_end(out) } else { Ok(()) }
            }
        }
    }

    fn run_backend(&self, method: &str, path: &str, query: &str, kind: &str, body: &[u8]) -> Vec<u8> {
        let mut child = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.project_root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", &self.project_root)
            .env("REQUEST_METHOD", method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", kind)
            .env("CONTENT_LENGTH", body.len().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        let out = child.wait_with_output().unwrap().stdout;
        let end = out.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&out[..end]);
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
        let body = &out[end + 4..];
        let mut answer = format!("HTTP/1.1 {status}\r\n{head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        answer.retain(|c| c != '\0');
        [answer.as_bytes(), body].concat()
    }
}

/// Until the client has enough of waiting, or the server ends.
fn wait_for_end(stream: &mut impl Read) -> io::Result<()> {
    let mut rest = [0; 64];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}

/// A connection whose reads end when the server does.
struct Patient<'a>(TcpStream, &'a AtomicBool);

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.1.load(Ordering::SeqCst) => {}
                outcome => return outcome,
            }
        }
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
