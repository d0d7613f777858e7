//! Where clients find the nodes, kept up while nodes come and go.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

/// A node as clients see it. A node that is down keeps its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The rig's number of the node, from 1; a wiped node that joins again has a new one.
    pub node: u32,
    /// Where LMTP is.
    pub lmtp: SocketAddr,
    /// Where IMAP is.
    pub imap: SocketAddr,
}

/// The members of now: the rig changes them, clients ask before each connection.
#[derive(Debug, Clone, Default)]
pub struct Targets(Arc<RwLock<Vec<Target>>>);

impl Targets {
    /// All members of now, in the order of their numbers.
    pub fn all(&self) -> Vec<Target> {
        self.0.read().unwrap().clone()
    }

    /// Another set of members.
    pub fn replace(&self, mut targets: Vec<Target>) {
        targets.sort_by_key(|target| target.node);
        *self.0.write().unwrap() = targets;
    }
}
