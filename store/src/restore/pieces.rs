//! A plan as blobs, and as records: both are cuts of one row of steps.

use redoubt_log::codec;
use redoubt_log::record::{MAX_RECORD_BYTES, RestoreStep};

use crate::mailstore::StoreError;

/// Octets of steps in one blob.
const CHUNK: usize = 1 << 20;
/// Changes of one piece: small enough to let others go in between.
const PIECE: usize = 1000;
/// Octets of steps in one piece; what stands around them has room beside.
const PIECE_BYTES: usize = MAX_RECORD_BYTES / 2;

fn damaged(error: &codec::CodecError) -> StoreError {
    StoreError::Views(format!("a restore's plan does not read: {error}"))
}

/// The octets of a plan, in blobs of bounded size.
pub(crate) fn chunks(steps: &[RestoreStep]) -> Result<Vec<Vec<u8>>, StoreError> {
    let (mut chunks, mut from, mut size) = (Vec::new(), 0, 0);
    for (place, step) in steps.iter().enumerate() {
        let more = codec::to_bytes(step).map_err(|error| damaged(&error))?.len();
        if size > 0 && size + more > CHUNK {
            chunks.push(chunk(steps.get(from..place).unwrap_or_default())?);
            (from, size) = (place, 0);
        }
        size += more;
    }
    chunks.push(chunk(steps.get(from..).unwrap_or_default())?);
    Ok(chunks)
}

fn chunk(steps: &[RestoreStep]) -> Result<Vec<u8>, StoreError> {
    codec::to_bytes(steps).map_err(|error| damaged(&error))
}

/// The steps of a blob.
pub(crate) fn read_chunk(bytes: &[u8]) -> Result<Vec<RestoreStep>, StoreError> {
    codec::from_bytes(bytes).map_err(|error| damaged(&error))
}

/// How many of these steps go into one record: at least one.
pub(crate) fn take_piece(steps: &[RestoreStep]) -> usize {
    let (mut changes, mut octets) = (0, 0);
    for (count, step) in steps.iter().enumerate() {
        changes += step.changes();
        octets += codec::to_bytes(step).map_or(PIECE_BYTES, |bytes| bytes.len());
        if count > 0 && (changes > PIECE || octets > PIECE_BYTES) {
            return count;
        }
    }
    steps.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn steps(count: usize) -> Vec<RestoreStep> {
        let step = |n| RestoreStep::Subscribe { name: format!("{n:0100}"), subscribed: true };
        (0..count).map(step).collect()
    }

    #[test]
    fn a_plan_in_blobs_reads_back() {
        let plan = steps(25_000);
        let chunks = chunks(&plan).unwrap();
        assert!(chunks.len() > 1 && chunks.iter().all(|chunk| chunk.len() <= CHUNK + 10));
        let read: Vec<_> = chunks.iter().flat_map(|chunk| read_chunk(chunk).unwrap()).collect();
        assert_eq!(read, plan);
        assert_eq!(read_chunk(&super::chunks(&[]).unwrap()[0]).unwrap(), []);
        assert!(read_chunk(b"no steps").is_err());
    }

    #[test]
    fn a_piece_is_bounded_and_never_empty() {
        assert_eq!(take_piece(&steps(3)), 3);
        assert_eq!(take_piece(&steps(5000)), PIECE);
        let name = "x".repeat(PIECE_BYTES);
        let large = vec![RestoreStep::Subscribe { name, subscribed: true }; 2];
        assert_eq!(take_piece(&large), 1);
    }
}
