//! The feeds that wake sessions: one watch an account, told after each applied
//! record that changed something of it; another of who may log in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use redoubt_log::id::{AccountId, LogIndex};
use tokio::sync::watch::{Receiver, Sender, channel};

/// Wakes its holder when something of one account changed.
#[derive(Debug)]
pub struct Watch {
    receiver: Receiver<LogIndex>,
}

impl Watch {
    /// Waits until something changed since the last call (or since the watch was made).
    /// Cancel safe. Never returns once the store has shut down.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether [`Watch::changed`] would return at once.
    pub(crate) fn has_changed(&self) -> bool {
        self.receiver.has_changed().unwrap_or(false)
    }

    /// Nothing has changed since now.
    pub(crate) fn take(&mut self) {
        self.receiver.mark_unchanged();
    }
}

/// What a node's sessions are told of.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    /// Of everything.
    pub(crate) changes: ChangeFeed,
    /// Of what a login stands on: the account's state, its passwords.
    pub(crate) logins: ChangeFeed,
}

impl Feeds {
    /// The whole state was replaced by that of `index`.
    pub(crate) fn wake_all(&self, index: LogIndex) {
        self.changes.wake_all(index);
        self.logins.wake_all(index);
    }
}

/// Which accounts were touched since it was last asked, for who follows them all. Bounded by the
/// number of accounts.
#[derive(Debug, Default)]
pub struct Touched {
    table: Mutex<TouchedSince>,
}

/// What [`Touched`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TouchedSince {
    /// By how many records each account was touched.
    pub accounts: HashMap<AccountId, u32>,
    /// Whether the whole state was replaced: any account may have changed.
    pub all: bool,
}

impl Touched {
    /// What was touched since the last call.
    pub fn take(&self) -> TouchedSince {
        std::mem::take(&mut *self.table.lock())
    }

    fn touch(&self, account: AccountId) {
        let mut table = self.table.lock();
        let records = table.accounts.entry(account).or_default();
        *records = records.saturating_add(1);
    }

    fn touch_all(&self) {
        self.table.lock().all = true;
    }
}

const SHARDS: usize = 16;
type Watched = HashMap<AccountId, Sender<LogIndex>>;

/// All watches. Invariant: an account that nobody watches takes no room after its next change,
/// or after as many new watches as there are old ones.
#[derive(Debug)]
pub struct ChangeFeed {
    shards: [Mutex<Table>; SHARDS],
    hasher: RandomState,
    followers: Mutex<Vec<Weak<Touched>>>,
}

#[derive(Debug, Default)]
struct Table {
    watched: Watched,
    clean_at: usize,
}

impl Default for ChangeFeed {
    fn default() -> Self {
        Self { shards: Default::default(), hasher: RandomState::new(), followers: Mutex::default() }
    }
}

impl ChangeFeed {
    /// A watch over one account.
    pub fn subscribe(&self, account: AccountId) -> Watch {
        let mut table = self.table(account).lock();
        table.clean();
        let sender = table.watched.entry(account).or_insert_with(|| channel(LogIndex(0)).0);
        Watch { receiver: sender.subscribe() }
    }

    /// Notes all accounts that are touched from now on, for as long as the answer is held.
    pub fn follow(&self) -> Arc<Touched> {
        let touched = Arc::<Touched>::default();
        let mut followers = self.followers.lock();
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(Arc::downgrade(&touched));
        touched
    }

    fn followers(&self, tell: impl Fn(&Touched)) {
        let followers = self.followers.lock();
        followers.iter().filter_map(Weak::upgrade).for_each(|follower| tell(&follower));
    }

    /// Wakes who watches the account: the record at `index` changed something of it.
    pub(crate) fn wake(&self, account: AccountId, index: LogIndex) {
        self.followers(|follower| follower.touch(account));
        let mut table = self.table(account).lock();
        let Some(sender) = table.watched.get(&account) else { return };
        if sender.send(index).is_err() {
            table.watched.remove(&account);
        }
    }

    /// Wakes everybody: the whole state was replaced by that of `index`.
    fn wake_all(&self, index: LogIndex) {
        self.followers(Touched::touch_all);
        for table in &self.shards {
            table.lock().watched.retain(|_, sender| sender.send(index).is_ok());
        }
    }

    fn table(&self, account: AccountId) -> &Mutex<Table> {
        let [first, ..] = &self.shards;
        let at = self.hasher.hash_one(account) as usize % SHARDS;
        self.shards.get(at).unwrap_or(first)
    }
}

impl Table {
    fn clean(&mut self) {
        if self.watched.len() < self.clean_at.max(64) {
            return;
        }
        self.watched.retain(|_, sender| sender.receiver_count() > 0);
        self.clean_at = self.watched.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_wakes_those_who_watch_and_nobody_else() {
        let feed = ChangeFeed::default();
        let (mut one, mut two) = (feed.subscribe(AccountId(1)), feed.subscribe(AccountId(1)));
        let mut other = feed.subscribe(AccountId(2));
        feed.wake(AccountId(1), LogIndex(7));
        one.changed().await;
        two.changed().await;
        assert!(!other.receiver.has_changed().unwrap_or(true));
        tokio::select! {
            biased;
            () = one.changed() => panic!("woken twice by one change"),
            () = other.changed() => panic!("woken by another account"),
            () = std::future::ready(()) => {}
        }
    }

    #[tokio::test]
    async fn a_change_before_the_wait_is_not_lost() {
        let feed = ChangeFeed::default();
        let mut watch = feed.subscribe(AccountId(1));
        feed.wake(AccountId(1), LogIndex(1));
        feed.wake(AccountId(1), LogIndex(2));
        watch.changed().await;
    }

    #[test]
    fn who_follows_all_is_told_which_accounts_were_touched() {
        let feed = ChangeFeed::default();
        let touched = feed.follow();
        for account in [1, 2, 1] {
            feed.wake(AccountId(account), LogIndex(7));
        }
        let since = touched.take();
        assert_eq!(since.accounts, HashMap::from([(AccountId(1), 2), (AccountId(2), 1)]));
        assert!(!since.all && touched.take() == TouchedSince::default());
        feed.wake_all(LogIndex(8));
        assert!(touched.take().all);
    }

    #[test]
    fn forgotten_watches_take_no_room() {
        let feed = ChangeFeed::default();
        for account in 0..100_000 {
            drop(feed.subscribe(AccountId(account)));
        }
        let held: usize = feed.shards.iter().map(|table| table.lock().watched.len()).sum();
        assert!(held <= SHARDS * 65, "{held}");
    }
}
