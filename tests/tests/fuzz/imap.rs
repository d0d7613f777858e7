//! Any octets from an IMAP client: framed whole and octet by octet with one result,
//! and read without a panic.

use bytes::BytesMut;
use redoubt_protocols::imap::frame::{Frame, Framer};
use redoubt_protocols::imap::limits::Limits;
use redoubt_protocols::imap::parse::{self, Mode};

/// Runs one input.
pub(crate) fn run(octets: &[u8]) {
    let limits = Limits { skip: 4096, ..Limits::before_login() };
    let whole = frames(octets, octets.len().max(1), limits);
    assert_eq!(whole, frames(octets, 1, limits));
    for frame in &whole {
        read(frame);
    }
}

fn frames(octets: &[u8], piece: usize, limits: Limits) -> Vec<Frame> {
    let (mut framer, mut input, mut frames) = (Framer::new(limits), BytesMut::new(), Vec::new());
    for piece in octets.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            while framer.literal_bytes(&mut input).is_some() {}
            let Some(frame) = framer.next(&mut input) else { break };
            if matches!(frame, Frame::Append { .. } | Frame::AppendRest { literal: Some(_), .. }) {
                framer.accept_literal();
            }
            frames.push(frame);
        }
        assert!(input.len() <= limits.line + limits.literal_total as usize + piece.len());
    }
    frames
}

fn read(frame: &Frame) {
    for utf8 in [false, true] {
        let mode = Mode { utf8, ..Mode::default() };
        match frame {
            Frame::Command(head) | Frame::Append { head, .. } => {
                if let Err(error) = parse::command(head, &mode) {
                    assert!(error.position <= head.len());
                }
            }
            Frame::AppendRest { head, .. } => drop(parse::append_rest(head, &mode)),
            Frame::Continue { .. } | Frame::Refused(_) => {}
        }
    }
}
