//! Tables in RocksDB: a column family each, one write batch a record, RocksDB's
//! own log off. The redo log is the log; a flush takes all families at once.
//!
//! Another database can be put in place of the one that is read: who has a
//! snapshot of the old one goes on reading it.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use redoubt_log::databases::{self, Opened};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BottommostLevelCompaction, Cache, ColumnFamilyDescriptor, CompactOptions, DB,
    DBCompressionType, DBRawIterator, FlushOptions, Options, ReadOptions, Snapshot, WriteBatch,
    WriteOptions,
};

use super::database::{Database, Hold, io};
use super::{Batch, KeyRange, Order, Read, Step, Storage, StorageError, Table, Visitor, Walker};

/// The column family of caches: no state, not hashed, may be emptied at any time.
const CACHE: &str = "cache";

/// How much memory RocksDB may take.
#[derive(Debug, Clone)]
pub struct RocksOptions {
    /// Bytes of the block cache, shared by all tables.
    pub block_cache: usize,
    /// Bytes of what is not flushed yet, over all tables.
    pub write_buffers: usize,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self { block_cache: 64 << 20, write_buffers: 64 << 20 }
    }
}

/// Tables in RocksDB. Clones share them; only one of them writes.
#[derive(Clone)]
pub struct RocksStorage {
    current: Arc<RwLock<Option<Arc<Database>>>>,
}

impl fmt::Debug for RocksStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current.read();
        let path = current.as_ref().map(|database| database.path());
        f.debug_struct("RocksStorage").field("path", &path).finish()
    }
}

impl RocksStorage {
    /// Opens the tables in this directory, or makes them.
    ///
    /// # Errors
    /// The disk, another process that has them open, or corruption.
    pub fn open(path: &Path, options: &RocksOptions) -> Result<Self, StorageError> {
        let opened = Opened::count();
        let db = DB::open_cf_descriptors(&database(options), path, families(options));
        db.map(|db| Self::of(db, path, opened)).map_err(|e| io("all", e))
    }

    /// Opens tables that nobody else has open, for reading: no file of theirs changes.
    ///
    /// # Errors
    /// The disk, or corruption.
    pub fn open_read_only(path: &Path, options: &RocksOptions) -> Result<Self, StorageError> {
        let mut database = database(options);
        database.create_if_missing(false);
        database.create_missing_column_families(false);
        let (families, opened) = (families(options), Opened::count());
        let db = DB::open_cf_descriptors_read_only(&database, path, families, false);
        db.map(|db| Self::of(db, path, opened)).map_err(|e| io("all", e))
    }

    /// None: every read and write of it fails. What a node without views has.
    pub fn absent() -> Self {
        Self { current: Arc::default() }
    }

    fn of(db: DB, path: &Path, opened: Opened) -> Self {
        let database = Arc::new(Database::new(db, path, opened));
        Self { current: Arc::new(RwLock::new(Some(database))) }
    }

    fn current(&self) -> Result<Arc<Database>, StorageError> {
        let current = self.current.read().clone();
        current.ok_or_else(|| io("all", "this node keeps no views: ask another one"))
    }

    /// Puts the tables of `other` in place of these, for all clones. Snapshots of
    /// these go on; with the last of them their folder is removed, and `hold` dropped.
    pub(crate) fn replace_by(&self, other: &Self, hold: &Hold) {
        let new = other.current.read().clone();
        let old = std::mem::replace(&mut *self.current.write(), new);
        old.iter().for_each(|old| old.retire(hold.clone()));
    }

    /// Everything as it is now, for readers.
    ///
    /// # Errors
    /// When there are no tables.
    pub fn snapshot(&self) -> Result<RocksSnapshot, StorageError> {
        let cell = SnapshotCell::try_new(self.current()?, |database| {
            database.db().map(|db| Pinned(db.snapshot()))
        })?;
        Ok(RocksSnapshot { cell: Arc::new(cell) })
    }

    /// Makes everything written so far durable, all tables at one index.
    ///
    /// # Errors
    /// The disk.
    pub fn flush(&self) -> Result<(), StorageError> {
        flush(&*self.current()?)
    }

