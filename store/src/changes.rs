//! The feed that wakes sessions: one watch an account, told after each applied
//! record that changed something of it.

use redoubt_log::id::{AccountId, LogIndex};

/// Wakes its holder when something of one account changed.
#[derive(Debug)]
pub struct Watch {
    receiver: tokio::sync::watch::Receiver<LogIndex>,
}

impl Watch {
    /// Waits until something changed since the last call (or since the watch was made).
    /// Cancel safe. Never returns once the store has shut down.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// All watches.
#[derive(Debug, Default)]
pub struct ChangeFeed {}

impl ChangeFeed {
    /// A watch over one account.
    pub fn subscribe(&self, _account: AccountId) -> Watch {
        todo!()
    }
}
