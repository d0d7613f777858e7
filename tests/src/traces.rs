//! Whether a text is anywhere in the files of a server or a repository, in whatever form: as it
//! is, in base64, in hexadecimal, in quoted-printable; in zstd frames wherever they begin; in the
//! blocks of RocksDB's tables and the records of its logs, with values that were deleted and not
//! compacted away yet; in an index's lists of terms and stored documents.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use redoubt_search::index::contents;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 (RFC 4648), without line ends.
pub fn base64(octets: &[u8]) -> String {
    let mut text = String::new();
    for three in octets.chunks(3) {
        let at = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS[(bits >> shift & 63) as usize];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// All forms in which a text may stand in octets, folded.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let hex = text.bytes().map(|octet| format!("{octet:02x}")).collect::<String>();
    let mut forms = vec![text.as_bytes().to_vec(), hex.into_bytes()];
    for before in 0..3 {
        let whole = base64(&[&vec![b'x'; before][..], text.as_bytes()].concat());
        // Without the digits that depend on what stands before and behind.
        let from = [0, 2, 3][before];
        let to = (before + text.len()) / 3 * 4;
        forms.push(whole.as_bytes()[from..to].to_vec());
    }
    forms.iter().map(|form| form.to_ascii_lowercase()).collect()
}

/// In lower case, without line ends, without what quoted-printable writes before them and before
/// its digits, and without the zeros that files are made of before they are written.
fn folded(octets: &[u8]) -> Vec<u8> {
    let kept = octets.iter().filter(|b| !matches!(b, b'\r' | b'\n' | b'=' | 0));
    kept.map(u8::to_ascii_lowercase).collect()
}

fn has(folded: &[u8], form: &[u8]) -> bool {
    let first = form[0];
    let mut rest = folded;
    while let Some(at) = rest.iter().position(|octet| *octet == first) {
        rest = &rest[at..];
        if rest.starts_with(form) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// What zstd frames in octets hold, wherever they begin.
fn unpacked(octets: &[u8]) -> Vec<u8> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let mut found = Vec::new();
    for (at, window) in octets.windows(4).enumerate() {
        if window == MAGIC {
            let mut frame = vec![0; 4 << 20];
            let decoder = zstd::stream::read::Decoder::new(&octets[at..]);
            let mut decoder = decoder.unwrap().single_frame();
            let mut read = 0;
            while read < frame.len() {
                match std::io::Read::read(&mut decoder, &mut frame[read..]) {
                    Ok(0) | Err(_) => break,
                    Ok(more) => read += more,
                }
            }
            found.extend_from_slice(&frame[..read]);
        }
    }
    found
}

/// Octets that are read from the front.
struct Cut<'a>(&'a [u8]);

impl Cut<'_> {
    fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let octet = self.u8()?;
            value |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    /// Where a block begins, and how long it is.
    fn handle(&mut self) -> Option<(usize, usize)> {
        Some((usize::try_from(self.varint()?).ok()?, usize::try_from(self.varint()?).ok()?))
    }
}

/// An LZ4 block, as far as it reads.
fn lz4(octets: &[u8]) -> Vec<u8> {
    let (mut cut, mut out) = (Cut(octets), Vec::new());
    let _ = sequences(&mut cut, &mut out);
    out
}

fn sequences(cut: &mut Cut<'_>, out: &mut Vec<u8>) -> Option<()> {
    loop {
        let token = cut.u8()?;
        let literals = length(cut, token >> 4)?;
        out.extend_from_slice(cut.0.get(..literals)?);
        cut.skip(literals)?;
        if cut.0.is_empty() {
            return Some(());
        }
        let offset = usize::from(cut.u8()?) | usize::from(cut.u8()?) << 8;
        let from = out.len().checked_sub(offset).filter(|_| offset > 0)?;
        for n in 0..length(cut, token & 15)? + 4 {
            out.push(*out.get(from + n)?);
        }
    }
}

fn length(cut: &mut Cut<'_>, nibble: u8) -> Option<usize> {
    let mut length = usize::from(nibble);
    let mut last = if nibble == 15 { 255 } else { 0 };
    while last == 255 {
        last = cut.u8()?;
        length += usize::from(last);
    }
    Some(length)
}

