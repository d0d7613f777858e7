//! Cyrus, started over a folder of its own.

use std::path::Path;

use super::server::Server;

pub(super) fn version(_programs: &Path) -> Option<String> {
    None
}

pub(super) fn start(_dir: &Path, _programs: &Path) -> anyhow::Result<Server> {
    anyhow::bail!("not yet")
}
