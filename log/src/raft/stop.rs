//! Why a replica stopped: said once, by whoever noticed first.

use crate::world::watch;
/// Why a replica stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// It was told to.
    #[error("it was shut down")]
    Shutdown,
    /// It could not go on; what to do is in the text.
    #[error("{0}")]
    Fatal(String),
}

/// Set at most once; the first reason stays.
#[derive(Debug, Clone)]
pub(crate) struct StopCell {
    cell: watch::Sender<Option<Stopped>>,
}

impl StopCell {
    pub(crate) fn new() -> Self {
        Self { cell: watch::Sender::new(None) }
    }

    /// Says why, unless somebody has.
    pub(crate) fn set(&self, why: Stopped) {
        let fatal = matches!(why, Stopped::Fatal(_)).then(|| why.to_string());
        let first = self.cell.send_if_modified(|cell| {
            let first = cell.is_none();
            if first {
                *cell = Some(why);
            }
            first
        });
        if let (true, Some(why)) = (first, fatal) {
            tracing::error!(%why, "the shard stops on this node");
        }
    }

    pub(crate) fn fatal(&self, why: impl ToString) {
        self.set(Stopped::Fatal(why.to_string()));
    }

    pub(crate) fn get(&self) -> Option<Stopped> {
        self.cell.borrow().clone()
    }

    /// Resolves when a reason is set.
    pub(crate) async fn wait(&self) -> Stopped {
        let mut seen = self.cell.subscribe();
        let reason = seen.wait_for(Option::is_some).await;
        // The cell holds the sender, so that the channel does not close while we wait.
        reason.ok().flatten().unwrap_or(Stopped::Shutdown)
    }
}
