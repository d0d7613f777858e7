//! Giving images and blobs to those who fetch them.

use std::sync::Arc;

use bytes::Bytes;

use super::Replica;
use super::lease::Leases;
use super::pace::Pace;
use super::wire::{Description, pack_blobs, seal};
use crate::blob::{BlobStore, ExportedHead, Exporter};
use crate::codec;
use crate::disk::Disk;
use crate::id::{BlobId, NodeId};
use crate::raft::images::{Images, PinnedImage};
use crate::segment::LogId;
use crate::world;

/// The most bytes of a piece, whatever is asked for.
pub(super) const MAX_PIECE: usize = 1 << 20;
/// The most ids that are named in one answer.
pub(super) const MAX_IDS: usize = 16_384;

/// What is given away.
#[derive(Debug)]
pub(super) struct Shop {
    pub(super) images: Option<Arc<dyn Images>>,
    pub(super) blobs: BlobStore,
    pub(super) leases: Leases,
    pub(super) pace: Pace,
    pub(super) replica: Arc<dyn Replica>,
}

impl Shop {
    /// The image that a peer asks for, kept for it from now on.
    pub(super) async fn image(&self, peer: NodeId, id: LogId) -> Result<PinnedImage, String> {
        if let Some(image) = self.leases.renew(peer, id) {
            return Ok(image);
        }
        let images = self.images.clone().ok_or("this node keeps no images")?;
        let using = self.blobs.using();
        let image = blocking(move || images.pinned(Some(id))).await?;
        let image = image.ok_or_else(|| format!("the image of {id} is not here any more"))?;
        self.leases.grant(peer, image.clone(), using);
        Ok(image)
    }

    /// Waits until this may go.
    async fn turn(&self, piece: &Bytes) {
        self.pace.turn(piece.len(), self.replica.syncs()).await;
    }

    pub(super) async fn describe(&self, peer: NodeId, id: LogId) -> Result<Bytes, String> {
        let image = self.image(peer, id).await?;
        encode(&Description::of(&image.checkpoint, image.files))
    }

    pub(super) async fn chunk(
        &self,
        peer: NodeId,
        id: LogId,
        file: String,
        offset: u64,
        limit: u32,
    ) -> Result<Bytes, String> {
        let image = self.image(peer, id).await?;
        let disk = self.images.as_ref().map(|images| images.disk());
        let disk = disk.ok_or("this node keeps no images")?;
        let piece = blocking(move || read(&*disk, &image, &file, offset, limit)).await?;
        self.turn(&piece).await;
        Ok(piece)
    }

    pub(super) async fn ids(&self, after: Option<BlobId>, limit: u32) -> Result<Bytes, String> {
        let blobs = self.blobs.clone();
        let limit = MAX_IDS.min(limit as usize);
        let ids = blocking(move || blobs.ids(after, limit).map_err(|e| e.to_string())).await?;
        encode(&ids)
    }

    pub(super) async fn blobs(&self, ids: Vec<BlobId>, limit: u32) -> Result<Bytes, String> {
        let blobs = self.blobs.clone();
        let answer = blocking(move || several(&blobs, &ids, limit)).await?;
        self.turn(&answer).await;
        Ok(answer)
    }

    pub(super) async fn blob_piece(
        &self,
        id: BlobId,
        offset: u64,
        limit: u32,
    ) -> Result<Bytes, String> {
        let blobs = self.blobs.clone();
        let read = move || {
            let limit = MAX_PIECE.min(limit as usize);
            let piece = blobs.exporter(&id).and_then(|blob| blob.piece(offset, limit));
            piece.map(|piece| seal(&piece)).map_err(|error| error.to_string())
        };
        let piece = blocking(read).await?;
        self.turn(&piece).await;
        Ok(piece)
    }
}

fn read(
    disk: &dyn Disk,
    image: &PinnedImage,
    name: &str,
    offset: u64,
    limit: u32,
) -> Result<Bytes, String> {
    let named = image.files.iter().find(|file| file.name == name);
    let size = named.ok_or_else(|| format!("the image has no file {name:?}"))?.size;
    let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut piece = vec![0; left.min(limit as usize).min(MAX_PIECE)];
    let file = disk.open(&image.checkpoint.location.join(name));
    let read = file.and_then(|file| file.read_exact_at(&mut piece, offset));
    read.map_err(|error| format!("{name}: {error}"))?;
    Ok(seal(&piece))
}

/// As many blobs as fit, and if that is none, the beginning of the first.
fn several(blobs: &BlobStore, ids: &[BlobId], limit: u32) -> Result<Bytes, String> {
    let limit = MAX_PIECE.min(limit as usize);
    let (mut answer, mut room) = (Vec::new(), limit);
    for id in ids.iter().take(MAX_IDS) {
        let blob = blobs.exporter(id).map_err(|error| error.to_string())?;
        let stored = usize::try_from(blob.head().stored).unwrap_or(usize::MAX);
        if stored > room && !answer.is_empty() {
            break;
        }
        answer.push(begun(&blob, limit)?);
        room = room.saturating_sub(stored);
    }
    pack_blobs(&answer)
}

fn begun(blob: &Exporter, limit: usize) -> Result<(ExportedHead, Bytes), String> {
    let body = blob.piece(0, limit).map_err(|error| error.to_string())?;
    Ok((blob.head().clone(), body))
}

pub(super) fn encode<T: serde::Serialize>(value: &T) -> Result<Bytes, String> {
    codec::to_bytes(value).map(Bytes::from).map_err(|error| error.to_string())
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    world::blocking(work).await.map_err(|error| error.to_string())?
}
