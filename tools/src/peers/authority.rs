//! The cluster's own certificate authority: made with the first node, given to
//! each that joins, so that new nodes can join through any.

use std::fmt;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::civil::Date;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use redoubt_log::disk::replace_private;
use redoubt_log::id::NodeId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::names::{cluster_name, node_name};

/// Days for which a clock may be behind.
const BACK_DATED: i64 = 2;
const AUTHORITY_DAYS: i64 = 30 * 365;
/// Nodes get a new certificate at each start and each day; none lies on a disk.
const NODE_DAYS: i64 = 90;

/// The hash of an authority's certificate: what a token says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(*blake3::hash(certificate).as_bytes())
    }
}

/// A certificate with its key, as rustls takes them.
pub(super) type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// Certificate and key that the nodes' certificates come from.
pub struct Authority {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: KeyPair,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({:?})", Fingerprint::of(&self.certificate))
    }
}

/// A day counted from today, as rcgen takes it.
macro_rules! date {
    ($days:expr) => {{
        let date = day($days)?;
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        rcgen::date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    }};
}
/// Where it lies in a data directory.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(data: &Path) -> Self {
        Self { certificate: data.join("tls/peer-ca.pem"), key: data.join("keys/peer-ca.key") }
    }
}

impl Authority {
    /// That of a data directory, made when it is not there. Blocks.
    ///
    /// # Errors
    /// When a file cannot be read or written, or does not read as PEM.
    pub fn load_or_make(data: &Path) -> anyhow::Result<Self> {
        let files = Files::of(data);
        if !files.certificate.exists() {
            let made = Self::make()?;
            made.save(data)?;
            return Ok(made);
        }
        let read = |path: &Path| {
            fs::read_to_string(path).with_context(|| {
                format!("{}: restore it from another member of the cluster", path.display())
            })
        };
        Self::from_pem(read(&files.certificate)?, &read(&files.key)?)
    }

    /// A new one.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn make() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = params()?.self_signed(&key)?;
        Ok(Self { certificate_pem: certificate.pem(), certificate: certificate.into(), key })
    }

    /// As it came from another member.
    ///
    /// # Errors
    /// When it does not read as PEM.
    pub fn from_pem(certificate_pem: String, key_pem: &str) -> anyhow::Result<Self> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|error| anyhow::anyhow!("the certificate of the peers' authority: {error}"))?;
        let key = KeyPair::from_pem(key_pem).context("the key of the peers' authority")?;
        Ok(Self { certificate, certificate_pem, key })
    }

    /// Writes it into a data directory: the key first, readable by the owner alone.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, data: &Path) -> anyhow::Result<()> {
        let files = Files::of(data);
        write(&files.key, &self.key.serialize_pem(), 0o600)?;
        write(&files.certificate, &self.certificate_pem, 0o644)
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Certificate and key as PEM, for a node that joins.
    pub fn to_pem(&self) -> (String, String) {
        (self.certificate_pem.clone(), self.key.serialize_pem())
    }

    /// A certificate for a node of a cluster, good for some weeks from now.
    ///
    /// # Errors
    /// When no key can be made.
    pub(super) fn issue(&self, node: NodeId, lineage: &str) -> anyhow::Result<Pair> {
        self.issue_between(node, lineage, -BACK_DATED, NODE_DAYS)
    }

    /// The same with its days, counted from today.
    pub(super) fn issue_between(
        &self,
        node: NodeId,
        lineage: &str,
        from: i64,
        to: i64,
    ) -> anyhow::Result<Pair> {
        let names = [node_name(node, lineage), cluster_name(lineage)];
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name.push(DnType::CommonName, format!("redoubt node {node}"));
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (leaf.not_before, leaf.not_after) = (date!(from), date!(to));
        let key = KeyPair::generate()?;
        let authority = params()?;
        let certificate = leaf.signed_by(&key, &Issuer::from_params(&authority, &self.key))?;
        let der = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        Ok((certificate.into(), der))
    }
}

fn day(from_today: i64) -> anyhow::Result<Date> {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    Ok(today.checked_add(jiff::Span::new().try_days(from_today)?)?)
}

/// What its certificate says of it; the same for ever, since issuing goes by it.
fn params() -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "redoubt peers");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = (date!(-BACK_DATED), date!(AUTHORITY_DAYS));
    Ok(params)
}

/// Beside, synced, renamed: a crash leaves the whole file or none.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        replace_private(path, text.as_bytes(), mode)
    };
    write().with_context(|| path.display().to_string())
}
