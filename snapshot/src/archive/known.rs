//! Which blobs the repository has, in memory: 16 octets each.
//!
//! The octets are a hash under a key that only this process knows, so that nobody
//! can make a blob that is taken for another.

use std::collections::{HashMap, HashSet};

use redoubt_log::id::BlobId;

use crate::repo::names::IndexName;
use crate::repo::pack::Piece;
use crate::repo::{RepoError, Repository};

/// What the repository is known to have.
#[derive(Debug)]
pub(super) struct Known {
    key: [u8; 32],
    blobs: HashSet<[u8; 16]>,
    /// Blobs of several pieces that are not all seen yet.
    partly: HashMap<BlobId, HashSet<u32>>,
    indexes: HashSet<IndexName>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            key: rand::random(),
            blobs: HashSet::new(),
            partly: HashMap::new(),
            indexes: HashSet::new(),
        }
    }

    fn short(&self, id: &BlobId) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.key, &id.0);
        let mut short = [0; 16];
        short.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        short
    }

    pub(super) fn has(&self, id: &BlobId) -> bool {
        self.blobs.contains(&self.short(id))
    }

    /// A blob is there as a whole.
    pub(super) fn add(&mut self, id: &BlobId) {
        let short = self.short(id);
        self.blobs.insert(short);
    }

    fn add_piece(&mut self, piece: &Piece) {
        let id = piece.head.id;
        if piece.pieces == 1 {
            return self.add(&id);
        }
        let seen = self.partly.entry(id).or_default();
        seen.insert(piece.piece);
        if seen.len() == piece.pieces as usize {
            self.partly.remove(&id);
            self.add(&id);
        }
    }

    /// Reads the indexes that were not read yet.
    pub(super) async fn refresh(&mut self, repository: &Repository) -> Result<(), RepoError> {
        for name in repository.indexes().await? {
            if self.indexes.contains(&name) {
                continue;
            }
            let pieces = repository.index(&name).await?;
            pieces.iter().for_each(|piece| self.add_piece(piece));
            self.indexes.insert(name);
        }
        Ok(())
    }
}
