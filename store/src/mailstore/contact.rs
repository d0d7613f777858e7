//! How long calls wait for a leader, and when a node counts as cut off. The one
//! place of these bounds.

use std::sync::Weak;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redoubt_log::raft::ReadError;
use tokio::sync::watch;

use super::{Inner, StoreError};
use crate::view::View;

/// The longest time between two looks whether a quorum answers.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long another node may take to begin to lead.
const HAND_OVER: Duration = Duration::from_secs(3);
/// What a call waits on a node that is cut off: enough to find that it is not any more.
const HOPELESS: Duration = Duration::from_millis(500);

/// How long to wait for a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// A call waits so long for a leader, or for a quorum behind it; then it is refused for now.
    pub leader: Duration,
    /// A node that had no quorum for so long counts as cut off: calls are refused at once, and
    /// sessions are told to go elsewhere.
    pub cut_off: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { leader: Duration::from_secs(15), cut_off: Duration::from_secs(30) }
    }
}

/// Tells a session that this node has been cut off for too long.
#[derive(Debug, Clone)]
pub struct CutOff(watch::Receiver<bool>);

impl CutOff {
    /// For tests of sessions: a sender that says when it is so.
    pub fn told_by(sender: &watch::Sender<bool>) -> Self {
        Self(sender.subscribe())
    }

    /// Whether it is so now.
    pub fn is_now(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is so. Cancel safe. Never returns once the store is gone.
    pub async fn happens(&mut self) {
        if self.0.wait_for(|cut_off| *cut_off).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// When this node last knew that a quorum stands behind what it serves.
/// Invariant: `cut_off` is true only while that is longer ago than [`Waits::cut_off`].
#[derive(Debug)]
pub(super) struct Contact {
    waits: Waits,
    last: Mutex<Instant>,
    cut_off: watch::Sender<bool>,
}

impl Contact {
    /// Counts from now on: a node that has just started is not cut off.
    pub(super) fn new(waits: Waits) -> Self {
        Self { waits, last: Mutex::new(Instant::now()), cut_off: watch::Sender::new(false) }
    }

    /// Until when a call that begins now may wait.
    pub(super) fn deadline(&self) -> Instant {
        let hopeless = *self.cut_off.borrow();
        Instant::now() + if hopeless { HOPELESS.min(self.waits.leader) } else { self.waits.leader }
    }

    pub(super) fn cut_off(&self) -> CutOff {
        CutOff(self.cut_off.subscribe())
    }

    fn found(&self) {
        *self.last.lock() = Instant::now();
        if self.say(false) {
            tracing::info!("a quorum answers, and this node has what it has");
        }
    }

    /// Whether that is news. Each command comes here, and every session waits for this:
    /// none is woken for what has not changed.
    fn say(&self, cut_off: bool) -> bool {
        self.cut_off.send_if_modified(|now| std::mem::replace(now, cut_off) != cut_off)
    }

    fn missed(&self, votes: impl FnOnce() -> bool) {
        let since = self.last.lock().elapsed();
        if since < self.waits.cut_off || !self.say(true) {
            return;
        }
        let seconds = since.as_secs();
        match votes() {
            true => tracing::error!(
                seconds,
                "no quorum answers, or this node is far behind one: it is cut off, its sessions are closed"
            ),
            false => tracing::info!(
                seconds,
                "this node joins, and is not where the others are yet: it serves nobody so far"
            ),
        }
    }

    fn look_every(&self) -> Duration {
        LOOK_EVERY.min(self.waits.cut_off / 4).max(Duration::from_millis(10))
    }
}

/// Looks again and again whether a quorum answers, for as long as the store is there: sessions
/// that only wait must learn of it too.
pub(super) async fn run(store: Weak<Inner>) {
    loop {
        let Some(inner) = store.upgrade() else { return };
        let pause = inner.contact.look_every();
        let _ = inner.up_to_date(Instant::now() + pause * 2).await;
        drop(inner);
        tokio::time::sleep(pause).await;
    }
}

impl Inner {
    /// A leader that is about to go lets another one lead, so that nobody waits for an election.
    pub(super) async fn hand_over(&self) {
        let alone = self.node.cluster().members.len() < 2;
        if alone || !self.node.is_leader() {
            return;
        }
        match tokio::time::timeout(HAND_OVER, self.node.transfer(None)).await {
            Ok(Ok(())) => tracing::info!("another node leads now"),
            Ok(Err(error)) => tracing::warn!(%error, "this node goes without handing over"),
            Err(_) => tracing::warn!("no other node took over in time"),
        }
    }

    /// Everything as of now, linearizable.
    pub(super) async fn view(&self) -> Result<View, StoreError> {
        self.up_to_date(self.contact.deadline()).await?;
        self.local_view()
    }

    /// Waits until all that was committed before this call is applied here.
    pub(super) async fn up_to_date(&self, deadline: Instant) -> Result<(), StoreError> {
        match self.node.read_index(deadline).await {
            Ok(_) => {
                self.contact.found();
                Ok(())
            }
            Err(error) => {
                self.contact.missed(|| self.votes());
                Err(not_read(error))
            }
        }
    }

    fn votes(&self) -> bool {
        let cluster = self.node.cluster();
        cluster.voters().any(|member| member.node == cluster.node)
    }
}

fn not_read(error: ReadError) -> StoreError {
    match error {
        ReadError::Unavailable => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Stopped(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn cut_off_is_told_and_taken_back() {
        let waits = Waits { leader: Duration::from_secs(9), cut_off: Duration::ZERO };
        let contact = Contact::new(waits);
        let mut cut_off = contact.cut_off();
        assert!(!cut_off.is_now());
        assert!(contact.deadline() > Instant::now() + Duration::from_secs(8));
        contact.missed(|| true);
        cut_off.happens().await;
        assert!(contact.deadline() < Instant::now() + Duration::from_secs(1));
        contact.found();
        assert!(!cut_off.is_now());
    }

    #[test]
    fn nobody_is_woken_while_nothing_changes() {
        let waits = Waits { leader: Duration::from_secs(9), cut_off: Duration::ZERO };
        let contact = Contact::new(waits);
        let CutOff(mut told) = contact.cut_off();
        let mut woken = |contact: &dyn Fn()| {
            contact();
            let woken = told.has_changed().unwrap();
            told.mark_unchanged();
            woken
        };
        assert!(!woken(&|| contact.found()));
        assert!(woken(&|| contact.missed(|| true)));
        assert!(!woken(&|| contact.missed(|| true)));
        assert!(woken(&|| contact.found()));
    }

    #[test]
    fn a_short_silence_is_none() {
        let contact = Contact::new(Waits::default());
        contact.missed(|| true);
        assert!(!contact.cut_off().is_now());
    }
}
