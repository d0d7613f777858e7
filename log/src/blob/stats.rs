//! What the blob store tells of itself.

use super::BlobError;
use crate::id::BlobId;

/// What opening found.
#[derive(Debug, Clone, Default)]
pub struct BlobReport {
    /// Packs.
    pub packs: u64,
    /// Whether the index was built anew.
    pub index_rebuilt: bool,
    /// Torn tails that were cut: octets that no completed sync covered.
    pub cut: Vec<Cut>,
    /// Sealed packs whose footer was damaged and has been written anew from intact frames.
    pub footers_rebuilt: Vec<String>,
    /// Packs that the index knew and that are gone: what was only in them is missing.
    pub missing: Vec<String>,
    /// Blobs that are known to be damaged.
    pub damaged: u64,
    /// Parts of packs of which it is not known what they were.
    pub holes: u64,
}

/// A blob that is known to be damaged or missing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which.
    pub id: BlobId,
    /// What is wrong with it, and where.
    pub what: String,
}

/// A torn tail that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The pack's file name.
    pub pack: String,
    /// Where its intact part ends.
    pub offset: u64,
    /// Octets from there to the last that is not zero.
    pub octets: u64,
}

/// Numbers of the blob store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobStats {
    /// Blobs, messages and parts alike.
    pub blobs: u64,
    /// Octets of all blobs, uncompressed.
    pub raw_bytes: u64,
    /// Octets of their frames in the packs.
    pub stored_bytes: u64,
    /// Puts since the start that found the blob there.
    pub dedup_hits: u64,
    /// Octets that those did not store again, uncompressed.
    pub dedup_bytes: u64,
    /// Packs.
    pub packs: u64,
    /// Of these sealed.
    pub sealed_packs: u64,
    /// Syncs since the start.
    pub syncs: SyncHistogram,
    /// Blobs known to be damaged or missing.
    pub damaged: u64,
    /// Parts of packs of which it is not known what they were.
    pub holes: u64,
    /// Damaged or missing blobs that were replaced by good ones since the start.
    pub repaired: u64,
}

/// How long syncs took since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncHistogram {
    /// Syncs.
    pub count: u64,
    /// Microseconds in all.
    pub sum_micros: u64,
    /// `buckets[i]`: syncs of less than [`SyncHistogram::BOUNDS`]`[i]` microseconds, and not
    /// of the bucket before; the last has no bound.
    pub buckets: [u64; 9],
}

impl SyncHistogram {
    /// Upper bounds in microseconds.
    pub const BOUNDS: [u64; 8] = [100, 250, 1_000, 4_000, 16_000, 64_000, 250_000, 1_000_000];

    pub(super) fn add(&mut self, took: std::time::Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = Self::BOUNDS.iter().take_while(|bound| micros >= **bound).count();
        self.count += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
        if let Some(slot) = self.buckets.get_mut(bucket) {
            *slot += 1;
        }
    }
}

/// How far a scrub has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScrubAt {
    /// The pack that it reads.
    pub pack: u64,
    /// The first octet there that it has not read; 0 before the pack's first.
    pub offset: u64,
}

/// What a scrub found.
#[derive(Debug, Clone, Default)]
pub struct ScrubReport {
    /// Frames verified.
    pub frames: u64,
    /// Octets read from packs.
    pub octets: u64,
    /// What is damaged: each names blob, pack and offset.
    pub damaged: Vec<BlobError>,
    /// Packs whose header or table of contents was damaged and has been written anew.
    pub rewritten: Vec<String>,
    /// Whether it reached the end.
    pub complete: bool,
}
