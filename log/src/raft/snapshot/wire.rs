//! What is said about snapshots between two nodes, and how it is laid out.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::blob::ExportedHead;
use crate::chain::Head;
use crate::codec;
use crate::id::{BlobId, Hash};
use crate::raft::images::ImageFile;
use crate::raft::state_machine::{AppliedState, Checkpoint, StoredState};
use crate::segment::LogId;

/// The most files that an image may have.
pub(super) const MAX_FILES: usize = 100_000;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// The leader's: fetch this image and install it. Asked again and again until it is done.
    Offer {
        /// The leader's vote, as in the log.
        vote: Vec<u8>,
        /// What it has.
        id: LogId,
    },
    /// What the image is, and its files.
    Describe {
        /// Which.
        id: LogId,
    },
    /// A piece of a file.
    Chunk {
        /// Of which image.
        id: LogId,
        /// The file's name.
        file: String,
        /// The piece's first byte.
        offset: u64,
        /// Its bytes, at most.
        limit: u32,
    },
    /// Ids of blobs, rising.
    BlobIds {
        /// The last that is known.
        after: Option<BlobId>,
        /// How many, at most.
        limit: u32,
    },
    /// Blobs as they are stored: as many from the first as fit.
    Blobs {
        /// Which.
        ids: Vec<BlobId>,
        /// Octets, at most, but for a piece of the first.
        limit: u32,
    },
    /// More of a blob.
    BlobPiece {
        /// Which.
        id: BlobId,
        /// The piece's first octet.
        offset: u64,
        /// Its octets, at most.
        limit: u32,
    },
}

/// The answer to an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Offered {
    /// It is on its way.
    Fetching {
        /// Bytes of files and blobs that have come.
        bytes: u64,
    },
    /// The receiver has come so far, or further.
    Installed {
        /// Its vote, as in the log.
        vote: Vec<u8>,
    },
    /// It was not fetched, or not installed; it may be offered again.
    Failed(String),
}

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    state: StoredState,
    /// Its files.
    pub(super) files: Vec<ImageFile>,
}

impl Description {
    pub(super) fn of(checkpoint: &Checkpoint, files: Vec<ImageFile>) -> Self {
        Self { state: StoredState::of(&checkpoint.state, &checkpoint.head), files }
    }

    pub(super) fn id(&self) -> LogId {
        self.state.id
    }

    /// The state and the head that it says, if they fit each other.
    pub(super) fn state(&self) -> Option<(AppliedState, Head)> {
        self.state.read()
    }

    /// Tells images apart whose files differ, also those of one index.
    pub(super) fn digest(&self) -> Hash {
        let bytes = codec::to_bytes(&self.files).unwrap_or_default();
        Hash(*blake3::hash(&bytes).as_bytes())
    }

    /// Whether all names are those of files in one folder.
    pub(super) fn is_sane(&self) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let sane = |name: &str| {
            (1..=200).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain)
        };
        let mut names: Vec<_> = self.files.iter().map(|file| file.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let apart = names.len() == self.files.len();
        apart && names.len() <= MAX_FILES && names.into_iter().all(sane)
    }

    pub(super) fn total(&self) -> u64 {
        self.files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size))
    }
}

/// A piece of a file or blob on its way: its CRC32C, then its bytes.
pub(super) fn seal(piece: &[u8]) -> Bytes {
    let mut sealed = BytesMut::with_capacity(piece.len() + 4);
    sealed.put_u32_le(crc32c::crc32c(piece));
    sealed.put_slice(piece);
    sealed.freeze()
}

/// What [`seal`] was given; `None` when it is not that any more.
pub(super) fn unseal(sealed: &Bytes) -> Option<Bytes> {
    let (crc, piece) = sealed.split_first_chunk()?;
    let sound = u32::from_le_bytes(*crc) == crc32c::crc32c(piece);
    sound.then(|| sealed.slice(crc.len()..))
}

/// Blobs on their way: the length of what is said of them, that, and their octets.
pub(super) fn pack_blobs(blobs: &[(ExportedHead, Bytes)]) -> Result<Bytes, String> {
    let heads: Vec<_> =
        blobs.iter().map(|(head, body)| (head.clone(), body.len() as u64)).collect();
    let heads = codec::to_bytes(&heads).map_err(|error| error.to_string())?;
    let mut bytes = BytesMut::new();
    bytes.put_u32_le(u32::try_from(heads.len()).map_err(|error| error.to_string())?);
    bytes.put_slice(&heads);
    blobs.iter().for_each(|(_, body)| bytes.put_slice(body));
    Ok(bytes.freeze())
}

/// What [`pack_blobs`] was given. Octets of a blob may be only its first ones.
pub(super) fn unpack_blobs(bytes: &Bytes) -> Option<Vec<(ExportedHead, Bytes)>> {
    let (len, rest) = bytes.split_first_chunk()?;
    let len = u32::from_le_bytes(*len) as usize;
    let heads: Vec<(ExportedHead, u64)> = codec::from_bytes(rest.get(..len)?).ok()?;
    let mut at = len.checked_add(size_of::<u32>())?;
    let mut blobs = Vec::with_capacity(heads.len());
    for (head, len) in heads {
        let end = at.checked_add(usize::try_from(len).ok()?)?;
        let body = (end <= bytes.len()).then(|| bytes.slice(at..end))?;
        blobs.push((head, body));
        at = end;
    }
    (at == bytes.len()).then_some(blobs)
}
