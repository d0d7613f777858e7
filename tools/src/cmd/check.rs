//! `redoubt check`

use clap::Args;

use super::Common;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub struct Check {}

pub async fn run(_common: &Common, _verb: Check) -> anyhow::Result<Exit> {
    Ok(Exit::Done)
}
