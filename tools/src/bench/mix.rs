//! The messages: no two alike, made by copying, so that making them costs next to nothing.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Characters of a line, without CRLF: 57 octets in base64.
const LINE: usize = 76;
const FULL_LINE: usize = LINE + 2;
const TEXT_LINES: usize = 50_000;
const BASE64_LINES: usize = 200_000;

const KIB: usize = 1024;
/// Sizes above this carry an attachment in base64.
const ATTACHED: usize = 32 * KIB;
/// An attachment that many messages have, in base64.
const SHARED: usize = 36 * KIB;
/// What follows an attachment.
const END: &[u8] = b"--=-edge--\r\n";

/// Which sizes, of a hundred messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizes {
    /// 30 of 4 KiB, 45 of 20 KiB, 24 of 75 KiB, one of 1 MiB.
    Mail,
    /// 50 of 4 KiB, 50 of 20 KiB.
    Mailbox,
}

impl Sizes {
    /// What is said of them beside figures.
    pub(super) const MAIL: &'static str = "Of a hundred messages 30 have 4 KiB, 45 have 20 KiB \
        (text), 24 have 75 KiB and one has 1 MiB (text with an attachment in base64 that no other \
        message has); 38 KiB on average.";

    /// The size of the message with this number, in an order that is the same in each run.
    pub(super) fn of(self, number: u64) -> usize {
        // 37 and 100 have no common divisor: each hundred in a row has each slot once.
        let slot = number.wrapping_mul(37) % 100;
        match (self, slot) {
            (Self::Mail, 0..30) => 4 * KIB,
            (Self::Mail, 30..75) => 20 * KIB,
            (Self::Mail, 75..99) => 75 * KIB,
            (Self::Mail, _) => KIB * KIB,
            (Self::Mailbox, 0..50) => 4 * KIB,
            (Self::Mailbox, _) => 20 * KIB,
        }
    }
}

/// xorshift64*: quick, and the same in each run.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % end.max(1)
    }
}

/// What messages are cut from.
#[derive(Debug)]
pub(super) struct Mix {
    text: Vec<u8>,
    base64: Vec<u8>,
}

impl Mix {
    pub(super) fn new() -> Self {
        let mut random = Random::new(1);
        Self { text: text(&mut random), base64: base64(&mut random) }
    }

    /// A message of about `size` octets; lines never begin with a dot.
    pub(super) fn message(
        &self,
        random: &mut Random,
        token: &str,
        subject: &str,
        size: usize,
    ) -> Vec<u8> {
        let mut message = head(token, subject, size);
        if size > ATTACHED {
            let start = self.before_attachment(random, 4 * KIB, &mut message);
            copy(&self.base64, random, size.saturating_sub(start + 16), &mut message);
            stamp(&mut message, start, token);
            message.extend_from_slice(END);
        } else {
            message.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n\r\n");
            copy(&self.text, random, size.saturating_sub(message.len()), &mut message);
        }
        message
    }

    /// A message of little text with the attachment that others with this number have too.
    pub(super) fn forwarded(
        &self,
        random: &mut Random,
        token: &str,
        subject: &str,
        attachment: u64,
    ) -> Vec<u8> {
        let mut message = head(token, subject, SHARED);
        let start = self.before_attachment(random, KIB / 2, &mut message);
        copy(&self.base64, &mut Random::new(attachment), SHARED, &mut message);
        stamp(&mut message, start, &attachment.to_string());
        message.extend_from_slice(END);
        message
    }

    /// Where the attachment begins.
    fn before_attachment(&self, random: &mut Random, text: usize, message: &mut Vec<u8>) -> usize {
        message.extend_from_slice(
            b"Content-Type: multipart/mixed; boundary=\"=-edge\"\r\n\r\n\
              --=-edge\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
        );
        copy(&self.text, random, text, message);
        message.extend_from_slice(
            b"--=-edge\r\nContent-Type: application/octet-stream; name=\"data.bin\"\r\n\
              Content-Disposition: attachment; filename=\"data.bin\"\r\n\
              Content-Transfer-Encoding: base64\r\n\r\n",
        );
        message.len()
    }
}

