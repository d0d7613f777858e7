//! Command lines: CRLF and nothing else ends them (RFC 5321 section 2.3.8).

use bytes::{Bytes, BytesMut};

/// What the front of the input is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its CRLF.
    Whole(Bytes),
    /// More octets are needed.
    Partial,
    /// It is longer than allowed: the connection is of no more use.
    TooLong,
    /// It has a CR or LF on its own.
    Bare,
}

/// Takes a line from the front. `limit` is in octets without the CRLF.
pub(super) fn take(input: &mut BytesMut, limit: usize) -> Line {
    let Some(at) = memchr::memchr2(b'\r', b'\n', input) else {
        return if input.len() > limit { Line::TooLong } else { Line::Partial };
    };
    match input.get(at..at + 2) {
        Some(b"\r\n") => {}
        // A CR at the end of what has come so far may still get its LF.
        None if input.get(at) == Some(&b'\r') => {
            return if at > limit { Line::TooLong } else { Line::Partial };
        }
        _ => return Line::Bare,
    }
    if at > limit {
        return Line::TooLong;
    }
    let line = input.split_to(at + 2).freeze();
    Line::Whole(line.slice(..at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(text: &[u8]) -> (Line, Vec<u8>) {
        let mut input = BytesMut::from(text);
        let line = take(&mut input, 8);
        (line, input.to_vec())
    }

    #[test]
    fn lines_are_strict() {
        let whole = |text: &'static [u8]| Line::Whole(Bytes::from_static(text));
        assert_eq!(take_all(b"NOOP\r\nX"), (whole(b"NOOP"), b"X".to_vec()));
        assert_eq!(take_all(b"12345678\r\n"), (whole(b"12345678"), vec![]));
        assert_eq!(take_all(b"NOOP\r"), (Line::Partial, b"NOOP\r".to_vec()));
        assert_eq!(take_all(b"NOOP"), (Line::Partial, b"NOOP".to_vec()));
        for bare in ["NOOP\nX\r\n", "NO\rOP\r\n", "\n", "\r\r\n"] {
            assert_eq!(take_all(bare.as_bytes()).0, Line::Bare, "{bare:?}");
        }
        for long in ["123456789\r\nX", "123456789", "123456789\r"] {
            assert_eq!(take_all(long.as_bytes()).0, Line::TooLong, "{long:?}");
        }
    }
}
