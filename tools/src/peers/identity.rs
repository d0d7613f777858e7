//! Who this node is to its peers, and whom it takes for one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::RwLock;
use redoubt_log::id::NodeId;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::authority::Pair;
use super::names::{CertificateName, node_name};
use super::{Authority, Fingerprint, JOIN_PROTOCOL, PEER_PROTOCOL};

/// Where certificates come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The cluster's own authority.
    Own(Arc<Authority>),
    /// The site's, as PEM files.
    Site {
        /// Its certificate.
        ca: PathBuf,
        /// This node's chain.
        certificate: PathBuf,
        /// This node's key.
        key: PathBuf,
    },
}

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Which node.
    pub node: NodeId,
    /// Of which cluster.
    pub lineage: String,
}

/// The TLS of all streams to and from peers. Clones share it; what is renewed
/// reaches every later handshake.
#[derive(Clone)]
pub struct PeerTls {
    identity: Arc<Identity>,
    source: Source,
    now: Arc<RwLock<Configs>>,
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").field("identity", &self.identity).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    authority: Fingerprint,
}

impl PeerTls {
    /// Gets a certificate, or reads it. Blocks.
    ///
    /// # Errors
    /// A file cannot be used, or is not this node's.
    pub fn open(identity: Identity, source: Source) -> anyhow::Result<Self> {
        let now = Arc::new(RwLock::new(configs(&identity, &source)?));
        Ok(Self { identity: Arc::new(identity), source, now })
    }

    /// Gets another certificate, or reads it again. Blocks. After an error the old one stays.
    ///
    /// # Errors
    /// As [`PeerTls::open`].
    pub fn renew(&self) -> anyhow::Result<()> {
        let configs = configs(&self.identity, &self.source)?;
        *self.now.write() = configs;
        Ok(())
    }

    /// Who this node is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What a token says of the authority.
    pub fn authority(&self) -> Fingerprint {
        self.now.read().authority
    }

    /// Certificate and key of the cluster's own authority, for a node that joins.
    pub fn own_authority(&self) -> Option<&Authority> {
        match &self.source {
            Source::Own(authority) => Some(authority),
            Source::Site { .. } => None,
        }
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        self.now.read().server.clone()
    }

    pub(super) fn client(&self) -> Arc<ClientConfig> {
        self.now.read().client.clone()
    }
}

fn configs(identity: &Identity, source: &Source) -> anyhow::Result<Configs> {
    let (authorities, chain, key) = match source {
        Source::Own(authority) => {
            let pair = authority.issue(identity.node, &identity.lineage)?;
            own(authority, pair)
        }
        Source::Site { ca, certificate, key } => site(identity, ca, certificate, key)?,
    };
    build(authorities, chain, key)
}

type Material =
    (Vec<CertificateDer<'static>>, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The authority goes along with the chain: by its fingerprint a joiner knows it.
fn own(authority: &Authority, (certificate, key): Pair) -> Material {
    let authority = authority.certificate().clone();
    (vec![authority.clone()], vec![certificate, authority], key)
}

fn site(
    identity: &Identity,
    ca: &PathBuf,
    certificate: &PathBuf,
    key: &PathBuf,
) -> anyhow::Result<Material> {
    let authorities = chain_of(ca).context("peer.ca")?;
    let mut chain = chain_of(certificate).context("peer.certificate")?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| anyhow::anyhow!("peer.key: {}: {error}", key.display()))?;
    let leaf = chain.first().context("peer.certificate is empty")?;
    let wanted = node_name(identity.node, &identity.lineage);
    let named = CertificateName::of(leaf).ok();
    let named = named.is_some_and(|name| node_name(name.node, &name.lineage) == wanted);
    anyhow::ensure!(
        named,
        "{} is not for this node: have the site's authority issue one with the DNS names {wanted} \
         and {}, for servers and clients",
        certificate.display(),
        super::cluster_name(&identity.lineage)
    );
    chain.extend(authorities.first().filter(|ca| !chain.contains(ca)).cloned());
    Ok((authorities, chain, key))
}

fn chain_of(path: &PathBuf) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<_, _>>);
    let chain: Vec<_> = read.map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate", path.display());
    Ok(chain)
}

fn build(
    authorities: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> anyhow::Result<Configs> {
    let provider = Arc::new(ring::default_provider());
    let authority = authorities.first().map(Fingerprint::of).context("no authority")?;
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate)?;
    }
    let roots = Arc::new(roots);
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.clone(), key.clone_key())?;
    server.alpn_protocols = vec![PEER_PROTOCOL.into(), JOIN_PROTOCOL.into()];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    client.alpn_protocols = vec![PEER_PROTOCOL.into()];
    Ok(Configs { server: Arc::new(server), client: Arc::new(client), authority })
}
