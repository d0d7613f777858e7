//! Outlook's messages as files (MS-OXMSG): properties are streams named by their tags.

use std::path::Path;

use super::compound::{Compound, stream};
use super::html;
use crate::Document;
use crate::decode::{cp1252, decode, utf16};
use crate::gather::{Gather, Read, Tally};

/// Subject, sender's name and address, To, Cc, Bcc, body.
const TEXTS: [&str; 7] = ["0037", "0C1A", "0C1F", "0E04", "0E03", "0E02", "1000"];
const HTML: &str = "10130102";
const NAMES: [&str; 2] = ["3707", "3704"];
const MEDIA_TYPE: &str = "370E";
const CONTENT: &str = "37010102";
const EMBEDDED: &str = "3701000D";
const DEPTH: u32 = 8;

pub(super) fn read(file: &mut Compound<'_>, gather: &mut Gather) -> Read {
    let mut tally = Tally::default();
    message(file, "", 0, gather, &mut tally)
}

fn message(
    file: &mut Compound<'_>,
    folder: &str,
    depth: u32,
    gather: &mut Gather,
    tally: &mut Tally,
) -> Read {
    for tag in TEXTS {
        if let Some(text) = property(file, folder, tag, gather)? {
            gather.line(&text)?;
        }
    }
    let page = format!("{folder}/__substg1.0_{HTML}");
    if file.is_stream(&page) {
        let octets = stream(file, &page, gather)?;
        html::shown(&decode(&octets, "").0, gather)?;
    }
    for attachment in attachments(file, folder) {
        attached(file, &attachment, depth, gather, tally)?;
    }
    Ok(())
}

/// A property as text; it is kept as UTF-16 or in a code page.
fn property(
    file: &mut Compound<'_>,
    folder: &str,
    tag: &str,
    gather: &mut Gather,
) -> Read<Option<String>> {
    let wide = format!("{folder}/__substg1.0_{tag}001F");
    if file.is_stream(&wide) {
        return Ok(Some(utf16(&stream(file, &wide, gather)?)));
    }
    let narrow = format!("{folder}/__substg1.0_{tag}001E");
    if file.is_stream(&narrow) {
        return Ok(Some(cp1252(&stream(file, &narrow, gather)?)));
    }
    Ok(None)
}

fn attachments(file: &Compound<'_>, folder: &str) -> Vec<String> {
    let root = if folder.is_empty() { "/" } else { folder };
    let Ok(entries) = file.read_storage(Path::new(root)) else { return Vec::new() };
    let names = entries.map(|entry| entry.name().to_owned());
    let attached = names.filter(|name| name.starts_with("__attach_version1.0_"));
    attached.map(|name| format!("{folder}/{name}")).collect()
}

fn attached(
    file: &mut Compound<'_>,
    folder: &str,
    depth: u32,
    gather: &mut Gather,
    tally: &mut Tally,
) -> Read {
    gather.count_member()?;
    let mut name = String::new();
    for tag in NAMES {
        if name.is_empty() {
            name = property(file, folder, tag, gather)?.unwrap_or_default();
        }
    }
    gather.label(&name)?;
    let inside = format!("{folder}/__substg1.0_{EMBEDDED}");
    if file.is_storage(&inside) {
        if depth >= DEPTH {
            gather.note("messages nested too deep");
            return Ok(());
        }
        return message(file, &inside, depth + 1, gather, tally);
    }
    let media_type = property(file, folder, MEDIA_TYPE, gather)?.unwrap_or_default();
    let content = format!("{folder}/__substg1.0_{CONTENT}");
    if file.is_stream(&content) {
        let octets = stream(file, &content, gather)?;
        let document = Document { media_type, name, charset: String::new() };
        gather.member(&document, &octets, tally)?;
    }
    Ok(())
}
