//! Octets to text: charsets (RFC 2046 section 4.1.2), and the text of a part.

use std::borrow::Cow;

use encoding_rs::Encoding;
use mail_parser::decoders::charsets::map::charset_decoder;

use super::decode::decode_transfer;
use super::html::html_to_text;
use super::structure::slice;
use super::{Part, unfold};

/// Charsets that mail uses and the WHATWG's list (`encoding_rs`) leaves out.
const OTHER: &[&str] = &["utf-7", "unicode-1-1-utf-7", "csutf7", "ibm850", "cp850", "850"];

/// Whether text in this charset can be read.
pub fn charset_is_known(charset: &[u8]) -> bool {
    Encoding::for_label_no_replacement(charset).is_some() || other(charset)
}

fn other(charset: &[u8]) -> bool {
    OTHER.iter().any(|name| charset.eq_ignore_ascii_case(name.as_bytes()))
}

/// The text of these octets; `None` if the charset is not known. What is not of
/// the charset becomes U+FFFD.
pub fn decode_charset(charset: &[u8], octets: &[u8]) -> Option<String> {
    let charset = charset.trim_ascii();
    // Much that says ASCII or Latin-1 is UTF-8; what is valid UTF-8 by chance is rare.
    if charset.eq_ignore_ascii_case(b"us-ascii") {
        return Some(guessed(octets));
    }
    if let Some(encoding) = Encoding::for_label_no_replacement(charset) {
        return Some(encoding.decode(octets).0.into_owned());
    }
    let decode = charset_decoder(charset).filter(|_| other(charset))?;
    Some(decode(octets))
}

/// Text that says nothing of its charset: UTF-8 if it is valid, or else windows-1252.
pub(crate) fn guessed(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned(),
    }
}

/// The text of a `text/*` part, or of a `message/*` part that is no message
/// inside (a delivery status): transfer encoding and charset undone, HTML by
/// its text. `None` for other parts.
pub fn part_text(message: &[u8], part: &Part) -> Option<String> {
    text_of(part, slice(message, part.body))
}

/// As [`part_text`], of the part's body or its beginning.
pub(crate) fn text_of(part: &Part, body: &[u8]) -> Option<String> {
    let textual = part.is("text", None) || part.is("message", None) && part.message.is_none();
    if !textual {
        return None;
    }
    let octets: Cow<'_, [u8]> = decode_transfer(part.transfer_encoding(), body);
    let charset = part.parameter("charset").map(unfold).unwrap_or_default();
    let text = decode_charset(&charset, &octets).unwrap_or_else(|| guessed(&octets));
    Some(if part.is("text", Some("html")) { html_to_text(&text) } else { text })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn charsets_of_mail() {
        for (charset, octets, expected) in [
            ("utf-8", &b"J\xc3\xb6rg"[..], "Jörg"),
            ("ISO-8859-1", b"J\xf6rg", "Jörg"),
            ("iso-8859-15", b"\xa4", "€"),
            ("iso-8859-2", b"\xb1", "ą"),
            ("koi8-r", b"\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"),
            ("gb18030", b"\xc4\xe3\xba\xc3", "你好"),
            ("gb2312", b"\xc4\xe3\xba\xc3", "你好"),
            ("big5", b"\xa7A\xa6n", "你好"),
            ("iso-2022-jp", b"\x1b$B$3$s\x1b(B!", "こん!"),
            ("shift_jis", b"\x82\xb1", "こ"),
            ("euc-kr", b"\xb0\xa1", "가"),
            ("utf-7", b"+ZeVnLIqe-", "日本語"),
            ("utf-16", b"\xfe\xff\x00a", "a"),
            ("cp850", b"\x94", "ö"),
            ("us-ascii", b"J\xc3\xb6rg", "Jörg"),
            ("us-ascii", b"J\xf6rg", "Jörg"),
            ("utf-8", b"a\xffb", "a\u{fffd}b"),
        ] {
            assert!(charset_is_known(charset.as_bytes()), "{charset}");
            assert_eq!(decode_charset(charset.as_bytes(), octets).unwrap(), expected, "{charset}");
        }
        for charset in ["", "x-unknown", "iso-2022-kr", "\u{fffd}"] {
            assert_eq!(decode_charset(charset.as_bytes(), b"a"), None, "{charset}");
            assert!(!charset_is_known(charset.as_bytes()), "{charset}");
        }
    }
}
