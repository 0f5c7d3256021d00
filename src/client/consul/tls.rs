//! The one TLS configuration that every connection to a Consul uses: rustls with ring, our CA, our client certificate.
//!
//! The files are read again at each handshake, so that a renewed certificate or CA counts without a restart. While one is
//! missing or half written, what could be used last serves on.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError as Bad, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::config;
use crate::port::{EdgeError, EdgeKind};

/// The files that a connection rests on, for saying which of them may be wrong.
#[derive(Debug, Clone)]
pub(super) struct Files {
    ca: Option<PathBuf>,
    client_certificate: Option<(PathBuf, PathBuf)>,
}

impl Files {
    pub(super) fn of(config: &config::Consul) -> Self {
        Self { ca: config.ca.clone(), client_certificate: config.client_certificate.clone() }
    }
}

/// Reads the files that the configuration names.
pub(super) fn client_config(config: &config::Consul) -> Result<ClientConfig, EdgeError> {
    let refused = |doing: &str| EdgeError::new("consul", EdgeKind::Refused, format!("{doing} for {}", config.address));
    // The provider is named here, so that no process-wide default has to be installed first.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|cause| refused("set TLS up").because(cause))?;
    let builder = match &config.ca {
        Some(ca) => {
            let trusted =
                Trusted::read(ca.clone(), Arc::clone(&provider)).map_err(|cause| refused(&reading("CA", ca)).because(cause))?;
            // The checks are rustls' own; only where the roots come from is ours.
            builder.dangerous().with_custom_certificate_verifier(Arc::new(trusted))
        }
        // Plain HTTP needs no roots, and a machine without any must still be able to use it.
        None if config.address.starts_with("http://") => builder.with_root_certificates(RootCertStore::empty()),
        None => builder.with_platform_verifier().map_err(|cause| {
            refused("use the system's certificate authorities").because(cause).hint("name the CA that signed it: ca: FILE")
        })?,
    };
    let mut tls = match config.client_certificate.clone() {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let shown = Shown::read(certificate, key, provider).map_err(|unusable| {
                let error = refused(&unusable.doing).because(unusable.cause);
                if unusable.mismatched { error.hint("name the key that belongs to the certificate") } else { error }
            })?;
            builder.with_client_cert_resolver(Arc::new(shown))
        }
    };
    // A resumed session would go on with the certificates that it began with.
    tls.resumption = Resumption::disabled();
    Ok(tls)
}

/// The CAs that may have signed Consul's certificate.
#[derive(Debug)]
struct Trusted {
    file: PathBuf,
    provider: Arc<CryptoProvider>,
    /// What could be used last.
    last: Mutex<Arc<WebPkiServerVerifier>>,
}

impl Trusted {
    fn read(file: PathBuf, provider: Arc<CryptoProvider>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let last = Mutex::new(verifier(&file, &provider)?);
        Ok(Self { file, provider, last })
    }

