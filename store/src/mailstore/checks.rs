//! The invariants, run over a server's state or a data directory at rest.

use std::cell::RefCell;
use std::collections::HashSet;

use redoubt_log::blob::BlobStore;
use redoubt_log::id::BlobId;

use super::open::open_blobs;
use super::views::rocks;
use super::{BlobReader, Inner, Layout, Lock, OpenError, Options, StoreError, place};
use crate::check::{Violation, check};
use crate::storage::RocksStorage;
use crate::view::View;

/// Octets of a blob that are read at a time.
const PIECE: usize = 256 * 1024;
/// Blobs remembered as sound; beyond it some are read again.
const REMEMBERED: usize = 1 << 20;

impl Inner {
    pub(super) async fn check(&self, limit: usize) -> Result<Vec<Violation>, StoreError> {
        let (view, blobs) = (self.view().await?, self.blobs.clone());
        let run = move || run(&view, &blobs, limit);
        let ended = |_| StoreError::Stopped("the check was given up".to_owned());
        tokio::task::spawn_blocking(run).await.map_err(ended)?
    }
}

/// Checks a data directory that no server has open: at most `limit` violations. Blocks.
///
/// # Errors
/// [`OpenError`] when something cannot be read at all.
pub fn check_at_rest(options: &Options, limit: usize) -> Result<Vec<Violation>, OpenError> {
    let layout = Layout::new(&options.data);
    let _lock = Lock::take(&layout)?;
    let unreadable = |error: &dyn std::fmt::Display| OpenError::Views(error.to_string());
    let views = place::current(&layout).map_err(|error| unreadable(&error))?;
    let views = RocksStorage::open_read_only(&views, &rocks(options));
    let views = views.map_err(|error| unreadable(&error))?;
    let blobs = open_blobs(&layout, options)?;
    let view = View::new(std::sync::Arc::new(views)).map_err(|error| unreadable(&error))?;
    run(&view, &blobs, limit).map_err(|error| unreadable(&error))
}

fn run(view: &View, blobs: &BlobStore, limit: usize) -> Result<Vec<Violation>, StoreError> {
    let sound = RefCell::new(HashSet::new());
    let whole = |id: &BlobId| {
        if sound.borrow().contains(id) {
            return Ok(());
        }
        read_through(blobs, id).map_err(|error| error.to_string())?;
        let mut sound = sound.borrow_mut();
        if sound.len() < REMEMBERED {
            sound.insert(*id);
        }
        Ok(())
    };
    check(view, &whole, limit)
}

/// Every octet verified, in bounded memory, and the hash of the whole.
fn read_through(blobs: &BlobStore, id: &BlobId) -> Result<(), StoreError> {
    let reader = BlobReader::open(blobs, std::sync::Weak::new(), *id)?;
    let mut hasher = blake3::Hasher::new();
    let mut offset = 0;
    while offset < reader.len() {
        let piece = reader.read(offset, PIECE)?;
        hasher.update(&piece);
        offset += piece.len().max(1) as u64;
    }
    match BlobId(*hasher.finalize().as_bytes()) == *id {
        true => Ok(()),
        false => Err(StoreError::Blob(*id, "its octets hash to something else".to_owned())),
    }
}
