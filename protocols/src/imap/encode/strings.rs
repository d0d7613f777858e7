//! Strings.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};

use crate::imap::chars::is_astring_char;
use crate::imap::utf7;

/// Longer strings are literals: some clients bound their lines.
const MAX_QUOTED: usize = 1000;

/// `{5}` and the line end; exactly so many octets follow.
pub fn literal_header(out: &mut BytesMut, size: u64) {
    let _ = write!(out, "{{{size}}}\r\n");
}

/// A quoted string where it can be one, else a literal. NUL, which neither may have, is left out.
pub fn string(out: &mut BytesMut, text: &[u8]) {
    if text.contains(&0) {
        let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
        return string(out, &text);
    }
    let printable = |byte: &u8| (0x20..=0x7e).contains(byte);
    if text.len() <= MAX_QUOTED && text.iter().all(printable) {
        return quoted(out, text);
    }
    literal_header(out, text.len() as u64);
    out.put_slice(text);
}

/// A quoted string of octets that may stand in one: no CR, LF or NUL, and octets
/// above 127 only as UTF-8 in a session that speaks it.
pub fn quoted(out: &mut BytesMut, text: &[u8]) {
    out.put_u8(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

/// A string, or NIL.
pub fn nstring(out: &mut BytesMut, text: Option<&[u8]>) {
    match text {
        Some(text) => string(out, text),
        None => out.put_slice(b"NIL"),
    }
}

/// An atom where it can be one, else a string. `NIL` is a string, lest it be read as none.
pub fn astring(out: &mut BytesMut, text: &[u8]) {
    let plain = !text.is_empty() && text.iter().copied().all(is_astring_char);
    match plain && !text.eq_ignore_ascii_case(b"NIL") {
        true => out.put_slice(text),
        false => string(out, text),
    }
}

/// A mailbox's name in modified UTF-7, or in UTF-8 where the session enabled it. Quoted
/// even where it need not be: clients expect it.
pub fn mailbox(out: &mut BytesMut, name: &str, utf8: bool) {
    match utf8 {
        true if !name.contains(['\r', '\n', '\0']) => quoted(out, name.as_bytes()),
        true => string(out, name.as_bytes()),
        false => string(out, utf7::encode(name).as_bytes()),
    }
}
