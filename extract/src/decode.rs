//! Octets to characters.

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, WINDOWS_1252};

/// Text in the charset that its first octets tell, else in the one that was named, else as UTF-8
/// where it is that, else as the web takes it to be. Whether some of it was no text in it.
pub(crate) fn decode(octets: &[u8], charset: &str) -> (String, bool) {
    let encoding = match Encoding::for_bom(octets) {
        Some((encoding, _)) => encoding,
        None => Encoding::for_label(charset.trim().as_bytes())
            .filter(|named| *named != WINDOWS_1252 || std::str::from_utf8(octets).is_err())
            .unwrap_or_else(|| guess(octets)),
    };
    let (text, _, damaged) = encoding.decode(octets);
    (text.into_owned(), damaged)
}

fn guess(octets: &[u8]) -> &'static Encoding {
    match std::str::from_utf8(octets) {
        Ok(_) if looks_like_2022(octets) => ISO_2022_JP,
        Ok(_) => UTF_8,
        Err(_) => WINDOWS_1252,
    }
}

fn looks_like_2022(octets: &[u8]) -> bool {
    octets.windows(3).any(|w| matches!(w, [0x1b, b'$', b'B' | b'@']))
}

/// Whether octets without a name may be text.
pub(crate) fn looks_like_text(octets: &[u8]) -> bool {
    if Encoding::for_bom(octets).is_some() {
        return true;
    }
    let sample = octets.get(..4096).unwrap_or(octets);
    let strange = sample.iter().filter(|c| is_strange(**c)).count();
    let high = sample.iter().filter(|c| **c >= 0x80).count();
    let is_utf8 = match std::str::from_utf8(sample) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    !sample.contains(&0) && strange * 100 <= sample.len() && (is_utf8 || high * 2 < sample.len())
}

fn is_strange(c: u8) -> bool {
    c < 0x20 && !matches!(c, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)
}

/// UTF-16, low octets first.
pub(crate) fn utf16(octets: &[u8]) -> String {
    encoding_rs::UTF_16LE.decode_without_bom_handling(octets).0.into_owned()
}

/// Windows code page 1252.
pub(crate) fn cp1252(octets: &[u8]) -> String {
    WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_by_mark_name_and_guess() {
        for (octets, charset, expected) in [
            (&b"\xef\xbb\xbfgr\xc3\xbcn"[..], "iso-8859-1", "grün"),
            (b"\xff\xfeg\0r\0\xfc\0n\0", "", "grün"),
            (b"gr\xfcn", "iso-8859-1", "grün"),
            (b"gr\xc3\xbcn", "", "grün"),
            (b"gr\xc3\xbcn", "us-ascii", "grün"),
            (b"gr\xfcn", "", "grün"),
            (b"\x1b$B4A;z\x1b(B", "", "漢字"),
            (b"\x8a\xbf\x8e\x9a", "shift_jis", "漢字"),
            (b"\xd0\xc9", "koi8-r", "пи"),
            (b"x", "no-such-charset", "x"),
        ] {
            assert_eq!(decode(octets, charset).0, expected);
        }
    }

    #[test]
    fn what_may_be_text() {
        assert!(looks_like_text(b"name;value\r\n1;2\r\n"));
        assert!(looks_like_text("日本語".as_bytes()) && looks_like_text(b"gr\xfcn, says he"));
        assert!(!looks_like_text(b"\x7fELF\x02\x01\x01\0\0\0"));
        assert!(!looks_like_text(&[0x93, 0xf1, 0x88, 0xe2, 0x9d, 0xc3, 0xff, 0xfa]));
    }
}