    /// Writes a durable image of all tables to a directory that is not there
    /// yet, by hard links where the file system has them.
    ///
    /// # Errors
    /// The disk.
    pub fn checkpoint(&self, path: &Path) -> Result<(), StorageError> {
        let current = self.current()?;
        flush(&current)?;
        Checkpoint::new(current.db()?)
            .and_then(|checkpoint| checkpoint.create_checkpoint(path))
            .map_err(|e| io("all", e))
    }

    /// What a cache has under a key. No part of the state.
    ///
    /// # Errors
    /// The disk, or corruption.
    pub fn cached(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let current = self.current()?;
        current.db()?.get_cf(current.family(CACHE)?, key).map_err(|e| io(CACHE, e))
    }

    /// Keeps a value in the cache; it may be lost at any time.
    ///
    /// # Errors
    /// The disk.
    pub fn cache(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let current = self.current()?;
        let family = current.family(CACHE)?;
        current.db()?.put_cf_opt(family, key, value, &unlogged()).map_err(|e| io(CACHE, e))
    }
}

impl RocksStorage {
    /// Forgets a value of the cache.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn uncache(&self, key: &[u8]) -> Result<(), StorageError> {
        let current = self.current()?;
        let family = current.family(CACHE)?;
        current.db()?.delete_cf_opt(family, key, &unlogged()).map_err(|e| io(CACHE, e))
    }

    /// How much was written so far.
    ///
    /// # Errors
    /// The database is closed.
    pub(crate) fn written(&self) -> Result<u64, StorageError> {
        Ok(self.current()?.db()?.latest_sequence_number())
    }

    /// Whether somebody still reads the state of when no more than this was written: what was
    /// deleted since stays for as long as that.
    ///
    /// # Errors
    /// The database is closed.
    pub(crate) fn is_read_before(&self, written: u64) -> Result<bool, StorageError> {
        let current = self.current()?;
        let oldest = current.db()?.property_int_value("rocksdb.oldest-snapshot-sequence");
        let oldest = oldest.map_err(|error| io("all", error))?;
        Ok(oldest.is_some_and(|oldest| oldest > 0 && oldest < written))
    }

    /// Writes anew what lies between keys, so that no file has what was deleted there: of a table,
    /// or of the cache. Blocks.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn rewrite(
        &self,
        table: Option<Table>,
        ranges: &[KeyRange],
    ) -> Result<(), StorageError> {
        let current = self.current()?;
        flush(&current)?;
        let family = current.family(table.map_or(CACHE, Table::name))?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        for range in ranges {
            let (from, to) = (Some(range.from.as_slice()), range.to.as_deref());
            current.db()?.compact_range_cf_opt(family, from, to, &options);
        }
        Ok(())
    }
}

fn flush(database: &Database) -> Result<(), StorageError> {
    let families = Table::ALL.map(Table::name).into_iter().chain([CACHE]);
    let families = families.map(|name| database.family(name)).collect::<Result<Vec<_>, _>>()?;
    let mut options = FlushOptions::default();
    options.set_wait(true);
    database.db()?.flush_cfs_opt(&families, &options).map_err(|e| io("all", e))
}

fn families(options: &RocksOptions) -> impl Iterator<Item = ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(options.block_cache);
    let names = Table::ALL.map(Table::name).into_iter().chain([CACHE]);
    names.map(move |name| ColumnFamilyDescriptor::new(name, family(&cache, options)))
}

fn database(options: &RocksOptions) -> Options {
    let mut database = Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    database.set_atomic_flush(true);
    database.set_paranoid_checks(true);
    database.set_db_write_buffer_size(options.write_buffers);
    database.set_max_background_jobs(2);
    database.set_max_open_files(512);
    database.set_keep_log_file_num(2);
    database.set_max_log_file_size(1 << 20);
    database.set_bytes_per_sync(1 << 20);
    databases::compact_behind_others(&mut database);
    database
}

fn family(cache: &Cache, options: &RocksOptions) -> Options {
    let mut blocks = databases::blocks(cache);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(5);
    let mut family = Options::default();
    family.set_block_based_table_factory(&blocks);
    family.set_write_buffer_size(options.write_buffers / 2);
    family.set_compression_type(DBCompressionType::Lz4);
    family.set_bottommost_compression_type(DBCompressionType::Zstd);
    family.set_level_compaction_dynamic_level_bytes(true);
    family
}

fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

fn bounds(range: &KeyRange, mut options: ReadOptions) -> ReadOptions {
    options.set_iterate_lower_bound(range.from.clone());
    if let Some(to) = &range.to {
        options.set_iterate_upper_bound(to.clone());
    }
    options
}

