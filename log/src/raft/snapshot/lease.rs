//! Images that peers are fetching: kept until they are done, or gone.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::blob::Using;
use crate::id::{LogIndex, NodeId};
use crate::raft::images::PinnedImage;
use crate::segment::LogId;

/// How long an image is kept for a peer that asks for nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// At most one image for each peer: the one that it asked for last.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<NodeId, Lease>>);

#[derive(Debug)]
struct Lease {
    image: PinnedImage,
    /// What it is told of is there when it comes for it.
    _using: Using,
    until: Instant,
}

impl Leases {
    /// The image that is kept for a peer, if it is this one; kept longer for its asking.
    pub(super) fn renew(&self, peer: NodeId, id: LogId) -> Option<PinnedImage> {
        let mut leases = self.0.lock();
        let lease = leases.get_mut(&peer).filter(|lease| lease.image.checkpoint.state.id == id)?;
        lease.until = Instant::now() + PATIENCE;
        Some(lease.image.clone())
    }

    /// Keeps an image for a peer from now on.
    pub(super) fn grant(&self, peer: NodeId, image: PinnedImage, using: Using) {
        let lease = Lease { image, _using: using, until: Instant::now() + PATIENCE };
        self.0.lock().insert(peer, lease);
    }

    /// Whether something is kept for a peer.
    pub(super) fn has(&self, peer: NodeId) -> bool {
        self.0.lock().contains_key(&peer)
    }

    /// The peer has what it wanted.
    pub(super) fn end(&self, peer: NodeId) {
        self.0.lock().remove(&peer);
    }

    /// Lets go what nobody asked for in time.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.0.lock().retain(|_, lease| lease.until > now);
    }

    /// The oldest image that is kept: who fetches it needs the log from there on.
    pub(super) fn floor(&self) -> Option<LogIndex> {
        let leases = self.0.lock();
        leases.values().map(|lease| lease.image.checkpoint.state.id.index).min()
    }
}
