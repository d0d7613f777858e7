//! RFC 2047 encoded words in header text.

use memchr::memmem;

use super::decode::{base64, hex_escapes};
use super::text::{decode_charset, guessed};

/// Longer ones are text. RFC 2047 section 2 allows 75 octets; some write more.
const MAX_WORD: usize = 2048;

/// The text of a header field's value: unfolded, encoded words decoded, the
/// white space between two of them gone (RFC 2047 section 6.2). Octets of
/// neighbours in one charset are joined first, as a character may be split
/// between them. A word in an unknown charset stays as it is; raw octets are
/// UTF-8 (RFC 6532) or else windows-1252.
pub fn decode_words(value: &[u8]) -> String {
    let value = super::unfold(value);
    let mut out = Decoded::default();
    let mut rest = value.as_slice();
    while let Some(at) = memmem::find(rest, b"=?") {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, b""));
        match word(from) {
            Some((word, after)) => {
                out.text(before);
                out.word(word);
                rest = after;
            }
            None => {
                let (raw, after) = rest.split_at_checked(at + 2).unwrap_or((rest, b""));
                out.text(raw);
                rest = after;
            }
        }
    }
    out.text(rest);
    out.finish()
}

struct Word<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
    raw: &'a [u8],
}

/// `=?charset*language?encoding?text?=` at the beginning.
fn word(from: &[u8]) -> Option<(Word<'_>, &[u8])> {
    let head = from.get(..MAX_WORD).unwrap_or(from);
    let inner = head.get(2..)?;
    let (charset, inner) = inner.split_at_checked(memchr::memchr(b'?', inner)?)?;
    let [b'?', encoding, b'?', text @ ..] = inner else { return None };
    let len = memmem::find(text, b"?=")?;
    let text = text.get(..len)?;
    let octets = match encoding {
        b'b' | b'B' => base64(text),
        b'q' | b'Q' => q_decoded(text),
        _ => return None,
    };
    let total = 2 + charset.len() + 3 + len + 2;
    let (raw, after) = from.split_at_checked(total)?;
    let charset = charset.split(|c| *c == b'*').next().unwrap_or_default();
    Some((Word { charset, octets, raw }, after))
}

fn q_decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|c| if *c == b'_' { b' ' } else { *c }).collect();
    let mut out = Vec::with_capacity(spaced.len());
    hex_escapes(&spaced, b'=', &mut out);
    out
}

#[derive(Default)]
struct Decoded {
    done: String,
    /// Plain octets not yet read as text.
    plain: Vec<u8>,
    /// Octets of encoded words, and their charset and raw form.
    words: Option<(Vec<u8>, Vec<u8>, Vec<u8>)>,
}

impl Decoded {
    fn text(&mut self, octets: &[u8]) {
        self.plain.extend_from_slice(octets);
    }

    fn word(&mut self, word: Word<'_>) {
        let between = self.plain.trim_ascii().is_empty();
        match &mut self.words {
            Some((charset, octets, raw))
                if between && charset.eq_ignore_ascii_case(word.charset) =>
            {
                octets.extend_from_slice(&word.octets);
                raw.append(&mut self.plain);
                raw.extend_from_slice(word.raw);
                return;
            }
            Some(_) if between => self.plain.clear(),
            _ => {}
        }
        self.flush();
        self.words = Some((word.charset.to_vec(), word.octets, word.raw.to_vec()));
    }

    fn flush(&mut self) {
        if let Some((charset, octets, raw)) = self.words.take() {
            let text = decode_charset(&charset, &octets).unwrap_or_else(|| guessed(&raw));
            self.done.push_str(&text);
        }
        self.done.push_str(&guessed(&std::mem::take(&mut self.plain)));
    }

    fn finish(mut self) -> String {
        self.flush();
        self.done
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn the_examples_of_rfc_2047_and_what_is_met() {
        for (value, expected) in [
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=  \r\n   =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            ("=?US-ASCII*EN?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
            (
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
                "If you can read this you understand the example.",
            ),
            // A character split over two words, by octets.
            ("=?utf-8?Q?J=C3?=\r\n =?utf-8?Q?=B6rg?=", "Jörg"),
            ("=?utf-8?Q?=C3=B6?=plain", "öplain"),
            ("=?koi8-r?B?8NLJ18XU?=", "Привет"),
            ("=?x-none?Q?a=20b?= c", "=?x-none?Q?a=20b?= c"),
            ("=?utf-8?Q?open", "=?utf-8?Q?open"),
            ("=?utf-8?X?a?=", "=?utf-8?X?a?="),
            ("a =? b", "a =? b"),
            ("Jörg", "Jörg"),
            ("", ""),
        ] {
            assert_eq!(decode_words(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(decode_words(b"J\xf6rg"), "Jörg");
    }
}
