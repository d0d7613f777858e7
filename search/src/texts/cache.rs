//! The files. One a text, in folders by hash: nothing to compact, nothing in memory, one removed
//! or damaged costs one extraction. A file is written beside and renamed; it is not synced, since
//! its checksum tells what a crash left of it.
//!
//! `t/xxx/HASH`: `magic u32, extractor version u32, BLAKE3 of the rest (16 octets), status u8
//! (its highest bit where a bound of the process kept text back),
//! octets of the reason u32, reason, text compressed by zstd`. `m/xxx/HASH`, by message: the same
//! head, then for each attachment `numbers u8, number u32…, name of its text (32 octets)`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use redoubt_extract::{Extracted, Status, VERSION};
use redoubt_log::id::BlobId;
use thiserror::Error;

const TEXT: &[u8; 4] = b"RXT1";
const MESSAGE: &[u8; 4] = b"RXM1";
const HEAD: usize = 4 + 4 + 16;
const LEVEL: i32 = 3;
/// The bit of a status that says that another try may read more.
const STOPPED: u8 = 0x80;

/// Something cannot be kept.
#[derive(Debug, Clone, Error)]
#[error(
    "texts of attachments cannot be kept in {path}: {error}; they are derived: make room, or remove the folder"
)]
pub struct CacheError {
    path: String,
    error: Arc<io::Error>,
}

/// The name of a text: of the octets it was made of, and of what was said of them where that
/// decides how they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TextId([u8; 32]);

impl TextId {
    /// Of octets (by their id) and [`redoubt_extract::class`].
    pub(super) fn of(content: &BlobId, class: &str) -> Self {
        Self(BlobId::of(&[content.0.as_slice(), class.as_bytes()].concat()).0)
    }
}

/// The attachments of a message by number, and the names of their texts.
pub(super) type Names = Vec<(Vec<u32>, TextId)>;

/// What is kept.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    /// Octets of text that may be taken from a file.
    longest: u64,
    next: AtomicU64,
}

/// A file of a text, for who counts and removes.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: TextId,
    pub(super) path: PathBuf,
    pub(super) octets: u64,
    pub(super) used: SystemTime,
    pub(super) status: Option<Status>,
}

impl Cache {
    /// Over a folder, which is made when the first text is kept. No text is longer than
    /// `longest` octets.
    pub(super) fn new(folder: &Path, longest: u64) -> Self {
        Self { folder: folder.to_owned(), longest, next: AtomicU64::new(0) }
    }

    /// A text; `None` when it is not there, of another version of the extractor, or damaged,
    /// which also removes it.
    pub(super) fn text(&self, id: &TextId) -> Option<Extracted> {
        let path = self.path("t", &id.0);
        let payload = self.payload(&path, TEXT)?;
        let found = self.decoded(&payload);
        if found.is_none() {
            remove(&path);
        }
        found
    }

    /// Whether a text is there, without reading all of it.
    pub(super) fn has_text(&self, id: &TextId) -> bool {
        let path = self.path("t", &id.0);
        head(&path).is_some_and(|(head, _)| is_current(&head, TEXT))
    }

    /// The attachments of a message.
    pub(super) fn names(&self, message: &BlobId) -> Option<Names> {
        let path = self.path("m", &message.0);
        let payload = self.payload(&path, MESSAGE)?;
        decode_names(&payload)
    }

