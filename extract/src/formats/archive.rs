//! Archives: zip (which Office and OpenDocument files are too), tar, gzip.

use std::io::Cursor;

use flate2::read::MultiGzDecoder;
use zip::ZipArchive;
use zip::result::ZipError;

use super::{office, opendocument};
use crate::Document;
use crate::gather::{Gather, Read, Tally, Trouble, broken};

/// A zip archive in memory.
pub(super) type Zip<'a> = ZipArchive<Cursor<&'a [u8]>>;

pub(super) fn zip(octets: &[u8], gather: &mut Gather) -> Read {
    let mut archive = ZipArchive::new(Cursor::new(octets)).map_err(broken)?;
    let names: Vec<String> = archive.file_names_raw().map(lossy).collect();
    let has = |name: &str| names.iter().any(|found| found == name);
    if has("[Content_Types].xml") && office::is_one(&names) {
        return office::read(octets, &mut archive, &names, gather);
    }
    if has("content.xml") && has("META-INF/manifest.xml") {
        return opendocument::read(&mut archive, &names, gather);
    }
    members(&mut archive, &names, gather)
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn members(archive: &mut Zip<'_>, names: &[String], gather: &mut Gather) -> Read {
    let mut tally = Tally::default();
    for (at, name) in names.iter().enumerate() {
        if name.ends_with('/') {
            continue;
        }
        gather.count_member()?;
        gather.label(name)?;
        match content(archive, at, gather) {
            Ok(octets) => gather.member(&named(name), &octets, &mut tally)?,
            Err(trouble) => gather.judge(Err(trouble), &mut tally)?,
        }
    }
    tally.end()
}

/// A member's octets.
pub(super) fn content(archive: &mut Zip<'_>, at: usize, gather: &mut Gather) -> Read<Vec<u8>> {
    match archive.by_index(at) {
        Ok(file) => gather.expand(file),
        Err(ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED)) => {
            Err(Trouble::Encrypted("members are encrypted".into()))
        }
        Err(error) => Err(broken(error)),
    }
}

fn named(name: &str) -> Document {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    Document { name: name.into(), ..Document::default() }
}

pub(super) fn gzip(document: &Document, octets: &[u8], gather: &mut Gather) -> Read {
    let inside = gather.expand(MultiGzDecoder::new(octets))?;
    let lower = document.name.to_ascii_lowercase();
    let name = match lower.strip_suffix(".tgz") {
        Some(stem) => format!("{stem}.tar"),
        None => lower.strip_suffix(".gz").unwrap_or(&lower).to_owned(),
    };
    let mut tally = Tally::default();
    gather.count_member()?;
    gather.member(&named(&name), &inside, &mut tally)?;
    tally.end()
}

pub(super) fn tar(octets: &[u8], gather: &mut Gather) -> Read {
    let mut tally = Tally::default();
    let mut archive = tar::Archive::new(octets);
    for entry in archive.entries().map_err(broken)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                gather.judge(Err(broken(error)), &mut tally)?;
                break;
            }
        };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = lossy(&entry.path_bytes());
        gather.count_member()?;
        gather.label(&name)?;
        let inside = gather.expand(entry)?;
        gather.member(&named(&name), &inside, &mut tally)?;
    }
    tally.end()
}
