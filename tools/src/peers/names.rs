//! The DNS names in a node's certificate.

use redoubt_log::id::NodeId;
use rustls::pki_types::CertificateDer;

use super::PeerError;

const DOMAIN: &str = "redoubt.internal";

/// The name of one node of one cluster.
pub fn node_name(node: NodeId, lineage: &str) -> String {
    format!("n{node}.{lineage}.{DOMAIN}")
}

/// The name of any node of one cluster.
pub fn cluster_name(lineage: &str) -> String {
    format!("any.{lineage}.{DOMAIN}")
}

/// Whose certificate it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateName {
    /// Which node.
    pub node: NodeId,
    /// Of which cluster.
    pub lineage: String,
}

impl CertificateName {
    /// Reads it from a certificate whose chain has been verified.
    ///
    /// # Errors
    /// [`PeerError::Nameless`].
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, PeerError> {
        let certificate = webpki::EndEntityCert::try_from(certificate)
            .map_err(|error| PeerError::Nameless(error.to_string()))?;
        let found = certificate.valid_dns_names().find_map(Self::parse);
        found.ok_or_else(|| PeerError::Nameless("it names no node".into()))
    }

    fn parse(name: &str) -> Option<Self> {
        let (node, rest) = name.strip_prefix('n')?.split_once('.')?;
        let lineage = rest.strip_suffix(DOMAIN)?.strip_suffix('.')?;
        Some(Self { node: NodeId(node.parse().ok()?), lineage: lineage.into() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_read_back() {
        let name = CertificateName { node: NodeId(12), lineage: "0af3".into() };
        assert_eq!(CertificateName::parse(&node_name(NodeId(12), "0af3")), Some(name));
        assert_eq!(CertificateName::parse(&cluster_name("0af3")), None);
        assert_eq!(CertificateName::parse("n1.redoubt.internal"), None);
        assert_eq!(CertificateName::parse("mail.example.org"), None);
    }
}
