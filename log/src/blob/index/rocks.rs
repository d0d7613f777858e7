//! The index in a RocksDB without its own log: what it loses in a crash is
//! added again from the packs, because `covered` is lost with it.

use std::collections::HashMap;
use std::path::Path;

use rocksdb::{Cache, DB, DBCompressionType, IteratorMode, Options, WriteBatch, WriteOptions};

use super::super::frame::{Fields, Kind};
use super::{BlobIndex, Covered, Entry, Location};
use crate::databases::{self, Opened};
use crate::id::BlobId;

const VERSION_KEY: &[u8] = b"v";
const VERSION: &[u8] = b"1";
const BLOB: u8 = b'b';
const PACK: u8 = b'p';
const WRITE_BUFFER: usize = 16 << 20;
/// Of the write buffer: most look-ups are of blobs that are not there.
const MEMORY_BLOOM: f64 = 0.05;

/// One column family, so that a crash leaves a prefix of what was written.
#[derive(Debug)]
pub(in super::super) struct RocksIndex {
    db: DB,
    /// The last to go.
    _opened: Opened,
}

impl RocksIndex {
    /// Opens or makes it.
    pub(in super::super) fn open(dir: &Path, cache: usize) -> Result<Self, String> {
        let opened = Opened::count();
        let db = DB::open(&options(cache), dir).map_err(|error| error.to_string())?;
        let version = db.get(VERSION_KEY).map_err(|error| error.to_string())?;
        match version.as_deref() {
            Some(VERSION) => {}
            None => put_version(&db)?,
            Some(_) => return Err("it is of another version".into()),
        }
        Ok(Self { db, _opened: opened })
    }

    /// Removes it from the disk.
    pub(in super::super) fn destroy(dir: &Path) -> std::io::Result<()> {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn options(cache: usize) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    databases::compact_behind_others(&mut options);
    options.set_block_based_table_factory(&databases::blocks(&Cache::new_lru_cache(cache)));
    // Keys are hashes: nothing to compress.
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER);
    options.set_memtable_prefix_bloom_ratio(MEMORY_BLOOM);
    options.set_memtable_whole_key_filtering(true);
    options.set_keep_log_file_num(2);
    // What is written at once holds up everybody's syncs.
    options.set_bytes_per_sync(1 << 20);
    options
}

fn without_log() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

fn put_version(db: &DB) -> Result<(), String> {
    db.put_opt(VERSION_KEY, VERSION, &without_log()).map_err(|error| error.to_string())
}

fn blob_key(id: &BlobId) -> [u8; 33] {
    let mut key = [BLOB; 33];
    let (_, tail) = key.split_at_mut(1);
    tail.copy_from_slice(&id.0);
    key
}

fn pack_key(pack: u64) -> [u8; 9] {
    let mut key = [PACK; 9];
    let (_, tail) = key.split_at_mut(1);
    tail.copy_from_slice(&pack.to_be_bytes());
    key
}

fn encode(at: &Location) -> Vec<u8> {
    let mut octets = vec![at.kind as u8];
    for number in [at.pack, at.offset, at.len, at.size] {
        octets.extend_from_slice(&number.to_le_bytes());
    }
    octets
}

fn decode(octets: &[u8]) -> Option<Location> {
    let mut fields = Fields(octets);
    let kind = Kind::from_octet(fields.u8()?)?;
    let (pack, offset, len, size) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
    Some(Location { kind, pack, offset, len, size })
}

fn decode_covered(key: &[u8], value: &[u8]) -> Option<(u64, Covered)> {
    let pack = key.get(1..)?.first_chunk().map(|id| u64::from_be_bytes(*id))?;
    let mut fields = Fields(value);
    Some((pack, Covered { salt: fields.array()?, to: fields.u64()? }))
}

impl BlobIndex for RocksIndex {
    fn get(&self, id: &BlobId) -> Result<Option<Location>, String> {
        let value = self.db.get_pinned(blob_key(id)).map_err(|error| error.to_string())?;
        let Some(value) = value else { return Ok(None) };
        decode(&value).map(Some).ok_or_else(|| format!("the place of {id} does not read"))
    }

    fn add(&self, entries: &[Entry], covered: &[(u64, Covered)]) -> Result<(), String> {
        let mut batch = WriteBatch::default();
        for entry in entries {
            batch.put(blob_key(&entry.id), encode(&entry.at));
        }
        for (pack, covered) in covered {
            let value = [covered.salt.as_slice(), &covered.to.to_le_bytes()].concat();
            batch.put(pack_key(*pack), value);
        }
        self.db.write_opt(batch, &without_log()).map_err(|error| error.to_string())
    }

    fn forget(&self, ids: &[BlobId], packs: &[u64]) -> Result<(), String> {
        let mut batch = WriteBatch::default();
        ids.iter().for_each(|id| batch.delete(blob_key(id)));
        packs.iter().for_each(|pack| batch.delete(pack_key(*pack)));
        self.db.write_opt(batch, &without_log()).map_err(|error| error.to_string())
    }

    fn flush(&self) -> Result<(), String> {
        self.db.flush().map_err(|error| error.to_string())
    }

    fn covered(&self) -> Result<HashMap<u64, Covered>, String> {
        let mut all = HashMap::new();
        for item in self.db.iterator(IteratorMode::From(&[PACK], rocksdb::Direction::Forward)) {
            let (key, value) = item.map_err(|error| error.to_string())?;
            if key.first() != Some(&PACK) {
                break;
            }
            let (pack, covered) = decode_covered(&key, &value).ok_or("a pack does not read")?;
            all.insert(pack, covered);
        }
        Ok(all)
    }

    fn ids(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobId>, String> {
        let start = after.map_or_else(|| vec![BLOB], |id| [&blob_key(&id)[..], &[0]].concat());
        let mut ids = Vec::new();
        for item in self.db.iterator(IteratorMode::From(&start, rocksdb::Direction::Forward)) {
            let (key, _) = item.map_err(|error| error.to_string())?;
            match key.split_first() {
                Some((&BLOB, id)) if ids.len() < limit => {
                    let id = id.try_into().map_err(|_| "a blob's key does not read")?;
                    ids.push(BlobId(id));
                }
                _ => break,
            }
        }
        Ok(ids)
    }
}