fn walk(
    mut rows: DBRawIterator<'_>,
    table: Table,
    order: Order,
    visitor: Visitor<'_>,
) -> Result<(), StorageError> {
    match order {
        Order::Rising => rows.seek_to_first(),
        Order::Falling => rows.seek_to_last(),
    }
    while let Some((key, value)) = rows.item() {
        if let ControlFlow::Break(()) = visitor(key, value)? {
            return Ok(());
        }
        match order {
            Order::Rising => rows.next(),
            Order::Falling => rows.prev(),
        }
    }
    rows.status().map_err(|e| io(table.name(), e))
}

fn leap(mut rows: DBRawIterator<'_>, table: Table, walker: Walker<'_>) -> Result<(), StorageError> {
    rows.seek_to_first();
    while let Some((key, value)) = rows.item() {
        match walker(key, value)? {
            Step::Next => rows.next(),
            Step::To(key) => rows.seek(key),
            Step::BackTo(key) => rows.seek_for_prev(key),
            Step::Stop => return Ok(()),
        }
    }
    rows.status().map_err(|e| io(table.name(), e))
}

impl Read for RocksStorage {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let current = self.current()?;
        let family = current.family(table.name())?;
        current.db()?.get_cf(family, key).map_err(|e| io(table.name(), e))
    }

    fn visit(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        visitor: Visitor<'_>,
    ) -> Result<(), StorageError> {
        if range.is_empty() {
            return Ok(());
        }
        let current = self.current()?;
        let family = current.family(table.name())?;
        let options = bounds(range, ReadOptions::default());
        walk(current.db()?.raw_iterator_cf_opt(family, options), table, order, visitor)
    }

    fn walk(&self, table: Table, range: &KeyRange, walker: Walker<'_>) -> Result<(), StorageError> {
        if range.is_empty() {
            return Ok(());
        }
        let current = self.current()?;
        let family = current.family(table.name())?;
        let options = bounds(range, ReadOptions::default());
        leap(current.db()?.raw_iterator_cf_opt(family, options), table, walker)
    }
}

impl Storage for RocksStorage {
    fn write(&mut self, batch: Batch) -> Result<(), StorageError> {
        let current = self.current()?;
        let mut writes = WriteBatch::default();
        for write in batch {
            let family = current.family(write.table.name())?;
            match write.value {
                Some(value) => writes.put_cf(family, write.key, value),
                None => writes.delete_cf(family, write.key),
            }
        }
        current.db()?.write_opt(writes, &unlogged()).map_err(|e| io("all", e))
    }
}

struct Pinned<'a>(Snapshot<'a>);

self_cell::self_cell!(
    struct SnapshotCell {
        owner: Arc<Database>,
        #[covariant]
        dependent: Pinned,
    }
);

/// Everything as it was when this was made. Clones share it.
#[derive(Clone)]
pub struct RocksSnapshot {
    cell: Arc<SnapshotCell>,
}

impl fmt::Debug for RocksSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksSnapshot").finish_non_exhaustive()
    }
}

impl Read for RocksSnapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let family = self.cell.borrow_owner().family(table.name())?;
        let snapshot = &self.cell.borrow_dependent().0;
        snapshot.get_cf(family, key).map_err(|e| io(table.name(), e))
    }

    fn visit(
        &self,
        table: Table,
        range: &KeyRange,
        order: Order,
        visitor: Visitor<'_>,
    ) -> Result<(), StorageError> {
        if range.is_empty() {
            return Ok(());
        }
        let family = self.cell.borrow_owner().family(table.name())?;
        let snapshot = &self.cell.borrow_dependent().0;
        let options = bounds(range, ReadOptions::default());
        walk(snapshot.raw_iterator_cf_opt(family, options), table, order, visitor)
    }

    fn walk(&self, table: Table, range: &KeyRange, walker: Walker<'_>) -> Result<(), StorageError> {
        if range.is_empty() {
            return Ok(());
        }
        let family = self.cell.borrow_owner().family(table.name())?;
        let snapshot = &self.cell.borrow_dependent().0;
        let options = bounds(range, ReadOptions::default());
        leap(snapshot.raw_iterator_cf_opt(family, options), table, walker)
    }
}
