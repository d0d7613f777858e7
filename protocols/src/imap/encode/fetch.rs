//! FETCH responses.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};
use jiff::civil::DateTime;
use redoubt_log::id::{EmailId, ModSeq, ThreadId, Timestamp, Uid};
use redoubt_log::record::{Flags, Keyword};
use redoubt_store::mime::{Envelope, Part};

use super::{astring, body, body_structure, envelope, literal_header};
use crate::imap::types::{FetchItem, Section, SectionText};

const SYSTEM: [(Flags, &str); 5] = [
    (Flags::ANSWERED, "\\Answered"),
    (Flags::FLAGGED, "\\Flagged"),
    (Flags::DELETED, "\\Deleted"),
    (Flags::SEEN, "\\Seen"),
    (Flags::DRAFT, "\\Draft"),
];

/// flag-list
pub fn flags(out: &mut BytesMut, system: Flags, keywords: &[Keyword], recent: bool) {
    let system = SYSTEM.iter().filter(|(flag, _)| system.contains(*flag)).map(|(_, name)| *name);
    let recent = recent.then_some("\\Recent");
    let mut before = "";
    out.put_u8(b'(');
    for name in system.chain(recent).chain(keywords.iter().map(String::as_str)) {
        let _ = write!(out, "{before}{name}");
        before = " ";
    }
    out.put_u8(b')');
}

/// date-time, in UTC.
pub fn date_time(out: &mut BytesMut, time: Timestamp) {
    let time = civil(time);
    let (day, month, year) = (time.day(), month(time.month()), time.year());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let _ = write!(out, "\"{day:2}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} +0000\"");
}

/// The nearest time that the grammar can say: four digits of year.
fn civil(time: Timestamp) -> DateTime {
    let (least, most) = (-62_167_219_200, 253_402_300_799);
    let seconds = time.seconds().clamp(least, most);
    let epoch = jiff::civil::datetime(1970, 1, 1, 0, 0, 0, 0);
    epoch.saturating_add(jiff::SignedDuration::from_secs(seconds))
}

fn month(number: i8) -> &'static str {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    usize::try_from(number - 1).ok().and_then(|at| MONTHS.get(at).copied()).unwrap_or("Jan")
}

/// One FETCH response, item by item. Octets of a literal may be sent between two
/// calls: nothing is held.
#[derive(Debug)]
pub struct FetchLine {
    first: bool,
}

impl FetchLine {
    /// `* 12 FETCH (`
    pub fn begin(out: &mut BytesMut, number: u32) -> Self {
        let _ = write!(out, "* {number} FETCH (");
        Self { first: true }
    }

    /// `)` and the line end.
    pub fn end(self, out: &mut BytesMut) {
        out.put_slice(b")\r\n");
    }

    fn name(&mut self, out: &mut BytesMut, name: &str) {
        if !std::mem::take(&mut self.first) {
            out.put_u8(b' ');
        }
        out.put_slice(name.as_bytes());
    }

    /// UID
    pub fn uid(&mut self, out: &mut BytesMut, uid: Uid) {
        self.name(out, "UID ");
        let _ = write!(out, "{uid}");
    }

    /// FLAGS
    pub fn flags(&mut self, out: &mut BytesMut, system: Flags, keywords: &[Keyword], recent: bool) {
        self.name(out, "FLAGS ");
        flags(out, system, keywords, recent);
    }

    /// MODSEQ (RFC 7162 section 3.1.4.2)
    pub fn modseq(&mut self, out: &mut BytesMut, modseq: ModSeq) {
        self.name(out, "MODSEQ ");
        let _ = write!(out, "({modseq})");
    }

    /// INTERNALDATE
    pub fn internal_date(&mut self, out: &mut BytesMut, received: Timestamp) {
        self.name(out, "INTERNALDATE ");
        date_time(out, received);
    }

    /// SAVEDATE (RFC 8514 section 4.1)
    pub fn save_date(&mut self, out: &mut BytesMut, saved: Timestamp) {
        self.name(out, "SAVEDATE ");
        date_time(out, saved);
    }

    /// RFC822.SIZE
    pub fn size(&mut self, out: &mut BytesMut, octets: u64) {
        self.name(out, "RFC822.SIZE ");
        let _ = write!(out, "{octets}");
    }

    /// EMAILID (RFC 8474 section 5.1)
    pub fn email_id(&mut self, out: &mut BytesMut, email: EmailId) {
        self.name(out, "EMAILID ");
        let _ = write!(out, "({email})");
    }

    /// THREADID (RFC 8474 section 5.2)
    pub fn thread_id(&mut self, out: &mut BytesMut, thread: ThreadId) {
        self.name(out, "THREADID ");
        let _ = write!(out, "({thread})");
    }

    /// ENVELOPE
    pub fn envelope(&mut self, out: &mut BytesMut, value: &Envelope) {
        self.name(out, "ENVELOPE ");
        envelope(out, value);
    }

    /// BODY, the structure without extension data
    pub fn body(&mut self, out: &mut BytesMut, structure: &Part) {
        self.name(out, "BODY ");
        body(out, structure);
    }

    /// BODYSTRUCTURE
    pub fn body_structure(&mut self, out: &mut BytesMut, structure: &Part) {
        self.name(out, "BODYSTRUCTURE ");
        body_structure(out, structure);
    }

    /// Content of `BODY[…]`, RFC822, RFC822.HEADER or RFC822.TEXT, named as it was asked
    /// for: exactly `size` octets have to follow before anything else is written.
    pub fn content(&mut self, out: &mut BytesMut, item: &FetchItem, size: u64) {
        self.content_name(out, item);
        literal_header(out, size);
    }

    /// Content that is not there: a part that the message has not.
    pub fn no_content(&mut self, out: &mut BytesMut, item: &FetchItem) {
        self.content_name(out, item);
        out.put_slice(b"NIL");
    }

    fn content_name(&mut self, out: &mut BytesMut, item: &FetchItem) {
        match item {
            FetchItem::Rfc822 => self.name(out, "RFC822 "),
            FetchItem::Rfc822Header => self.name(out, "RFC822.HEADER "),
            FetchItem::Rfc822Text => self.name(out, "RFC822.TEXT "),
            FetchItem::Section { section, partial, .. } => {
                self.name(out, "BODY[");
                write_section(out, section);
                out.put_u8(b']');
                if let Some(partial) = partial {
                    let _ = write!(out, "<{}>", partial.first);
                }
                out.put_u8(b' ');
            }
            _ => debug_assert!(false, "{item:?} has no content"),
        }
    }
}

/// A section as it is echoed.
fn write_section(out: &mut BytesMut, section: &Section) {
    let mut before = "";
    for number in &section.part {
        let _ = write!(out, "{before}{number}");
        before = ".";
    }
    let Some(text) = &section.text else { return };
    out.put_slice(before.as_bytes());
    match text {
        SectionText::Header => out.put_slice(b"HEADER"),
        SectionText::Text => out.put_slice(b"TEXT"),
        SectionText::Mime => out.put_slice(b"MIME"),
        SectionText::HeaderFields(names) => header_fields(out, "HEADER.FIELDS", names),
        SectionText::HeaderFieldsNot(names) => header_fields(out, "HEADER.FIELDS.NOT", names),
    }
}

fn header_fields(out: &mut BytesMut, name: &str, fields: &[String]) {
    out.put_slice(name.as_bytes());
    let mut before = " (";
    for field in fields {
        out.put_slice(before.as_bytes());
        astring(out, field.as_bytes());
        before = " ";
    }
    out.put_u8(b')');
}
