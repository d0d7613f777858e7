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

/// A PHC string, of which nothing can be told but whether it is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(blake3::Hash);

impl Fingerprint {
    fn of(phc: &str) -> Self {
        Self(blake3::hash(phc.as_bytes()))
    }

    /// Whether it is of this PHC string.
    pub(crate) fn is_of(&self, phc: &str) -> bool {
        *self == Self::of(phc)
    }
}

#[derive(Debug)]
struct Entry {
    phc: Fingerprint,
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
    /// The one of these PHC strings that this password fitted lately.
    pub(super) fn holds(
        &mut self,
        account: u64,
        password: &[u8],
        phcs: &[String],
        now: Instant,
    ) -> Option<Fingerprint> {
        let id = self.id(account, password);
        let entry = self.entries.get(&id)?;
        if now < entry.until && phcs.iter().any(|phc| entry.phc.is_of(phc)) {
            return Some(entry.phc);
        }
        self.entries.pop(&id);
        None
    }

    /// Remembers that this password fitted this PHC string.
    pub(super) fn remember(
        &mut self,
        account: u64,
        password: &[u8],
        phc: &str,
        now: Instant,
    ) -> Fingerprint {
        let phc = Fingerprint::of(phc);
        self.entries.put(self.id(account, password), Entry { phc, until: now + KEEP });
        phc
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
        assert!(verified.holds(1, b"x", &phcs, now).is_some_and(|phc| phc.is_of("b")));
        assert_eq!(verified.holds(2, b"x", &phcs, now), None);
        assert_eq!(verified.holds(1, b"y", &phcs, now), None);
        assert_eq!(verified.holds(1, b"x", &phcs, now + KEEP), None);
        verified.remember(1, b"x", "b", now);
        assert_eq!(verified.holds(1, b"x", &["c".to_owned()], now), None);
    }
}
