//! Modified UTF-7 (RFC 3501 section 5.1.3), both ways, total. One text has one
//! form: anything else is refused, so that no two names are the same mailbox.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::NO_PAD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// Base64 with `,` for `/`, without padding, with nothing in the bits left over.
const ENGINE: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, CONFIG);
const CONFIG: GeneralPurposeConfig = NO_PAD;

/// Text that is not modified UTF-7 in the only form that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not modified UTF-7 at octet {position}")]
pub struct Utf7Error {
    /// The offending octet, or the `&` of the offending run.
    pub position: usize,
}

/// Whether it stands for itself.
fn is_direct(unit: u16) -> bool {
    (0x20..=0x7e).contains(&unit)
}

/// Writes text in modified UTF-7.
pub fn encode(text: &str) -> String {
    let mut coded = String::with_capacity(text.len());
    let mut run = Vec::new();
    for char in text.chars() {
        if (' '..='~').contains(&char) {
            close_run(&mut coded, &mut run);
            coded.push(char);
            coded.extend((char == '&').then_some('-'));
        } else {
            let mut units = [0; 2];
            run.extend(char.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    close_run(&mut coded, &mut run);
    coded
}

fn close_run(coded: &mut String, run: &mut Vec<u8>) {
    if !run.is_empty() {
        coded.push('&');
        ENGINE.encode_string(&*run, coded);
        coded.push('-');
        run.clear();
    }
}

/// Reads modified UTF-7.
///
/// # Errors
/// When it is not, or not as [`encode`] would write it.
pub fn decode(coded: &[u8]) -> Result<String, Utf7Error> {
    let mut text = String::with_capacity(coded.len());
    let mut position = 0;
    // Whether a coded run has just ended: another right behind it would be the same run.
    let mut after_run = false;
    while let Some(byte) = coded.get(position) {
        let error = Utf7Error { position };
        match byte {
            b'&' => {
                let rest = coded.get(position + 1..).unwrap_or_default();
                let length = memchr::memchr(b'-', rest).ok_or(error)?;
                let run = rest.get(..length).unwrap_or_default();
                match run {
                    [] => text.push('&'),
                    _ if after_run => return Err(error),
                    _ => text.push_str(&decode_run(run).ok_or(error)?),
                }
                after_run = !run.is_empty();
                position += length + 2;
            }
            byte if is_direct(u16::from(*byte)) => {
                text.push(char::from(*byte));
                after_run = false;
                position += 1;
            }
            _ => return Err(error),
        }
    }
    Ok(text)
}

/// A run's text: UTF-16 in base64, nothing in it that stands for itself outside.
fn decode_run(run: &[u8]) -> Option<String> {
    let octets = ENGINE.decode(run).ok()?;
    let pairs = octets.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let units: Vec<u16> =
        pairs.map(|pair| pair.iter().fold(0, |unit, &byte| unit << 8 | u16::from(byte))).collect();
    if units.iter().any(|&unit| is_direct(unit)) {
        return None;
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        let examples = [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("A & B", "A &- B"),
            ("", ""),
            ("Entwürfe", "Entw&APw-rfe"),
            ("☺!", "&Jjo-!"),
            ("😀", "&2D3eAA-"),
            ("é&è", "&AOk-&-&AOg-"),
        ];
        for (text, coded) in examples {
            assert_eq!(encode(text), coded);
            assert_eq!(decode(coded.as_bytes()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn other_forms_are_refused_where_they_begin() {
        let refused: [(&[u8], usize); 14] = [
            (b"A & B", 2),
            (b"&", 0),
            (b"&Jjo", 0),
            (b"x&Jjo!", 1),
            // US-ASCII in base64, as the RFC forbids
            (b"&AEE-", 0),
            // two runs where one would do
            (b"&U,BTFw-&ZeVnLIqe-", 8),
            // bits left over, half a unit, padding, the wrong alphabet
            (b"&Jjp-", 0),
            (b"&Jg-", 0),
            (b"&Jjo=-", 0),
            (b"&U/BTFw-", 0),
            // half a surrogate pair
            (b"&2D0-", 0),
            ("Entwürfe".as_bytes(), 4),
            (b"a\x7f", 1),
            (b"a\x00b", 1),
        ];
        for (coded, position) in refused {
            assert_eq!(decode(coded), Err(Utf7Error { position }), "{coded:?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_reads_back(text in any::<String>()) {
            prop_assert_eq!(decode(encode(&text).as_bytes()), Ok(text));
        }

        #[test]
        fn what_is_read_is_written_the_same(coded in "[&A-Za-z0-9+,\\-]{0,12}") {
            if let Ok(text) = decode(coded.as_bytes()) {
                prop_assert_eq!(encode(&text), coded);
            }
        }
    }
}
