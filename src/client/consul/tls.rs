//! The one TLS configuration that every connection to a Consul uses: rustls with ring, our CA, our client certificate.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::config;
use crate::port::{EdgeError, EdgeKind};

/// Reads the files that the configuration names.
pub(super) fn client_config(config: &config::Consul) -> Result<ClientConfig, EdgeError> {
    let refused = |doing: &str| EdgeError::new("consul", EdgeKind::Refused, format!("{doing} for {}", config.address));
    // The provider is named here, so that no process-wide default has to be installed first.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| refused("set TLS up").because(cause))?;
    let builder = match &config.ca {
        Some(ca) => builder.with_root_certificates(roots(ca).map_err(|cause| refused(&reading("CA", ca)).because(cause))?),
        // Plain HTTP needs no roots, and a machine without any must still be able to use it.
        None if config.address.starts_with("http://") => builder.with_root_certificates(RootCertStore::empty()),
        None => builder.with_platform_verifier().map_err(|cause| {
            refused("use the system's certificate authorities").because(cause).hint("name the CA that signed it: ca: FILE")
        })?,
    };
    let Some((certificate, key)) = &config.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let chain =
        certificates(certificate).map_err(|cause| refused(&reading("client certificate", certificate)).because(cause))?;
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|cause| refused(&reading("key of the client certificate", key)).because(cause))?;
    builder.with_client_auth_cert(chain, secret).map_err(|cause| refused("use the client certificate").because(cause))
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
