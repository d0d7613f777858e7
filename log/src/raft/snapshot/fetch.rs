//! Fetching an image and the blobs that this node has not got. What has come is
//! kept: who begins again goes on there, also with another source.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;

use super::Calls;
use super::folder::{self, Folder, LargeBlob, Partial};
use super::serve::{MAX_IDS, MAX_PIECE, blocking, encode};
use super::wire::{Ask, Description, unpack_blobs, unseal};
use crate::blob::{BlobError, BlobStore, Exported, ExportedHead, ExportedKind, MAX_EXPORTED};
use crate::codec;
use crate::disk::Disk;
use crate::id::{BlobId, NodeId};
use crate::raft::error::CallError;
use crate::raft::images::{ImageFile, Images};
use crate::raft::state_machine::Checkpoint;
use crate::segment::LogId;
use crate::world::{self, Mutation};

/// How long one answer may take; it may have to wait for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a question is asked, and what lies between.
const TRIES: u32 = 4;
const BETWEEN: Duration = Duration::from_millis(250);
/// Blobs that are asked for together.
const BLOBS: usize = 256;
/// Pieces of one file, or of one large blob, that are on their way at one time.
const PIECES: usize = 4;
/// Blobs that the source cannot give and that are done without, at most: with more, it is no
/// source to make a replica from.
const MOST_LOST: u64 = 256;
/// Batches of blobs that are on their way at one time. With [`PIECES`] of a large blob
/// for each it bounds what is in memory: 16 MiB.
const BATCHES: usize = 4;

/// One image from one node.
#[derive(Debug, Clone)]
pub(super) struct Fetch {
    pub(super) calls: Arc<dyn Calls>,
    pub(super) source: NodeId,
    pub(super) id: LogId,
    /// Nobody for a node without views: it takes blobs and where the log begins.
    pub(super) images: Option<Arc<dyn Images>>,
    pub(super) blobs: BlobStore,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) incoming: PathBuf,
    pub(super) bytes: Arc<AtomicU64>,
    /// Blobs that the source cannot give.
    pub(super) lost: Arc<AtomicU64>,
}

/// Why blobs do not come.
#[derive(Debug)]
enum Trouble {
    /// Nothing more comes from there, or can be kept here.
    Ends(String),
    /// One of those that were asked for is damaged at the source.
    Damaged(String),
}

impl Trouble {
    fn into_text(self) -> String {
        match self {
            Self::Ends(why) | Self::Damaged(why) => why,
        }
    }
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Ends(why)
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Failed { .. } => Self::Damaged(error.to_string()),
            error => Self::Ends(error.to_string()),
        }
    }
}

impl From<BlobError> for Trouble {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Foreign { .. } | BlobError::Part { .. } => Self::Damaged(error.to_string()),
            error => Self::Ends(error.to_string()),
        }
    }
}

impl Fetch {
    /// Everything durable here, and verified.
    pub(super) async fn run(&self) -> Result<Checkpoint, String> {
        let description: Description = self.read(&Ask::Describe { id: self.id }).await?;
        if !description.is_sane() || description.id() != self.id {
            return Err(format!("node {} describes no image of {}", self.source, self.id));
        }
        let (state, head) = description.state().ok_or("the image has no head")?;
        let Some(images) = self.images.clone() else {
            self.all_blobs().await?;
            return Ok(Checkpoint { state, head, location: PathBuf::new() });
        };
        let folder = self.files(description).await?;
        self.all_blobs().await?;
        let dir = folder.dir().to_path_buf();
        let examined = blocking(move || examine(&*images, &folder)).await?;
        let expected = Checkpoint { state, head, location: dir };
        match examined == expected {
            true => Ok(expected),
            false => Err(format!("the image of {} is one of {}", self.id, examined.state.id)),
        }
    }

    /// Removes what came and was not needed.
    pub(super) async fn clear(&self) {
        let (disk, incoming) = (self.disk.clone(), self.incoming.clone());
        let clear = move || folder::clear(&disk, &incoming).map_err(said);
        if let Err(error) = blocking(clear).await {
            tracing::warn!(error, "what is left of a snapshot stays in incoming/");
        }
    }

