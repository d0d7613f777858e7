//! The list of emails as CSV (RFC 4180), in UTF-8.

use super::files::Writing;
use super::{ExportError, Item};

const HEADING: [&str; 19] = [
    "control",
    "account",
    "custodians",
    "mailbox",
    "uid",
    "email_id",
    "thread_id",
    "received",
    "expunged",
    "date",
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "message_id",
    "size",
    "sha256",
    "file",
];

/// What a spreadsheet would take for a formula is text: a `'` is put before it.
fn harmless(text: String) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text,
    }
}

fn row(out: &mut Writing, cells: impl IntoIterator<Item = String>) -> Result<(), ExportError> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(vec![]);
    let wrong = |error: csv::Error| ExportError::Text(error.to_string());
    writer.write_record(cells.into_iter().map(String::into_bytes)).map_err(wrong)?;
    let octets = writer.into_inner().map_err(|error| ExportError::Text(error.to_string()))?;
    out.write(&octets)
}

pub(super) fn heading(out: &mut Writing) -> Result<(), ExportError> {
    row(out, HEADING.map(str::to_owned))
}

pub(super) fn email(out: &mut Writing, item: &Item) -> Result<(), ExportError> {
    let Item { control, account, mailbox, email_id, thread_id, received, date, .. } = item.clone();
    let expunged = item.expunged.as_ref().map(|gone| gone.time.clone()).unwrap_or_default();
    let cells = [
        control,
        account,
        item.custodians.join("; "),
        mailbox,
        item.uid.to_string(),
        email_id,
        thread_id,
        received,
        expunged,
        date,
        item.from.join("; "),
        item.to.join("; "),
        item.cc.join("; "),
        item.bcc.join("; "),
        item.subject.clone(),
        item.message_id.clone(),
        item.size.to_string(),
        item.sha256.clone(),
        item.file.clone().unwrap_or_default(),
    ];
    row(out, cells.map(harmless))
}
