//! Snapshots for replicas: the leader offers an image, the receiver fetches it and
//! the blobs that it has not got, verifies, and only then tells Raft.
//!
//! Invariants: an image is not removed while somebody fetches it; what Raft is
//! told to install is durable here with every blob that it names; an offer is
//! answered as done only when the receiver has come as far as the image.

mod fetch;
mod folder;
mod lease;
mod link;
mod pace;
mod serve;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use self::fetch::Fetch;
use self::lease::Leases;
use self::pace::{Pace, Syncs};
use self::serve::{Shop, encode};
use self::wire::{Ask, Offered};
use crate::blob::BlobStore;
use crate::codec;
use crate::disk::Disk;
use crate::id::{LogIndex, NodeId};
use crate::raft::error::CallError;
use crate::raft::images::Images;
use crate::raft::peers::Service;
use crate::raft::state_machine::Checkpoint;
use crate::segment::LogId;
use crate::world::{self, Abort, watch};

/// How long an offer waits before it says how far it is.
const SAY_AFTER: Duration = Duration::from_secs(1);
/// How long the answer to an offer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How often images are let go that nobody asks for any more.
const SWEEP: Duration = Duration::from_secs(20);

/// Calls to other nodes' snapshots.
pub(crate) trait Calls: Debug + Send + Sync + 'static {
    /// Asks a node.
    fn call(
        &self,
        peer: NodeId,
        body: Bytes,
        patience: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>>;
}

/// The replica that is brought forward.
pub(crate) trait Replica: Debug + Send + Sync + 'static {
    /// How far it has come: what is applied, or known to be committed in its log.
    fn reached(&self) -> Option<LogId>;

    /// Its vote, as in the log.
    fn vote(&self) -> Vec<u8>;

    /// What syncs of its log take.
    fn syncs(&self) -> Syncs {
        Syncs::default()
    }

    /// Whether a node is a member.
    fn knows(&self, node: NodeId) -> bool;

    /// Tells Raft to go on from a checkpoint of the leader with this vote, and waits
    /// until it does. Gives its own vote.
    fn install(
        &self,
        vote: Vec<u8>,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'static, Result<Vec<u8>, String>>;
}

/// What snapshots stand on.
#[derive(Debug)]
pub(crate) struct SnapshotParts {
    pub(crate) calls: Arc<dyn Calls>,
    pub(crate) replica: Arc<dyn Replica>,
    /// None on a node without views.
    pub(crate) images: Option<Arc<dyn Images>>,
    pub(crate) blobs: BlobStore,
    /// Where `incoming` lies.
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) incoming: PathBuf,
    /// Bytes a second that are given away at most; 0 is no bound.
    pub(crate) rate: u64,
}

/// Gives and takes snapshots. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    calls: Arc<dyn Calls>,
    replica: Arc<dyn Replica>,
    shop: Shop,
    disk: Arc<dyn Disk>,
    incoming: PathBuf,
    work: Mutex<Option<Work>>,
}

/// An image that is being fetched and installed.
#[derive(Debug)]
struct Work {
    fetch: Fetch,
    /// The vote of the leader that offered it last.
    vote: Vec<u8>,
    installing: bool,
    done: watch::Receiver<Option<Installed>>,
    abort: Abort,
}

/// The vote of a replica that has installed an image, or why it has not.
type Installed = Result<Vec<u8>, String>;

impl Snapshots {
    /// Serves from now on, on the current runtime.
    pub(crate) fn start(parts: SnapshotParts) -> Self {
        let SnapshotParts { calls, replica, images, blobs, disk, incoming, rate } = parts;
        let (leases, pace) = (Leases::default(), Pace::new(rate));
        let shop = Shop { images, blobs, leases, pace, replica: replica.clone() };
        let work = Mutex::default();
        let shared = Arc::new(Shared { calls, replica, shop, disk, incoming, work });
        let weak = Arc::downgrade(&shared);
        let sweep = async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(shared) = weak.upgrade() else { return };
                shared.shop.leases.sweep();
            }
        };
        drop(world::spawn(sweep));
        Self(shared)
    }

    /// The oldest image that a peer fetches: it needs the log from there on.
    pub(crate) fn floor(&self) -> Option<LogIndex> {
        self.0.shop.leases.sweep();
        self.0.shop.leases.floor()
    }

    /// Brings a peer to this image, and gives its vote when it has installed it.
    /// Dropping this ends the offers, not what the peer does.
    pub(crate) async fn offer(
        &self,
        peer: NodeId,
        vote: Vec<u8>,
        id: LogId,
    ) -> Result<Vec<u8>, CallError> {
        let failed = |why: String| CallError::Failed { node: peer, why };
        let body = encode(&Ask::Offer { vote, id }).map_err(failed)?;
        loop {
            self.0.shop.image(peer, id).await.map_err(failed)?;
            let answer = self.0.calls.call(peer, body.clone(), ANSWER).await?;
            let answer = codec::from_bytes(&answer).map_err(|error| failed(error.to_string()))?;
            match answer {
                Offered::Fetching { bytes } => {
                    tracing::debug!(%peer, bytes, "a snapshot is on its way");
                }
                Offered::Installed { vote } => {
                    self.0.shop.leases.end(peer);
                    return Ok(vote);
                }
                Offered::Failed(why) => return Err(failed(why)),
            }
        }
    }

    /// The newest image, where it is not further behind `last` than `records`; else
    /// a new one. Without a place for images there is none.
    pub(crate) async fn fresh(&self, last: LogIndex, records: u64) -> Result<LogId, String> {
        let images = self.0.shop.images.clone().ok_or("this node keeps no images")?;
        let newest = || {
            let images = images.clone();
            serve::blocking(move || Ok(images.pinned(None)?.map(|image| image.checkpoint.state.id)))
        };
        let near = |id: &LogId| id.index.0.saturating_add(records) >= last.0;
        if let Some(id) = newest().await?.filter(near) {
            return Ok(id);
        }
        images.take().await?;
        newest().await?.ok_or_else(|| "no image was taken".to_owned())
    }
}

