//! What is known to be damaged here: blobs whose frames do not read, and parts
//! of packs of which nobody can say any more whose frames they were.
//!
//! Kept in the file `damaged` beside the packs (docs/format.md), which is written
//! before anything is done that would make opening forget it. A blob leaves the
//! list when a good frame of it is durable; holes leave it when a peer's blobs
//! were compared with ours.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::error::BlobError;
use super::frame::{Entry, Kind, Location, file_name};
use crate::disk::{Disk, replace};
use crate::id::BlobId;

/// The list's name beside the packs.
pub(super) const FILE: &str = "damaged";
const NEW: &str = "damaged.new";
/// Longer lists are not read: the file itself is then taken as damaged.
const MOST_BYTES: u64 = 64 << 20;

/// A blob that does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    /// Where the frame is; `None` for one that is not here at all.
    pub(super) at: Option<Location>,
    /// What does not fit.
    pub(super) what: String,
    /// Whether it must be stored whole, since a recipe here has it as a part.
    pub(super) whole: bool,
}

/// Octets of a pack of which it is not known what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hole {
    pub(super) pack: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Hole {
    pub(super) fn has(&self, at: &Location) -> bool {
        at.pack == self.pack && (self.from..self.to).contains(&at.offset)
    }

    /// Everything: for a list that itself does not read.
    const UNKNOWN: Self = Self { pack: 0, from: 0, to: u64::MAX };
}

/// What is known to be damaged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) bad: BTreeMap<BlobId, Bad>,
    pub(super) holes: Vec<Hole>,
}

impl Known {
    pub(super) fn is_empty(&self) -> bool {
        self.bad.is_empty() && self.holes.is_empty()
    }

    /// Whether the frame at this place is known not to read.
    pub(super) fn is_bad(&self, id: &BlobId, at: &Location) -> bool {
        self.bad.get(id).is_some_and(|bad| bad.at.as_ref() == Some(at))
    }

    /// The first pack that may hold a good frame of the blob: in the order of packs
    /// and offsets later frames win.
    pub(super) fn above(&self, id: &BlobId) -> u64 {
        self.bad.get(id).and_then(|bad| bad.at).map_or(0, |at| at.pack)
    }

    /// A pack's entries, those included whose frames do not read, by rising offset.
    pub(super) fn with_bad(&self, pack: u64, entries: Vec<Entry>) -> Vec<Entry> {
        let bad = self.bad.iter().filter_map(|(id, bad)| Some(Entry { id: *id, at: bad.at? }));
        let here = bad.filter(|entry| entry.at.pack == pack).chain(entries);
        let by_offset: BTreeMap<u64, Entry> = here.map(|entry| (entry.at.offset, entry)).collect();
        by_offset.into_values().collect()
    }

    pub(super) fn add_hole(&mut self, hole: Hole) {
        if !self.holes.contains(&hole) {
            self.holes.push(hole);
        }
    }

    pub(super) fn error(&self, id: &BlobId) -> Option<BlobError> {
        let bad = self.bad.get(id)?;
        let Some(at) = bad.at else { return Some(BlobError::Missing(*id)) };
        let (pack, offset, what) = (file_name(at.pack), at.offset, bad.what.clone());
        Some(BlobError::Damaged { pack, offset, blob: Some(*id), what })
    }

    // ------------------------------------------------------------- the file

    /// The list in `dir`, empty when there is none.
    pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Result<Self, BlobError> {
        let file = match disk.open(&dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            file => file.map_err(|error| super::packs::io_error(FILE, error))?,
        };
        let len = file.len().map_err(|error| super::packs::io_error(FILE, error))?;
        let mut octets = vec![0; usize::try_from(len.min(MOST_BYTES)).unwrap_or(0)];
        let read = file.read_exact_at(&mut octets, 0).is_ok() && len <= MOST_BYTES;
        let known = read.then(|| Self::decode(&octets)).flatten();
        Ok(known.unwrap_or_else(|| Self { holes: vec![Hole::UNKNOWN], ..Self::default() }))
    }

    /// Makes a list durable; no file for an empty one.
    pub(super) fn save(list: Option<Vec<u8>>, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let (path, new) = (dir.join(FILE), dir.join(NEW));
        let gone = |path: &Path| match disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        if let Some(list) = list {
            return replace(disk, &path, &new, &list);
        }
        gone(&new)?;
        gone(&path)?;
        disk.sync_dir(dir)
    }

