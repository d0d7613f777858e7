//! PDF (ISO 32000), by pdf-extract: page by page, so that one bad page costs one page.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_extract::{ConvertToFmt, Dictionary, Document, Error, Object, PlainTextOutput};

use crate::gather::{Gather, Read, Tally, Trouble, broken};

/// Octets of text of one page.
const PAGE: usize = 4 * 1024 * 1024;

pub(super) fn read(octets: &[u8], gather: &mut Gather) -> Read {
    let document = open(octets)?;
    let before = gather.mark();
    let pages = pages(&document, gather)?;
    let has_text = gather.mark() > before;
    properties(&document, gather)?;
    attached(&document, gather)?;
    if !has_text && pages > 0 {
        gather.note("no text on any page: perhaps pictures of pages");
    }
    match pages {
        // What the key does not open is left out when it is loaded.
        0 if document.trailer.has(b"Encrypt") => Err(sealed()),
        0 => Err(Trouble::Broken("no page can be found".into())),
        _ => Ok(()),
    }
}

fn sealed() -> Trouble {
    Trouble::Encrypted("the document has a password".into())
}

/// Opens one with an empty password too, which only restricts printing.
fn open(octets: &[u8]) -> Read<Document> {
    let mut document = match Document::load_mem(octets) {
        Err(Error::InvalidPassword | Error::Decryption(_)) => return Err(sealed()),
        loaded => loaded.map_err(broken)?,
    };
    if document.is_encrypted() && document.decrypt("").is_err() {
        return Err(sealed());
    }
    Ok(document)
}

fn pages(document: &Document, gather: &mut Gather) -> Read<usize> {
    let numbers: Vec<u32> = document.get_pages().into_keys().collect();
    for number in &numbers {
        let mut page = Page::default();
        let drawn = AssertUnwindSafe(|| {
            let mut output = PlainTextOutput::new(&mut page);
            pdf_extract::output_doc_page(document, &mut output, *number)
        });
        let failed = !matches!(catch_unwind(drawn), Ok(Ok(())));
        gather.push(&page.0)?;
        gather.new_line()?;
        if failed {
            gather.note(&format!("page {number} does not read"));
        }
    }
    Ok(numbers.len())
}

/// The text of a page, bounded.
#[derive(Default)]
struct Page(String);

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > PAGE {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl<'p> ConvertToFmt for &'p mut Page {
    type Writer = &'p mut Page;

    fn convert(self) -> Self::Writer {
        self
    }
}

/// Title and the like, notes, and what was filled into forms.
fn properties(document: &Document, gather: &mut Gather) -> Read {
    let info = document.trailer.get(b"Info").and_then(|info| document.dereference(info));
    if let Ok((_, Object::Dictionary(info))) = info {
        for key in [&b"Title"[..], b"Author", b"Subject", b"Keywords"] {
            string(info, key, gather)?;
        }
    }
    for object in document.objects.values() {
        if let Object::Dictionary(found) = object {
            let keys = [(&b"FT"[..], &b"V"[..]), (b"Subtype", b"Contents")];
            for (mark, key) in keys {
                if found.has(mark) {
                    string(found, key, gather)?;
                }
            }
        }
    }
    Ok(())
}

fn string(from: &Dictionary, key: &[u8], gather: &mut Gather) -> Read {
    let text = from.get(key).and_then(pdf_extract::decode_text_string);
    match text {
        Ok(text) if !text.trim().is_empty() => gather.line(&text),
        _ => Ok(()),
    }
}

/// Files in the document.
fn attached(document: &Document, gather: &mut Gather) -> Read {
    let mut tally = Tally::default();
    for object in document.objects.values() {
        let Object::Stream(stream) = object else { continue };
        if stream.dict.has_type(b"EmbeddedFile") {
            gather.count_member()?;
            let octets = stream.decompressed_content().unwrap_or_else(|_| stream.content.clone());
            let octets = gather.expand(octets.as_slice())?;
            gather.member(&crate::Document::default(), &octets, &mut tally)?;
        }
    }
    Ok(())
}
