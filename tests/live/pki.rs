//! Certificates for a Consul that speaks TLS: an authority, a server's, and clients' good and bad.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// An authority and everything that it signed, as files in a folder of its own.
pub(crate) struct Pki {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// With `ca.pem`, and `server.pem` and `server.key` for `localhost`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let pki = Self { folder, issuer: Issuer::new(params, key) };
        pki.sign("server", &["localhost", "server.dc1.consul"], 2100);
        pki
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One of its files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for these names, good until this year: `NAME.pem` and `NAME.key`.
    pub(crate) fn sign(&self, name: &str, names: &[&str], until: i32) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        std::fs::write(self.file(&format!("{name}.pem")), params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        let file = self.file(&format!("{name}.key"));
        std::fs::write(&file, key.serialize_pem()).unwrap();
        crate::support::set_mode(&file, 0o600);
    }
}
