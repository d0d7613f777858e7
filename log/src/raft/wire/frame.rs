//! Frames: length, checksum, kind, number.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::codec::{self, CodecError};
use crate::raft::peers::MAX_CALL_BYTES;

/// Octets of length and checksum.
const PREFIX: usize = 8;
/// Octets of kind, id and the head's length.
const FIXED: usize = 13;
/// The most octets of a head.
const MAX_HEAD: usize = 1 << 20;
/// The most octets behind a frame's length and checksum.
pub(crate) const MAX_FRAME: usize = MAX_CALL_BYTES + MAX_HEAD + FIXED;
/// The most of a frame before it is known who speaks.
pub(crate) const MAX_HELLO: usize = 16 << 10;
/// How much is read at once.
const READ: usize = 64 << 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first on a stream: who calls.
    Hello = 1,
    /// The answer to it.
    Welcome = 2,
    /// The other answer to it; the stream ends.
    Refused = 3,
    /// To be answered under its id.
    Request = 4,
    /// To the request with this id.
    Answer = 5,
    /// Nothing to say, but still there.
    Ping = 6,
}

impl Kind {
    fn from_octet(octet: u8) -> Option<Self> {
        let kinds =
            [Self::Hello, Self::Welcome, Self::Refused, Self::Request, Self::Answer, Self::Ping];
        kinds.into_iter().find(|kind| *kind as u8 == octet)
    }
}

/// Why octets are no frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The stream.
    #[error("the connection: {0}")]
    Io(#[from] io::Error),
    /// Nothing came for too long.
    #[error("the peer has fallen silent")]
    Silent,
    /// The other side closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// Longer than any frame may be here.
    #[error("a frame of {0} octets is too long")]
    TooLong(usize),
    /// Octets that are no frame.
    #[error("the peer does not speak this protocol: {0}")]
    Malformed(&'static str),
    /// A head that does not read.
    #[error("a message of the peer: {0}")]
    Codec(#[from] CodecError),
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// Names a request among those of its stream.
    pub(crate) id: u64,
    head: Bytes,
    pub(crate) bulk: Bytes,
}

impl Frame {
    pub(crate) fn new<T: Serialize>(
        kind: Kind,
        id: u64,
        head: &T,
        bulk: Bytes,
    ) -> Result<Self, WireError> {
        let head = Bytes::from(codec::to_bytes(head)?);
        let frame = Self { kind, id, head, bulk };
        match frame.len() {
            len if len > MAX_FRAME || frame.head.len() > MAX_HEAD => Err(WireError::TooLong(len)),
            _ => Ok(frame),
        }
    }

    /// One without a message.
    pub(crate) fn bare(kind: Kind) -> Self {
        Self { kind, id: 0, head: Bytes::new(), bulk: Bytes::new() }
    }

    /// Its message.
    pub(crate) fn head<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        Ok(codec::from_bytes(&self.head)?)
    }

    /// Octets behind length and checksum.
    pub(crate) fn len(&self) -> usize {
        FIXED + self.head.len() + self.bulk.len()
    }

    /// Everything but the bulk.
    fn front(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(PREFIX + FIXED + self.head.len());
        body.put_u32_le(u32::try_from(self.len()).unwrap_or(u32::MAX));
        body.put_u32_le(0);
        body.put_u8(self.kind as u8);
        body.put_u64_le(self.id);
        body.put_u32_le(u32::try_from(self.head.len()).unwrap_or(u32::MAX));
        body.put_slice(&self.head);
        let crc = crc32c::crc32c(body.get(PREFIX..).unwrap_or_default());
        let crc = crc32c::crc32c_append(crc, &self.bulk).to_le_bytes();
        if let Some(place) = body.get_mut(4..PREFIX) {
            place.copy_from_slice(&crc);
        }
        body.freeze()
    }

    /// All its octets.
    #[cfg(test)]
    pub(crate) fn octets(&self) -> Vec<u8> {
        [&self.front()[..], &self.bulk].concat()
    }
}

/// Takes a frame off the front; `None` when it is not all there yet.
pub(super) fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<Frame>, WireError> {
    let Some((prefix, _)) = buffer.split_first_chunk::<PREFIX>() else { return Ok(None) };
    let mut prefix = prefix.as_slice();
    let (len, crc) = (prefix.get_u32_le() as usize, prefix.get_u32_le());
    if len > limit {
        return Err(WireError::TooLong(len));
    }
    if buffer.len() < PREFIX + len {
        return Ok(None);
    }
    buffer.advance(PREFIX);
    let body = buffer.split_to(len).freeze();
    if crc32c::crc32c(&body) != crc {
        return Err(WireError::Malformed("a checksum does not fit"));
    }
    parse(body).map(Some)
}

fn parse(mut body: Bytes) -> Result<Frame, WireError> {
    if body.len() < FIXED {
        return Err(WireError::Malformed("a frame is too short"));
    }
    let kind = Kind::from_octet(body.get_u8());
    let kind = kind.ok_or(WireError::Malformed("a frame of an unknown kind"))?;
    let (id, head) = (body.get_u64_le(), body.get_u32_le() as usize);
    if head > body.len() || head > MAX_HEAD {
        return Err(WireError::Malformed("a head is longer than its frame"));
    }
    let head = body.split_to(head);
    Ok(Frame { kind, id, head, bulk: body })
}

/// Reads frames off a stream.
#[derive(Debug)]
pub(crate) struct Receiver<S> {
    stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> Receiver<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next frame, of at most `limit` octets; [`WireError::Silent`] when nothing
    /// at all comes for so long. Safe to drop: nothing is lost.
    pub(crate) async fn next(
        &mut self,
        limit: usize,
        silence: Duration,
    ) -> Result<Frame, WireError> {
        loop {
            if let Some(frame) = take(&mut self.buffer, limit)? {
                return Ok(frame);
            }
            // Grows with what comes, not with what was announced.
            self.buffer.reserve(READ);
            let read = timeout(silence, self.stream.read_buf(&mut self.buffer)).await;
            if read.map_err(|_| WireError::Silent)?? == 0 {
                return Err(WireError::Closed);
            }
        }
    }
}

/// Writes a frame. Not safe to drop half way.
pub(crate) async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    frame: &Frame,
) -> Result<(), WireError> {
    let front = frame.front();
    // Small ones in one piece: one packet, one record of TLS.
    if frame.bulk.len() <= READ {
        stream.write_all(&[&front[..], &frame.bulk].concat()).await?;
    } else {
        stream.write_all(&front).await?;
        stream.write_all(&frame.bulk).await?;
    }
    Ok(stream.flush().await?)
}
