//! mbox files (RFC 4155, and the `>From ` quoting of mboxrd): a message begins
//! at a line `From ` that stands first or behind a blank line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use redoubt_log::id::Timestamp;
use redoubt_log::record::Flags;

use super::{Item, Place};

/// The longest From_ line that is looked at.
const MAX_FROM_LINE: usize = 998;

/// Finds the messages of an mbox file in one pass, in bounded memory.
///
/// # Errors
/// When the file cannot be read, or does not begin with a From_ line.
pub fn scan(path: &Path, mailbox: &str) -> io::Result<Vec<Item>> {
    let mut lines = Lines::new(File::open(path)?);
    let mut items: Vec<Item> = Vec::new();
    let mut blank = true;
    while let Some(line) = lines.next()? {
        if blank && line.head.starts_with(b"From ") {
            close(items.last_mut(), line.start);
            items.push(begin(path, mailbox, &line));
        } else if items.is_empty() && !line.is_blank() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not an mbox file: the first line does not begin with \"From \"",
            ));
        }
        blank = line.is_blank();
    }
    close(items.last_mut(), lines.offset);
    Ok(items)
}

fn begin(path: &Path, mailbox: &str, line: &Line) -> Item {
    Item {
        mailbox: mailbox.into(),
        place: Place::Mbox { path: path.into(), start: line.end, len: 0 },
        flags: Flags::NONE,
        keywords: Vec::new(),
        received: from_line_date(&line.head),
        uid: None,
    }
}

fn close(item: Option<&mut Item>, end: u64) {
    if let Some(Item { place: Place::Mbox { start, len, .. }, .. }) = item {
        *len = end.saturating_sub(*start);
    }
}

/// `From sender Tue Nov 10 23:11:05 2026` (asctime, UTC).
fn from_line_date(line: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(line).ok()?.trim_end();
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let date = words.get(words.len().checked_sub(4)?..)?.join(" ");
    let parsed = jiff::fmt::strtime::parse("%b %d %H:%M:%S %Y", date).ok()?;
    let civil = parsed.to_datetime().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

struct Line {
    start: u64,
    end: u64,
    head: Vec<u8>,
}

impl Line {
    fn is_blank(&self) -> bool {
        matches!(self.head.as_slice(), b"\n" | b"\r\n")
    }
}

/// Lines with their offsets; only the head of a long line is kept.
struct Lines {
    reader: BufReader<File>,
    offset: u64,
}

impl Lines {
    fn new(file: File) -> Self {
        Self { reader: BufReader::with_capacity(256 * 1024, file), offset: 0 }
    }

    fn next(&mut self) -> io::Result<Option<Line>> {
        let start = self.offset;
        let mut head = Vec::new();
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let newline = memchr::memchr(b'\n', buffer);
            let taken = newline.map_or(buffer.len(), |at| at + 1);
            let room = MAX_FROM_LINE.saturating_sub(head.len()).min(taken);
            head.extend(buffer.iter().take(room));
            self.reader.consume(taken);
            self.offset += taken as u64;
            if newline.is_some() {
                break;
            }
        }
        Ok((self.offset > start).then_some(Line { start, end: self.offset, head }))
    }
}

/// Reads one message: the blank line before the next From_ line goes, `>From `
/// loses one `>`, the line ends stay as they are.
///
/// # Errors
/// When the file cannot be read or has become shorter.
pub fn read(path: &Path, start: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut quoted = Vec::new();
    file.take(len).read_to_end(&mut quoted)?;
    if quoted.len() as u64 != len {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
    }
    Ok(unquote(without_separator(&quoted)))
}

fn without_separator(message: &[u8]) -> &[u8] {
    for ending in [b"\r\n\r\n".as_slice(), b"\n\n"] {
        if message.ends_with(ending) {
            let keep = message.len() - ending.len() / 2;
            return message.get(..keep).unwrap_or(message);
        }
    }
    message
}

fn unquote(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        let quotes = line.iter().take_while(|byte| **byte == b'>').count();
        let is_from =
            quotes > 0 && line.get(quotes..).is_some_and(|rest| rest.starts_with(b"From "));
        out.extend_from_slice(line.get(usize::from(is_from)..).unwrap_or(line));
    }
    out
}

/// `Status`, `X-Status` and `X-Keywords` as mail programs left them in the header.
pub fn header_flags(message: &[u8]) -> (Flags, Vec<String>) {
    let mut flags = Flags::NONE;
    let mut keywords = Vec::new();
    for line in message.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        let value = String::from_utf8_lossy(value.get(1..).unwrap_or_default()).trim().to_string();
        match name.to_ascii_lowercase().as_slice() {
            b"status" | b"x-status" => flags = value.chars().fold(flags, with_letter),
            b"x-keywords" => keywords.extend(value.split_whitespace().map(String::from)),
            _ => {}
        }
    }
    (flags, keywords)
}

fn with_letter(flags: Flags, letter: char) -> Flags {
    flags.with(match letter {
        'R' => Flags::SEEN,
        'A' => Flags::ANSWERED,
        'F' => Flags::FLAGGED,
        'D' => Flags::DELETED,
        'T' => Flags::DRAFT,
        _ => Flags::NONE,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scan_text(text: &str) -> Vec<(Vec<u8>, Option<Timestamp>)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let items = scan(file.path(), "INBOX").unwrap();
        items
            .into_iter()
            .map(|item| match item.place {
                Place::Mbox { path, start, len } => {
                    (read(&path, start, len).unwrap(), item.received)
                }
                Place::File(_) => unreachable!(),
            })
            .collect()
    }

    #[test]
    fn messages_are_cut_at_from_lines_behind_blank_ones() {
        let text = "From a@b Tue Nov 10 23:11:05 2026\nSubject: 1\n\none\nFrom here on\n>From x\n>>From y\n\n\
                    From c@d  Wed Nov 11 01:02:03 2026\nSubject: 2\n\ntwo\n\n";
        let messages = scan_text(text);
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0].0, b"Subject: 1\n\none\nFrom here on\nFrom x\n>From y\n");
        assert_eq!(messages[1].0, b"Subject: 2\n\ntwo\n");
        assert_eq!(messages[0].1, Some(Timestamp(1_794_352_265_000)));
        assert!(messages[1].1 > messages[0].1);
    }

    #[test]
    fn a_last_message_without_blank_line_keeps_all() {
        assert_eq!(scan_text("From a\nS: 1\n\nx")[0].0, b"S: 1\n\nx");
        assert_eq!(scan_text("From a\r\nS: 1\r\n\r\nx\r\n\r\n")[0].0, b"S: 1\r\n\r\nx\r\n");
    }

    #[test]
    fn what_is_no_mbox_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "Subject: x\n\nbody").unwrap();
        assert!(scan(file.path(), "INBOX").is_err());
    }

    #[test]
    fn status_headers_are_flags() {
        let (flags, keywords) =
            header_flags(b"Status: RO\r\nX-Status: AF\r\nX-Keywords: work  home\r\n\r\nStatus: D");
        assert_eq!(flags, Flags::SEEN.with(Flags::ANSWERED).with(Flags::FLAGGED));
        assert_eq!(keywords, ["work", "home"]);
    }
}