/// What comes before `Content-Type`.
fn head(token: &str, subject: &str, size: usize) -> Vec<u8> {
    let mut out = String::with_capacity(size + KIB);
    let _ = write!(
        out,
        "Received: from mx.example.net (mx.example.net [192.0.2.25])\r\n\
         \tby mail.example.org with ESMTPS id {token}\r\n\
         \tfor <reader@example.org>; Sat, 21 Nov 2026 12:00:00 +0000\r\n\
         From: \"A Sender\" <sender@example.net>\r\nTo: Reader <reader@example.org>\r\n\
         Subject: {subject}\r\nMessage-ID: <{token}@example.net>\r\n\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    );
    out.into_bytes()
}

/// Whole lines from a random place.
fn copy(from: &[u8], random: &mut Random, octets: usize, to: &mut Vec<u8>) {
    let lines = from.len() / FULL_LINE;
    let wanted = octets.div_ceil(FULL_LINE).min(lines);
    let start = random.below(lines - wanted + 1) * FULL_LINE;
    to.extend_from_slice(from.get(start..start + wanted * FULL_LINE).unwrap_or_default());
}

/// Makes an attachment unlike any other; hexadecimal digits are base64 too.
fn stamp(message: &mut [u8], at: usize, token: &str) {
    let digits = blake3::hash(token.as_bytes()).to_hex();
    let digits = digits.as_bytes();
    if let Some(place) = message.get_mut(at..at + digits.len()) {
        place.copy_from_slice(digits);
    }
}

/// Lines of words of which some are much more frequent than others; zstd makes about a third of them.
fn text(random: &mut Random) -> Vec<u8> {
    let words: Vec<String> = (0..4000).map(|_| word(random)).collect();
    let mut out = Vec::with_capacity(TEXT_LINES * FULL_LINE);
    for _ in 0..TEXT_LINES {
        let mut line = String::with_capacity(2 * LINE);
        while line.len() < LINE {
            let place = random.below(words.len()) * random.below(words.len()) / words.len();
            line.push_str(words.get(place).map_or("word", String::as_str));
            line.push(' ');
        }
        line.truncate(LINE);
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn word(random: &mut Random) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "re", "ti", "no", "lu", "ker", "mas", "fen", "dol", "is", "an", "tor", "we", "sch",
        "ip", "gra",
    ];
    let syllables = 1 + random.below(4);
    let pick = |_| SYLLABLES.get(random.below(SYLLABLES.len())).copied().unwrap_or_default();
    (0..syllables).map(pick).collect()
}

fn base64(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::with_capacity(BASE64_LINES * FULL_LINE);
    let mut line = String::with_capacity(LINE);
    for _ in 0..BASE64_LINES {
        let octets: Vec<u8> = (0..8).flat_map(|_| random.next().to_le_bytes()).collect();
        line.clear();
        STANDARD.encode_string(octets.get(..57).unwrap_or_default(), &mut line);
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_hundred_in_a_row_have_the_stated_sizes() {
        let count = |size| (500..600).filter(|n| Sizes::Mail.of(*n) == size).count();
        assert_eq!([4 * KIB, 20 * KIB, 75 * KIB, KIB * KIB].map(count), [30, 45, 24, 1]);
    }

    #[test]
    fn messages_are_of_the_wanted_size_and_differ() {
        let (mix, mut random) = (Mix::new(), Random::new(7));
        for size in [4 * KIB, 20 * KIB, 75 * KIB, KIB * KIB] {
            let one = mix.message(&mut random, "one", "subject", size);
            assert!(one.len().abs_diff(size) < 400, "{} {size}", one.len());
            assert!(one.ends_with(b"\r\n"));
            assert!(!one.windows(3).any(|three| three == b"\r\n."));
            let attachment = redoubt_store::mime::part_hints(&redoubt_store::mime::parse(&one));
            assert_eq!(attachment.iter().any(|part| part.is_base64), size > ATTACHED);
        }
    }

    #[test]
    fn forwarded_messages_share_an_attachment_and_nothing_else() {
        let (mix, mut random) = (Mix::new(), Random::new(7));
        let mut attachment = |token: &str, number| {
            let message = mix.forwarded(&mut random, token, token, number);
            let parts = redoubt_store::mime::part_hints(&redoubt_store::mime::parse(&message));
            let part = parts.iter().find(|part| part.is_base64).unwrap();
            let (start, len) = (part.start as usize, part.len as usize);
            (message[start..start + len].to_vec(), message)
        };
        let (one, first) = attachment("one", 3);
        let (two, second) = attachment("two", 3);
        let (other, _) = attachment("three", 4);
        assert!(one.len() >= SHARED, "{}", one.len());
        assert_eq!(one, two);
        assert_ne!(first, second);
        assert_ne!(one, other);
    }
}