    // ------------------------------------------------------------- files

    async fn files(&self, description: Description) -> Result<Folder, String> {
        let (disk, incoming) = (self.disk.clone(), self.incoming.clone());
        let files = description.files.clone();
        let prepare = move || Folder::prepare(disk, &incoming, &description);
        let folder = blocking(move || prepare().map_err(said)).await?;
        for file in files {
            self.file(&folder, &file).await?;
        }
        Ok(folder)
    }

    async fn file(&self, folder: &Folder, file: &ImageFile) -> Result<(), String> {
        let (place, wanted) = (folder.clone(), file.clone());
        let begin = move || match place.has(&wanted)? {
            true => Ok(None),
            false => place.partial(&wanted).map(Some),
        };
        let Some(mut partial) = blocking(move || begin().map_err(said)).await? else {
            return Ok(());
        };
        let pieces = offsets(partial.have, file.size).map(|offset| self.chunk(file, offset));
        let mut pieces = stream::iter(pieces).buffered(PIECES);
        while let Some(piece) = pieces.next().await {
            partial = self.keep(partial, piece?).await?;
        }
        let (place, wanted) = (folder.clone(), file.clone());
        match blocking(move || place.finish(&wanted).map_err(said)).await? {
            true => Ok(()),
            false => Err(format!("the file {} came damaged and is fetched again", file.name)),
        }
    }

    async fn chunk(&self, file: &ImageFile, offset: u64) -> Result<Bytes, String> {
        let limit = piece_at(offset, file.size);
        let ask = Ask::Chunk { id: self.id, file: file.name.clone(), offset, limit };
        let piece = self.piece(&ask).await.map_err(Trouble::into_text)?;
        match piece.len() == limit as usize {
            true => Ok(piece),
            false => Err(format!("node {} sent no piece of {}", self.source, file.name)),
        }
    }

    async fn keep(&self, partial: Partial, piece: Bytes) -> Result<Partial, String> {
        self.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        blocking(move || partial.push(&piece).map_err(said)).await
    }

    // ------------------------------------------------------------- blobs

    /// All blobs that the source has, a page of ids at a time.
    async fn all_blobs(&self) -> Result<(), String> {
        let mut after = None;
        loop {
            let limit = u32::try_from(MAX_IDS).unwrap_or(u32::MAX);
            let ids: Vec<BlobId> = self.read(&Ask::BlobIds { after, limit }).await?;
            let Some(last) = ids.last().copied() else { return Ok(()) };
            if !ids.is_sorted() || ids.first().copied() <= after {
                return Err(format!("node {} lists its blobs out of order", self.source));
            }
            after = Some(last);
            self.page(ids).await?;
        }
    }

    async fn page(&self, ids: Vec<BlobId>) -> Result<(), String> {
        let missing = self.missing(ids).await?;
        let batches = missing.chunks(BLOBS).map(|batch| Ok(self.batch(batch.to_vec())));
        let batches = stream::iter(batches.collect::<Vec<_>>());
        batches.try_buffer_unordered(BATCHES).try_collect().await
    }

    async fn missing(&self, ids: Vec<BlobId>) -> Result<Vec<BlobId>, String> {
        let blobs = self.blobs.clone();
        let look = move || {
            let mut missing = Vec::new();
            for id in ids {
                if !blobs.holds_durably(&id).map_err(said)? {
                    missing.push(id);
                }
            }
            Ok(missing)
        };
        blocking(look).await
    }

    /// Blobs, durable when this returns.
    async fn batch(&self, ids: Vec<BlobId>) -> Result<(), String> {
        let mut left = ids.as_slice();
        while !left.is_empty() {
            match self.several(left).await {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(Trouble::Ends(why)) => return Err(why),
                Err(Trouble::Damaged(_)) => return self.one_by_one(left).await,
            }
        }
        Ok(())
    }

    /// Finds out which of them cannot be had.
    async fn one_by_one(&self, ids: &[BlobId]) -> Result<(), String> {
        for id in ids {
            match self.several(std::slice::from_ref(id)).await {
                Ok(_) => {}
                Err(Trouble::Ends(why)) => return Err(why),
                Err(Trouble::Damaged(why)) => self.do_without(*id, &why).await?,
            }
        }
        Ok(())
    }

