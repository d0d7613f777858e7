//! TLS 1.2 and 1.3 with rustls: certificates by name (SNI), reloaded while
//! connections go on, and a self-signed one to begin with.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is not PEM, or holds nothing of the kind.
    #[error("{path} is no PEM file with a {what}: {error}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// Why.
        error: String,
    },
    /// A key that rustls does not take, or that is not the certificate's.
    #[error("{path} cannot be used: {error}")]
    Key {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// The configuration itself.
    #[error(transparent)]
    Config(#[from] rustls::Error),
    /// The self-signed certificate could not be made.
    #[error("no self-signed certificate could be made: {0}")]
    SelfSigned(String),
}

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// `cert.pem` and `key.pem` of a folder; a self-signed certificate for `names` is put there
    /// when they are not there.
    ///
    /// # Errors
    /// They cannot be made or written.
    pub fn self_signed(folder: &Path, names: &[String]) -> Result<Self, TlsError> {
        let files = Self { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        if !(files.certificate.exists() && files.key.exists()) {
            make_self_signed(folder, &files, names)?;
        }
        Ok(files)
    }
}

fn make_self_signed(
    folder: &Path,
    files: &CertificateFiles,
    names: &[String],
) -> Result<(), TlsError> {
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| TlsError::SelfSigned(error.to_string()))?;
    fs::create_dir_all(folder).map_err(|error| TlsError::File { path: folder.into(), error })?;
    write_file(&files.key, &made.signing_key.serialize_pem(), 0o600)?;
    write_file(&files.certificate, &made.cert.pem(), 0o644)
}

fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| TlsError::File { path: path.into(), error })
}

/// The TLS of all listeners. Clones share it; a reload reaches every later handshake.
#[derive(Debug, Clone)]
pub struct Tls {
    files: Arc<Vec<CertificateFiles>>,
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Tls {
    /// Reads the certificates. The first serves clients whose name (SNI) none is for. Blocks.
    ///
    /// # Errors
    /// A file cannot be used; there is none.
    pub fn open(files: Vec<CertificateFiles>) -> Result<Self, TlsError> {
        let config = Arc::new(RwLock::new(load(&files)?));
        Ok(Self { files: Arc::new(files), config })
    }

    /// Reads the certificates again. Blocks. After an error those from before stay.
    ///
    /// # Errors
    /// As [`Tls::open`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = load(&self.files)?;
        *self.config.write() = config;
        Ok(())
    }

    /// What makes a handshake with the certificates of now.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.read().clone())
    }

    /// The configuration of now, for servers that make handshakes themselves.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.read().clone()
    }
}

fn load(files: &[CertificateFiles]) -> Result<Arc<ServerConfig>, TlsError> {
    let keys = files.iter().map(load_pair).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Err(TlsError::SelfSigned("no certificate is configured".into()));
    }
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Certificates { keys }));
    Ok(Arc::new(config))
}

fn load_pair(files: &CertificateFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = read_chain(&files.certificate)?;
    let key = read_key(&files.key)?;
    let unusable = |error| TlsError::Key { path: files.certificate.clone(), error };
    let pair = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(unusable)?;
    Ok(Arc::new(pair))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |error: String| TlsError::Pem { path: path.into(), what: "certificate", error };
    let pem = fs::read(path).map_err(|error| TlsError::File { path: path.into(), error })?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() { Err(wrong("there is none".into())) } else { Ok(chain) }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = fs::read(path).map_err(|error| TlsError::File { path: path.into(), error })?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| TlsError::Pem {
        path: path.into(),
        what: "private key",
        error: error.to_string(),
    })
}

/// Chooses by the name that the client asks for. Few certificates: a scan will do.
#[derive(Debug)]
struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.for_name(name));
        named.or_else(|| self.keys.first()).cloned()
    }
}

impl Certificates {
    fn for_name(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        if self.keys.len() < 2 {
            return None;
        }
        let name = ServerName::try_from(name).ok()?;
        self.keys.iter().find(|key| is_for(key, &name))
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    key.end_entity_cert()
        .and_then(ParsedCertificate::try_from)
        .is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_self_signed_certificate_is_made_once_and_reloads() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["mail.example.org".to_owned(), "localhost".to_owned()];
        let files = CertificateFiles::self_signed(folder.path(), &names).unwrap();
        let before = fs::read(&files.certificate).unwrap();
        let again = CertificateFiles::self_signed(folder.path(), &names).unwrap();
        assert_eq!(fs::read(&again.certificate).unwrap(), before);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(&files.key).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        let tls = Tls::open(vec![files.clone()]).unwrap();
        let first = tls.config();
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&first, &tls.config()));
        fs::write(&files.key, "nonsense").unwrap();
        let second = tls.config();
        assert!(matches!(tls.reload(), Err(TlsError::Pem { what: "private key", .. })));
        assert!(Arc::ptr_eq(&second, &tls.config()));
    }

    #[test]
    fn a_name_chooses_its_certificate() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pair = |folder: &Path, name: &str| {
            load_pair(&CertificateFiles::self_signed(folder, &[name.to_owned()]).unwrap()).unwrap()
        };
        let keys = vec![pair(one.path(), "one.example"), pair(two.path(), "two.example")];
        let certificates = Certificates { keys };
        let found = certificates.for_name("two.example").unwrap();
        assert!(Arc::ptr_eq(found, certificates.keys.get(1).unwrap()));
        assert!(certificates.for_name("three.example").is_none());
        assert!(matches!(Tls::open(Vec::new()), Err(TlsError::SelfSigned(_))));
    }
}