impl Service for Snapshots {
    fn call(&self, from: NodeId, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let shared = self.0.clone();
        async move {
            let ask = codec::from_bytes(&body).map_err(|error| error.to_string())?;
            shared.answer(from, ask).await
        }
        .boxed()
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, from: NodeId, ask: Ask) -> Result<Bytes, String> {
        let shop = &self.shop;
        let is_offer = matches!(ask, Ask::Offer { .. });
        if !is_offer && !self.replica.knows(from) && !shop.leases.has(from) {
            return Err(format!("node {from} is no member"));
        }
        match ask {
            Ask::Offer { vote, id } => encode(&self.offered(from, vote, id).await),
            Ask::Describe { id } => shop.describe(from, id).await,
            Ask::Chunk { id, file, offset, limit } => {
                shop.chunk(from, id, file, offset, limit).await
            }
            Ask::BlobIds { after, limit } => shop.ids(after, limit).await,
            Ask::Blobs { ids, limit } => shop.blobs(ids, limit).await,
            Ask::BlobPiece { id, offset, limit } => shop.blob_piece(id, offset, limit).await,
        }
    }

    async fn offered(self: &Arc<Self>, from: NodeId, vote: Vec<u8>, id: LogId) -> Offered {
        if self.replica.reached() >= Some(id) {
            return Offered::Installed { vote: self.replica.vote() };
        }
        let (bytes, mut done) = self.join(from, vote.clone(), id);
        let ended = tokio::time::timeout(SAY_AFTER, done.wait_for(Option::is_some)).await;
        let fetching = Offered::Fetching { bytes: bytes.load(Ordering::Relaxed) };
        let Ok(ended) = ended else { return fetching };
        // Closed without a word: it panicked.
        let over =
            |work: &mut Work| work.done.borrow().is_some() || work.done.has_changed().is_err();
        self.work.lock().take_if(over);
        let Ok(result) = ended else { return fetching };
        match result {
            // Another vote than was offered is a higher one: its leader has to know.
            Some(Ok(now)) if now != vote || self.replica.reached() >= Some(id) => {
                Offered::Installed { vote: now }
            }
            Some(Err(why)) => {
                tracing::warn!(%from, why, "a snapshot was not installed; it is offered again");
                Offered::Failed(why)
            }
            // An older one: this one is next.
            _ => fetching,
        }
    }

    /// Joins the work on this image, a newer one, or one that is being installed
    /// already; or begins it.
    fn join(
        self: &Arc<Self>,
        from: NodeId,
        vote: Vec<u8>,
        id: LogId,
    ) -> (Arc<AtomicU64>, watch::Receiver<Option<Installed>>) {
        let mut work = self.work.lock();
        let mut now = match work.take() {
            Some(now) if now.installing || now.fetch.id >= id => now,
            older => {
                older.iter().for_each(|older| older.abort.abort());
                self.begin(from, id)
            }
        };
        now.vote = vote;
        let joined = (now.fetch.bytes.clone(), now.done.clone());
        *work = Some(now);
        joined
    }

    fn begin(self: &Arc<Self>, source: NodeId, id: LogId) -> Work {
        let fetch = Fetch {
            calls: self.calls.clone(),
            source,
            id,
            images: self.shop.images.clone(),
            blobs: self.shop.blobs.clone(),
            disk: self.disk.clone(),
            incoming: self.incoming.clone(),
            bytes: Arc::default(),
            lost: Arc::default(),
        };
        let (tell, done) = watch::channel(None);
        let (shared, ours) = (self.clone(), fetch.clone());
        let task = world::spawn(async move {
            tracing::info!(%source, index = %id.index, "fetching a snapshot");
            let done = shared.bring(ours).await;
            tell.send_replace(Some(done));
        });
        Work { fetch, vote: Vec::new(), installing: false, done, abort: task.abort_handle() }
    }

    async fn bring(&self, fetch: Fetch) -> Installed {
        // What the image needs and is here already is dead by the state that it replaces.
        let _using = fetch.blobs.using();
        let checkpoint = fetch.run().await?;
        let vote = self.begin_installing(fetch.id)?;
        let vote = self.replica.install(vote, checkpoint).await?;
        fetch.clear().await;
        Ok(vote)
    }

    /// From here on nobody takes the image's files for another one.
    fn begin_installing(&self, id: LogId) -> Installed {
        let mut work = self.work.lock();
        let ours = work.as_mut().filter(|work| work.fetch.id == id);
        let ours = ours.ok_or("it was given up for another one")?;
        ours.installing = true;
        Ok(ours.vote.clone())
    }
}
