//! Concordance load files: a line for each document, fields between `þ` and apart by U+0014, in
//! UTF-8 with its mark; line ends within fields are `®`. Attachments are documents of their
//! email's family.

use jiff::tz::TimeZone;

use super::files::Writing;
use super::{ExportError, Item, PartLine};

const QUOTE: char = '\u{fe}';
const APART: char = '\u{14}';
const LINE_END: &str = "\u{ae}";

const FIELDS: [&str; 38] = [
    "BEGDOC",
    "ENDDOC",
    "BEGATTACH",
    "ENDATTACH",
    "FAMILYID",
    "PARENTID",
    "ATTACHCOUNT",
    "DOCTYPE",
    "CUSTODIAN",
    "ALLCUSTODIANS",
    "FOLDER",
    "FROM",
    "TO",
    "CC",
    "BCC",
    "SUBJECT",
    "DATESENT",
    "TIMESENT",
    "DATERECEIVED",
    "TIMERECEIVED",
    "TIMEZONE",
    "MESSAGEID",
    "INREPLYTO",
    "THREADID",
    "EMAILID",
    "FLAGS",
    "EXPUNGED",
    "FILENAME",
    "MEDIATYPE",
    "FILESIZE",
    "MD5",
    "SHA1",
    "SHA256",
    "EXTRACTION",
    "ENVELOPEFROM",
    "ENVELOPETO",
    "NATIVE",
    "TEXT",
];

/// A document's own hashes and size.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    pub(super) size: u64,
    pub(super) md5: String,
    pub(super) sha1: String,
    pub(super) sha256: String,
}

pub(super) fn heading(out: &mut Writing) -> Result<(), ExportError> {
    out.write("\u{feff}".as_bytes())?;
    line(out, FIELDS.map(str::to_owned))
}

fn line(out: &mut Writing, cells: [String; FIELDS.len()]) -> Result<(), ExportError> {
    let cells = cells.map(|cell| format!("{QUOTE}{}{QUOTE}", clean(&cell)));
    let mut text = cells.join(&APART.to_string());
    text += "\r\n";
    out.write(text.as_bytes())
}

/// Nothing within a field reads as the end of it.
fn clean(cell: &str) -> String {
    let cell = cell.replace("\r\n", LINE_END).replace(['\n', '\r'], LINE_END);
    cell.chars().map(|c| if c == QUOTE || c.is_control() { ' ' } else { c }).collect()
}

/// A family: the email, and its attachments with their sums.
pub(super) fn family(
    out: &mut Writing,
    item: &Item,
    parts: &[(PartLine, Sums)],
    text: Option<&str>,
    zone: &TimeZone,
) -> Result<(), ExportError> {
    line(out, document(item, parts, None, text, zone))?;
    parts.iter().try_for_each(|part| line(out, document(item, parts, Some(part), None, zone)))
}

fn document(
    item: &Item,
    parts: &[(PartLine, Sums)],
    part: Option<&(PartLine, Sums)>,
    text: Option<&str>,
    zone: &TimeZone,
) -> [String; FIELDS.len()] {
    let control = part.map_or(&item.control, |(part, _)| &part.control).clone();
    let family =
        |pick: Option<&(PartLine, Sums)>| pick.map(|_| item.control.clone()).unwrap_or_default();
    let last = parts.last().map(|(part, _)| part.control.clone()).unwrap_or_default();
    let own = Sums {
        size: item.size,
        md5: item.md5.clone(),
        sha1: item.sha1.clone(),
        sha256: item.sha256.clone(),
    };
    let sums = part.map_or(own, |(_, sums)| sums.clone());
    let of_part = |email: &str, pick: fn(&PartLine) -> &str| {
        part.map_or(email, |(part, _)| pick(part)).to_owned()
    };
    let (sent, received) = (split(sent(item), zone), split(time_of(&item.received), zone));
    let envelope = |name: &str| item.envelope.as_ref().and_then(|e| e.get(name));
    let recipients = envelope("recipients").and_then(|list| list.as_array());
    let recipients = recipients.map(|list| list.iter().filter_map(|one| one.as_str()).collect());
    let native = part.map(|(part, _)| part.file.clone()).or(item.file.clone());
    let text = part.map_or(text.map(str::to_owned), |(part, _)| part.text.clone());
    [
        control.clone(),
        control,
        family(parts.first()),
        last,
        item.control.clone(),
        family(part),
        if part.is_none() { parts.len().to_string() } else { String::new() },
        if part.is_none() { "email" } else { "attachment" }.to_owned(),
        item.account.clone(),
        item.custodians.join("; "),
        item.mailbox.clone(),
        item.from.join("; "),
        item.to.join("; "),
        item.cc.join("; "),
        item.bcc.join("; "),
        item.subject.clone(),
        sent.0,
        sent.1,
        received.0,
        received.1,
        zone.iana_name().unwrap_or("UTC").to_owned(),
        item.message_id.clone(),
        item.in_reply_to.clone(),
        item.thread_id.clone(),
        item.email_id.clone(),
        item.flags.join(" "),
        item.expunged.as_ref().map(|gone| gone.time.clone()).unwrap_or_default(),
        of_part("", |part| &part.name),
        of_part("message/rfc822", |part| &part.media_type),
        sums.size.to_string(),
        sums.md5,
        sums.sha1,
        sums.sha256,
        of_part("ok", |part| &part.status),
        envelope("sender").and_then(|sender| sender.as_str()).unwrap_or_default().to_owned(),
        recipients.unwrap_or_else(Vec::<&str>::new).join("; "),
        native.unwrap_or_default(),
        text.unwrap_or_default(),
    ]
}

fn time_of(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok()
}

fn sent(item: &Item) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(item.date.trim()).ok()
}

/// A day and a time of day in a zone.
fn split(time: Option<jiff::Timestamp>, zone: &TimeZone) -> (String, String) {
    let Some(time) = time else { return Default::default() };
    let time = time.to_zoned(zone.clone());
    (time.strftime("%Y-%m-%d").to_string(), time.strftime("%H:%M:%S").to_string())
}
