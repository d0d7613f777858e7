//! Stored octets that came from elsewhere: in memory, or in a file when they are many.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::error::BlobError;
use crate::disk::DiskFile;
use crate::id::BlobId;

/// Stored octets of one blob: chunk table and compressed chunks.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Memory(Bytes),
    /// As many octets of a file, which nobody changes meanwhile.
    File(Arc<dyn DiskFile>, u64),
}

impl Body {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Memory(octets) => octets.len() as u64,
            Self::File(_, len) => *len,
        }
    }

    /// Some of them; `None` when they end before.
    pub(super) fn get(
        &self,
        id: &BlobId,
        start: u64,
        len: usize,
    ) -> Result<Option<Bytes>, BlobError> {
        let end = start.checked_add(len as u64).filter(|end| *end <= self.len());
        let Some(end) = end else { return Ok(None) };
        match self {
            Self::Memory(octets) => {
                let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
                Ok(range.map(|(start, end)| octets.slice(start..end)))
            }
            Self::File(file, _) => {
                let mut octets = vec![0; len];
                let read = file.read_exact_at(&mut octets, start);
                read.map_err(|error| unread(id, error))?;
                Ok(Some(octets.into()))
            }
        }
    }
}

fn unread(id: &BlobId, error: io::Error) -> BlobError {
    BlobError::Io { path: format!("what came of blob {id}"), error: Arc::new(error) }
}
