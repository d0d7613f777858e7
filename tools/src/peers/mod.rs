//! The way between nodes: mutual TLS over TCP. What goes over a stream is not
//! this module's: `Node::serve_peer` and the [`Dialer`](redoubt_log::raft::Dialer)'s
//! caller know.
//!
//! Every node's certificate names the node and the cluster's lineage as DNS
//! names under `redoubt.internal`; it is issued by the cluster's own authority,
//! made with the first node and given to each that joins, or by the site's.
//! A stream begins with TLS, then one answer of the listener (`greeting.rs`):
//! go on, or why not.

mod authority;
mod dial;
mod greeting;
mod identity;
pub mod join;
mod listen;
mod names;
mod setup;
mod strangers;
#[cfg(test)]
mod tests;
mod token;
mod trouble;

pub use authority::{Authority, Fingerprint};
pub use dial::TlsDialer;
pub use identity::{Identity, PeerTls, Source};
pub use listen::{PeerListener, bind};
pub use names::{CertificateName, cluster_name, node_name};
pub use setup::Peering;
pub use token::{Token, TokenError};
pub use trouble::{PeerError, explain};

/// What a stream between members is called in the TLS handshake (RFC 7301).
pub const PEER_PROTOCOL: &[u8] = b"redoubt-peer/1";
/// What the stream of a node that has no certificate yet is called.
pub const JOIN_PROTOCOL: &[u8] = b"redoubt-join/1";
