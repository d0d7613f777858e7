#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
//! Scenes over a disk in memory; RocksDB's index over a real one.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::disk::sim::SimDisk;

mod crash;
mod damage;
mod export;
mod format;
mod index;
mod messages;
mod reclaim;
mod repair;
mod store;

const DIR: &str = "/blobs";

/// Small packs, so that tests see them roll over.
fn small() -> BlobOptions {
    BlobOptions {
        pack_bytes: 64 << 10,
        large: 32 << 10,
        index: IndexKind::Memory,
        ..BlobOptions::default()
    }
}

fn open(disk: &SimDisk) -> (BlobStore, BlobReport) {
    try_open(disk).expect("opens")
}

fn try_open(disk: &SimDisk) -> Result<(BlobStore, BlobReport), BlobError> {
    BlobStore::open(Arc::new(disk.clone()), Path::new(DIR), small())
}

/// Octets that do not compress, the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = SmallRng::seed_from_u64(seed);
    (0..len).map(|_| rng.random()).collect()
}

/// Octets that compress well.
fn text(seed: u64, len: usize) -> Vec<u8> {
    format!("{seed} lines of text, lines of text\r\n")
        .into_bytes()
        .into_iter()
        .cycle()
        .take(len)
        .collect()
}

fn read(store: &BlobStore, id: &BlobId) -> Result<Vec<u8>, BlobError> {
    store.reader(id)?.read_all(u64::MAX)
}

fn put_durably(store: &BlobStore, octets: &[u8]) -> BlobId {
    let put = store.put(octets).unwrap();
    store.wait_durable(&[put.id]).unwrap();
    put.id
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