    /// The file's contents; `None` for an empty list.
    pub(super) fn list(&self) -> Option<Vec<u8>> {
        (!self.is_empty()).then(|| self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut text = String::from("1\n");
        for (id, bad) in &self.bad {
            let (word, at) = (if bad.whole { "whole" } else { "blob" }, bad.at.map(words));
            text.push_str(&format!("{word} {id} {}\n", at.unwrap_or_else(|| "-".into())));
        }
        for Hole { pack, from, to } in &self.holes {
            text.push_str(&format!("hole {pack} {from} {to}\n"));
        }
        let hash = blake3::hash(text.as_bytes()).to_hex();
        text.push_str(&format!("{hash}\n"));
        text.into_bytes()
    }

    fn decode(octets: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(octets).ok()?.strip_suffix('\n')?;
        let (body, hash) = text.rsplit_once('\n')?;
        let body = format!("{body}\n");
        if blake3::hash(body.as_bytes()).to_hex().as_str() != hash {
            return None;
        }
        let mut lines = body.lines();
        let mut known = Self::default();
        (lines.next()? == "1").then_some(())?;
        lines.try_for_each(|line| known.take(line))?;
        Some(known)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["hole", numbers @ ..] = words.as_slice() {
            let [pack, from, to] = numbers_of(numbers)?;
            self.holes.push(Hole { pack, from, to });
            return Some(());
        }
        let [word @ ("blob" | "whole"), id, at @ ..] = words.as_slice() else { return None };
        let at = match at {
            ["-"] => None,
            [kind, numbers @ ..] => {
                let kind = Kind::from_octet(kind.parse().ok()?)?;
                let [pack, offset, len, size] = numbers_of(numbers)?;
                Some(Location { kind, pack, offset, len, size })
            }
            [] => return None,
        };
        let what = "it was found damaged before".to_owned();
        let bad = Bad { at, what, whole: *word == "whole" };
        self.bad.insert(id.parse().ok()?, bad);
        Some(())
    }
}

fn words(at: Location) -> String {
    format!("{} {} {} {} {}", at.kind as u8, at.pack, at.offset, at.len, at.size)
}

fn numbers_of<const N: usize>(words: &[&str]) -> Option<[u64; N]> {
    let numbers: Vec<u64> = words.iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::disk::sim::SimDisk;

    fn known() -> Known {
        let at = Location { kind: Kind::Recipe, pack: 3, offset: 64, len: 9, size: 100 };
        let bad = Bad { at: Some(at), what: "it was found damaged before".into(), whole: false };
        let missing = Bad { at: None, whole: true, ..bad.clone() };
        let bad = BTreeMap::from([(BlobId::of(b"x"), bad), (BlobId::of(b"y"), missing)]);
        Known { bad, holes: vec![Hole { pack: 1, from: 64, to: 900 }] }
    }

    #[test]
    fn the_list_is_kept_and_a_damaged_one_says_that_anything_may_be() {
        let (disk, dir) = (SimDisk::new(1), Path::new("/blobs"));
        disk.create_dir_all(dir).unwrap();
        assert_eq!(Known::load(&disk, dir).unwrap(), Known::default());
        Known::save(known().list(), &disk, dir).unwrap();
        assert_eq!(Known::load(&disk.crash(), dir).unwrap(), known());
        let bytes = disk.bytes(&dir.join(FILE)).unwrap();
        for place in 0..bytes.len() {
            let copy = disk.copy();
            copy.flip(&dir.join(FILE), place, 0x10).unwrap();
            assert_eq!(Known::load(&copy, dir).unwrap().holes, [Hole::UNKNOWN], "{place}");
        }
        Known::save(Known::default().list(), &disk, dir).unwrap();
        assert!(disk.crash().files().is_empty());
    }

    #[test]
    fn only_the_frame_that_was_found_bad_is_bad() {
        let known = known();
        let (id, missing) = (BlobId::of(b"x"), BlobId::of(b"y"));
        let at = known.bad.get(&id).unwrap().at.unwrap();
        assert!(known.is_bad(&id, &at));
        assert!(!known.is_bad(&id, &Location { pack: 4, ..at }));
        assert_eq!((known.above(&id), known.above(&missing)), (3, 0));
        assert!(matches!(known.error(&missing), Some(BlobError::Missing(_))));
        assert!(known.error(&id).unwrap().to_string().contains("0000000000000003.pack"));
    }
}