    /// One damaged blob at the source keeps nobody from becoming a replica: it is noted as
    /// missing here, which is told, and fetched from others as all that decays is.
    async fn do_without(&self, id: BlobId, why: &str) -> Result<(), String> {
        let lost = self.lost.fetch_add(1, Ordering::Relaxed);
        if lost >= MOST_LOST {
            let source = self.source;
            return Err(format!(
                "node {source} cannot give more than {MOST_LOST} blobs, the last for this: {why}; \
                 let it be repaired by its peers first, or let another node lead"
            ));
        }
        tracing::error!(source = %self.source, blob = %id, why, "a replica begins without a blob");
        let blobs = self.blobs.clone();
        blocking(move || blobs.note_missing(&id).map_err(said)).await
    }

    /// The first of these, at least one, durable. How many. Parts of recipes come before them.
    async fn several(&self, ids: &[BlobId]) -> Result<usize, Trouble> {
        let came = self.some(ids).await?;
        let ours = ids.get(..came.len()).unwrap_or(ids);
        let parts: BTreeSet<_> = came.iter().flat_map(|blob| &blob.head().parts).copied().collect();
        let parts = self.missing(parts.into_iter().collect()).await?;
        self.parts(parts).await?;
        self.import(came).await?;
        if !world::breaks(Mutation::SnapshotBlobsUnsynced) {
            self.blobs.durable(ours.to_vec()).await.map_err(said)?;
        }
        Ok(ours.len())
    }

    /// Recipes never nest: what is part of one has no parts.
    async fn parts(&self, ids: Vec<BlobId>) -> Result<(), Trouble> {
        let mut ids = ids.as_slice();
        while !ids.is_empty() {
            let batch = ids.get(..BLOBS).unwrap_or(ids);
            let came = self.some(batch).await?;
            ids = ids.get(came.len()..).unwrap_or_default();
            if came.iter().any(|blob| blob.head().kind != ExportedKind::Whole) {
                return Err(format!("node {} has a recipe for part of one", self.source).into());
            }
            self.import(came).await?;
        }
        Ok(())
    }

    /// The first of these, at least one, whole.
    async fn some(&self, ids: &[BlobId]) -> Result<Vec<Came>, Trouble> {
        let limit = u32::try_from(MAX_PIECE).unwrap_or(u32::MAX);
        let answer = self.ask(&Ask::Blobs { ids: ids.to_vec(), limit }).await?;
        let wrong = || format!("node {} sent other blobs than it was asked for", self.source);
        let blobs = unpack_blobs(&answer).ok_or_else(wrong)?;
        let ordered = blobs.iter().zip(ids).all(|((head, _), id)| head.id == *id);
        if blobs.is_empty() || blobs.len() > ids.len() || !ordered {
            return Err(wrong().into());
        }
        let mut whole = Vec::new();
        for (head, body) in blobs {
            whole.push(self.whole(head, body).await?);
        }
        Ok(whole)
    }

    async fn whole(&self, head: ExportedHead, begun: Bytes) -> Result<Came, Trouble> {
        if begun.len() as u64 == head.stored {
            self.bytes.fetch_add(head.stored, Ordering::Relaxed);
            return Ok(Came::Small(Exported { head, body: begun }));
        }
        match head.stored <= MAX_EXPORTED {
            true => self.large(head, begun).await,
            false => Err(Trouble::Damaged(format!("blob {} is too long", head.id))),
        }
    }

    /// What does not come in one piece goes through a file.
    async fn large(&self, head: ExportedHead, begun: Bytes) -> Result<Came, Trouble> {
        let (disk, incoming, of) = (self.disk.clone(), self.incoming.clone(), head.clone());
        let begin = move || LargeBlob::begin(disk, &incoming, &of).map_err(said);
        let (place, mut partial) = blocking(begin).await?;
        if partial.have == 0 {
            partial = self.keep(partial, begun).await?;
        }
        let offsets = offsets(partial.have, head.stored);
        let pieces = offsets.map(|offset| self.blob_piece(&head, offset));
        let mut pieces = stream::iter(pieces.collect::<Vec<_>>()).buffered(PIECES);
        while let Some(piece) = pieces.next().await {
            partial = self.keep(partial, piece?).await?;
        }
        drop(pieces);
        Ok(Came::Large { head, place, partial })
    }