/// The end of a table of RocksDB, of its format 5 and older.
const TABLE_MAGIC: [u8; 8] = 0x88e2_41b7_85f4_cff7_u64.to_le_bytes();
const FOOTER: usize = 53;

/// What the blocks of tables hold that lie in octets, which may have a frame around them. Keys
/// and values as they were written, also of what was deleted since.
fn tables(octets: &[u8], blocks: &mut usize) -> Vec<u8> {
    let mut found = Vec::new();
    for at in FOOTER - 8..octets.len().saturating_sub(7) {
        if octets[at..at + 8] == TABLE_MAGIC {
            for start in [0, 64] {
                if let Some(read) = table(octets.get(start..at + 8).unwrap_or_default()) {
                    *blocks += read.len();
                    read.iter().for_each(|block| found.extend_from_slice(&entries(block)));
                    break;
                }
            }
        }
    }
    found
}

/// The blocks of one table, opened: as its index names them.
fn table(octets: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut footer = Cut(octets.get(octets.len().checked_sub(FOOTER)? + 1..)?);
    footer.handle()?;
    let index = block(octets, footer.handle()?)?;
    let mut blocks = Vec::new();
    // A whole handle in each entry, with its length before it or not, as tables say of
    // themselves: what leads to whole blocks is what was meant.
    for with_length in [false, true] {
        if let Some(handles) = handles(&index, with_length) {
            let read: Option<Vec<_>> = handles.iter().map(|at| block(octets, *at)).collect();
            if let Some(read) = read.filter(|read| !read.is_empty()) {
                blocks = read;
                break;
            }
        }
    }
    (!blocks.is_empty()).then_some(blocks)
}

fn block(octets: &[u8], (start, len): (usize, usize)) -> Option<Vec<u8>> {
    let end = start.checked_add(len)?;
    let (body, kind) = (octets.get(start..end)?, *octets.get(end)?);
    match kind {
        0 => Some(body.to_vec()),
        4 | 5 => {
            let mut cut = Cut(body);
            let wanted = usize::try_from(cut.varint()?).ok()?;
            Some(lz4(cut.0)).filter(|read| read.len() == wanted)
        }
        7 => {
            let mut cut = Cut(body);
            let wanted = usize::try_from(cut.varint()?).ok()?;
            zstd::bulk::decompress(cut.0, wanted).ok()
        }
        _ => None,
    }
}

/// Entries without what says where each sixteenth begins.
fn without_restarts(block: &[u8]) -> Option<&[u8]> {
    let count = block.last_chunk::<4>().map(|octets| u32::from_le_bytes(*octets))?;
    let tail = (count & 0x7fff_ffff) as usize * 4 + 4;
    block.get(..block.len().checked_sub(tail)?)
}

fn handles(index: &[u8], with_length: bool) -> Option<Vec<(usize, usize)>> {
    let (mut cut, mut handles) = (Cut(without_restarts(index)?), Vec::new());
    while !cut.0.is_empty() {
        let (shared, own) = (cut.varint()?, cut.varint()?);
        if with_length {
            cut.varint()?;
        }
        cut.skip(usize::try_from(own).ok()?)?;
        (shared == 0).then_some(())?;
        handles.push(cut.handle()?);
    }
    Some(handles)
}

/// Keys put together again, and values, of a block of data; another block as it is.
fn entries(block: &[u8]) -> Vec<u8> {
    let mut found = block.to_vec();
    let mut read = || {
        let (mut cut, mut key) = (Cut(without_restarts(block)?), Vec::new());
        while !cut.0.is_empty() {
            let [shared, own, len] = [cut.varint()?, cut.varint()?, cut.varint()?];
            let [shared, own, len] = [shared, own, len].map(|n| usize::try_from(n).unwrap_or(0));
            key.truncate(shared);
            key.extend_from_slice(cut.0.get(..own)?);
            cut.skip(own)?;
            found.extend_from_slice(&key);
            found.extend_from_slice(cut.0.get(..len)?);
            cut.skip(len)?;
        }
        Some(())
    };
    read();
    found
}

