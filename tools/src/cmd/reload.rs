//! `redoubt reload`

use hyper::Method;

use super::Common;
use crate::exit::Exit;

/// # Errors
/// When no server runs.
pub async fn run(common: &Common) -> anyhow::Result<Exit> {
    common.client()?.send::<_, ()>(Method::POST, "/v1/reload", &()).await?;
    println!("reloaded");
    Ok(Exit::Done)
}
