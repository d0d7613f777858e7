//! One piece of long work in flight an account.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use redoubt_log::id::AccountId;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Locks by account, first come first served; an account that nobody waits for takes no room.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    locks: Mutex<HashMap<AccountId, Weak<AsyncMutex<()>>>>,
}

/// How many forgotten locks may stand in the table before they are cleared away.
const SLACK: usize = 1024;

impl Gates {
    /// Waits for the account's turn.
    pub(crate) async fn enter(&self, account: AccountId) -> OwnedMutexGuard<()> {
        self.lock(account).lock_owned().await
    }

    fn lock(&self, account: AccountId) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock();
        if let Some(lock) = locks.get(&account).and_then(Weak::upgrade) {
            return lock;
        }
        if locks.len() >= SLACK {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(AsyncMutex::new(()));
        locks.insert(account, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_account_waits_and_others_do_not() {
        let gates = Gates::default();
        let held = gates.enter(AccountId(1)).await;
        assert!(gates.lock(AccountId(1)).try_lock().is_err());
        let other = gates.enter(AccountId(2)).await;
        drop((held, other));
        gates.enter(AccountId(1)).await;
    }

    #[tokio::test]
    async fn the_table_does_not_grow_with_accounts() {
        let gates = Gates::default();
        for account in 0..10 * SLACK as u64 {
            gates.enter(AccountId(account)).await;
        }
        assert!(gates.locks.lock().len() <= SLACK);
    }
}
