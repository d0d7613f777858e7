//! What systemd is told: ready when the node serves for the first time, and in a
//! line of text whether it does now.

use std::time::Duration;

use redoubt_store::mailstore::Mailstore;
use sd_notify::NotifyState;

/// How long a quorum may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// Each look before the first success gives the start so much more time.
const MORE_TIME: u32 = 60_000_000;

/// Tells systemd, as long as it is polled; nothing where systemd has not started us. A node
/// that was started before a quorum of its cluster is becomes ready with it.
pub async fn tell_systemd(store: Mailstore) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (mut said_ready, mut said) = (false, String::new());
    loop {
        let (ready, status) = match store.ready(PATIENCE).await {
            Ok(()) => (true, "serving".to_owned()),
            Err(error) => (false, format!("not serving: {error}")),
        };
        let state = NotifyState::Status(&status);
        match (ready, said_ready) {
            (true, false) => notify(&[NotifyState::Ready, state]),
            (false, false) => notify(&[NotifyState::ExtendTimeoutUsec(MORE_TIME), state]),
            (_, true) if status != said => notify(&[state]),
            (_, true) => {}
        }
        (said_ready, said) = (said_ready || ready, status);
        tokio::time::sleep(EVERY).await;
    }
}

/// Says something to systemd.
pub fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd was not told");
    }
}
