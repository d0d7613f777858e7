//! Reading a pack that no footer describes: what in it is whole, and whether the
//! rest is a torn tail (never synced, may be cut) or damage (never cut).
//!
//! Every frame says how far completed syncs reached when it was written. Where
//! the first frame that does not fit lies below any such statement, in frames
//! before or behind it, octets that were durable have changed: that is damage.
//! It ends the reading, or is noted and passed over where peers can help.

use memchr::memmem;

use super::error::BlobError;
use super::frame::{Entry, FRAME_HEADER, FRAME_MAGIC, FrameHeader, Kind, PACK_HEADER};
use super::known::Hole;
use super::packs::Pack;
use super::read::FrameReader;

const BLOCK: u64 = 1 << 20;
/// What a disk that does not read gives up at least.
const SECTOR: u64 = 4096;

/// What is whole in a pack.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) entries: Vec<Entry>,
    /// Where the whole part ends.
    pub(super) end: u64,
    /// Completed syncs reached at least to here.
    pub(super) mark: u64,
    /// Octets from `end` to the last one that is not zero.
    pub(super) junk: u64,
    /// Whether it was being sealed, or was sealed.
    pub(super) footer: bool,
    /// Entries whose frames do not read, and why.
    pub(super) bad: Vec<(Entry, String)>,
    /// Where not even a frame's header reads.
    pub(super) holes: Vec<Hole>,
}

impl Scan {
    pub(super) fn is_damaged(&self) -> bool {
        !self.bad.is_empty() || !self.holes.is_empty()
    }
}

/// Reads all frames and verifies them. `floor` is what is known to have been
/// synced. With `tolerate` damage is noted, not an error.
pub(super) fn scan(pack: &Pack, floor: u64, tolerate: bool) -> Result<Scan, BlobError> {
    let (mut scan, len) = (Scan { mark: floor, ..Scan::default() }, pack.len()?);
    scan.end = PACK_HEADER as u64;
    let mut rest: Option<Rest> = None;
    while scan.end < len && !scan.footer {
        let damage = match whole_frame(pack, scan.end) {
            Ok(header) => {
                take(&mut scan, pack, &header);
                continue;
            }
            Err(error @ BlobError::Io { .. }) if !tolerate => return Err(error),
            Err(damage) => damage,
        };
        let rest = match &rest {
            Some(rest) => rest,
            None => rest.insert(search(pack, scan.end, len, tolerate)?),
        };
        scan.mark = scan.mark.max(rest.mark);
        if scan.mark <= scan.end {
            scan.junk = rest.last.filter(|last| *last >= scan.end).map_or(0, |l| l + 1 - scan.end);
            return Ok(scan);
        }
        if !tolerate {
            return Err(damage);
        }
        pass_over(&mut scan, pack, len, &damage)?;
    }
    Ok(scan)
}

fn whole_frame(pack: &Pack, offset: u64) -> Result<FrameHeader, BlobError> {
    let frame = FrameReader::open_at(pack.clone(), offset)?;
    frame.verify()?;
    Ok(*frame.header())
}

fn take(scan: &mut Scan, pack: &Pack, header: &FrameHeader) {
    scan.mark = scan.mark.max(header.synced);
    let entry = Entry::of(header, pack.key.id, scan.end);
    scan.footer = header.kind == Kind::Footer;
    if entry.is_blob() {
        scan.entries.push(entry);
    }
    if !scan.footer {
        scan.end += header.size();
    }
}

/// Notes damage below a mark and goes on behind it.
fn pass_over(scan: &mut Scan, pack: &Pack, len: u64, damage: &BlobError) -> Result<(), BlobError> {
    let at = scan.end;
    let header = pack.read(at, FRAME_HEADER).ok();
    let header = header.and_then(|octets| FrameHeader::decode(&octets, pack.key.seed(at)));
    if let Some(header) = header.filter(|header| at.saturating_add(header.size()) <= len) {
        let entry = Entry::of(&header, pack.key.id, at);
        take(scan, pack, &header);
        if entry.is_blob() {
            scan.bad.push((entry, damage.to_string()));
        }
        return Ok(());
    }
    // Without a whole header behind it, damage reaches as far as syncs are known to.
    let next = next_header(pack, at + 1, len)?.unwrap_or(scan.mark.min(len));
    scan.holes.push(Hole { pack: pack.key.id, from: at, to: next });
    scan.end = next;
    Ok(())
}

/// What lies behind the first frame that does not fit.
#[derive(Default)]
struct Rest {
    /// The highest statement of frames whose header is whole.
    mark: u64,
    /// The last octet that is not zero.
    last: Option<u64>,
}

fn search(pack: &Pack, from: u64, len: u64, tolerate: bool) -> Result<Rest, BlobError> {
    let mut rest = Rest::default();
    blocks(pack, from, len, tolerate, &mut |at, octets| {
        if let Some(last) = octets.iter().rposition(|octet| *octet != 0) {
            rest.last = Some(at + last as u64);
            let mark = headers(pack, at, octets).map(|(_, header)| header.synced).max();
            rest.mark = rest.mark.max(mark.unwrap_or(0));
        }
        true
    })?;
    Ok(rest)
}

/// The next whole header.
fn next_header(pack: &Pack, from: u64, len: u64) -> Result<Option<u64>, BlobError> {
    let mut found = None;
    blocks(pack, from, len, true, &mut |at, octets| {
        found = headers(pack, at, octets).map(|(place, _)| place).next();
        found.is_none()
    })?;
    Ok(found)
}

fn headers<'a>(
    pack: &'a Pack,
    at: u64,
    octets: &'a [u8],
) -> impl Iterator<Item = (u64, FrameHeader)> + 'a {
    memmem::find_iter(octets, &FRAME_MAGIC).filter_map(move |found| {
        let place = at + found as u64;
        let rest = octets.get(found..).unwrap_or_default();
        Some((place, FrameHeader::decode(rest, pack.key.seed(place))?))
    })
}

/// Shows a pack in blocks that overlap by a header, so that none is missed on an
/// edge, until `look` has seen enough.
fn blocks(
    pack: &Pack,
    from: u64,
    len: u64,
    tolerate: bool,
    look: &mut dyn FnMut(u64, &[u8]) -> bool,
) -> Result<(), BlobError> {
    let mut at = from;
    while at < len {
        let size = (len - at).min(BLOCK + FRAME_HEADER as u64);
        let octets = match pack.read(at, size as usize) {
            Err(_) if tolerate => by_sectors(pack, at, size),
            octets => octets?,
        };
        if !look(at, &octets) {
            break;
        }
        at += BLOCK;
    }
    Ok(())
}

/// What a failing disk still gives, zeros for the rest.
fn by_sectors(pack: &Pack, at: u64, size: u64) -> Vec<u8> {
    let mut octets = Vec::with_capacity(size as usize);
    while (octets.len() as u64) < size {
        let len = (size - octets.len() as u64).min(SECTOR) as usize;
        let read = pack.read(at + octets.len() as u64, len);
        octets.extend(read.unwrap_or_else(|_| vec![0; len]));
    }
    octets
}