    fn last(&self) -> Arc<WebPkiServerVerifier> {
        Arc::clone(&self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Arc<WebPkiServerVerifier> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match verifier(&self.file, &self.provider) {
            Ok(now) => *last = now,
            Err(problem) => {
                let file = self.file.display();
                tracing::warn!(%file, problem, "the CA can't be used as it is now; the one before serves on");
            }
        }
        Arc::clone(&last)
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.now().verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.last().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.last().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.last().supported_verify_schemes()
    }
}

fn verifier(file: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, Box<dyn Error + Send + Sync>> {
    let roots = Arc::new(roots(file)?);
    Ok(WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build()?)
}

/// The client certificate.
#[derive(Debug)]
struct Shown {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    /// What could be used last.
    last: Mutex<Arc<CertifiedKey>>,
}

/// Why a client certificate can't be used.
struct Unusable {
    doing: String,
    cause: Box<dyn Error + Send + Sync>,
    /// Both files can be read, and do not belong together.
    mismatched: bool,
}

impl Shown {
    fn read(certificate: PathBuf, key: PathBuf, provider: Arc<CryptoProvider>) -> Result<Self, Unusable> {
        let last = Mutex::new(Arc::new(pair(&certificate, &key, &provider)?));
        Ok(Self { certificate, key, provider, last })
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match pair(&self.certificate, &self.key, &self.provider) {
            Ok(now) => *last = Arc::new(now),
            Err(Unusable { doing, cause, .. }) => {
                tracing::warn!(
                    doing,
                    problem = cause,
                    "the client certificate can't be used as it is now; the one before serves on"
                );
            }
        }
        Some(Arc::clone(&last))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn pair(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, Unusable> {
    let unreadable = |what, path: &Path, cause: Box<dyn Error + Send + Sync>| Unusable {
        doing: reading(what, path),
        cause,
        mismatched: false,
    };
    let chain = certificates(certificate).map_err(|cause| unreadable("client certificate", certificate, cause))?;
    let of_key = |cause| unreadable("key of the client certificate", key, cause);
    let pem = config::read_private(key).map_err(|cause| of_key(cause.into()))?;
    let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|cause| of_key(cause.into()))?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|cause| Unusable {
        doing: format!("use the client certificate {} with the key {}", certificate.display(), key.display()),
        cause: cause.into(),
        mismatched: true,
    })
}

/// What to do about a connection that failed for a reason of TLS; none: it failed for another one.
///
/// A client certificate is judged by the server after our side of the handshake is over, so its alert arrives in place of an
/// answer, and says little.
pub(super) fn advice(error: &(dyn Error + 'static), files: &Files) -> Option<String> {
    let found = rustls_error(error)?;
    if let rustls::Error::InvalidCertificate(bad) = found {
        return Some(about_theirs(bad, files));
    }
    if matches!(found, rustls::Error::AlertReceived(_)) {
        return Some(about_ours(files));
    }
    let no_tls = matches!(found, rustls::Error::InvalidMessage(_));
    no_tls.then(|| "that port may not speak TLS: write http://, or name the port of Consul's HTTPS listener".to_owned())
}

/// Whether the connection ended in place of an answer. An alert is at times lost with the connection that it came on: the
/// server closes it at once.
pub(super) fn ended(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut next = Some(error);
    while let Some(error) = next {
        let ending = |kind| matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
        // Canceled: it was closed before the request was sent.
        let unheard = |error: &hyper::Error| error.is_canceled() || error.is_closed() || error.is_incomplete_message();
        if error.downcast_ref::<io::Error>().is_some_and(|error| ending(error.kind()))
            || error.downcast_ref::<hyper::Error>().is_some_and(unheard)
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// What to do about our certificate, or the lack of one.
pub(super) fn about_ours(files: &Files) -> String {
    match &files.client_certificate {
        Some((certificate, _)) => format!(
            "Consul may refuse the client certificate {}: has it expired, and does Consul know the CA that signed it?",
            certificate.display()
        ),
        None => "Consul may ask for a client certificate: client_certificate: {cert: …, key: …}".to_owned(),
    }
}

/// What to do about a server's certificate.
fn about_theirs(bad: &Bad, files: &Files) -> String {
    if matches!(bad, Bad::NotValidForName | Bad::NotValidForNameContext { .. }) {
        return "write a name that Consul's certificate has in `address:`, or give it one with this name".to_owned();
    }
    if matches!(bad, Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. }) {
        return "renew Consul's certificate, or set this machine's clock right".to_owned();
    }
    match &files.ca {
        Some(ca) => format!("Consul's certificate must be signed by a CA in {}: name the file that has it", ca.display()),
        None => "if Consul's certificate is signed by a CA of your own, name it: ca: FILE".to_owned(),
    }
}

/// The error of rustls below any number of others: an `io::Error` hides it from `source`.
fn rustls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let hidden = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match hidden {
            Some(hidden) => Some(hidden),
            None => error.source(),
        };
    }
    None
}

fn reading(what: &str, path: &Path) -> String {
    format!("read the {what} {}", path.display())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Box<dyn Error + Send + Sync>> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
    if found.is_empty() { Err("it holds no PEM certificate".into()) } else { Ok(found) }
}

fn roots(path: &Path) -> Result<RootCertStore, Box<dyn Error + Send + Sync>> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate)?;
    }
    Ok(store)
}