    async fn blob_piece(&self, head: &ExportedHead, offset: u64) -> Result<Bytes, Trouble> {
        let limit = piece_at(offset, head.stored);
        let ask = Ask::BlobPiece { id: head.id, offset, limit };
        let piece = self.piece(&ask).await?;
        match piece.len() == limit as usize {
            true => Ok(piece),
            false => Err(format!("node {} sent no piece of blob {}", self.source, head.id).into()),
        }
    }

    async fn import(&self, came: Vec<Came>) -> Result<(), Trouble> {
        let blobs = self.blobs.clone();
        let import = move || Ok(came.iter().try_for_each(|came| came.import(&blobs)));
        blocking(import).await?
    }

    // ---------------------------------------------------------- questions

    async fn read<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, String> {
        let answer = self.ask(ask).await.map_err(said)?;
        codec::from_bytes(&answer).map_err(|error| format!("node {}: {error}", self.source))
    }

    /// A sealed piece, asked for again when it came damaged.
    async fn piece(&self, ask: &Ask) -> Result<Bytes, Trouble> {
        for _ in 0..TRIES {
            if let Some(piece) = unseal(&self.ask(ask).await?) {
                return Ok(piece);
            }
            tracing::warn!(source = %self.source, "a piece of a snapshot came damaged");
        }
        Err(format!("what node {} sends comes damaged", self.source).into())
    }

    async fn ask(&self, ask: &Ask) -> Result<Bytes, CallError> {
        let failed = |why| CallError::Failed { node: self.source, why };
        let body = encode(ask).map_err(failed)?;
        let mut tries = 1;
        loop {
            match self.calls.call(self.source, body.clone(), PATIENCE).await {
                Ok(answer) => return Ok(answer),
                Err(error) if tries >= TRIES || is_final(&error) => return Err(error),
                Err(_) => tokio::time::sleep(BETWEEN * tries).await,
            }
            tries += 1;
        }
    }
}

/// A blob that has come, not stored yet.
#[derive(Debug)]
enum Came {
    Small(Exported),
    Large { head: ExportedHead, place: LargeBlob, partial: Partial },
}

impl Came {
    fn head(&self) -> &ExportedHead {
        match self {
            Self::Small(Exported { head, .. }) | Self::Large { head, .. } => head,
        }
    }

    /// Stores it. The file of a large one goes, also when it is not what it was to be:
    /// then it is fetched anew. Blocks.
    fn import(&self, blobs: &BlobStore) -> Result<(), Trouble> {
        match self {
            Self::Small(exported) => Ok(blobs.import(exported).map(drop)?),
            Self::Large { head, place, partial } => {
                let imported = blobs.import_file(head, partial.file());
                place.remove().map_err(said)?;
                Ok(imported.map(drop)?)
            }
        }
    }
}

/// Where pieces of something of this size begin, from an offset on.
fn offsets(from: u64, size: u64) -> impl Iterator<Item = u64> {
    (from..size).step_by(MAX_PIECE)
}

/// How long the piece at an offset is.
fn piece_at(offset: u64, size: u64) -> u32 {
    let left = size.saturating_sub(offset).min(MAX_PIECE as u64);
    u32::try_from(left).unwrap_or(u32::MAX)
}

fn is_final(error: &CallError) -> bool {
    match error {
        CallError::Unreachable { .. } | CallError::Timeout(_) | CallError::Lost { .. } => false,
        CallError::NoService { .. } | CallError::Failed { .. } | CallError::TooLong(_) => true,
    }
}

/// Reads it through; one that is not sound is fetched anew the next time.
fn examine(images: &dyn Images, folder: &Folder) -> Result<Checkpoint, String> {
    let examined = images.examine(folder.dir());
    if examined.is_err() {
        folder.remove().map_err(said)?;
    }
    examined
}

fn said(error: impl ToString) -> String {
    error.to_string()
}