/// The records of a log of RocksDB, without the headers that part them.
fn records(octets: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 32 << 10;
    let mut found = Vec::new();
    for block in octets.chunks(BLOCK) {
        let mut rest = block;
        while let Some((header, body)) = rest.split_at_checked(7) {
            let len = usize::from(u16::from_le_bytes([header[4], header[5]]));
            let extra = if header[6] >= 5 { 4 } else { 0 };
            let Some(octets) = body.get(extra..extra + len) else { break };
            if len == 0 {
                break;
            }
            found.extend_from_slice(octets);
            rest = &body[extra + len..];
        }
    }
    found
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// What was opened on the way, so that nobody takes a blind search for a clean place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Opened {
    /// Files.
    pub files: usize,
    /// Blocks of tables of RocksDB.
    pub blocks: usize,
    /// Terms of indexes.
    pub terms: usize,
}

/// The files of a folder, in all forms.
#[derive(Debug)]
pub struct Traces {
    read: Vec<(String, Vec<u8>)>,
    /// What was opened.
    pub opened: Opened,
}

impl Traces {
    /// Reads files; a server may be running on them. Indexes too, where none is.
    pub fn of(folder: &Path, indexes: bool) -> Self {
        let mut all = Vec::new();
        files(folder, &mut all);
        let mut traces = Self { read: Vec::new(), opened: Opened::default() };
        for path in &all {
            traces.file(folder, path);
            if indexes && path.ends_with("meta.json") {
                traces.index(folder, path.parent().unwrap());
            }
        }
        traces
    }

    fn file(&mut self, folder: &Path, path: &Path) {
        // One that went since it was listed has nothing.
        let Ok(mut octets) = fs::read(path) else { return };
        let used = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        octets.truncate(used);
        let name = path.strip_prefix(folder).unwrap().display().to_string();
        self.opened.files += 1;
        let tables = tables(&octets, &mut self.opened.blocks);
        let records = match path.extension().is_some_and(|it| it == "log") {
            true => records(&octets),
            false => Vec::new(),
        };
        let all = [unpacked(&octets), unpacked(&tables), unpacked(&records)];
        for read in [octets, tables, records].iter().chain(&all).filter(|it| !it.is_empty()) {
            self.read.push((name.clone(), folded(read)));
        }
    }

    fn index(&mut self, folder: &Path, index: &Path) {
        let name = index.strip_prefix(folder).unwrap().display().to_string();
        let read = contents(index).unwrap();
        assert!(read.strays.is_empty(), "{name}: {:?}", read.strays);
        self.opened.terms += read.terms.len();
        self.read.extend(read.terms.iter().map(|term| (name.clone(), folded(term))));
        let stored = read.stored.iter().map(|text| (name.clone(), folded(text.as_bytes())));
        self.read.extend(stored);
    }

    /// Those that have a text in any form.
    pub fn having(&self, text: &str) -> BTreeSet<&str> {
        let wanted = forms(text);
        let holds = |(_, octets): &&(String, Vec<u8>)| wanted.iter().any(|form| has(octets, form));
        self.read.iter().filter(holds).map(|(name, _)| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_seen_in_every_form() {
        let text = "vermillionotter8824";
        let qp = "vermillion=\r\notter8824";
        let hex = text.bytes().map(|octet| format!("={octet:02X}")).collect::<String>();
        let coded = [0, 1, 2].map(|n| base64(format!("{}{text}!", "x".repeat(n)).as_bytes()));
        let packed = zstd::bulk::compress(text.as_bytes(), 3).unwrap();
        let wanted = forms(text);
        let sees = |octets: &[u8]| wanted.iter().any(|form| has(&folded(octets), form));
        for form in [text, qp, &hex, &coded[0], &coded[1], &coded[2]] {
            assert!(sees(form.as_bytes()), "{form}");
        }
        assert!(sees(&unpacked(&[b"junk", packed.as_slice()].concat())));
        assert!(!sees(b"vermillionotter8825"));
    }

    #[test]
    fn blocks_of_lz4_open() {
        // Nine literals, twelve octets from nine before, and five literals.
        let block = [b"\x98vermillio".as_slice(), &[9, 0], b"\x50otter"].concat();
        assert_eq!(lz4(&block), b"vermilliovermillioverotter");
    }
}
