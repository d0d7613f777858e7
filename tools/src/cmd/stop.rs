//! `redoubt stop`

use std::time::{Duration, Instant};

use clap::Args;
use hyper::Method;
use redoubt_store::mailstore::{Layout, Lock, OpenError};

use super::Common;
use crate::exit::{Exit, Failure};

/// Ends the running server.
#[derive(Debug, Args)]
pub struct Stop {
    /// Seconds to wait for its end.
    #[arg(long, default_value_t = 60)]
    wait: u64,
}

/// # Errors
/// When no server runs, or it does not end in time.
pub async fn run(common: &Common, stop: Stop) -> anyhow::Result<Exit> {
    let config = common.config()?;
    common.client()?.send::<_, ()>(Method::POST, "/v1/stop", &()).await?;
    let deadline = Instant::now() + Duration::from_secs(stop.wait);
    let layout = Layout::new(&config.data);
    let pid_file = config.data.join("redoubt.pid");
    // Who starts something over the data directory next must find it free.
    while pid_file.exists() || matches!(Lock::take(&layout), Err(OpenError::InUse { .. })) {
        if Instant::now() >= deadline {
            let text = format!("the server still drains after {} seconds", stop.wait);
            return Err(Failure::new(Exit::Partly, text).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("stopped");
    Ok(Exit::Done)
}
