//! Reading a pack that no footer describes: what in it is whole, and whether the
//! rest is a torn tail (never synced, may be cut) or damage (never cut).
//!
//! Every frame says how far completed syncs reached when it was written. Where
//! the first frame that does not fit lies below any such statement, in frames
//! before or behind it, octets that were durable have changed: that is damage.

use memchr::memmem;

use super::error::BlobError;
use super::frame::{Entry, FRAME_HEADER, FRAME_MAGIC, FrameHeader, Kind, PACK_HEADER};
use super::packs::Pack;
use super::read::FrameReader;

const BLOCK: usize = 1 << 20;

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
}

/// Reads all frames and verifies them. `floor` is what is known to have been synced.
pub(super) fn scan(pack: &Pack, floor: u64) -> Result<Scan, BlobError> {
    let (mut scan, len) = (Scan { mark: floor, ..Scan::default() }, pack.len()?);
    scan.end = PACK_HEADER as u64;
    while scan.end < len {
        match whole_frame(pack, scan.end) {
            Ok(header) => {
                take(&mut scan, pack, &header);
                if scan.footer {
                    break;
                }
            }
            Err(error @ BlobError::Io { .. }) => return Err(error),
            Err(damage) => return tail(pack, scan, len, damage),
        }
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

fn tail(pack: &Pack, mut scan: Scan, len: u64, damage: BlobError) -> Result<Scan, BlobError> {
    let rest = search(pack, scan.end, len)?;
    scan.mark = scan.mark.max(rest.mark);
    if scan.mark > scan.end {
        return Err(damage);
    }
    scan.junk = rest.last.map_or(0, |last| last + 1 - scan.end);
    Ok(scan)
}

/// What lies behind the first frame that does not fit.
#[derive(Default)]
struct Rest {
    /// The highest statement of frames whose header is whole.
    mark: u64,
    /// The last octet that is not zero.
    last: Option<u64>,
}

fn search(pack: &Pack, from: u64, len: u64) -> Result<Rest, BlobError> {
    let (mut rest, mut at) = (Rest::default(), from);
    let finder = memmem::Finder::new(&FRAME_MAGIC);
    while at < len {
        // Blocks overlap by a header, so that none is missed on an edge.
        let octets = pack.read(at, (len - at).min((BLOCK + FRAME_HEADER) as u64) as usize)?;
        if let Some(last) = octets.iter().rposition(|octet| *octet != 0) {
            rest.last = Some(at + last as u64);
            for found in finder.find_iter(&octets) {
                let seed = pack.key.seed(at + found as u64);
                let header = FrameHeader::decode(octets.get(found..).unwrap_or_default(), seed);
                rest.mark = rest.mark.max(header.map_or(0, |header| header.synced));
            }
        }
        at += BLOCK as u64;
    }
    Ok(rest)
}
