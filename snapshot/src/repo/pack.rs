//! Blobs in packs of some MiB, as the store keeps them, each piece sealed with a
//! key of its own. The keys lie in the pack's index alone: where an index is
//! written anew without one of them, and the old index removed, that blob is gone,
//! also where the pack itself cannot be removed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use redoubt_log::blob::{Exported, ExportedHead, ExportedKind, MAX_EXPORTED};
use redoubt_log::id::BlobId;

use super::names::{self, INDEX, IndexName};
use super::seal::{Cut, HEADER_BYTES, Kind, TAG_BYTES, frame_pack, open_once, seal_from};
use super::{RepoError, Repository};

/// The most octets of one piece of a blob.
pub const PIECE: usize = 8 << 20;
/// A pack is written when it has so many octets.
pub const PACK: usize = 8 << 20;
/// Octets that a pack mostly has room for without being moved: it ends behind [`PACK`].
const ROOM: usize = PACK + (1 << 20);
/// The most pieces of a pack.
const MAX_PIECES: usize = 100_000;
/// The most parts of a recipe.
const MAX_PARTS: u32 = 10_000;

/// A piece of a blob, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What the blob is.
    pub head: ExportedHead,
    /// Which of its pieces, from 0.
    pub piece: u32,
    /// How many it has.
    pub pieces: u32,
    offset: u64,
    stored: u32,
    key: [u8; 32],
}

impl Piece {
    fn aad(&self) -> Vec<u8> {
        [&self.head.id.0[..], &self.piece.to_le_bytes(), &self.pieces.to_le_bytes()].concat()
    }

    /// Where it ends among the pieces of its pack.
    pub(crate) fn end(&self, sealed: bool) -> u64 {
        let tag = if sealed { TAG_BYTES as u64 } else { 0 };
        self.offset.saturating_add(u64::from(self.stored)).saturating_add(tag)
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        let Self { head, piece, pieces, offset, stored, key } = self;
        bytes.extend_from_slice(&head.id.0);
        bytes.extend_from_slice(&piece.to_le_bytes());
        bytes.extend_from_slice(&pieces.to_le_bytes());
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&stored.to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.push(u8::from(head.kind == ExportedKind::Recipe));
        for number in [head.len, head.payload, head.stored] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let parts = u32::try_from(head.parts.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&parts.to_le_bytes());
        head.parts.iter().for_each(|part| bytes.extend_from_slice(&part.0));
    }

    fn decode(at: &mut Cut<'_>) -> Option<Self> {
        let id = BlobId(at.array()?);
        let (piece, pieces) = (at.u32()?, at.u32()?);
        let (offset, stored, key) = (at.u64()?, at.u32()?, at.array()?);
        let kind = match at.u8()? {
            0 => ExportedKind::Whole,
            1 => ExportedKind::Recipe,
            _ => return None,
        };
        let (len, payload, whole) = (at.u64()?, at.u64()?, at.u64()?);
        let count = at.u32().filter(|count| *count <= MAX_PARTS)?;
        let parts = (0..count).map(|_| at.array().map(BlobId)).collect::<Option<_>>()?;
        let head = ExportedHead { id, len, kind, payload, stored: whole, parts };
        (piece < pieces && whole <= MAX_EXPORTED).then_some(Self {
            head,
            piece,
            pieces,
            offset,
            stored,
            key,
        })
    }
}

/// How many pieces so many stored octets make.
pub fn pieces_of(stored: u64) -> u32 {
    u32::try_from(stored.div_ceil(PIECE as u64).max(1)).unwrap_or(u32::MAX)
}

/// A pack that is being put together.
#[derive(Debug)]
pub struct Draft {
    sealed: bool,
    /// Room for the header, and the pieces behind it.
    frame: Vec<u8>,
    pieces: Vec<Piece>,
}

/// A pack that is ready to be written, and its index.
#[derive(Debug)]
struct Ready {
    id: [u8; 16],
    pack: Vec<u8>,
    index: Vec<u8>,
}

impl Draft {
    /// An empty one.
    pub fn new(sealed: bool) -> Self {
        Self { sealed, frame: vec![0; HEADER_BYTES], pieces: Vec::new() }
    }

    /// Octets in it.
    pub fn len(&self) -> usize {
        self.frame.len().saturating_sub(HEADER_BYTES)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether it is to be written.
    pub fn is_full(&self) -> bool {
        self.len() >= PACK || self.pieces.len() >= MAX_PIECES
    }

    /// Adds a piece of a blob.
    ///
    /// # Errors
    /// [`RepoError::Source`] when it is too large.
    pub fn add(&mut self, head: &ExportedHead, piece: u32, octets: &[u8]) -> Result<(), RepoError> {
        let write = |into: &mut Vec<u8>| {
            into.extend_from_slice(octets);
            Ok(())
        };
        self.add_with(head, piece, write).map(drop)
    }

    /// Adds a piece of a blob that is written where it is to stand, behind what is there; gives
    /// how many octets it has.
    ///
    /// # Errors
    /// As [`Draft::add`], and what the writer says; the draft is then as it was.
    pub fn add_with(
        &mut self,
        head: &ExportedHead,
        piece: u32,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), RepoError>,
    ) -> Result<u32, RepoError> {
        let start = self.frame.len();
        if self.pieces.is_empty() {
            self.frame.reserve(ROOM);
        }
        let added = write(&mut self.frame).and_then(|()| self.seal(head, piece, start));
        if added.is_err() {
            self.frame.truncate(start);
        }
        added
    }

