//! Which blobs the repository has, in memory: 16 octets each.
//!
//! The octets are a hash under a key that only this process knows, so that nobody
//! can make a blob that is taken for another. What a sweep names does not count.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use redoubt_log::id::BlobId;

use crate::repo::forget::Replaced;
use crate::repo::names::{self, IndexName};
use crate::repo::pack::Piece;
use crate::repo::sweep::LOOK_AGAIN;
use crate::repo::{RepoError, Repository};

/// What the repository is known to have.
#[derive(Debug)]
pub(super) struct Known {
    key: [u8; 32],
    has: Mutex<Has>,
    looked: Mutex<Option<(Instant, SystemTime)>>,
}

#[derive(Debug, Default)]
struct Has {
    blobs: HashSet<[u8; 16]>,
    /// Blobs of several pieces that are not all seen yet.
    partly: HashMap<BlobId, HashSet<u32>>,
    indexes: HashSet<IndexName>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { key: rand::random(), has: Mutex::default(), looked: Mutex::default() }
    }

    fn short(&self, id: &BlobId) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.key, &id.0);
        let mut short = [0; 16];
        short.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        short
    }

    pub(super) fn has(&self, id: &BlobId) -> bool {
        let short = self.short(id);
        self.has.lock().blobs.contains(&short)
    }

    /// A blob is there as a whole.
    pub(super) fn add(&self, id: &BlobId) {
        let short = self.short(id);
        self.has.lock().blobs.insert(short);
    }

    fn add_piece(&self, piece: &Piece) {
        let id = piece.head.id;
        if piece.pieces == 1 {
            return self.add(&id);
        }
        let short = self.short(&id);
        let mut has = self.has.lock();
        let seen = has.partly.entry(id).or_default();
        seen.insert(piece.piece);
        if seen.len() == piece.pieces as usize {
            has.partly.remove(&id);
            has.blobs.insert(short);
        }
    }

    /// Nobody is to count on these any more.
    pub(super) fn forget(&self, blobs: &BTreeSet<BlobId>) {
        let shorts: HashSet<[u8; 16]> = blobs.iter().map(|blob| self.short(blob)).collect();
        let mut has = self.has.lock();
        has.blobs.retain(|short| !shorts.contains(short));
        has.partly.retain(|blob, _| !blobs.contains(blob));
    }

    /// Indexes took the place of others, and have nothing more than these had.
    pub(super) fn replaced(&self, replaced: &[Replaced]) {
        let mut has = self.has.lock();
        for (old, new) in replaced {
            has.indexes.remove(old);
            has.indexes.extend(new);
        }
    }

    fn forget_piece(&self, piece: &Piece) {
        let short = self.short(&piece.head.id);
        let mut has = self.has.lock();
        has.blobs.remove(&short);
        has.partly.remove(&piece.head.id);
    }

    /// As [`Known::refresh`], where that is long ago.
    pub(super) async fn fresh(&self, repository: &Repository) -> Result<(), RepoError> {
        let looked = *self.looked.lock();
        let old = |(at, by): (Instant, SystemTime)| {
            // A machine that was suspended knows it by one of the two.
            at.elapsed() >= LOOK_AGAIN || by.elapsed().is_ok_and(|ago| ago >= LOOK_AGAIN)
        };
        match looked.is_none_or(old) {
            true => self.refresh(repository).await,
            false => Ok(()),
        }
    }

    /// Reads the indexes that were not read yet, and forgets what sweeps name.
    pub(super) async fn refresh(&self, repository: &Repository) -> Result<(), RepoError> {
        let now = (Instant::now(), SystemTime::now());
        let sweeps = repository.sweeps().await?;
        let listed = repository.indexes().await?;
        let (going, there): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|name| sweeps.names(&names::pack(&name.pack)));
        self.check_gone(&there, &going);
        for name in going {
            if self.has.lock().indexes.remove(&name) {
                let pieces = repository.index(&name).await?;
                pieces.iter().for_each(|piece| self.forget_piece(piece));
            }
        }
        for name in there {
            if self.has.lock().indexes.contains(&name) {
                continue;
            }
            let pieces = repository.index(&name).await?;
            pieces.iter().for_each(|piece| self.add_piece(piece));
            self.has.lock().indexes.insert(name);
        }
        *self.looked.lock() = Some(now);
        Ok(())
    }

    /// What went unseen, by an index that nobody can read any more, begins it all anew.
    fn check_gone(&self, there: &[IndexName], going: &[IndexName]) {
        let listed: HashSet<&IndexName> = there.iter().chain(going).collect();
        let mut has = self.has.lock();
        if has.indexes.iter().any(|name| !listed.contains(name)) {
            *has = Has::default();
        }
    }
}
