//! Why a stream between nodes did not come about, in words that say what to do.

use std::io;

use redoubt_log::id::NodeId;
use rustls::{AlertDescription, CertificateError, Error};

/// Why a stream between nodes did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Nobody there, or the connection broke.
    #[error("{0}")]
    Io(String),
    /// Its certificate comes from elsewhere.
    #[error(
        "its certificate is not from this cluster's authority: it belongs to another cluster, or \
         its tls/peer-ca.pem (or peer.ca) is another one"
    )]
    OtherAuthority,
    /// Its certificate has expired.
    #[error("its certificate has expired: renew it, or set the clocks of both machines (NTP)")]
    Expired,
    /// Its certificate is not valid yet.
    #[error("its certificate is not valid yet: set the clocks of both machines (NTP)")]
    NotYet,
    /// Its certificate is for somebody else.
    #[error(
        "its certificate is for another node or another cluster: another node answers at this \
         address, or that one was made anew"
    )]
    OtherNode,
    /// Its certificate says nothing that we know.
    #[error("its certificate cannot be used: {0}")]
    Nameless(String),
    /// The same authority, another cluster: one of both was made anew.
    #[error("node {node} belongs to the cluster {lineage}, this one is {own}")]
    OtherCluster {
        /// Which node.
        node: NodeId,
        /// Of which cluster.
        lineage: String,
        /// This node's.
        own: String,
    },
    /// It has none.
    #[error("it showed no certificate")]
    NoCertificate,
    /// It does not take ours.
    #[error("it does not accept this node's certificate ({0}): see its log")]
    NotAccepted(String),
    /// Another version, or something else.
    #[error("it does not speak this version's protocol between nodes")]
    OtherProtocol,
    /// It said why.
    #[error("it refuses this node: {0}")]
    Refused(String),
}

impl From<PeerError> for io::Error {
    fn from(error: PeerError) -> Self {
        Self::other(error)
    }
}

/// What an error of a TLS stream means.
pub fn explain(error: &io::Error) -> PeerError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(tls) => of_tls(tls),
        None => PeerError::Io(error.to_string()),
    }
}

fn of_tls(error: &Error) -> PeerError {
    match error {
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::NoCertificatesPresented => PeerError::NoCertificate,
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::NoApplicationProtocol | Error::InvalidMessage(_) | Error::PeerIncompatible(_) => {
            PeerError::OtherProtocol
        }
        other => PeerError::Io(other.to_string()),
    }
}

fn of_certificate(error: &CertificateError) -> PeerError {
    use CertificateError as E;
    match error {
        E::UnknownIssuer | E::BadSignature => PeerError::OtherAuthority,
        E::Expired | E::ExpiredContext { .. } => PeerError::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => PeerError::NotYet,
        E::NotValidForName | E::NotValidForNameContext { .. } => PeerError::OtherNode,
        other => PeerError::Nameless(other.to_string()),
    }
}

fn of_alert(alert: AlertDescription) -> PeerError {
    use AlertDescription as A;
    match alert {
        A::UnknownCA | A::DecryptError => PeerError::NotAccepted("it has another authority".into()),
        A::CertificateExpired => PeerError::NotAccepted("it has expired there".into()),
        A::NoApplicationProtocol | A::ProtocolVersion => PeerError::OtherProtocol,
        other => PeerError::NotAccepted(format!("{other:?}")),
    }
}
