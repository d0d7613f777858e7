//! `redoubt rebuild`

use clap::Args;

use super::Common;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub struct Rebuild {}

pub async fn run(_common: &Common, _verb: Rebuild) -> anyhow::Result<Exit> {
    Ok(Exit::Done)
}
