//! What was verified a short while ago: a client with many connections pays argon2 once.
//!
//! Neither passwords nor plain hashes of them are kept: entries are found by a
//! hash under a key that only this process has, and hold the hash of the PHC
//! string that fitted. A changed credential therefore fits no entry.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

const KEEP: Duration = Duration::from_secs(5 * 60);
const ENTRIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16 * 1024 - 1);

#[derive(Debug)]
struct Entry {
    phc: blake3::Hash,
    until: Instant,
}

/// Verified credentials.
pub(super) struct Verified {
    key: [u8; 32],
    entries: LruCache<blake3::Hash, Entry>,
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl Default for Verified {
    fn default() -> Self {
        Self { key: rand::random(), entries: LruCache::new(ENTRIES) }
    }
}

impl Verified {
    /// Whether this password fitted one of these PHC strings lately.
    pub(super) fn holds(
        &mut self,
        account: u64,
        password: &[u8],
        phcs: &[String],
        now: Instant,
    ) -> bool {
        let id = self.id(account, password);
        let fits = |entry: &Entry| {
            now < entry.until && phcs.iter().any(|phc| blake3::hash(phc.as_bytes()) == entry.phc)
        };
        match self.entries.get(&id).map(fits) {
            Some(false) => {
                self.entries.pop(&id);
                false
            }
            held => held.unwrap_or(false),
        }
    }

    /// Remembers that this password fitted this PHC string.
    pub(super) fn remember(&mut self, account: u64, password: &[u8], phc: &str, now: Instant) {
        let entry = Entry { phc: blake3::hash(phc.as_bytes()), until: now + KEEP };
        self.entries.put(self.id(account, password), entry);
    }

    fn id(&self, account: u64, password: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&account.to_le_bytes()).update(password);
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_for_a_while_and_only_the_same_credential() {
        let (mut verified, now) = (Verified::default(), Instant::now());
        let phcs = ["a".to_owned(), "b".to_owned()];
        verified.remember(1, b"x", "b", now);
        assert!(verified.holds(1, b"x", &phcs, now));
        assert!(!verified.holds(2, b"x", &phcs, now));
        assert!(!verified.holds(1, b"y", &phcs, now));
        assert!(!verified.holds(1, b"x", &phcs, now + KEEP));
        verified.remember(1, b"x", "b", now);
        assert!(!verified.holds(1, b"x", &["c".to_owned()], now));
    }
}
