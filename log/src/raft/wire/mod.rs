//! What goes over a stream between two nodes: frames, and the messages in them.
//!
//! A frame is `[octets behind this u32][CRC32C of them u32][kind u8][id u64]
//! [octets of the head u32][head][bulk]`, all little-endian. The head is a small
//! value of `codec`; the bulk is octets as they are (payloads, blobs, bodies of
//! calls), which are never copied one by one.
//!
//! Invariants: no length from outside is trusted before it is bounded; the shape
//! of a hello never changes, whatever the version that it leads to.

mod frame;
mod message;

pub(crate) use frame::{Frame, Kind, MAX_FRAME, MAX_HELLO, Receiver, WireError, write};
pub(crate) use message::{
    Answer, AppendAnswer, AppendHead, CallFailure, EntryHead, Hello, Lane, Received, Refusal,
    Request, TransferAnswer, VoteBytes, VoteHead, Welcome, greeting, nonce_of,
};

/// The oldest version of the messages that is spoken here.
pub(crate) const OLDEST: u16 = 1;
/// The newest one. From 2 on appends say what is durable at the leader.
pub(crate) const NEWEST: u16 = 2;

/// Reads any octets as a peer's: how many frames and messages were whole. For
/// tests of hostile input; never panics, never takes more memory than was given.
#[doc(hidden)]
pub fn read_any(octets: &[u8]) -> usize {
    let mut buffer = bytes::BytesMut::from(octets);
    let mut whole = 0;
    while let Ok(Some(frame)) = frame::take(&mut buffer, MAX_FRAME) {
        let known = match frame.kind {
            Kind::Hello => frame.head::<Hello>().is_ok(),
            Kind::Welcome => frame.head::<Welcome>().is_ok(),
            Kind::Refused => frame.head::<Refusal>().is_ok(),
            Kind::Request => request_reads(&frame),
            Kind::Answer => frame.head::<Answer>().is_ok(),
            Kind::Ping => true,
        };
        whole += usize::from(known);
    }
    whole
}

fn request_reads(frame: &Frame) -> bool {
    match frame.head::<Request>() {
        Ok(Request::Append(head) | Request::AppendFrom { head, .. }) => {
            head.entries(&frame.bulk).is_ok()
        }
        Ok(_) => true,
        Err(_) => false,
    }
}