    /// What stands from `start` on is a piece.
    fn seal(&mut self, head: &ExportedHead, piece: u32, start: usize) -> Result<u32, RepoError> {
        let too_large = || RepoError::Source(format!("blob {} is too large", head.id));
        let stored = u32::try_from(self.frame.len() - start).map_err(|_| too_large())?;
        let key = if self.sealed { rand::random() } else { [0; 32] };
        let offset = start.saturating_sub(HEADER_BYTES) as u64;
        let pieces = pieces_of(head.stored);
        let piece = Piece { head: head.clone(), piece, pieces, offset, stored, key };
        if self.sealed {
            let sealed = seal_from(&key, &piece.aad(), &mut self.frame, start);
            sealed.map_err(|()| too_large())?;
        }
        self.pieces.push(piece);
        Ok(stored)
    }

    fn ready(mut self) -> Ready {
        let hash = frame_pack(self.sealed, &mut self.frame);
        let mut id = [0; 16];
        id.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        Ready { id, pack: self.frame, index: encode_index(&self.pieces) }
    }
}

pub(super) fn encode_index(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = u32::try_from(pieces.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    pieces.iter().for_each(|piece| piece.encode(&mut bytes));
    bytes
}

fn decode_index(bytes: &[u8]) -> Option<Vec<Piece>> {
    let mut at = Cut(bytes);
    let count = at.u32().filter(|count| *count as usize <= MAX_PIECES)?;
    let pieces = (0..count).map(|_| Piece::decode(&mut at)).collect::<Option<_>>()?;
    at.0.is_empty().then_some(pieces)
}

/// Where the pieces of blobs lie.
#[derive(Debug, Default)]
pub struct Catalogue {
    blobs: HashMap<BlobId, BTreeMap<u32, ([u8; 16], Piece)>>,
}

impl Catalogue {
    /// A pack's index comes.
    pub fn add(&mut self, pack: [u8; 16], pieces: Vec<Piece>) {
        for piece in pieces {
            self.blobs.entry(piece.head.id).or_default().insert(piece.piece, (pack, piece));
        }
    }

    /// What a blob is, if all of its pieces are there.
    pub fn head(&self, id: &BlobId) -> Option<&ExportedHead> {
        let pieces = self.blobs.get(id)?;
        let (_, first) = pieces.get(&0)?;
        (pieces.len() == first.pieces as usize).then_some(&first.head)
    }

    /// The blobs that have a piece somewhere.
    pub fn ids(&self) -> impl Iterator<Item = &BlobId> {
        self.blobs.keys()
    }

    /// Octets of the blobs that are there as a whole and no part of others.
    pub fn raw_bytes(&self) -> u64 {
        let heads = || self.blobs.keys().filter_map(|id| self.head(id));
        let parts: BTreeSet<&BlobId> = heads().flat_map(|head| &head.parts).collect();
        heads().filter(|head| !parts.contains(&head.id)).map(|head| head.len).sum()
    }

    /// The packs that a blob lies in.
    pub fn packs_of(&self, id: &BlobId) -> BTreeSet<[u8; 16]> {
        let pieces = self.blobs.get(id).into_iter().flatten();
        pieces.map(|(_, (pack, _))| *pack).collect()
    }
}

impl Repository {
    /// Writes a pack, then its index: only then the blobs are there. Gives the index.
    ///
    /// # Errors
    /// [`RepoError::Conflict`], [`RepoError::Unreachable`].
    pub async fn put_pack(&self, draft: Draft) -> Result<IndexName, RepoError> {
        if draft.sealed != self.is_encrypted() {
            return Err(RepoError::NoKey);
        }
        let ready = tokio::task::spawn_blocking(move || draft.ready()).await;
        let Ready { id, pack, index } = ready.map_err(|e| RepoError::Source(e.to_string()))?;
        let name = names::pack(&id);
        // Its name is a hash of its octets: what is there is this.
        self.objects.create(&name, Bytes::from(pack)).await?;
        let name = IndexName { pack: id, generation: 0 };
        self.put(Kind::Index, &name.name(), &index).await.map(|_| name)
    }

    /// The newest index of each pack, by the names.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn indexes(&self) -> Result<Vec<IndexName>, RepoError> {
        let mut newest = BTreeMap::new();
        for object in self.objects.list(INDEX, None).await? {
            if let Some(name) = IndexName::parse(object.last()) {
                let entry = newest.entry(name.pack).or_insert(name);
                *entry = name.max(*entry);
            }
        }
        Ok(newest.into_values().collect())
    }

    /// What lies in a pack.
    ///
    /// # Errors
    /// [`RepoError::Missing`], [`RepoError::Damaged`].
    pub async fn index(&self, index: &IndexName) -> Result<Vec<Piece>, RepoError> {
        let name = index.name();
        let bytes = self.get(Kind::Index, &name).await?;
        decode_index(&bytes).ok_or_else(|| RepoError::damaged(&name, "it does not read"))
    }

    /// Where all blobs lie. Takes memory by their number.
    ///
    /// # Errors
    /// [`RepoError::Missing`], [`RepoError::Damaged`].
    pub async fn catalogue(&self) -> Result<Catalogue, RepoError> {
        let mut catalogue = Catalogue::default();
        for name in self.indexes().await? {
            catalogue.add(name.pack, self.index(&name).await?);
        }
        Ok(catalogue)
    }

    /// [`Repository::blob`] out of packs that were fetched as a whole.
    pub(crate) fn blob_in(
        &self,
        catalogue: &Catalogue,
        id: &BlobId,
        packs: &HashMap<[u8; 16], Bytes>,
    ) -> Result<Exported, RepoError> {
        let missing = || RepoError::Missing(format!("blob {id}"));
        let head = catalogue.head(id).ok_or_else(missing)?.clone();
        let mut body = Vec::new();
        for (pack, piece) in catalogue.blobs.get(id).into_iter().flat_map(BTreeMap::values) {
            let bytes = packs.get(pack).map_or(&[][..], |bytes| bytes);
            body.extend_from_slice(&self.open_piece(pack, piece, bytes)?);
        }
        match body.len() as u64 == head.stored {
            true => Ok(Exported { head, body: Bytes::from(body) }),
            false => Err(RepoError::damaged(&format!("blob {id}"), "its pieces are not all of it")),
        }
    }

    /// Opens every piece of a pack.
    pub(crate) fn open_pieces(
        &self,
        pack: &[u8; 16],
        pieces: &[Piece],
        bytes: &[u8],
    ) -> Result<(), RepoError> {
        pieces.iter().try_for_each(|piece| self.open_piece(pack, piece, bytes).map(drop))
    }

    pub(super) fn open_piece(
        &self,
        pack: &[u8; 16],
        piece: &Piece,
        bytes: &[u8],
    ) -> Result<Vec<u8>, RepoError> {
        let range = usize::try_from(piece.offset).ok().and_then(|offset| {
            let start = offset.checked_add(HEADER_BYTES)?;
            Some(start..start.checked_add(self.stored(piece))?)
        });
        let octets = range.and_then(|range| bytes.get(range));
        let cut = || RepoError::damaged(&names::pack(pack), "it was cut");
        self.opened(pack, piece, octets.ok_or_else(cut)?.to_vec())
    }

    /// Octets that a piece takes in its pack.
    fn stored(&self, piece: &Piece) -> usize {
        piece.stored as usize + if self.is_encrypted() { TAG_BYTES } else { 0 }
    }

    fn opened(
        &self,
        pack: &[u8; 16],
        piece: &Piece,
        octets: Vec<u8>,
    ) -> Result<Vec<u8>, RepoError> {
        if !self.is_encrypted() {
            return Ok(octets);
        }
        let problem = format!("blob {} does not open", piece.head.id);
        let opened = open_once(&piece.key, &piece.aad(), octets);
        opened.ok_or_else(|| RepoError::damaged(&names::pack(pack), problem))
    }

    /// A blob, as a store imports it. Its octets are verified there, by its id.
    ///
    /// # Errors
    /// [`RepoError::Missing`] for one that is not there as a whole, [`RepoError::Damaged`].
    pub async fn blob(&self, catalogue: &Catalogue, id: &BlobId) -> Result<Exported, RepoError> {
        let missing = || RepoError::Missing(format!("blob {id}"));
        let head = catalogue.head(id).ok_or_else(missing)?.clone();
        let mut body = Vec::new();
        for (pack, piece) in catalogue.blobs.get(id).into_iter().flat_map(BTreeMap::values) {
            body.extend_from_slice(&self.piece(pack, piece).await?);
        }
        match body.len() as u64 == head.stored {
            true => Ok(Exported { head, body: Bytes::from(body) }),
            false => Err(RepoError::damaged(&format!("blob {id}"), "its pieces are not all of it")),
        }
    }

    async fn piece(&self, pack: &[u8; 16], piece: &Piece) -> Result<Vec<u8>, RepoError> {
        let name = names::pack(pack);
        let outside = || RepoError::damaged(&name, "its index says what cannot be");
        let start = piece.offset.checked_add(HEADER_BYTES as u64).ok_or_else(outside)?;
        let end = start.checked_add(self.stored(piece) as u64).ok_or_else(outside)?;
        let octets = self.objects.get_range(&name, start..end).await?;
        self.opened(pack, piece, octets.to_vec())
    }
}
