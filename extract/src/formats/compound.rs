//! Compound files (MS-CFB): Office before 2007, Outlook's messages, and encrypted newer ones.

use std::io::Cursor;

use cfb::CompoundFile;

use super::{msg, sheets, slides, word};
use crate::gather::{Gather, Read, Trouble, broken};

/// A compound file in memory.
pub(super) type Compound<'a> = CompoundFile<Cursor<&'a [u8]>>;

pub(super) fn read(octets: &[u8], gather: &mut Gather) -> Read {
    let mut file = CompoundFile::open(Cursor::new(octets)).map_err(broken)?;
    let sealed = ["/EncryptedPackage", "/EncryptedSummary"];
    if sealed.iter().any(|name| file.is_stream(name)) {
        return Err(Trouble::Encrypted("the document has a password".into()));
    }
    if file.is_stream("/WordDocument") {
        return word::read(&mut file, gather);
    }
    if file.is_stream("/PowerPoint Document") {
        return slides::read(&mut file, gather);
    }
    if file.is_stream("/Workbook") || file.is_stream("/Book") {
        return sheets::old(octets, gather);
    }
    if file.exists("/__properties_version1.0") {
        return msg::read(&mut file, gather);
    }
    Err(Trouble::Unknown("a compound file of an unknown kind".into()))
}

/// All of a stream.
pub(super) fn stream(file: &mut Compound<'_>, name: &str, gather: &mut Gather) -> Read<Vec<u8>> {
    let stream = file.open_stream(name).map_err(broken)?;
    gather.expand(stream)
}

/// Two octets, low one first.
pub(super) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    let pair = octets.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(pair.try_into().ok()?))
}

/// Four octets, lowest first.
pub(super) fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    let four = octets.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}
