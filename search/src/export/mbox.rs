//! mboxrd (RFC 4155 with `>` before every line that begins with any number of `>` and `From `):
//! messages as they are, with their own line ends, and an empty line behind each.

use std::ops::Range;

/// The line before a message: sender and time as asctime writes it, in UTC.
pub(super) fn from_line(sender: &str, received: redoubt_log::id::Timestamp) -> Vec<u8> {
    let plain = |c: char| c.is_ascii_graphic();
    let sender = match sender.is_empty() || !sender.chars().all(plain) {
        true => "MAILER-DAEMON",
        false => sender,
    };
    let time = jiff::Timestamp::from_millisecond(received.0).unwrap_or_default();
    format!("From {sender} {}\n", time.strftime("%a %b %e %H:%M:%S %Y")).into_bytes()
}

/// A message with `>` before what could be taken for the next one's line.
pub(super) fn quoted(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if is_from(line) {
            out.push(b'>');
        }
        out.extend_from_slice(line);
    }
    out
}

/// What [`quoted`] was made of; `None` where it could not have made this.
pub(super) fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(quoted.len());
    for line in quoted.split_inclusive(|octet| *octet == b'\n') {
        match (line.first(), is_from(line)) {
            (Some(b'>'), true) => out.extend_from_slice(line.get(1..).unwrap_or_default()),
            (_, true) => return None,
            (_, false) => out.extend_from_slice(line),
        }
    }
    Some(out)
}

/// What stands behind a message: the end of its last line, if it has none, and an empty line.
pub(super) fn end(message: &[u8]) -> &'static [u8] {
    match message.last() {
        Some(b'\n') | None => b"\n",
        Some(_) => b"\n\n",
    }
}

fn is_from(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|octet| **octet == b'>').count();
    line.get(quotes..).is_some_and(|line| line.starts_with(b"From "))
}

/// A part of a file, in an export's own words.
pub(super) fn range(offset: Option<u64>, length: Option<u64>) -> Option<Range<u64>> {
    let (offset, length) = (offset?, length?);
    Some(offset..offset.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quoting_can_be_undone() {
        for text in
            ["", "From ", "From a\r\nFrom b", ">From x\n>>From y\n> From z\nfrom\n", "a\n\nFrom \n"]
        {
            let quoted = quoted(text.as_bytes());
            assert_eq!(unquoted(&quoted).unwrap(), text.as_bytes(), "{text:?}");
            assert!(!quoted.starts_with(b"From "), "{text:?}");
        }
        assert_eq!(unquoted(b"a\nFrom b\n"), None);
    }

    #[test]
    fn the_line_before_a_message() {
        let line =
            |sender| String::from_utf8(from_line(sender, redoubt_log::id::Timestamp(0))).unwrap();
        assert_eq!(line("a@b"), "From a@b Thu Jan  1 00:00:00 1970\n");
        assert_eq!(line(""), "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n");
        assert_eq!(line("a b\n"), "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n");
    }
}
