//! Content-Transfer-Encodings (RFC 2045 section 6), undone leniently: what is
//! not in the alphabet is passed over, as the RFC asks.

use std::borrow::Cow;

use super::header::{line_len, without_line_end};

/// A Content-Transfer-Encoding, by what it does to octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEncoding {
    /// 7bit, 8bit, binary; and what is not known.
    Identity,
    /// RFC 2045 section 6.8.
    Base64,
    /// RFC 2045 section 6.7.
    QuotedPrintable,
}

impl TransferEncoding {
    /// By its name, without regard to case.
    pub fn named(name: &[u8]) -> Self {
        match name.to_ascii_lowercase().as_slice() {
            b"base64" => Self::Base64,
            b"quoted-printable" => Self::QuotedPrintable,
            _ => Self::Identity,
        }
    }

    /// Whether the octets are not the content's own.
    pub fn is_encoded(self) -> bool {
        self != Self::Identity
    }
}

/// The content that a body stands for.
pub fn decode_transfer(encoding: TransferEncoding, body: &[u8]) -> Cow<'_, [u8]> {
    match encoding {
        TransferEncoding::Identity => Cow::Borrowed(body),
        TransferEncoding::Base64 => Cow::Owned(base64(body)),
        TransferEncoding::QuotedPrintable => Cow::Owned(quoted_printable(body)),
    }
}

/// Padding is the end (RFC 2045 section 6.8): what list servers put behind it is not content.
pub(crate) fn base64(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 4 * 3);
    let mut bits = 0u32;
    let mut have = 0u32;
    for c in body {
        if *c == b'=' {
            break;
        }
        let Some(six) = sextet(*c) else { continue };
        bits = (bits << 6) | u32::from(six);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
            bits &= (1 << have) - 1;
        }
    }
    out
}

fn sextet(c: u8) -> Option<u8> {
    Some(match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        let (line, next) = rest.split_at_checked(line_len(rest)).unwrap_or((rest, b""));
        let text = without_line_end(line);
        let end = line.get(text.len()..).unwrap_or_default();
        // White space before the line end is not content (rule 3), unless no line end follows.
        let text = if end.is_empty() { text } else { trim_blanks(text) };
        match text.strip_suffix(b"=") {
            Some(soft) => hex_escapes(soft, b'=', &mut out),
            None => {
                hex_escapes(text, b'=', &mut out);
                out.extend_from_slice(end);
            }
        }
        rest = next;
    }
    out
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    let len = text.iter().rposition(|c| !matches!(c, b' ' | b'\t')).map_or(0, |at| at + 1);
    text.get(..len).unwrap_or_default()
}

/// Undoes `=XX` (or `%XX`); an escape that is none stays as it is.
pub(crate) fn hex_escapes(text: &[u8], mark: u8, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((c, after)) = rest.split_first() {
        rest = after;
        let pair = after.split_at_checked(2).filter(|_| *c == mark);
        match pair.and_then(|(pair, after)| Some((hex(pair)?, after))) {
            Some((octet, after)) => {
                out.push(octet);
                rest = after;
            }
            None => out.push(*c),
        }
    }
}

fn hex(pair: &[u8]) -> Option<u8> {
    let [high, low] = pair else { return None };
    let digit = |c: &u8| char::from(*c).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn base64_as_sent_and_as_damaged() {
        for (body, expected) in [
            (&b"SGVsbG8="[..], &b"Hello"[..]),
            (b"SGVs\r\nbG8=\r\n", b"Hello"),
            (b"SGVsbG8", b"Hello"),
            (b"SG!Vs*bG8=", b"Hello"),
            (b"SGVsbG8=\r\n-- \r\nfooter", b"Hello"),
            (b"S", b""),
            (b"====", b""),
            (b"", b""),
        ] {
            assert_eq!(base64(body), expected);
        }
    }

    #[test]
    fn quoted_printable_as_sent_and_as_damaged() {
        for (body, expected) in [
            (&b"J=C3=B6rg"[..], "Jörg".as_bytes()),
            (b"a=\r\nb", b"ab"),
            (b"a= \t\r\nb", b"ab"),
            (b"a=\nb=\n", b"ab"),
            (b"a  \r\nb", b"a\r\nb"),
            (b"x =3D y", b"x = y"),
            (b"=zz=4", b"=zz=4"),
            (b"=c3=b6", "ö".as_bytes()),
            (b"a=", b"a"),
            (b"trailing ", b"trailing "),
        ] {
            assert_eq!(quoted_printable(body), expected);
        }
    }
}
