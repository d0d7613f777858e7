//! What the thread that indexes and those that ask say to each other.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use redoubt_log::id::{AccountId, LogIndex};
use serde::{Deserialize, Serialize};

use super::read::ReadError;

/// Numbers for whoever watches the node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The log index up to which all emails are indexed, when none wait.
    pub position: Option<LogIndex>,
    /// Accounts of which something may have to be indexed.
    pub accounts_behind: u64,
    /// For how long the oldest of that has waited.
    pub behind_seconds: f64,
    /// Emails indexed since the start.
    pub emails: u64,
    /// Emails whose attachments' texts came into an index since the start.
    pub attached: u64,
    /// Octets of their texts.
    pub text_bytes: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Indexes that were found damaged, or gone, since the start.
    pub rebuilt: u64,
    /// Octets on the disk, looked up now and then.
    pub disk_bytes: u64,
    /// Queries answered since the start.
    pub queries: u64,
}

#[derive(Debug, Default)]
struct Behind {
    position: Option<LogIndex>,
    accounts: u64,
    oldest: Option<Instant>,
}

/// Shared by the thread and by all who ask.
#[derive(Debug, Default)]
pub(super) struct State {
    closing: AtomicBool,
    emails: AtomicU64,
    attached: AtomicU64,
    octets: AtomicU64,
    commits: AtomicU64,
    rebuilt: AtomicU64,
    size: AtomicU64,
    queries: AtomicU64,
    behind: Mutex<Behind>,
    wanted: Mutex<HashSet<AccountId>>,
    hurried: AtomicU64,
    #[cfg(test)]
    pub(super) fault: Mutex<Option<&'static str>>,
}

/// Someone waits for the thread.
pub(super) struct Hurried<'a>(&'a State);

impl Drop for Hurried<'_> {
    fn drop(&mut self) {
        self.0.hurried.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(super) fn indexed(&self, octets: usize) {
        self.emails.fetch_add(1, Ordering::Relaxed);
        self.octets.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// A document was made, with what was extracted or without.
    pub(super) fn attached(&self, read: bool) {
        self.attached.fetch_add(u64::from(read), Ordering::Relaxed);
    }

    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn rebuilt(&self) {
        self.rebuilt.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn asked(&self) {
        self.queries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Relaxed);
    }

    pub(super) fn set_behind(
        &self,
        accounts: u64,
        oldest: Option<Instant>,
        position: Option<LogIndex>,
    ) {
        *self.behind.lock() = Behind { position, accounts, oldest };
    }

    /// Who asked had to look through emails that wait: they are indexed at once.
    pub(super) fn want(&self, account: AccountId) {
        self.wanted.lock().insert(account);
    }

    /// Whether someone waits for what is being done.
    pub(super) fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Relaxed) > 0 || !self.wanted.lock().is_empty()
    }

    /// Someone waits, until this is dropped.
    pub(super) fn hurried(&self) -> Hurried<'_> {
        self.hurried.fetch_add(1, Ordering::Relaxed);
        Hurried(self)
    }

    pub(super) fn take_wanted(&self) -> HashSet<AccountId> {
        std::mem::take(&mut *self.wanted.lock())
    }

    pub(super) fn status(&self) -> Status {
        let behind = self.behind.lock();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            position: behind.position,
            accounts_behind: behind.accounts,
            behind_seconds: behind.oldest.map_or(0.0, |since| since.elapsed().as_secs_f64()),
            emails: count(&self.emails),
            attached: count(&self.attached),
            text_bytes: count(&self.octets),
            commits: count(&self.commits),
            rebuilt: count(&self.rebuilt),
            disk_bytes: count(&self.size),
            queries: count(&self.queries),
        }
    }

    /// Where a test makes the thread fail as if the process had ended.
    #[cfg(test)]
    pub(super) fn fault(&self, here: &'static str) -> Result<(), ReadError> {
        let mut fault = self.fault.lock();
        if *fault == Some(here) {
            *fault = None;
            self.close();
            return Err(ReadError::Odd("a fault that a test asked for"));
        }
        Ok(())
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(super) fn fault(&self, _: &'static str) -> Result<(), ReadError> {
        Ok(())
    }
}
