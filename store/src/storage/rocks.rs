//! Tables in RocksDB: a column family each, one write batch a record, RocksDB's
//! own log off. The redo log is the log; a flush takes all families at once.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRawIterator, FlushOptions, Options, ReadOptions, Snapshot, WriteBatch, WriteOptions,
};

use super::{Batch, KeyRange, Order, Read, Storage, StorageError, Table, Visitor};

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
    db: Arc<DB>,
}

impl fmt::Debug for RocksStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksStorage").field("path", &self.db.path()).finish()
    }
}

impl RocksStorage {
    /// Opens the tables in this directory, or makes them.
    ///
    /// # Errors
    /// The disk, another process that has them open, or corruption.
    pub fn open(path: &Path, options: &RocksOptions) -> Result<Self, StorageError> {
        let cache = Cache::new_lru_cache(options.block_cache);
        let families = Table::ALL.map(Table::name).into_iter().chain([CACHE]);
        let families =
            families.map(|name| ColumnFamilyDescriptor::new(name, family(&cache, options)));
        let db = DB::open_cf_descriptors(&database(options), path, families)
            .map_err(|e| StorageError::Io { table: "all", error: e.to_string() })?;
        Ok(Self { db: Arc::new(db) })
    }

    /// Opens tables that nobody else has open, for reading: no file of theirs changes.
    ///
    /// # Errors
    /// The disk, or corruption.
    pub fn open_read_only(path: &Path, options: &RocksOptions) -> Result<Self, StorageError> {
        let cache = Cache::new_lru_cache(options.block_cache);
        let families = Table::ALL.map(Table::name).into_iter().chain([CACHE]);
        let families =
            families.map(|name| ColumnFamilyDescriptor::new(name, family(&cache, options)));
        let mut database = database(options);
        database.create_if_missing(false);
        database.create_missing_column_families(false);
        let db = DB::open_cf_descriptors_read_only(&database, path, families, false)
            .map_err(|e| StorageError::Io { table: "all", error: e.to_string() })?;
        Ok(Self { db: Arc::new(db) })
    }

    /// Everything as it is now, for readers.
    pub fn snapshot(&self) -> RocksSnapshot {
        let cell = SnapshotCell::new(Arc::clone(&self.db), |db| Pinned(db.snapshot()));
        RocksSnapshot { cell: Arc::new(cell) }
    }

    /// Makes everything written so far durable, all tables at one index.
    ///
    /// # Errors
    /// The disk.
    pub fn flush(&self) -> Result<(), StorageError> {
        let families = Table::ALL.map(Table::name).into_iter().chain([CACHE]);
        let families =
            families.map(|name| handle(&self.db, name)).collect::<Result<Vec<_>, _>>()?;
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db
            .flush_cfs_opt(&families, &options)
            .map_err(|e| StorageError::Io { table: "all", error: e.to_string() })
    }

    /// Writes a durable image of all tables to a directory that is not there
    /// yet, by hard links where the file system has them.
    ///
    /// # Errors
    /// The disk.
    pub fn checkpoint(&self, path: &Path) -> Result<(), StorageError> {
        self.flush()?;
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(path))
            .map_err(|e| StorageError::Io { table: "all", error: e.to_string() })
    }

    /// What a cache has under a key. No part of the state.
    ///
    /// # Errors
    /// The disk, or corruption.
    pub fn cached(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.db.get_cf(handle(&self.db, CACHE)?, key).map_err(|e| io(CACHE, e))
    }

    /// Keeps a value in the cache; it may be lost at any time.
    ///
    /// # Errors
    /// The disk.
    pub fn cache(&self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let family = handle(&self.db, CACHE)?;
        self.db.put_cf_opt(family, key, value, &unlogged()).map_err(|e| io(CACHE, e))
    }
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
    database
}

fn family(cache: &Cache, options: &RocksOptions) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_cache_index_and_filter_blocks(true);
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

fn io(table: &'static str, error: rocksdb::Error) -> StorageError {
    StorageError::Io { table, error: error.to_string() }
}

fn handle<'a>(db: &'a DB, name: &'static str) -> Result<&'a ColumnFamily, StorageError> {
    db.cf_handle(name)
        .ok_or_else(|| StorageError::Io { table: name, error: "there is no such table".to_owned() })
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

impl Read for RocksStorage {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let family = handle(&self.db, table.name())?;
        self.db.get_cf(family, key).map_err(|e| io(table.name(), e))
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
        let family = handle(&self.db, table.name())?;
        let options = bounds(range, ReadOptions::default());
        walk(self.db.raw_iterator_cf_opt(family, options), table, order, visitor)
    }
}

impl Storage for RocksStorage {
    fn write(&mut self, batch: Batch) -> Result<(), StorageError> {
        let mut writes = WriteBatch::default();
        for write in batch {
            let family = handle(&self.db, write.table.name())?;
            match write.value {
                Some(value) => writes.put_cf(family, write.key, value),
                None => writes.delete_cf(family, write.key),
            }
        }
        self.db.write_opt(writes, &unlogged()).map_err(|e| io("all", e))
    }
}

struct Pinned<'a>(Snapshot<'a>);

self_cell::self_cell!(
    struct SnapshotCell {
        owner: Arc<DB>,
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
        let family = handle(self.cell.borrow_owner(), table.name())?;
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
        let family = handle(self.cell.borrow_owner(), table.name())?;
        let snapshot = &self.cell.borrow_dependent().0;
        let options = bounds(range, ReadOptions::default());
        walk(snapshot.raw_iterator_cf_opt(family, options), table, order, visitor)
    }
}