    /// Keeps a text. Answers the octets of its file.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn put_text(&self, id: &TextId, extracted: &Extracted) -> Result<u64, CacheError> {
        let why = extracted.why.as_deref().unwrap_or_default().as_bytes();
        let stopped = if extracted.stopped { STOPPED } else { 0 };
        let mut payload = vec![extracted.status as u8 | stopped];
        payload.extend_from_slice(&(why.len() as u32).to_le_bytes());
        payload.extend_from_slice(why);
        let path = self.path("t", &id.0);
        let text = zstd::bulk::compress(extracted.text.as_bytes(), LEVEL);
        payload.extend(text.map_err(|error| failed(&path, error))?);
        self.write(&path, TEXT, &payload)
    }

    /// Keeps which attachments a message has.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn put_names(&self, message: &BlobId, names: &Names) -> Result<u64, CacheError> {
        let mut payload = Vec::new();
        for (number, id) in names {
            payload.push(u8::try_from(number.len()).unwrap_or(u8::MAX));
            number.iter().take(255).for_each(|n| payload.extend_from_slice(&n.to_le_bytes()));
            payload.extend_from_slice(&id.0);
        }
        self.write(&self.path("m", &message.0), MESSAGE, &payload)
    }

    /// Where this node's reading of the log has come to.
    pub(super) fn position(&self) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join("position")).ok()?;
        let (version, index) = text.trim().split_once(' ')?;
        (version.parse() == Ok(VERSION)).then(|| index.parse().ok())?
    }

    /// # Errors
    /// The disk.
    pub(super) fn set_position(&self, index: u64) -> Result<(), CacheError> {
        let path = self.folder.join("position");
        self.replace(&path, format!("{VERSION} {index}\n").as_bytes())
    }

    /// Where a walk through everything has come to: the entry that it began at, and the last
    /// message by name.
    pub(super) fn place(&self) -> Option<(u64, BlobId)> {
        let text = fs::read_to_string(self.folder.join("place")).ok()?;
        let mut words = text.split_whitespace();
        let version: u32 = words.next()?.parse().ok()?;
        let (index, last) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (version == VERSION).then_some((index, last))
    }

    /// Nothing where the walk is done.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn set_place(&self, place: Option<(u64, BlobId)>) -> Result<(), CacheError> {
        let path = self.folder.join("place");
        let Some((index, last)) = place else {
            remove(&path);
            return Ok(());
        };
        self.replace(&path, format!("{VERSION} {index} {last}\n").as_bytes())
    }

    /// Shows the names of all messages kept, and removes those that `lives` denies. Ends when
    /// it breaks.
    pub(super) fn messages(&self, look: &mut dyn FnMut(BlobId, &Path) -> bool) {
        self.each("m", &mut |id, path| look(BlobId(id), path));
    }

    /// Shows all texts kept. Those of other versions have no status.
    pub(super) fn texts(&self, look: &mut dyn FnMut(Kept) -> bool) {
        self.each("t", &mut |id, path| {
            let Some((found, meta)) = head(path) else { return true };
            let status = is_current(&found, TEXT).then(|| found.get(HEAD).copied()).flatten();
            look(Kept {
                id: TextId(id),
                path: path.to_owned(),
                octets: meta.len(),
                used: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                status: status.and_then(|octet| Status::from_octet(octet & !STOPPED)),
            })
        });
    }

    fn each(&self, kind: &str, look: &mut dyn FnMut([u8; 32], &Path) -> bool) {
        let Ok(folders) = fs::read_dir(self.folder.join(kind)) else { return };
        for folder in folders.flatten() {
            let Ok(files) = fs::read_dir(folder.path()) else { continue };
            for file in files.flatten() {
                let path = file.path();
                let go_on = match path.file_name().and_then(|n| n.to_str()).and_then(unhex) {
                    Some(id) => look(id, &path),
                    // What a crash left of a file that was being written.
                    None => {
                        remove(&path);
                        true
                    }
                };
                if !go_on {
                    return;
                }
            }
        }
    }

    fn path(&self, kind: &str, id: &[u8; 32]) -> PathBuf {
        let name = hex(id);
        self.folder.join(kind).join(name.get(..3).unwrap_or_default()).join(&name)
    }

    /// The octets behind a sound head of this version.
    fn payload(&self, path: &Path, magic: &[u8; 4]) -> Option<Vec<u8>> {
        let limit = self.longest.saturating_mul(2).saturating_add(1 << 20);
        let mut octets = Vec::new();
        fs::File::open(path).ok()?.take(limit).read_to_end(&mut octets).ok()?;
        let payload = octets.split_off(HEAD.min(octets.len()));
        if is_current(&octets, magic) && octets.get(8..HEAD) == Some(&checksum(&payload)) {
            return Some(payload);
        }
        tracing::debug!(path = %path.display(), "a text is damaged or old, and is extracted again");
        remove(path);
        None
    }

    fn decoded(&self, payload: &[u8]) -> Option<Extracted> {
        let (status, rest) = payload.split_first()?;
        let (len, rest) = rest.split_at_checked(4)?;
        let len = u32::from_le_bytes(len.try_into().ok()?) as usize;
        let (why, text) = rest.split_at_checked(len)?;
        let text = zstd::bulk::decompress(text, usize::try_from(self.longest).ok()?).ok()?;
        let why = String::from_utf8(why.to_vec()).ok()?;
        Some(Extracted {
            status: Status::from_octet(*status & !STOPPED)?,
            stopped: status & STOPPED != 0,
            text: String::from_utf8(text).ok()?,
            why: Some(why).filter(|why| !why.is_empty()),
        })
    }

    fn write(&self, path: &Path, magic: &[u8; 4], payload: &[u8]) -> Result<u64, CacheError> {
        let version = VERSION.to_le_bytes();
        let octets = [magic.as_slice(), &version, &checksum(payload), payload].concat();
        self.replace(path, &octets)?;
        Ok(octets.len() as u64)
    }

    fn replace(&self, path: &Path, octets: &[u8]) -> Result<(), CacheError> {
        let folder = path.parent().unwrap_or(&self.folder);
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let beside = folder.join(format!("new-{}-{next}", std::process::id()));
        let put = || {
            fs::create_dir_all(folder)?;
            fs::write(&beside, octets)?;
            fs::rename(&beside, path)
        };
        put().map_err(|error| {
            remove(&beside);
            failed(path, error)
        })
    }
}

fn failed(path: &Path, error: io::Error) -> CacheError {
    CacheError { path: path.display().to_string(), error: Arc::new(error) }
}

fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// The head and the octet behind it.
fn head(path: &Path) -> Option<(Vec<u8>, fs::Metadata)> {
    let file = fs::File::open(path).ok()?;
    let meta = file.metadata().ok()?;
    let mut octets = Vec::new();
    file.take(HEAD as u64 + 1).read_to_end(&mut octets).ok()?;
    Some((octets, meta))
}

fn is_current(head: &[u8], magic: &[u8; 4]) -> bool {
    head.get(..4) == Some(magic.as_slice()) && head.get(4..8) == Some(&VERSION.to_le_bytes())
}

fn checksum(payload: &[u8]) -> [u8; 16] {
    let mut sum = [0; 16];
    sum.iter_mut().zip(BlobId::of(payload).0).for_each(|(to, from)| *to = from);
    sum
}

fn decode_names(mut rest: &[u8]) -> Option<Names> {
    let mut names = Vec::new();
    while let Some((count, after)) = rest.split_first() {
        let (number, after) = after.split_at_checked(usize::from(*count) * 4)?;
        let number = number.chunks_exact(4).filter_map(|four| four.try_into().ok());
        let number = number.map(u32::from_le_bytes).collect();
        let (id, after) = after.split_at_checked(32)?;
        names.push((number, TextId(id.try_into().ok()?)));
        rest = after;
    }
    Some(names)
}

fn hex(id: &[u8; 32]) -> String {
    BlobId(*id).to_string()
}

fn unhex(name: &str) -> Option<[u8; 32]> {
    name.parse::<BlobId>().ok().map(|id| id.0)
}
