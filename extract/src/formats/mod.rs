//! The readers, one file a family.

mod archive;
mod card;
mod compound;
mod html;
mod message;
mod msg;
mod office;
mod opendocument;
mod pdf;
mod rtf;
mod sheets;
mod slides;
mod text;
mod word;
mod xml;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::gather::{Gather, Read, Trouble};
use crate::sniff::{Format, format};
use crate::{Document, Extracted, Limits};

/// The text of a document, read here: whoever calls this for octets from outside does it in a
/// process that may die of it.
pub fn extract(document: &Document, octets: &[u8], limits: &Limits) -> Extracted {
    let mut gather = Gather::new(limits, octets.len());
    let end = read(document, octets, &mut gather);
    gather.finish(end)
}

/// Reads a document or a member of one. A reader that panics has failed.
pub(crate) fn read(document: &Document, octets: &[u8], gather: &mut Gather) -> Read {
    if octets.is_empty() {
        return Ok(());
    }
    let reading = AssertUnwindSafe(|| dispatch(document, octets, gather));
    catch_unwind(reading).unwrap_or_else(|_| Err(Trouble::Broken("its reader gave up".into())))
}

fn dispatch(document: &Document, octets: &[u8], gather: &mut Gather) -> Read {
    match format(document, octets) {
        Format::Pdf => pdf::read(octets, gather),
        Format::Zip => archive::zip(octets, gather),
        Format::Gzip => archive::gzip(document, octets, gather),
        Format::Tar => archive::tar(octets, gather),
        Format::Compound => compound::read(octets, gather),
        Format::Rtf => rtf::read(octets, gather),
        Format::Html => html::read(octets, &document.charset, gather),
        Format::Xml => xml::read(octets, gather),
        Format::Card => card::read(octets, &document.charset, gather),
        Format::Message => message::read(octets, gather),
        Format::Text => text::read(octets, &document.charset, gather),
        Format::Media(what) => Err(Trouble::Skipped(what)),
        Format::Sealed(what) => Err(Trouble::Encrypted(what.into())),
        Format::Unknown(what) => Err(Trouble::Unknown(what)),
    }
}
