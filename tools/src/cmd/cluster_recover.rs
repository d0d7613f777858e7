//! `redoubt cluster recover`

use super::Common;
use crate::exit::{Exit, Failure};

/// # Errors
/// Not yet.
pub(super) fn run(_common: &Common) -> anyhow::Result<Exit> {
    Err(Failure::new(Exit::Refused, "this version cannot do that yet").into())
}
