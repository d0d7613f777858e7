//! How many databases this process has open. RocksDB's threads and its static
//! parts are one: a process that ends while a database is open or being closed may
//! be aborted in the middle of that, so that its end waits for all of them. And what
//! all of them have in common.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, Env, Options};

/// Bits of the Bloom filter for a key: one look-up in a hundred reads in vain.
const BLOOM_BITS: f64 = 10.0;

static OPEN: Mutex<usize> = Mutex::new(0);
static CLOSED: Condvar = Condvar::new();

/// A database is open for as long as this is there: to be dropped behind it.
#[derive(Debug)]
pub struct Opened(());

impl Opened {
    /// One more.
    pub fn count() -> Self {
        *OPEN.lock() += 1;
        Self(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        *OPEN.lock() -= 1;
        CLOSED.notify_all();
    }
}

/// Blocks until none is open any more; false when one still is after `patience`.
pub fn all_closed_within(patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    let mut open = OPEN.lock();
    while *open > 0 {
        if CLOSED.wait_until(&mut open, deadline).timed_out() {
            return *open == 0;
        }
    }
    true
}

/// How files are laid out in blocks that this cache keeps.
///
/// Filters and indexes are cut into blocks as small as those of rows. Whole, those of one file
/// have megabytes: more than fits into one of the parts that a cache is divided into, so that
/// each look-up would read and check all of them again.
pub fn blocks(cache: &Cache) -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(BLOOM_BITS, false);
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_top_level_index_and_filter(true);
    blocks
}

/// Compactions take what processor time others leave: who waits for an answer goes first.
/// Flushes do not, for writes wait for them.
pub fn compact_behind_others(options: &mut Options) {
    match Env::new() {
        Ok(mut env) => {
            env.lower_thread_pool_cpu_priority();
            options.set_env(&env);
        }
        Err(error) => tracing::debug!(%error, "compactions go beside all else"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rocksdb::DB;
    use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};

    use super::*;

    const KEYS: u32 = 400_000;

    fn key(number: u32) -> [u8; 32] {
        *blake3::hash(&number.to_be_bytes()).as_bytes()
    }

    /// A filter of so many keys has half a megabyte, as much as a part of a small cache.
    #[test]
    fn a_look_up_reads_blocks_and_not_whole_filters() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.create_if_missing(true);
        compact_behind_others(&mut options);
        options.set_block_based_table_factory(&blocks(&Cache::new_lru_cache(4 << 20)));
        let db = DB::open(&options, dir.path()).unwrap();
        (0..KEYS).for_each(|number| db.put(key(number), [7; 32]).unwrap());
        db.flush().unwrap();
        set_perf_stats(PerfStatsLevel::EnableCount);
        let mut counted = PerfContext::default();
        let looks = (0..KEYS + KEYS / 100).step_by(997);
        let times = u64::try_from(looks.clone().count()).unwrap();
        counted.reset();
        for number in looks {
            assert_eq!(db.get_pinned(key(number)).unwrap().is_some(), number < KEYS);
        }
        let read = counted.metric(PerfMetric::BlockReadByte);
        set_perf_stats(PerfStatsLevel::Disable);
        assert!(read / times < 32 * 1024, "{read} octets for {times} look-ups");
    }
}
