//! A value that many look at, and who is told when it changes: tokio's `watch`, but
//! that those who wait are woken in the order in which they began to wait. Tokio's are
//! woken in an order of chance, which no seed decides: where two wait within one task,
//! the same seed would be another run.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::Notify;

/// The value, as it is for as long as this is kept: nobody changes it meanwhile.
pub type Ref<'a, T> = RwLockReadGuard<'a, T>;

/// Nobody is left who could change the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nobody changes this any more")]
pub struct Closed;

struct Shared<T> {
    value: RwLock<T>,
    /// How often it was changed; raised under the lock of the value.
    version: AtomicU64,
    senders: AtomicUsize,
    changed: Notify,
}

/// Changes the value. Clones change the same.
pub struct Sender<T>(Arc<Shared<T>>);

/// Looks at the value. Each clone has seen what the first had.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// A value, and one who looks at it and has seen it.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    /// A value that nobody looks at yet.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Shared {
            value: RwLock::new(value),
            version: AtomicU64::new(0),
            senders: AtomicUsize::new(1),
            changed: Notify::new(),
        }))
    }

    /// One more who looks, and has seen the value that there is.
    pub fn subscribe(&self) -> Receiver<T> {
        let shared = self.0.clone();
        let seen = shared.version();
        Receiver { shared, seen }
    }

    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.0.value.read()
    }

    /// Whether nobody looks.
    pub fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == self.0.senders.load(Ordering::Acquire)
    }

    /// Another value in the place of the one that is given back.
    pub fn send_replace(&self, value: T) -> T {
        let mut before = value;
        self.send_modify(|now| std::mem::swap(now, &mut before));
        before
    }

    /// Changes the value.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// Changes the value and says whether: nobody is told where it did not.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let changed = {
            let mut value = self.0.value.write();
            let changed = change(&mut value);
            if changed {
                self.0.version.fetch_add(1, Ordering::Release);
            }
            changed
        };
        if changed {
            self.0.changed.notify_waiters();
        }
        changed
    }
}

impl<T> Receiver<T> {
    /// The value, which counts as seen no more than before.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.value.read()
    }

    /// The value, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.value.read();
        self.seen = self.shared.version();
        value
    }

    /// Whether it changed since it was seen.
    ///
    /// # Errors
    /// It has not, and nobody is left to change it.
    pub fn has_changed(&self) -> Result<bool, Closed> {
        // First, so that what the last one did before it went is not missed.
        let closed = self.shared.is_closed();
        match self.shared.version() != self.seen {
            false if closed => Err(Closed),
            changed => Ok(changed),
        }
    }

    /// Resolves when the value has changed since it was seen, and counts it as seen.
    ///
    /// # Errors
    /// Nobody is left to change it.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            // Before the look, so that no change comes between.
            let changed = self.shared.changed.notified();
            if self.has_changed()? {
                self.seen = self.shared.version();
                return Ok(());
            }
            changed.await;
        }
    }

    /// Resolves with the value when it is as it is wanted, perhaps at once, and counts it
    /// as seen.
    ///
    /// # Errors
    /// It is not, and nobody is left to change it.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<T, Closed>
    where
        T: Clone,
    {
        loop {
            let (changed, closed) = (self.shared.changed.notified(), self.shared.is_closed());
            let met = {
                let value = self.shared.value.read();
                self.seen = self.shared.version();
                wanted(&value).then(|| value.clone())
            };
            match met {
                Some(value) => return Ok(value),
                None if closed => return Err(Closed),
                None => changed.await,
            }
        }
    }
}

impl<T> Shared<T> {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn is_closed(&self) -> bool {
        self.senders.load(Ordering::Acquire) == 0
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&*self.borrow()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&*self.borrow()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;
    use futures_util::stream::FuturesUnordered;
    use parking_lot::Mutex;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn who_waits_in_one_task_is_woken_in_order() {
        for _ in 0..20 {
            let (sender, receiver) = channel(0);
            let order = Arc::new(Mutex::new(Vec::new()));
            let all: FuturesUnordered<_> = (0..20)
                .map(|number| {
                    let (mut receiver, order) = (receiver.clone(), order.clone());
                    async move {
                        receiver.changed().await.unwrap();
                        order.lock().push(number);
                    }
                })
                .collect();
            let task = tokio::spawn(all.collect::<Vec<_>>());
            yield_now().await;
            sender.send_replace(1);
            task.await.unwrap();
            let order = order.lock().clone();
            assert!(order.is_sorted() && order.len() == 20, "{order:?}");
        }
    }

    #[tokio::test]
    async fn a_change_before_the_wait_is_seen_and_once() {
        let (sender, mut receiver) = channel(0);
        sender.send_replace(1);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.has_changed(), Ok(false));
        assert!(!sender.send_if_modified(|_| false));
        assert_eq!(receiver.has_changed(), Ok(false));
        sender.send_modify(|value| *value += 1);
        assert_eq!(*receiver.borrow_and_update(), 2);
        assert_eq!(receiver.has_changed(), Ok(false));
    }

    #[tokio::test]
    async fn who_waits_is_told_that_nobody_is_left() {
        let (sender, mut receiver) = channel(0);
        let other = sender.clone();
        let waits = tokio::spawn(async move { receiver.wait_for(|value| *value > 1).await.err() });
        yield_now().await;
        drop(sender);
        other.send_replace(1);
        yield_now().await;
        drop(other);
        assert_eq!(waits.await.unwrap(), Some(Closed));
    }

    #[tokio::test]
    async fn the_last_value_is_seen_when_nobody_is_left() {
        let (sender, mut receiver) = channel(0);
        sender.send_replace(1);
        drop(sender);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.changed().await, Err(Closed));
        assert_eq!(receiver.wait_for(|value| *value == 1).await, Ok(1));
    }
}
